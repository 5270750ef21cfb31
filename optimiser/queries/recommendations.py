"""What the levers say: open advice, and what became of earlier advice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from finops import access
from optimiser.models import Calibration, Change, Recommendation
from optimiser.plan import Moved, difference

from .paging import Page, newest_first
from .potential import Potential, potentials

SEE = "finops.view_spend"
STATES = ("open", "proposed", "dismissed", "superseded", "all")
"""Which ones a list shows; the first is shown unless another is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationRow:
    advice: Recommendation
    """With its target, server and project fetched."""
    calibration: Calibration | None
    """One that waits or runs on its target."""
    change: Change | None
    """What was proposed out of it, the newest."""
    potential: Potential | None
    """What it would be worth; None where nothing is recommended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationDetail(RecommendationRow):
    moved: tuple[Moved, ...]
    """What its candidate config would change."""
    newer: Recommendation | None
    """The open one in the place of one that is superseded."""


def visible(user: Any) -> QuerySet[Recommendation]:
    found = Recommendation.objects.select_related(
        "target__server", "target__project", "target__pool", "evidence", "closed_by"
    )
    mine = access.visible_projects(user, SEE)
    return found if mine.everything else found.filter(target__project__in=mine.ids)


def recommendation_list(
    user: Any, state: str = "open", limit: int = 50, cursor: str | None = None
) -> Page:
    """`RecommendationRow`s, newest first."""
    found = visible(user).defer("evidence__results")
    if state != "all":
        found = found.filter(state=state)
    page = newest_first(found, limit, cursor)
    return Page(tuple(_rows(list(page.rows))), page.next)


def recommendation_detail(user: Any, pk: int) -> RecommendationDetail | None:
    advice = visible(user).select_related("evidence__calibration").filter(pk=pk).first()
    if advice is None:
        return None
    [row] = _rows([advice])
    candidate = advice.candidate_config
    return RecommendationDetail(
        advice=advice,
        calibration=row.calibration,
        change=row.change,
        potential=row.potential,
        moved=() if candidate is None else tuple(difference(advice.current_config, candidate)),
        newer=_newer(user, advice) if advice.state == "superseded" else None,
    )


def _newer(user: Any, advice: Recommendation) -> Recommendation | None:
    same = visible(user).filter(target=advice.target, lever=advice.lever, state="open")
    return same.order_by("-created_at").first()


def _rows(found: list[Recommendation]) -> list[RecommendationRow]:
    targets = {advice.target_id for advice in found}
    under_way = {
        calibration.target_id: calibration
        for calibration in Calibration.objects.filter(
            target__in=targets, state__in=("waiting", "running")
        ).defer("measurements", "curve", "config")
    }
    changes = {
        change.recommendation_id: change
        for change in Change.objects.filter(recommendation__in=found)
        .only("pk", "recommendation", "title", "state", "created_at")
        .order_by("created_at")
    }
    worth = potentials(found)
    return [
        RecommendationRow(
            advice=advice,
            calibration=under_way.get(advice.target_id),
            change=changes.get(advice.pk),
            potential=worth.get(advice.pk),
        )
        for advice in found
    ]
