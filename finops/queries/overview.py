"""The first page: five figures, the daily series, what is expected and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from finops.models import AnomalyMark, Forecast
from finops.money import CONTEXT
from ingest.models.owners import UNALLOCATED

from .amounts import Spend, SpendTable
from .book import Split
from .events import Near, near
from .expectations import anomalies, forecast_scope, latest_forecast
from .filters import Filters, preset_days, today
from .gpus import PoolTable, pools
from .sources import SourceRow, source_health
from .spend import Answers, Series, spend_total
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
    splits = [Split(), Split(("project",)), Split(("model",)), Split(by_time=True)]
    answers = Answers(filters, splits)
    spend, by_project = answers.total(), answers.table(("project",))
    forecast, unexpected = _expectations(filters)
    unclaimed = (row.cost for row in by_project.rows if row.keys == (UNALLOCATED,))
    return Overview(
        spend=spend,
        previous=spend_total(filters.previous()),
        month_end=month_end(filters, forecast),
        unallocated=next(unclaimed, Decimal(0)),
        pools=pools(filters),
        series=answers.series(()),
        forecast=forecast,
        anomalies=unexpected,
        near=near(unexpected, filters.zone),
        by_project=by_project,
        by_model=answers.table(("model",)),
        health=source_health(filters),
        as_of=spend.as_of,
        provisional=spend.provisional,
        sources=spend.sources,
        conversion=spend.conversion,
    )


def _expectations(filters: Filters) -> tuple[Forecast | None, tuple[AnomalyMark, ...]]:
    """Both are of one currency as recorded: days to come have no rate, and a band has no day."""
    if filters.convert:
        return None, ()
    scope = forecast_scope(filters)
    forecast = latest_forecast(scope, filters.currency)
    return forecast, tuple(anomalies(filters, [scope] if scope else []))


def month_end(filters: Filters, forecast: Forecast | None) -> MonthEnd:
    """Spent from the first of this month on, plus the forecast of the days that are not over.

    The band adds up daily bounds, as if every day erred the same way: it is wide rather than
    falsely narrow. Days the forecast has not seen yet but that are over count as spent.
    """
    now = today()
    start, end = preset_days("mtd", now)
    month = Answers(replace(filters, start=start, end=end, preset="mtd"), [Split(by_time=True)])
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
    if filters.convert:
        return (
            "Days to come have no exchange rate: see the figures as recorded for what is expected."
        )
    if forecast_scope(filters):
        return "No forecast has been made yet; it needs some weeks of daily costs."
    return "Forecasts are made for all projects together and for each one; clear the filters."
