"""What time alone brings: a snooze ends, a silence ends, nobody came, it must be said again.

Knows what is due by the rules; each alert in a transaction of its own, looked at again under the
lock. Refuses to judge whether the alert is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from finops.models import Alert, AlertRule, Silence
from finops.models.alerts import ESCALATED, OPEN, REMINDED, RETURNED, SENT_LATE, SNOOZED

from .findings import rule_of, rules
from .flapping import settle
from .telling import note, wait_turn

NOTES = {
    RETURNED: "The snooze is over.",
    SENT_LATE: "",
    REMINDED: "Nobody has acknowledged it yet.",
    ESCALATED: "Nobody has acknowledged it in time.",
}


def attend(now: datetime) -> int:
    """How many alerts moved or were told again."""
    settled = settle(now)
    waiting = Alert.objects.filter(Q(state=OPEN) | Q(state=SNOOZED, snoozed_until__lte=now))
    by_kind = {rule.kind: rule for rule in rules()}
    silences = list(Silence.objects.filter(starts_at__lte=now, ends_at__gt=now))
    due = [
        alert.pk
        for alert in waiting.order_by("pk")
        if due_act(alert, by_kind[alert.kind], silences, now)
    ]
    return settled + sum(_attend_one(pk, silences, now) for pk in due)


def due_act(alert: Alert, rule: AlertRule, silences: Sequence[Silence], now: datetime) -> str:
    """The one act that is due, or nothing."""
    if alert.state == SNOOZED and alert.snoozed_until and alert.snoozed_until <= now:
        return RETURNED
    usual = alert.channel_ids or rule.channel_ids
    if alert.state != OPEN or not rule.enabled or not (usual or rule.escalation_channel_ids):
        return ""
    if any(silence.covers(alert, now) for silence in silences):
        return ""
    if alert.told_at is None and usual:
        return SENT_LATE
    if _must_escalate(alert, rule, now):
        return ESCALATED
    if alert.told_at and _passed(alert.told_at, rule.remind_every_s, now):
        return REMINDED
    return ""


def _must_escalate(alert: Alert, rule: AlertRule, now: datetime) -> bool:
    """Once each time it waits."""
    done = alert.escalated_at is not None and alert.escalated_at >= alert.waiting_since
    return not done and _passed(alert.waiting_since, rule.escalate_after_s, now)


def _passed(since: datetime, seconds: int | None, now: datetime) -> bool:
    return seconds is not None and now - since >= timedelta(seconds=seconds)


def _attend_one(pk: int, silences: Sequence[Silence], now: datetime) -> bool:
    with transaction.atomic():
        wait_turn()
        found = Alert.objects.select_for_update(of=("self",)).select_related("project")
        alert = found.get(pk=pk)
        act = due_act(alert, rule_of(alert.kind), silences, now)
        if act == RETURNED:
            alert.state, alert.snoozed_until, alert.waiting_since = OPEN, None, now
        if act == ESCALATED:
            alert.escalated_at = now
        if act:
            alert.save(update_fields=["state", "snoozed_until", "waiting_since", "escalated_at"])
            note(alert, act, now, text=NOTES[act])
        return bool(act)
