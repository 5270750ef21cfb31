"""What changes are applied to: how each stands, what differs, what was measured and advised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from finops import access
from optimiser.models import Calibration, Change, Recommendation, Target
from optimiser.plan import Moved, difference

SEE = "finops.view_sources"
HISTORY = 20
"""Calibrations and recommendations on a target's page; the API pages through all of them."""

CLOSED = ("rejected", "withdrawn", "expired", "rolled_back", "promoted", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRow:
    target: Target
    """With `server`, `project` and `pool` fetched."""
    open_change: Change | None
    """The newest one that is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDetail(TargetRow):
    moved: tuple[Moved, ...] | None
    """What differs between desired and live; None while either is unknown."""
    calibrations: tuple[Calibration, ...]
    recommendations: tuple[Recommendation, ...]


def visible(user: Any) -> QuerySet[Target]:
    """Those of the projects that somebody may read."""
    found = Target.objects.select_related("server", "project", "pool")
    mine = access.visible_projects(user, SEE)
    return found if mine.everything else found.filter(project__in=mine.ids)


def target_list(user: Any) -> tuple[TargetRow, ...]:
    targets = list(visible(user))
    changes = _open_changes([target.pk for target in targets])
    return tuple(TargetRow(target=target, open_change=changes.get(target.pk)) for target in targets)


def target_detail(user: Any, pk: int) -> TargetDetail | None:
    target = visible(user).filter(pk=pk).first()
    if target is None:
        return None
    known = target.desired_config is not None and target.live_config is not None
    return TargetDetail(
        target=target,
        open_change=_open_changes([pk]).get(pk),
        moved=tuple(difference(target.desired_config, target.live_config)) if known else None,
        calibrations=tuple(calibrations(target)[:HISTORY]),
        recommendations=tuple(target.recommendations.order_by("-created_at")[:HISTORY]),
    )


def calibrations(target: Target) -> QuerySet[Calibration]:
    """Newest first, without what was measured in detail."""
    found = target.calibrations.select_related("requested_by")
    return found.defer("measurements").order_by("-requested_at", "-pk")


def visible_calibrations(user: Any) -> QuerySet[Calibration]:
    found = Calibration.objects.select_related("target__server", "requested_by")
    return found.filter(target__in=visible(user).order_by())


def _open_changes(targets: list[int]) -> dict[int, Change]:
    found = Change.objects.filter(target__in=targets).exclude(state__in=CLOSED)
    newest = found.order_by("created_at").only("pk", "target", "title", "state", "created_at")
    return {change.target_id: change for change in newest}
