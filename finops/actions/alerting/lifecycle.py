"""Alerts as producers raise and resolve them. Knows one alert for each kind and key.

Works in the caller's transaction. Refuses to open a second alert for a thing that has one, or had
one a moment ago, and to bring back by itself what a person resolved while it goes on unchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from finops.models import Alert, User
from finops.models.alerts import OPEN, OPENED, RESOLVED, ROSE

from . import flapping
from .findings import Finding, is_worse
from .telling import note, wait_turn

ENDED_BY_ITSELF = "It is over."


def raise_(finding: Finding, now: datetime) -> Alert:
    """1. Take the turn, so that two raisers at once make one alert.
    2. It was over only now: the same alert goes on; see `flapping`.
    3. None that is not resolved: open one, unless a person resolved this very thing.
    4. Else say what is seen now, and tell channels again only if it grew worse.
    """
    with transaction.atomic():
        wait_turn()
        alert = _newest(finding.kind, finding.key)
        if alert is not None and alert.state == RESOLVED and flapping.continues(alert, now):
            flapping.reopen(alert, finding, now)
        elif alert is None or (alert.state == RESOLVED and _is_new(alert, finding)):
            return _open(finding, now)
        return _seen(alert, finding, now)


def resolve(kind: str, key: str, why: str, now: datetime) -> bool:
    """The producer no longer finds it. False when no alert was waiting for that."""
    with transaction.atomic():
        wait_turn()
        alert = _newest(kind, key)
        if alert is None or not alert.holds:
            return False
        alert.holds = False
        if alert.state == RESOLVED:
            # A person was first; from now on it counts as new when it comes again.
            alert.save(update_fields=["holds"])
            return False
        close(alert, why or ENDED_BY_ITSELF, now)
        return True


def resolve_all_but(kind: str, keys: Iterable[str], why: str, now: datetime) -> int:
    """What a producer that looked at everything no longer finds."""
    held = Alert.objects.filter(kind=kind, holds=True).exclude(key__in=set(keys))
    gone = list(held.order_by("pk").values_list("key", flat=True))
    return sum(resolve(kind, key, why, now) for key in gone)


def close(alert: Alert, why: str, now: datetime, *, by: User | None = None, name: str = "") -> None:
    alert.state, alert.snoozed_until = RESOLVED, None
    alert.resolved_at, alert.resolved_by, alert.why = now, by, why
    # A person who resolves it is heard at once, however often it came and went.
    alert.is_flapping = alert.is_flapping and not name
    alert.save(
        update_fields=[
            *("state", "snoozed_until", "resolved_at", "resolved_by", "why", "holds"),
            "is_flapping",
        ]
    )
    note(alert, RESOLVED, now, by=by, name=name, text=why)


def _newest(kind: str, key: str) -> Alert | None:
    found = Alert.objects.select_for_update(of=("self",)).select_related("project")
    newest: Alert | None = found.filter(kind=kind, key=key).order_by("-pk").first()
    return newest


def _is_new(resolved: Alert, finding: Finding) -> bool:
    return not resolved.holds or is_worse(finding.severity, resolved.severity)


def _open(finding: Finding, now: datetime) -> Alert:
    Alert.objects.filter(kind=finding.kind, key=finding.key, holds=True).update(holds=False)
    alert: Alert = Alert.objects.create(
        kind=finding.kind,
        key=finding.key,
        severity=finding.severity,
        title=finding.title,
        text=finding.text,
        path=finding.path,
        project_id=finding.project_id,
        figures=dict(finding.figures),
        owner_id=finding.owner_id,
        channel_ids=list(finding.channel_ids),
        opened_at=now,
        last_seen_at=now,
        waiting_since=now,
    )
    note(alert, OPENED, now)
    return alert


def _seen(alert: Alert, finding: Finding, now: datetime) -> Alert:
    alert.last_seen_at = max(now, alert.last_seen_at)
    alert.times_seen += 1
    if alert.state != RESOLVED:
        alert.title, alert.text, alert.path = finding.title, finding.text, finding.path
        alert.figures, alert.owner_id = dict(finding.figures), finding.owner_id
        alert.channel_ids = list(finding.channel_ids)
    rose = is_worse(finding.severity, alert.severity)
    before = alert.severity
    if rose:
        alert.severity = finding.severity
        # Whoever acknowledged or snoozed it did so for something milder.
        alert.state, alert.snoozed_until, alert.waiting_since = OPEN, None, now
    alert.save()
    if rose:
        note(alert, ROSE, now, text=f"It was {before} and is {alert.severity} now.")
    return alert
