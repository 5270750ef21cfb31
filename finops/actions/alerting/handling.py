"""What people do with an alert: acknowledge it, put it off, resolve it with a reason.

Knows which moves there are and records each in the audit chain. Doing again what is done changes
nothing. Refuses whoever has no such role over the alert's project.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.models import Alert, User
from finops.models.alerts import ACKNOWLEDGED, RESOLVED, SNOOZED

from .lifecycle import close
from .telling import note, wait_turn

HANDLE = "finops.handle_alerts"
LONGEST_SNOOZE = timedelta(days=90)
LONGEST_WHY = 1000


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def may_handle(user: Any, alert: Alert) -> bool:
    """An alert without a project asks for a role over the whole organisation."""
    return bool(user.has_perm(HANDLE, alert.project) if alert.project else user.has_perm(HANDLE))


def acknowledge(alert: Alert, *, by: User | None, via: str) -> Alert:
    """Somebody looks at it: no reminder and no escalation until it ends or grows worse."""
    with transaction.atomic():
        held = _held(alert)
        if held.state != ACKNOWLEDGED:
            now = timezone.now()
            held.state, held.snoozed_until = ACKNOWLEDGED, None
            held.acknowledged_at, held.acknowledged_by = now, by
            held.save(
                update_fields=["state", "snoozed_until", "acknowledged_at", "acknowledged_by"]
            )
            audit.record(by, via, "alert.acknowledge", held, _told(held))
            note(held, ACKNOWLEDGED, now, by=by, name=_name(by), text=f"By {_name(by)}.")
    return held


def acknowledge_all(alerts: Iterable[Alert], *, by: User | None, via: str) -> int:
    """Those of them that are still open; resolved meanwhile is nothing to complain of."""
    done = 0
    for alert in alerts:
        try:
            done += acknowledge(alert, by=by, via=via).acknowledged_by == by
        except Refused:
            continue
    return done


def snooze(alert: Alert, until: datetime, *, by: User | None, via: str) -> Alert:
    """Quiet until then; it comes back by itself."""
    now = timezone.now()
    if until <= now:
        raise Refused("until", "This is over; give a time yet to come.")
    if until > now + LONGEST_SNOOZE:
        raise Refused("until", f"Snooze it for at most {LONGEST_SNOOZE.days} days.")
    with transaction.atomic():
        held = _held(alert)
        if (held.state, held.snoozed_until) != (SNOOZED, until):
            held.state, held.snoozed_until = SNOOZED, until
            held.save(update_fields=["state", "snoozed_until"])
            said = f"Until {until:%Y-%m-%d %H:%M} UTC."
            audit.record(by, via, "alert.snooze", held, {**_told(held), "until": str(until)})
            note(held, SNOOZED, now, by=by, name=_name(by), text=said)
    return held


def resolve_by_hand(alert: Alert, why: str, *, by: User | None, via: str) -> Alert:
    """Stays resolved while the same thing goes on; it counts as new once it ended and came again,
    or grows worse."""
    why = why.strip()
    if not why:
        raise Refused("why", "Say why it is resolved, in a few words.")
    if len(why) > LONGEST_WHY:
        raise Refused("why", f"Say it in at most {LONGEST_WHY} characters.")
    with transaction.atomic():
        held = _held(alert)
        audit.record(by, via, "alert.resolve", held, {**_told(held), "why": why})
        close(held, why, timezone.now(), by=by, name=_name(by))
    return held


def _held(alert: Alert) -> Alert:
    """The row as it is now, held until the transaction ends."""
    wait_turn()
    found = Alert.objects.select_for_update(of=("self",)).select_related("project")
    held: Alert = found.get(pk=alert.pk)
    if held.state == RESOLVED:
        raise Refused("", f"{held.ref} is resolved already: {held.why}")
    return held


def _name(by: User | None) -> str:
    return by.get_username() if by else "command line"


def _told(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.ref,
        "kind": alert.kind,
        "title": alert.title,
        "project": alert.project.slug if alert.project else "",
    }
