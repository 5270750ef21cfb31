"""Evaluates budgets: stores each period's figures, and alerts when a threshold is crossed.

Knows which budgets are due, and that a threshold is crossed once in a period. Refuses arithmetic
and sums; those are asked of `finops.queries.budget_figures`. An alert and the crossing it tells of
are written in one transaction, so neither is without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from finops.actions import alerting
from finops.actions.in_turn import in_turn
from finops.costing.budget_periods import Period
from finops.costing.budget_states import ACTUAL, OK, reached, share, signal
from finops.models import Budget, BudgetCrossing, BudgetPeriod, BudgetThreshold, PricedHour
from finops.models.alerts import BUDGET
from finops.queries.budget_drivers import driven_by
from finops.queries.budget_figures import Figures, Told, told
from finops.queries.budgets import rhythm_of
from finops.queries.filters import midnight
from finops.templatetags import words
from ingest.models import Project

AT_LEAST_EVERY = timedelta(minutes=10)
"""The pace moves on without new facts."""
MOST_HISTORY = 24
"""Periods looked back at when a budget is made for days that are over."""
SETTLES_WITHIN = timedelta(days=45)
"""Late requests and restated bills still move a period for so long after its end."""
ASKED_AGAIN_EVERY = timedelta(days=1)


def evaluate_all(now: datetime) -> int:
    """Every budget that is due; how many. One that fails does not keep the others waiting."""
    day = _day(now)
    moved = _facts_moved_at()
    active = Budget.objects.filter(removed_at=None, is_paused=False)
    newest = dict(
        BudgetPeriod.objects.filter(ends_before__gt=day, starts_on__lte=day)
        .values_list("budget")
        .annotate(Max("evaluated_at"))
    )
    due = (
        pk
        for pk in active.order_by("pk").values_list("pk", flat=True)
        if (at := newest.get(pk)) is None
        or now - at >= AT_LEAST_EVERY
        or (moved is not None and moved > at)
    )
    work = ((f"budget {pk}", partial(evaluate, pk, now)) for pk in due)
    return in_turn(work, "Some budgets were not evaluated; the others were.")


def evaluate(pk: int, now: datetime) -> bool:
    """False when it is removed, paused, or another worker is at it."""
    with transaction.atomic():
        found = Budget.objects.select_for_update(of=("self",), skip_locked=True)
        budget = found.filter(pk=pk, removed_at=None, is_paused=False).first()
        if budget is None:
            return False
        projects = list(Project.objects.select_related("team"))
        period = rhythm_of(budget).at(_day(now))
        _end_older_alerts(budget, period, now)
        _settle(budget, projects, now)
        if period is not None:
            _watch(budget, _measure(budget, period, projects, now), now)
    return True


def begin_anew(budget: Budget, why: str, now: datetime) -> None:
    """What is measured changes: its alerts end, and the period under way is computed again."""
    end_alerts(budget, why, now)
    budget.periods.filter(ends_before__gt=_day(now)).delete()


def end_alerts(budget: Budget, why: str, now: datetime) -> None:
    _resolve(list(budget.crossings.filter(resolved_at=None)), why, now)


# Figures


def _measure(budget: Budget, period: Period, projects: Sequence[Project], now: datetime) -> Told:
    held = budget.periods.filter(plan=budget.plan, starts_on=period.start).first()
    found = told(budget, period, now, projects=projects, held=held)
    figures = found.figures
    is_on = signal(budget.limit_signal, figures.amount, figures.spent) != OK
    since = (held and held.limit_since) or now
    BudgetPeriod.objects.update_or_create(
        budget=budget,
        plan=budget.plan,
        starts_on=period.start,
        defaults={
            **asdict(figures),
            "limit_since": since if is_on else None,
            "evaluated_at": now,
        },
    )
    return found


def _settle(budget: Budget, projects: Sequence[Project], now: datetime) -> None:
    """Final figures of the periods that are over: new ones, and once a day those still moving."""
    day = _day(now)
    over = budget.periods.filter(ends_before__lte=day)
    for row in over.filter(plan=budget.plan, ends_before__gt=day - SETTLES_WITHIN):
        closed = row.evaluated_at >= _midnight(row.ends_before)
        if closed and now - row.evaluated_at < ASKED_AGAIN_EVERY:
            continue
        _close(budget, Period(row.starts_on, row.ends_before), projects, now, row)
    last = over.aggregate(last=Max("ends_before"))["last"]
    since = max(filter(None, (last, budget.starts_on)))
    for period in rhythm_of(budget).over_before(day, since, MOST_HISTORY):
        _close(budget, period, projects, now, None)


def _close(
    budget: Budget,
    period: Period,
    projects: Sequence[Project],
    now: datetime,
    row: BudgetPeriod | None,
) -> None:
    figures = told(budget, period, now, projects=projects, held=row).figures
    values = {**asdict(figures), "evaluated_at": now, "limit_since": None}
    if row is not None:
        # What was to be held to does not change when the period is over.
        values |= {"amount": row.amount, "amount_said": row.amount_said}
    BudgetPeriod.objects.update_or_create(
        budget=budget, plan=budget.plan, starts_on=period.start, defaults=values
    )


# Thresholds


def _watch(budget: Budget, found: Told, now: datetime) -> None:
    figures = found.figures
    # Asked once, and only when there is something to tell.
    driven = cache(partial(driven_by, found.filters))
    crossed = {
        (one.basis, one.percent): one
        for one in budget.crossings.filter(plan=budget.plan, starts_on=figures.starts_on)
    }
    for threshold in budget.thresholds.select_related("owner"):
        figure = figures.spent if threshold.basis == ACTUAL else figures.expected
        held = crossed.pop((threshold.basis, threshold.percent), None)
        is_reached = reached(figure, figures.amount, threshold.percent)
        if held is None and is_reached:
            held = _cross(budget, threshold, figures, now)
        if held is None or held.resolved_at is not None:
            continue
        if is_reached:
            alerting.raise_(_finding(budget, threshold, held, found, driven()), now)
        elif figure is not None:
            # Not known any more is no reason to say that it is over.
            _resolve([held], f"It is below {_percent(threshold.percent)} again.", now)
    gone = [one for one in crossed.values() if one.resolved_at is None]
    _resolve(gone, "The threshold was taken out.", now)


def _cross(
    budget: Budget, threshold: BudgetThreshold, figures: Figures, now: datetime
) -> BudgetCrossing:
    figure = figures.spent if threshold.basis == ACTUAL else figures.expected
    return BudgetCrossing.objects.create(
        budget=budget,
        plan=budget.plan,
        starts_on=figures.starts_on,
        basis=threshold.basis,
        percent=threshold.percent,
        severity=threshold.severity,
        figure=figure,
        amount=figures.amount,
        currency=figures.currency,
        crossed_at=now,
    )


def _finding(
    budget: Budget,
    threshold: BudgetThreshold,
    crossing: BudgetCrossing,
    found: Told,
    driven: str,
) -> alerting.Finding:
    figures, ids = found.figures, found.filters.project_ids
    money = figures.currency
    is_actual = threshold.basis == ACTUAL
    figure = figures.spent if is_actual else figures.expected
    part = words.percent(share(figure, figures.amount))
    verb = "at" if is_actual else "expected at"
    days = words.days_text(figures.since, figures.ends_before)
    text = (
        f"{words.money(figure, money)} {'is spent' if is_actual else 'is expected'} of"
        f" {words.money(figures.amount, money)} for {days}. {figures.why}"
    )
    expected = words.money(figures.expected, money)
    if figures.expected_low is not None:
        low, high = figures.expected_low, figures.expected_high
        expected += f" ({words.money(low, money)} to {words.money(high, money)})"
    return alerting.Finding(
        kind=BUDGET,
        key=crossing.alert_key,
        severity=threshold.severity,
        title=f"Budget {budget.name} {verb} {part} of {words.money(figures.amount, money)}",
        text=text,
        path=f"/budgets/{budget.pk}",
        project_id=ids[0] if ids is not None and len(ids) == 1 else None,
        figures={
            "Threshold": f"{_percent(threshold.percent)} {'spent' if is_actual else 'expected'}",
            "Spent": words.money(figures.spent, money)
            + (" (provisional)" if figures.provisional else ""),
            **({"Driven by": driven} if driven else {}),
            "Budget": words.money(figures.amount, money),
            "Expected at the end": expected,
        },
        owner_id=threshold.owner_id or budget.owner_id,
        channel_ids=tuple(threshold.channel_ids),
    )


def _end_older_alerts(budget: Budget, period: Period | None, now: datetime) -> None:
    open_ones = budget.crossings.filter(resolved_at=None)
    if period is None:
        _resolve(list(open_ones), "The budget has ended.", now)
        return
    older = open_ones.exclude(plan=budget.plan, starts_on=period.start)
    _resolve(list(older), "A new period has begun.", now)


def _resolve(crossings: Sequence[BudgetCrossing], why: str, now: datetime) -> None:
    for crossing in crossings:
        alerting.resolve(BUDGET, crossing.alert_key, why, now)
        crossing.resolved_at = now
        crossing.save(update_fields=["resolved_at"])


def _percent(percent: Decimal) -> str:
    return f"{percent.normalize():f}%"


# Time


def _facts_moved_at() -> datetime | None:
    """When a price or a bill last changed what something costs."""
    priced = PricedHour.objects.aggregate(at=Max("priced_at"))["at"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(greatest(known_from, known_to)) FROM ingest_deliveryperiod")
        [billed] = cursor.fetchone() or [None]
    return max((at for at in (priced, billed) if at is not None), default=None)


def _day(now: datetime) -> date:
    return now.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()


def _midnight(day: date) -> datetime:
    return midnight(day, settings.ACCOUNTING_TIME_ZONE)
