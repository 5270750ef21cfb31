"""Which whole weeks of a range stand for their seven days, where sums by the week are kept.

Knows weeks from Monday. Refuses a week of which a part is treated otherwise than the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

WEEK = timedelta(days=7)


def whole_weeks(start: date, end: date) -> tuple[date, date]:
    """`[first, last)` of the range's whole weeks; both are the start where it has none."""
    first = start + timedelta(days=-start.weekday() % 7)
    last = end - timedelta(days=end.weekday())
    return (first, last) if first < last else (start, start)


def weeks_and_days(
    start: date, end: date, edges: Iterable[date] = ()
) -> tuple[list[date], list[date]]:
    """Mondays of whole weeks that none of the edges divides, and the days that are in none."""
    first, last = whole_weeks(start, end)
    divided = {edge - timedelta(days=edge.weekday()) for edge in edges if edge.weekday()}
    mondays = [first + WEEK * n for n in range((last - first).days // 7)]
    weeks = [monday for monday in mondays if monday not in divided]
    within = {monday + timedelta(days=n) for monday in weeks for n in range(7)}
    every = (start + timedelta(days=n) for n in range((end - start).days))
    return weeks, [day for day in every if day not in within]
