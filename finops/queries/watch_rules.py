"""Watch rules as people read them, and how each does now. Knows access; refuses changes.

A rule of one project is for those who may see it; one of each project by itself is for members of
the organisation, as are alerts without a project.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from finops import access
from finops.models import Alert, WatchRule
from finops.models.alerts import THRESHOLD
from finops.templatetags import words

from .watch_measures import UNITS

METRIC_WORDS = {
    "cache_hit": "Cached share of input tokens",
    "latency_mean": "Mean latency",
    "latency_p95": "P95 latency",
    "ttft_p95": "P95 time to first token",
    "cost_per_request": "Cost per request",
    "error_rate": "Failed requests",
    "gpu_utilization": "GPU utilisation",
}


@dataclass(frozen=True, slots=True)
class WatchRow:
    rule: WatchRule
    alerts: int
    """That wait now because of it."""

    @property
    def is_waiting_for_target(self) -> bool:
        return self.rule.threshold is None


def rules(user: Any) -> list[WatchRow]:
    visible = access.visible_projects(user)
    found = [
        rule
        for rule in WatchRule.objects.filter(removed_at=None).select_related("project")
        if _may_see(visible, rule)
    ]
    return [WatchRow(rule, _alerts_of(rule)) for rule in found]


def one(user: Any, pk: int) -> WatchRow | None:
    found = WatchRule.objects.filter(pk=pk, removed_at=None).select_related("project").first()
    if found is None or not _may_see(access.visible_projects(user), found):
        return None
    return WatchRow(found, _alerts_of(found))


def key_prefix(rule: WatchRule) -> str:
    return f"rule:{rule.pk}:"


def value_said(metric: str, value: float | Decimal, currency: str = "") -> str:
    """`61%`, `210 ms` or `$0.0021`."""
    unit = UNITS[metric]
    if unit == "%":
        return f"{Decimal(str(value)).normalize():,.1f}%".replace(".0%", "%")
    if unit == "ms":
        return words.duration(float(value))
    return str(words.rate(Decimal(str(value)), currency))


def threshold_said(rule: WatchRule) -> str:
    if rule.threshold is None:
        return "no target yet"
    return f"{rule.comparison} {value_said(rule.metric, rule.threshold, rule.currency)}"


def _may_see(visible: access.Projects, rule: WatchRule) -> bool:
    if rule.project_id is None:
        return visible.everything
    return rule.project_id in visible.ids


def _alerts_of(rule: WatchRule) -> int:
    waiting = Alert.objects.filter(kind=THRESHOLD, key__startswith=key_prefix(rule))
    return int(waiting.exclude(state="resolved").count())
