"""Evaluates objectives: stores how each does, and alerts while its budget burns too fast.

Knows which are due. Refuses arithmetic and counting; those are asked of `finops.queries.slos`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial

from django.db import transaction
from django.urls import reverse

from finops.actions.alerting import Finding, raise_, resolve
from finops.actions.in_turn import in_turn
from finops.costing.burn import Burn
from finops.costing.objectives import QUALITY
from finops.models import Alert, Slo, SloStatus
from finops.models.alerts import SLO
from finops.queries.slos import SloFigures, figures
from finops.templatetags import words

SCORES_EVERY = timedelta(minutes=5)
"""Scores have no rollup: each of the window is read, so they are read less often."""
OVER = "It burns no faster than it lasts."
MICRO = Decimal("0.000001")
MOST = Decimal(10) ** 12


def evaluate_all(now: datetime) -> int:
    """Every objective that is due; how many. One that fails does not keep the others waiting."""
    live = Slo.objects.filter(current__retires=False).select_related("current", "status")
    work = (
        (key_of(slo), partial(evaluate, slo.pk, now))
        for slo in live.order_by("pk")
        if _is_due(slo, now)
    )
    return in_turn(work, "Some objectives were not evaluated; the others were.")


def evaluate(pk: int, now: datetime) -> bool:
    """False when it is retired, or another worker is at it."""
    with transaction.atomic():
        found = Slo.objects.select_for_update(of=("self",), skip_locked=True)
        found = found.select_related("project", "current")
        slo = found.filter(pk=pk, current__retires=False).first()
        if slo is None:
            return False
        told = figures(slo, now)
        _keep(slo, told, now)
        _alert(slo, told, now)
    return True


def key_of(slo: Slo) -> str:
    return f"slo:{slo.pk}"


def _is_due(slo: Slo, now: datetime) -> bool:
    status = getattr(slo, "status", None)
    if status is None or slo.definition.indicator != QUALITY:
        return True
    return bool(now - status.evaluated_at >= SCORES_EVERY)


def _keep(slo: Slo, told: SloFigures, now: datetime) -> None:
    assert slo.current is not None
    judged, whole = told.judged, told.whole
    SloStatus.objects.update_or_create(
        slo=slo,
        defaults={
            "version": slo.current.number,
            "state": judged.state,
            "why": judged.why,
            "severity": judged.severity,
            "good": whole.good,
            "total": whole.total,
            "unknown": whole.unknown,
            "budget_left": stored(judged.left),
            "burn_1h": stored(judged.burns[0].long),
            "as_of": told.as_of,
            "evaluated_at": now,
        },
    )


def stored(value: Decimal | None) -> Decimal | None:
    if value is None:
        return None
    return max(-MOST, value).quantize(MICRO, ROUND_HALF_EVEN)


def _alert(slo: Slo, told: SloFigures, now: datetime) -> None:
    if told.judged.severity:
        raise_(finding(slo, told), now)
    elif Alert.objects.filter(kind=SLO, key=key_of(slo), holds=True).exists():
        # Asked first: to resolve is to take the turn of all writers of alerts.
        resolve(SLO, key_of(slo), OVER, now)


def finding(slo: Slo, told: SloFigures) -> Finding:
    alight = next(burn for burn in told.judged.burns if burn.is_burning)
    definition, judged = told.definition, told.judged
    left = "unknown" if judged.left is None else words.percent(float(judged.left))
    return Finding(
        kind=SLO,
        key=key_of(slo),
        severity=judged.severity,
        title=f"{definition.name} of {slo.project.name} burns its error budget",
        text=judged.why,
        path=reverse("finops:slo", args=[slo.pk]),
        project_id=slo.project_id,
        figures={
            "Objective": f"{definition.objective.normalize():f}% in {definition.window_days} days",
            "Good so far": "unknown" if told.actual is None else f"{told.actual:.3f}%",
            "Error budget left": left,
            f"Burn rate, {alight.pace.name}": rate_said(alight),
        },
    )


def rate_said(burn: Burn) -> str:
    if burn.long is None:
        return "unknown"
    return f"{burn.long:,.1f}× (alerts from {burn.at_least.normalize():,.1f}×)"
