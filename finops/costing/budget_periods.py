"""From when to when a budget's money is meant: periods of whole accounting days.

Knows calendars: days, weeks from Monday, months, quarters, one period until a date, and a window of
N days that moves on every day. Refuses clocks and zones: `day` is what the accounting calendar
shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from finops.money import CONTEXT

DAILY, WEEKLY, MONTHLY, QUARTERLY = "daily", "weekly", "monthly", "quarterly"
UNTIL, ROLLING = "until", "rolling"
KINDS = (DAILY, WEEKLY, MONTHLY, QUARTERLY, UNTIL, ROLLING)
MONTHS = 12
A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """Whole days `[start, end)`."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def last_day(self) -> date:
        return self.end - A_DAY


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often a budget begins anew, from its first day on."""

    kind: str
    start: date
    last_day: date | None = None
    """Of the kind `until`."""
    days: int = 0
    """Of the kind `rolling`."""

    def at(self, day: date) -> Period | None:
        """The period that holds the day; None before the first and after the last.

        The first period of a calendar kind begins on the start date, the next ones with their
        week, month or quarter. A rolling budget counts in blocks of N days from its start: each
        threshold is crossed at most once in a block, and the window of N days is that block on its
        last day.
        """
        if day < self.start or (self.last_day is not None and day > self.last_day):
            return None
        if self.kind == UNTIL:
            assert self.last_day is not None
            return Period(self.start, self.last_day + A_DAY)
        if self.kind == ROLLING:
            begun = self.start + timedelta(days=(day - self.start).days // self.days * self.days)
            return Period(begun, begun + timedelta(days=self.days))
        whole = calendar_period(self.kind, day)
        return Period(max(whole.start, self.start), whole.end)

    def window(self, day: date) -> Period | None:
        """The days whose cost counts on this day: the period, or the last N days up to it."""
        period = self.at(day)
        if period is None or self.kind != ROLLING:
            return period
        return Period(day + A_DAY - timedelta(days=self.days), day + A_DAY)

    def over_before(self, day: date, since: date, most: int) -> list[Period]:
        """Whole periods that ended on or before the day and began on or after `since`, oldest
        first; the newest `most` of them."""
        found: list[Period] = []
        for period in self._backwards(day):
            if len(found) == most or period.start < since:
                break
            found.append(period)
        return found[::-1]

    def before(self, period: Period, count: int) -> list[Period]:
        """The `count` whole periods just before this one, nearest first; also before the start."""
        found: list[Period] = []
        end = period.start
        for _ in range(count):
            if self.kind == ROLLING:
                start = end - timedelta(days=self.days)
            elif self.kind == UNTIL:
                return found
            else:
                whole = calendar_period(self.kind, end)
                if whole.start < end and not found:
                    end = whole.start
                start = calendar_period(self.kind, end - A_DAY).start
            found.append(Period(start, end))
            end = start
        return found

    def _backwards(self, day: date) -> Iterator[Period]:
        last = day - A_DAY if self.last_day is None else min(day - A_DAY, self.last_day)
        while (period := self.at(last)) is not None:
            if period.end <= day:
                yield period
            last = period.start - A_DAY


def calendar_period(kind: str, day: date) -> Period:
    """The whole day, week, month or quarter that holds the day."""
    if kind == DAILY:
        return Period(day, day + A_DAY)
    if kind == WEEKLY:
        monday = day - timedelta(days=day.weekday())
        return Period(monday, monday + timedelta(days=7))
    if kind == MONTHLY:
        return Period(day.replace(day=1), months_on(day, 1))
    if kind == QUARTERLY:
        first = day.replace(month=(day.month - 1) // 3 * 3 + 1, day=1)
        return Period(first, months_on(first, 3))
    raise ValueError(f"{kind!r} is no period of the calendar.")


def months_on(day: date, months: int) -> date:
    """The first of the month that many months later."""
    at = day.year * MONTHS + day.month - 1 + months
    return date(at // MONTHS, at % MONTHS + 1, 1)


def planned(period: Period, months: Sequence[Decimal]) -> Decimal:
    """The plan of the period's months; of a month begun late, the part of its days."""
    parts = []
    first = period.start.replace(day=1)
    while first < period.end:
        following = months_on(first, 1)
        inside = (min(following, period.end) - max(first, period.start)).days
        amount = months[first.month - 1]
        whole = (following - first).days
        parts.append(
            amount
            if inside == whole
            else CONTEXT.divide(CONTEXT.multiply(amount, Decimal(inside)), Decimal(whole))
        )
        first = following
    return reduce(CONTEXT.add, parts, Decimal(0))
