"""Carries out what was pressed in Slack, as the person whose user pressed it.

Asks the same permission as the page, over the alert's project. Refuses unknown users, alerts that
were never told in that channel, and what waited too long. Only the presser hears why.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction

from finops.actions import alerting
from finops.actions.channels import delivery
from finops.channels import secret, slack_app
from finops.channels.base import SendError
from finops.models import Alert, SlackLink, SlackPress, SlackThread, User
from finops.models.slack import ACKNOWLEDGE, DONE, LATE, REFUSED, UNKNOWN, WAITS
from finops.queries import alerts as queries
from ingest.nudge import nudge

from . import linking
from .pressing import CARRY_OUT

log = logging.getLogger(__name__)

SNOOZED_FOR = timedelta(hours=24)
TOO_LATE = timedelta(minutes=15)
"""Whoever pressed so long ago has looked elsewhere by now."""
NUDGED_AGAIN_AFTER = timedelta(seconds=5)
VIA = "slack"


def carry_out(press_id: int, now: datetime) -> str:
    """The outcome; empty where another worker has it, or had."""
    with transaction.atomic():
        waiting = SlackPress.objects.select_for_update(skip_locked=True, of=("self",))
        found = waiting.select_related("channel").filter(pk=press_id, outcome=WAITS)
        press: SlackPress | None = found.first()
        if press is None:
            return ""
        said = _done(press, now)
        press.done_at = now
        press.save(update_fields=["outcome", "user", "done_at"])
    if said:
        _whisper(press, said)
    return str(press.outcome)


def sweep(now: datetime) -> int:
    """Nudge again for presses whose nudge was lost; how many."""
    waiting = SlackPress.objects.filter(outcome=WAITS, at__lt=now - NUDGED_AGAIN_AFTER)
    pks = list(waiting.order_by("pk").values_list("pk", flat=True)[:100])
    for pk in pks:
        nudge(CARRY_OUT, pk)
    return len(pks)


def _done(press: SlackPress, now: datetime) -> str:
    """Do it; what only the presser is told, if anything. Sets the press's outcome and person."""
    if now - press.at > TOO_LATE:
        press.outcome = LATE
        return "That took too long and nothing was done; press it again."
    person = _person(press)
    if person is None:
        press.outcome = UNKNOWN
        return _how_to_link(press, now)
    press.user = person
    alert = _alert(press, person)
    if alert is None or not alerting.may_handle(person, alert):
        press.outcome = REFUSED
        return f"No role of yours lets you handle {press.alert_id}; an admin gives it."
    try:
        if press.act == ACKNOWLEDGE:
            alerting.acknowledge(alert, by=person, via=VIA)
        else:
            alerting.snooze(alert, now + SNOOZED_FOR, by=person, via=VIA)
    except alerting.Refused as refused:
        press.outcome = REFUSED
        return str(refused)
    press.outcome = DONE
    newest = alert.events.order_by("-pk").first()
    # Where the message about the alert changes, that says it.
    is_shown = newest is not None and press.channel_id in newest.told
    word = "acknowledged" if press.act == ACKNOWLEDGE else "snoozed for 24 hours"
    return "" if is_shown else f"{alert.ref} is {word}."


def _person(press: SlackPress) -> User | None:
    links = SlackLink.objects.select_related("user")
    held = links.filter(team_id=press.team_id, slack_user_id=press.slack_user_id).first()
    return held.user if held is not None and held.user.is_active else None


def _alert(press: SlackPress, person: User) -> Alert | None:
    """Only one that was told there: a button's value alone proves nothing."""
    was_told = SlackThread.objects.filter(channel=press.channel_id, alert_id=press.alert_id)
    if not was_told.exists():
        return None
    return queries.one(person, int(press.alert_id.removeprefix("A-")))


def _how_to_link(press: SlackPress, now: datetime) -> str:
    code = linking.make_code(press.team_id, press.slack_user_id, press.slack_name, now)
    address = delivery.link(f"/settings/slack?code={code}")
    if not address:
        return (
            "Breakeven does not know who you are, nor its own address: ask an admin to set"
            " BREAKEVEN_PUBLIC_URL."
        )
    minutes = linking.CODE_HOLDS.seconds // 60
    return (
        "Breakeven does not know who you are yet, so nothing was done. Open this within"
        f" {minutes} minutes, sign in, say that this is you, and press again: {address}"
    )


def _whisper(press: SlackPress, said: str) -> None:
    """What was done stays done: whoever pressed sees it on the page."""
    channel = press.channel
    try:
        slack_app.whisper(channel.config, secret.opened(channel), press.slack_user_id, said)
    except SendError as error:
        log.warning("slack_not_told press=%s problem=%s", press.pk, error.problem)
