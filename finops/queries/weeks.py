"""Which whole weeks, and blocks of four, of a range stand for their days, where such sums are kept.

Knows weeks from Monday. Refuses a week, or a block, of which a part is treated otherwise than the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

WEEK = timedelta(days=7)
FOUR_WEEKS = timedelta(days=28)
A_FIRST = date(2024, 1, 1)
"""A Monday that blocks of four weeks are counted from."""


def monday_of(day: date) -> date:
    return day - timedelta(days=day.weekday())


def first_of_four(day: date) -> date:
    """The Monday with which the four weeks begin that this day is in."""
    return day - (day - A_FIRST) % FOUR_WEEKS


@dataclass(frozen=True, slots=True)
class Periods:
    """A range as the fewest periods that make it up, each by its first day."""

    four_weeks: list[date]
    weeks: list[date]
    days: list[date]

    def given(self) -> dict[str, list[Any]]:
        """As the statements that read them name them."""
        by_length = ((28, self.four_weeks), (7, self.weeks), (1, self.days))
        return {
            "four_weeks": self.four_weeks,
            "weeks": self.weeks,
            "other_days": self.days,
            "lengths": [length for length, firsts in by_length for _ in firsts],
            "firsts": [first for _, firsts in by_length for first in firsts],
        }


def periods(start: date, end: date, edges: Iterable[date] = ()) -> Periods:
    """Whole blocks and weeks that none of the edges divides, and the days that are in none."""
    divided = list(edges)
    found = Periods([], [], [])
    day = start
    while day < end:
        for length, first, into in (
            (FOUR_WEEKS, first_of_four(day), found.four_weeks),
            (WEEK, monday_of(day), found.weeks),
            (timedelta(days=1), day, found.days),
        ):
            is_whole = first == day and day + length <= end
            if is_whole and not any(day < edge < day + length for edge in divided):
                into.append(day)
                day += length
                break
    return found


def weeks_and_days(start: date, end: date) -> tuple[list[date], list[date]]:
    """Where sums by the week are the longest: Mondays of whole weeks, and the days in none."""
    found = periods(start, end)
    weeks = [first + n * WEEK for first in found.four_weeks for n in range(4)]
    return sorted((*weeks, *found.weeks)), found.days
