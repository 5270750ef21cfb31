"""What a producer tells of, and the rules and silences it meets. Refuses writing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from finops.models import Alert, AlertRule, Silence
from finops.models.alerts import ALERT_DEFAULTS, ALERT_KINDS, SEVERITIES


@dataclass(frozen=True)
class Finding:
    """Something is wrong, as its producer sees it now. `kind` and `key` say which thing it is."""

    kind: str
    key: str
    severity: str
    title: str
    text: str
    path: str
    project_id: int | None = None
    figures: Mapping[str, str] = field(default_factory=dict)
    owner_id: int | None = None
    channel_ids: tuple[int, ...] = ()
    """Empty: the channels that the rule of the kind names."""


def is_worse(severity: str, than: str) -> bool:
    return SEVERITIES.index(severity) > SEVERITIES.index(than)


def rule_of(kind: str) -> AlertRule:
    """The rule people set, else the default; not saved by being read."""
    found = AlertRule.objects.filter(pk=kind).first()
    return found or AlertRule(kind=kind, **ALERT_DEFAULTS[kind])


def rules() -> tuple[AlertRule, ...]:
    """One for each kind."""
    saved = AlertRule.objects.in_bulk()
    return tuple(
        saved.get(kind) or AlertRule(kind=kind, **ALERT_DEFAULTS[kind]) for kind in ALERT_KINDS
    )


def default_severity(kind: str) -> str:
    """For a producer that has no grades of its own."""
    return str(rule_of(kind).severity)


def silence_over(alert: Alert, now: datetime) -> Silence | None:
    """The silence that keeps this alert from channels now."""
    on = Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("pk")
    return next((silence for silence in on if silence.covers(alert, now)), None)
