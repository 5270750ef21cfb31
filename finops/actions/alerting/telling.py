"""Hands what became of an alert to its history and, by its rule, to the outbox of channels.

Knows who is told what, once. Refuses to work outside the transaction of what it tells of.
"""

from __future__ import annotations

from datetime import datetime

from finops.actions import channels
from finops.audit import take_turn
from finops.models import Alert, AlertEvent, Channel, User
from finops.models.alerts import (
    ACKNOWLEDGED,
    ESCALATED,
    OPENED,
    REMINDED,
    REOPENED,
    RESOLVED,
    RETURNED,
    ROSE,
    SENT_LATE,
    SETTLED,
    SNOOZED,
)
from finops.models.channels import SLACK_APP

from .findings import rule_of, silence_over

WORDS_TO_CHANNELS = {
    OPENED: "opened",
    SENT_LATE: "opened",
    RETURNED: "reminder",
    REMINDED: "reminder",
    ROSE: "escalated",
    ESCALATED: "escalated",
    ACKNOWLEDGED: "acknowledged",
    SNOOZED: "snoozed",
    REOPENED: "flapping",
    RESOLVED: "resolved",
    SETTLED: "resolved",
}
CALLS = frozenset({OPENED, SENT_LATE, RETURNED, REMINDED, ROSE, ESCALATED})
"""What asks somebody to look; the rest only closes what these began."""


SWINGS = frozenset({RESOLVED, REOPENED})
SHOWN_ONLY = frozenset({SNOOZED})
"""News only where the message about the alert can be changed; nobody is written to for it."""


def wait_turn() -> None:
    """One writer of alerts at a time: two raisers make one alert, and ids follow commits.

    It is the lock of the audit chain, taken before any row: whoever holds one of two locks and
    waits for the other could wait for ever.
    """
    take_turn()


def note(
    alert: Alert, act: str, at: datetime, *, by: User | None = None, name: str = "", text: str = ""
) -> AlertEvent:
    """Adds to the history and tells channels, unless a silence, the rule or the act says no."""
    told = tell(alert, act, at, text)
    event: AlertEvent = AlertEvent.objects.create(
        alert=alert,
        act=act,
        severity=alert.severity,
        at=at,
        by=by,
        by_name=by.get_username() if by else name,
        note=text,
        told=list(told),
    )
    return event


def tell(alert: Alert, act: str, at: datetime, text: str) -> tuple[int, ...]:
    """The channels that were handed a notice; none is an answer too."""
    word = WORDS_TO_CHANNELS.get(act)
    to = listeners(alert, act)
    if word is None or not to or is_quiet(alert, act, at):
        return ()
    if act in SHOWN_ONLY:
        to = tuple(Channel.objects.filter(pk__in=to, kind=SLACK_APP).values_list("pk", flat=True))
    notice = channels.Notice(
        alert_id=alert.ref,
        event=word,
        severity=alert.severity,
        title=alert.title,
        text="\n".join(filter(None, (text, alert.text))),
        url_path=f"/alerts/{alert.pk}",
        project=alert.project.name if alert.project else "",
        figures=alert.figures,
        at=at,
    )
    channels.enqueue(notice, to)
    if act in CALLS:
        alert.told_at = at
        alert.save(update_fields=["told_at"])
    return to


def is_quiet(alert: Alert, act: str, at: datetime) -> bool:
    """A channel that never heard of an alert is not told either that it ended.

    While an alert comes and goes, channels hear neither: that it flaps was told once.
    """
    if act not in CALLS and (alert.told_at is None or (alert.is_flapping and act in SWINGS)):
        return True
    if act not in CALLS and act != REOPENED:
        return False
    return silence_over(alert, at) is not None


def listeners(alert: Alert, act: str) -> tuple[int, ...]:
    """Its own channels, else those of the rule; once it escalated, those of escalation too."""
    rule = rule_of(alert.kind)
    if not rule.enabled:
        return ()
    usual = alert.channel_ids or rule.channel_ids
    if act == ESCALATED:
        return tuple(dict.fromkeys(rule.escalation_channel_ids or usual))
    also = rule.escalation_channel_ids if alert.escalated_at else []
    return tuple(dict.fromkeys((*usual, *also)))
