"""The figures of a budget's period: what was spent, what it will come to, and how it does.

Knows how to ask for spend as the costs page does, and for forecasts as the overview does. Refuses
sums of its own: the arithmetic is in `finops.costing`, the spend in `spend`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from zoneinfo import ZoneInfo

from django.conf import settings

from finops.costing.budget_periods import Period, planned
from finops.costing.budget_states import (
    KNOWN,
    LOOK_BACK_DAYS,
    Expected,
    added,
    adjusted,
    from_forecast,
    from_pace,
    judge,
    pace,
)
from finops.models import Budget, BudgetPeriod
from finops.models.budgets import FIXED, PLANNED
from finops.money import CONTEXT
from finops.templatetags import words
from ingest.models import Project

from .amounts import Spend
from .book import Split
from .budgets import filters_of, rhythm_of
from .expectations import forecast_scope, latest_forecast
from .filters import Filters, midnight
from .spend import Answers, Series

Points = Mapping[date, tuple[Decimal, Decimal, Decimal]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One period as of now; the fields of `BudgetPeriod`, by the same names."""

    starts_on: date
    ends_before: date
    since: date
    until: date
    currency: str
    amount: Decimal | None
    amount_said: str
    spent: Decimal | None
    reconciled: Decimal
    pace: Decimal | None
    expected: Decimal | None
    expected_low: Decimal | None
    expected_high: Decimal | None
    method: str
    method_said: str
    state: str
    why: str
    missing: str
    as_of: datetime | None

    @property
    def provisional(self) -> bool:
        return self.spent is not None and self.spent != self.reconciled


FIGURES = tuple(field.name for field in fields(Figures))


@dataclass(frozen=True, slots=True)
class Course:
    """One day of a period: spent so far, an even pace, and what is expected, all added up."""

    day: date
    actual: Decimal | None
    pace: Decimal | None
    mean: Decimal | None
    low: Decimal | None
    high: Decimal | None


@dataclass(frozen=True, slots=True)
class Told:
    """A period's figures with the days behind them."""

    figures: Figures
    course: tuple[Course, ...]
    filters: Filters
    """The costs page with these shows the same total."""


def told(
    budget: Budget,
    period: Period,
    now: datetime,
    *,
    projects: Sequence[Project] | None = None,
    held: BudgetPeriod | None = None,
) -> Told:
    """The period as of now. `held` is its row as stored: an amount is fixed for the day."""
    everything = list(Project.objects.select_related("team")) if projects is None else projects
    zone = settings.ACCOUNTING_TIME_ZONE
    day = now.astimezone(ZoneInfo(zone)).date()
    window = _window(budget, period, day)
    filters = filters_of(budget, window.start, window.end, everything)
    answers = Answers(filters, [Split(), Split(by_time=True)])
    total = answers.total()
    daily = known_days(answers.series(()))
    inside = {at: cost for at, cost in daily.items() if at >= period.start}
    amount, amount_said = _amount(budget, period, everything, held, day)
    left = [day + timedelta(days=at) for at in range((period.end - max(day, period.start)).days)]
    expected, points = _expected(filters, inside, left, day)
    spent = total.cost if daily and not _is_unknown(total) else None
    if spent is None:
        expected = replace(expected, mean=None, low=None, high=None)
    # A window that moves on is always full, so it has no pace.
    even = (
        None
        if window != _so_far(period, day)
        else pace(amount, midnight(period.start, zone), midnight(period.end, zone), now)
    )
    missing, missing_share = _missing(total)
    judged = judge(amount, spent, expected, even, missing, missing_share)
    figures = Figures(
        starts_on=period.start,
        ends_before=period.end,
        since=window.start,
        until=window.end,
        currency=budget.currency,
        amount=amount,
        amount_said=amount_said,
        spent=spent,
        reconciled=total.reconciled,
        pace=even,
        expected=expected.mean,
        expected_low=expected.low,
        expected_high=expected.high,
        method=expected.method,
        method_said=expected.said,
        state=judged.state,
        why=judged.why,
        missing=missing,
        as_of=total.as_of,
    )
    return Told(figures, tuple(_course(figures, period, inside, points, day)), filters)


def known_days(series: Series) -> dict[date, Decimal]:
    """Cost by day, without the days nothing is known of."""
    return {
        point: value
        for line in series.lines
        for point, value in zip(series.points, line.values, strict=True)
        if value is not None and not isinstance(point, datetime)
    }


def _window(budget: Budget, period: Period, day: date) -> Period:
    """Up to today, as "this month so far" on the costs page."""
    rolling = rhythm_of(budget).window(min(day, period.last_day))
    assert rolling is not None
    return Period(rolling.start, min(rolling.end, max(day, rolling.start) + timedelta(days=1)))


def _so_far(period: Period, day: date) -> Period:
    return Period(period.start, min(period.end, max(day, period.start) + timedelta(days=1)))


def _amount(
    budget: Budget,
    period: Period,
    projects: Sequence[Project],
    held: BudgetPeriod | None,
    day: date,
) -> tuple[Decimal | None, str]:
    if budget.amount_kind == FIXED:
        return budget.amount, ""
    if budget.amount_kind == PLANNED:
        months = [one.amount for one in sorted(budget.months.all(), key=lambda one: one.month)]
        return planned(period, months), "As planned for its months."
    if held is not None and words.local(held.evaluated_at).date() == day:
        return held.amount, held.amount_said
    assert budget.cap is not None
    return adjusted(_periods_before(budget, period, projects), budget.cap)


def _periods_before(budget: Budget, period: Period, projects: Sequence[Project]) -> list[Decimal]:
    """What each of the last complete periods cost; those that began before the first known day
    are not complete. One more is looked at, so that a quiet first day is not taken for it."""
    before = rhythm_of(budget).before(period, (budget.average_of or 0) + 1)
    if not before:
        return []
    asked = filters_of(budget, before[-1].start, before[0].end, projects)
    daily = known_days(Answers(asked, [Split(by_time=True)]).series(()))
    if not daily:
        return []
    first = min(daily)
    return [
        added([cost for day, cost in daily.items() if one.start <= day < one.end])
        for one in before[:-1]
        if first <= one.start
    ]


def _expected(
    filters: Filters, inside: dict[date, Decimal], left: Sequence[date], day: date
) -> tuple[Expected, Points]:
    """What the period comes to, and what is expected of each day left."""
    if not left:
        spent = added(list(inside.values()))
        return Expected(spent, spent, spent, KNOWN, "All its days are over."), {}
    forecast = latest_forecast(forecast_scope(filters), filters.currency)
    if forecast is not None and not forecast.reason:
        points = {
            date.fromisoformat(point["day"]): (
                Decimal(point["mean"]),
                Decimal(point["low80"]),
                Decimal(point["high80"]),
            )
            for point in forecast.points
        }
        if points and all(one in points for one in left):
            said = (
                f"Forecast from days up to {words.day(forecast.as_of)}: spent so far, plus each "
                "day left; the range is that of four in five such days."
            )
            return from_forecast(inside, left, day, points, said), points
    past = replace(filters, start=day - timedelta(days=LOOK_BACK_DAYS), end=day)
    known = known_days(Answers(past, [Split(by_time=True)]).series(()))
    made = from_pace(inside, list(known.values()), left, day)
    if made.mean is None or made.low is None or made.high is None:
        return made, {}
    # The same for every day left: the whole, less what is spent on days that are over.
    one_day = from_pace({}, list(known.values()), [day], day)
    assert one_day.mean is not None
    assert one_day.low is not None
    assert one_day.high is not None
    return made, dict.fromkeys(left, (one_day.mean, one_day.low, one_day.high))


def _course(
    figures: Figures, period: Period, days: Mapping[date, Decimal], points: Points, today: date
) -> list[Course]:
    """Day by day to the end of the period; on its last day it says what the figures say."""
    every = [period.start + timedelta(days=at) for at in range(period.days)]
    actual = list(accumulate((days.get(day, Decimal(0)) for day in every), CONTEXT.add))
    ahead = _ahead(days, points, every, today) if figures.expected is not None else {}
    rows = []
    for at, day in enumerate(every):
        even = None
        if figures.pace is not None and figures.amount is not None:
            part = CONTEXT.divide(Decimal(at + 1), Decimal(period.days))
            even = CONTEXT.multiply(figures.amount, part)
        so_far = actual[at] if day <= today and figures.spent is not None else None
        rows.append(Course(day, so_far, even, *ahead.get(day, (None, None, None))))
    return rows


def _ahead(
    days: Mapping[date, Decimal], points: Points, every: Sequence[date], today: date
) -> dict[date, tuple[Decimal, ...]]:
    """What is expected by the end of each day left; see `from_forecast`."""
    known = added(list(days.values()))
    sums = [CONTEXT.subtract(known, days.get(today, Decimal(0)))] * 3
    found = {}
    for day in every:
        if day >= today and day in points:
            sums = [CONTEXT.add(sums[at], points[day][at]) for at in range(3)]
            found[day] = tuple(max(one, known) for one in sums)
    return found


def _is_unknown(total: Spend) -> bool:
    """All there is has no price: a zero would say that it was free."""
    if total.cost or total.usage_cost:
        return False
    without = (total.unpriced_spans or 0) + (total.unknown_spans or 0)
    all_unpriced = without and without >= (total.requests or 0)
    return bool(total.unpriced_gpu_hours or all_unpriced)


def _missing(total: Spend) -> tuple[str, float]:
    """What is in no figure, in words, and how large a part of the usage it is."""
    parts, share = [], 0.0
    without = (total.unpriced_spans or 0) + (total.unknown_spans or 0)
    if without:
        every = max(total.requests or 0, without)
        share = without / every
        parts.append(
            f"{words.count(without)} of {words.count(every)} requests have no price or did not say"
            " what they used, so the figures are at least this."
        )
    if total.requests_elsewhere and total.requests:
        elsewhere, every = total.requests_elsewhere, total.requests
        share = max(share, elsewhere / every)
        parts.append(
            f"{words.count(elsewhere)} of {words.count(every)} requests were answered by shared"
            " hardware, whose cost is not in here: count from the book, with a"
            " rule of allocation."
        )
    if total.unpriced_gpu_hours:
        share = 1.0
        parts.append(f"{total.unpriced_gpu_hours:,.1f} GPU-hours have no price.")
    if total.others:
        others = ", ".join(words.money(amount, currency) for currency, amount in total.others)
        parts.append(f"Beside it, not added: {others}.")
    return " ".join(parts), share
