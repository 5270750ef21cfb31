"""The figures of one objective as of now: its window, its budget, how fast it burns, its course.

Knows the window as whole accounting days up to today, as the page of requests counts them. Refuses
arithmetic of its own: that is in `finops.costing.burn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings

from finops.costing.burn import LONGEST_QUARTERS, Counts, Judged, added, allowed, judge
from finops.costing.objectives import Definition
from finops.models import Slo
from finops.money import CONTEXT
from finops.queries import book
from finops.queries.filters import Filters
from finops.queries.traffic.summary import stamp

from .measures import DAY, HOUR, QUARTER, Point, counts_by, filters_of

QUARTER_LONG = timedelta(minutes=15)
COURSE_DAYS = {QUARTER: 1, HOUR: 7}
"""How far back a course by this step goes; by day it is the whole window."""


@dataclass(frozen=True, slots=True)
class SloFigures:
    definition: Definition
    judged: Judged
    whole: Counts
    """Over its window."""
    as_of: datetime | None
    filters: Filters
    """The page of requests with these counts the same requests."""

    @property
    def actual(self) -> float | None:
        """Percent of the events that were good."""
        return None if self.whole.share is None else self.whole.share * 100


@dataclass(frozen=True, slots=True)
class CoursePoint:
    at: Point
    counts: Counts
    left: Decimal | None
    """Of the error budget of the whole window, by the end of this day; only by day."""


def figures(slo: Slo, now: datetime) -> SloFigures:
    definition = slo.definition
    filters = _filters(slo, definition, now)
    whole = added(counts_by(filters, definition, DAY).values())
    judged = judge(
        definition.objective,
        definition.window_days,
        definition.least_events,
        whole,
        newest_quarters(slo, definition, now),
    )
    return SloFigures(definition, judged, whole, stamp(filters)["as_of"], filters)


def newest_quarters(slo: Slo, definition: Definition, now: datetime) -> list[Counts]:
    """Its last quarter hours, the one under way first."""
    newest = quarter_of(now)
    oldest = newest - (LONGEST_QUARTERS - 1) * QUARTER_LONG
    filters = _filters(slo, definition, now)
    found = counts_by(filters, definition, QUARTER, oldest, newest + QUARTER_LONG)
    every = (newest - at * QUARTER_LONG for at in range(LONGEST_QUARTERS))
    return [found.get(at, Counts()) for at in every]


def course(slo: Slo, now: datetime, step: str = DAY) -> list[CoursePoint]:
    """The indicator step by step; by day with what was left of the budget after each."""
    definition = slo.definition
    filters = _filters(slo, definition, now)
    if step == DAY:
        days = book.days(filters.start, filters.end)
        return _with_budget(definition, days, counts_by(filters, definition, DAY))
    long = QUARTER_LONG if step == QUARTER else timedelta(hours=1)
    until = _ceil(now, long)
    since = until - timedelta(days=COURSE_DAYS[step])
    found = counts_by(filters, definition, step, since, until)
    points = [since + at * long for at in range((until - since) // long)]
    return [CoursePoint(at, found.get(at, Counts()), None) for at in points]


def quarter_of(now: datetime) -> datetime:
    return now.replace(minute=now.minute - now.minute % 15, second=0, microsecond=0)


def _ceil(now: datetime, step: timedelta) -> datetime:
    is_quarter = step == QUARTER_LONG
    floor = quarter_of(now) if is_quarter else now.replace(minute=0, second=0, microsecond=0)
    return floor + step


def _filters(slo: Slo, definition: Definition, now: datetime) -> Filters:
    today = now.astimezone(ZoneInfo(settings.ACCOUNTING_TIME_ZONE)).date()
    end = today + timedelta(days=1)
    return filters_of(slo.project, definition, end - timedelta(days=definition.window_days), end)


def _with_budget(
    definition: Definition, days: list[date], found: Mapping[Point, Counts]
) -> list[CoursePoint]:
    """The budget is that of the window as it stands: what each day took of it adds up to now."""
    may = allowed(definition.objective, sum(one.total for one in found.values()))
    bad, points = 0, []
    for day in days:
        counts = found.get(day, Counts())
        bad += counts.bad
        left = CONTEXT.subtract(Decimal(1), CONTEXT.divide(Decimal(bad), may)) if may else None
        points.append(CoursePoint(day, counts, left))
    return points
