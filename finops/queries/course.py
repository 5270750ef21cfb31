"""A month added up day by day, beside the month before, its budgets and what is expected of it.

Knows months, budgets of exactly the same scope, and stored forecasts. Refuses sums of its own: each
day is that of `spend`, and what the month comes to is that of the first page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from finops.costing.budget_periods import MONTHLY
from finops.costing.exchange import times
from finops.models import BudgetPeriod, Forecast
from finops.money import CONTEXT

from .book import Split
from .budget_conversion import period_rates
from .budget_figures import known_days
from .budgets import BudgetRow
from .budgets import budgets as visible_budgets
from .filters import FIELDS, Filters, today
from .forecast_conversion import Expectation
from .overview import MonthEnd, expected_of, month_end, this_month, with_ahead
from .spend import DRAWN, Answers
from .stamp import Stamped


@dataclass(frozen=True, slots=True)
class CourseDay:
    """Everything up to the end of one day; None where nothing was known yet or is not over."""

    number: int
    """Of the day in its month, from 1."""
    day: date | None
    """None for a day that only the month before had."""
    cost: Decimal | None
    previous: Decimal | None
    """In the month before, up to its day of the same number."""
    expected: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """A monthly budget with exactly this scope."""

    id: int
    name: str
    amount: Decimal | None
    """In the currency of the page; None where that is another one and there is no rate."""
    currency: str
    """That of the budget, which counts what was recorded in it and nothing else."""
    recorded: Decimal
    rate: Decimal | None = None
    """Where it was converted: of the day on which the budget was computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Stamped):
    month: date
    previous_month: date
    currency: str
    days: tuple[CourseDay, ...]
    unknown_days: int
    """Days that are over of which nothing is known; they add nothing."""
    end: MonthEnd | None
    """What this month comes to; None for a month that is over."""
    budgets: tuple[BudgetLine, ...]


def month_course(filters: Filters, user: Any) -> Course:
    """The month of the last day that the filters show, no later than this one."""
    now = today()
    month = min(filters.end - timedelta(days=1), now).replace(day=1)
    before, following = (month - timedelta(days=1)).replace(day=1), _following(month)
    both = replace(filters, start=before, end=following, preset="", group_by=(), compare=False)
    answers = Answers(both, [Split(by_time=True), Split()], asked=DRAWN)
    total = answers.total()
    known = known_days(answers.series(()))
    last = min(now, following - timedelta(days=1))
    this = _added(known, month, last)
    previous = _added(known, before, month - timedelta(days=1))
    is_open = month == now.replace(day=1)
    expected, end = Expectation(), None
    if is_open:
        so_far = this_month(filters)
        expected = expected_of(filters, so_far)
        end = month_end(filters, expected.forecast, so_far)
    forecast = expected.forecast
    ahead = _ahead(known, forecast, month, now) if end and end.expected is not None else {}
    return Course(
        month=month,
        previous_month=before,
        currency=filters.shown,
        days=tuple(
            CourseDay(
                number,
                day if (day := month + timedelta(days=number - 1)) < following else None,
                this.get(number),
                previous.get(number),
                *ahead.get(number, (None, None, None)),
            )
            for number in range(1, max((following - month).days, (month - before).days) + 1)
        ),
        unknown_days=sum(
            month + timedelta(days=at) not in known for at in range((last - month).days + 1)
        ),
        end=end,
        budgets=tuple(_lines(filters, user, month)),
        as_of=total.as_of,
        provisional=total.provisional,
        conversion=with_ahead(total.conversion, expected),
        sources=total.sources,
    )


def _following(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _added(known: Mapping[date, Decimal], first: date, last: date) -> dict[int, Decimal]:
    """By the number of the day, from the first day that anything is known of."""
    found: dict[int, Decimal] = {}
    total: Decimal | None = None
    for at in range((last - first).days + 1):
        cost = known.get(first + timedelta(days=at))
        if cost is not None:
            total = CONTEXT.add(total or Decimal(0), cost)
        if total is not None:
            found[at + 1] = total
    return found


def _ahead(
    known: Mapping[date, Decimal], forecast: Forecast | None, month: date, now: date
) -> dict[int, tuple[Decimal, ...]]:
    """What is spent on days that are over, plus each day left; its last day is the month's end."""
    points = {point["day"]: point for point in (forecast.points if forecast else ())}
    so_far = _added(known, month, now).get(now.day, Decimal(0))
    over = _added(known, month, now - timedelta(days=1)).get(now.day - 1, Decimal(0))
    sums = [over] * 3
    found = {}
    for at in range((_following(month) - now).days):
        day = now + timedelta(days=at)
        point = points[day.isoformat()]
        given = (point["mean"], point["low80"], point["high80"])
        sums = [CONTEXT.add(sums[place], Decimal(given[place])) for place in range(3)]
        # Today is in the forecast, and may have cost more than that already.
        found[day.day] = tuple(max(one, so_far) for one in sums)
    return found


def _lines(filters: Filters, user: Any, month: date) -> Iterable[BudgetLine]:
    """Only what measures the same as the page does: another scope is another figure."""
    same = [
        row for row in visible_budgets(user) if row.budget.period == MONTHLY and _same(row, filters)
    ]
    held = {
        period.budget_id: period
        for period in BudgetPeriod.objects.filter(
            budget__in=[row.budget for row in same], starts_on=month
        )
        .select_related("budget")
        .order_by("plan")
    }
    rates = period_rates(held.values(), filters.convert) if filters.convert else {}
    for row in same:
        period = held.get(row.budget.pk)
        if period is not None and period.amount is not None:
            yield _line(row, period.amount, rates.get(row.budget.pk), filters)


def _line(row: BudgetRow, amount: Decimal, rate: Decimal | None, filters: Filters) -> BudgetLine:
    budget = row.budget
    if not filters.convert:
        return BudgetLine(budget.pk, budget.name, amount, budget.currency, amount)
    shown = None if rate is None else times(amount, rate)
    return BudgetLine(budget.pk, budget.name, shown, budget.currency, amount, rate)


def _same(row: BudgetRow, filters: Filters) -> bool:
    budget = row.budget
    return (
        (bool(filters.convert) or budget.currency == filters.currency)
        and budget.basis == filters.basis
        and filters.metric == "effective"
        and filters.known_on is None
        and all(
            set(budget.scope.get(name, ())) == set(getattr(filters, f"{name}s")) for name in FIELDS
        )
    )
