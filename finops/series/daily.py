"""A daily series with its gaps. A missing day is missing, never 0.

Knows days and the rhythm of a week. Refuses to judge a day that was not observed: gaps are filled
only so that a model can be fitted across them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WEEK = 7

FEWEST_DAYS = 14
"""Two weeks: below that a weekly rhythm cannot be told from chance."""

MOST_MISSING = 0.2
"""Of the days between the first and the last; with more gaps the filling would be the model."""

MOST_DAYS = 400
"""Older days say little about the next month, and the recipe was measured on this length."""


@dataclass(frozen=True, slots=True)
class Daily:
    first: date
    values: Floats
    """Gaps filled."""
    observed: Flags

    @property
    def last(self) -> date:
        return self.day(len(self.values) - 1)

    def day(self, index: int) -> date:
        return self.first + timedelta(days=index)


@dataclass(frozen=True, slots=True)
class NotEnough:
    """Why nothing can be said yet, in a sentence for the page."""

    reason: str


def prepare(values: Mapping[date, float | None]) -> Daily | NotEnough:
    """The series from its first to its last observed day, at most `MOST_DAYS` of it."""
    known = {day: value for day, value in values.items() if value is not None}
    if not known:
        return NotEnough(f"Not enough data: no day observed yet, {FEWEST_DAYS} are needed.")
    last = max(known)
    first = max(min(known), last - timedelta(days=MOST_DAYS - 1))
    length = (last - first).days + 1
    raw = np.array(
        [known.get(first + timedelta(days=n), np.nan) for n in range(length)], dtype=np.float64
    )
    observed: Flags = ~np.isnan(raw)
    count = int(observed.sum())
    if count < FEWEST_DAYS:
        return NotEnough(f"Not enough data: {count} of the {FEWEST_DAYS} days needed.")
    if count < (1 - MOST_MISSING) * length:
        return NotEnough(f"Not enough data: {length - count} of {length} days are missing.")
    return Daily(first, fill_gaps(raw), observed)


def fill_gaps(raw: Floats) -> Floats:
    """Each gap becomes the mean of the nearest same weekdays around it."""
    filled = raw.copy()
    for index in np.flatnonzero(np.isnan(raw)):
        same_weekday = raw[index % WEEK :: WEEK]
        place = index // WEEK
        before = _known(same_weekday[:place][::-1])
        after = _known(same_weekday[place + 1 :])
        near = [*before[:1], *after[:1]]
        filled[index] = np.mean(near) if near else np.nanmedian(raw)
    return filled


def _known(values: Floats) -> Floats:
    known: Floats = values[~np.isnan(values)]
    return known
