"""The first page: five figures, the daily series, what is expected and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from finops.costing.exchange import Conversion
from finops.models import AnomalyMark, Forecast
from finops.money import CONTEXT
from ingest.models.owners import UNALLOCATED

from .amounts import Spend, SpendTable
from .book import Split
from .events import Near, near
from .expectations import anomalies, forecast_scope, forecasts_of, latest_forecast
from .filters import Filters, preset_days, today
from .forecast_conversion import Expectation, expected_in_one, marks_in_one
from .gpus import PoolTable, pools
from .sources import SourceRow, source_health
from .spend import DRAWN, Answers, Series, spend_total
from .stamp import Stamped


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthEnd:
    """Where the current month ends: spent so far, plus the forecast of the rest with its band."""

    month: date
    spent: Decimal
    expected: Decimal | None
    low80: Decimal | None
    high80: Decimal | None
    reason: str
    """Why there is no forecast, as in: not enough data."""
    as_of: date | None
    """The last day the forecast had seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview(Stamped):
    spend: Spend
    previous: Spend
    """The period before, for the first figure's change."""
    month_end: MonthEnd
    unallocated: Decimal
    """The part of the spend that no project has claimed."""
    pools: PoolTable
    """Idle hardware: the fourth figure; empty for who sees only projects."""
    series: Series
    forecast: Forecast | None
    anomalies: tuple[AnomalyMark, ...]
    recorded_in: Mapping[int, str]
    """The currency of each anomaly, by its number, where it was converted from another one."""
    near: Mapping[int, tuple[Near, ...]]
    """Events near each anomaly, by its number."""
    by_project: SpendTable
    by_model: SpendTable
    health: tuple[SourceRow, ...]

    @property
    def change(self) -> float | None:
        """(now − before) / before; None without a before."""
        if not self.previous.cost:
            return None
        return float((self.spend.cost - self.previous.cost) / self.previous.cost)


def overview(filters: Filters) -> Overview:
    """Everything on the first page; a reader of one project gets that project's forecast."""
    answers = Answers(filters, [Split(), Split(("project",)), Split(("model",))])
    daily = answers.again([Split(by_time=True)], DRAWN)
    spend, by_project = answers.total(), answers.table(("project",))
    month = this_month(filters)
    expected = expected_of(filters, month)
    unexpected, recorded_in = _unexpected(filters)
    unclaimed = (row.cost for row in by_project.rows if row.keys == (UNALLOCATED,))
    return Overview(
        spend=spend,
        previous=spend_total(filters.previous()),
        month_end=month_end(filters, expected.forecast, month),
        unallocated=next(unclaimed, Decimal(0)),
        pools=pools(filters),
        series=daily.series(()),
        forecast=expected.forecast,
        anomalies=unexpected,
        recorded_in=recorded_in,
        near=near(unexpected, filters.zone),
        by_project=by_project,
        by_model=answers.table(("model",)),
        health=source_health(filters),
        as_of=spend.as_of,
        provisional=spend.provisional,
        sources=spend.sources,
        conversion=with_ahead(spend.conversion, expected),
    )


def this_month(filters: Filters) -> Answers:
    """Its days up to today, whatever days the filters show."""
    start, end = preset_days("mtd", today())
    month = replace(filters, start=start, end=end, preset="mtd")
    return Answers(month, [Split(by_time=True)], asked=DRAWN)


def expected_of(filters: Filters, month: Answers) -> Expectation:
    """The forecast of this scope; of all currencies that the month was paid in, if converted."""
    scope = forecast_scope(filters)
    if not month.converter:
        return Expectation(latest_forecast(scope, filters.currency))
    if not scope:
        return Expectation()
    spent_in = month.converter.asked_since(month.filters.start)
    return expected_in_one(filters, scope, forecasts_of(scope), spent_in, today())


def forecast_in_one(filters: Filters) -> tuple[list[Forecast], Conversion | None]:
    """That of exactly this scope, in the currency asked for, as this page draws it."""
    month = this_month(filters)
    expected = expected_of(filters, month)
    found = [expected.forecast] if expected.forecast else []
    told = month.converter.told() if month.converter else None
    return found, with_ahead(told, expected)


def with_ahead(conversion: Conversion | None, expected: Expectation) -> Conversion | None:
    """Also the rates of the days to come."""
    return conversion and replace(conversion, ahead=expected.ahead)


def _unexpected(filters: Filters) -> tuple[tuple[AnomalyMark, ...], dict[int, str]]:
    scope = forecast_scope(filters)
    found = anomalies(filters, [scope] if scope else [])
    if not filters.convert:
        return tuple(found), {}
    made, recorded_in = marks_in_one(filters, found)
    return tuple(made), recorded_in


def month_end(
    filters: Filters, forecast: Forecast | None, month: Answers | None = None
) -> MonthEnd:
    """Spent from the first of this month on, plus the forecast of the days that are not over.

    The band adds up daily bounds, as if every day erred the same way: it is wide rather than
    falsely narrow. Days the forecast has not seen yet but that are over count as spent.
    """
    now = today()
    month = month or this_month(filters)
    start = month.filters.start
    series = month.series(())
    daily = {
        point: value
        for line in series.lines
        for point, value in zip(series.points, line.values, strict=True)
    }
    known = added(value for value in daily.values() if value)
    over = CONTEXT.subtract(known, daily.get(now) or Decimal(0))
    nothing = {"expected": None, "low80": None, "high80": None}
    if forecast is None or forecast.reason or not forecast.points:
        reason = forecast.reason if forecast else _why_none(filters)
        as_of = forecast.as_of if forecast else None
        return MonthEnd(month=start, spent=known, reason=reason, as_of=as_of, **nothing)
    following = (start + timedelta(days=31)).replace(day=1)
    left = [now + timedelta(days=offset) for offset in range((following - now).days)]
    points = {date.fromisoformat(point["day"]): point for point in forecast.points}
    if any(day not in points for day in left):
        reason = f"The forecast of {forecast.as_of} does not reach the end of the month."
        return MonthEnd(month=start, spent=known, reason=reason, as_of=forecast.as_of, **nothing)

    def upto(name: str) -> Decimal:
        # Today is in the forecast, and may have cost more than that already.
        return max(added([over, *(Decimal(points[day][name]) for day in left)]), known)

    return MonthEnd(
        month=start,
        spent=known,
        expected=upto("mean"),
        low80=upto("low80"),
        high80=upto("high80"),
        reason="",
        as_of=forecast.as_of,
    )


def added(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(CONTEXT.add, amounts, Decimal(0))


def _why_none(filters: Filters) -> str:
    if forecast_scope(filters):
        return "No forecast has been made yet; it needs some weeks of daily costs."
    return "Forecasts are made for all projects together and for each one; clear the filters."
