"""Days whose cost the forecast's own recipe did not expect.

Walks through the series as it happened: each day is compared with what ETS(A,N,A) expected the day
before. Refuses to judge the first four weeks, missing days, and differences too small to matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from .daily import WEEK, Daily, Floats, NotEnough, prepare
from .forecast import fit

VERSION = 1

THRESHOLD = 5.0
"""Robust sigmas. Ten series looked at daily are 300 looks a month, so chance must be rare: were
errors normal, it would mark one day in 1.7 million. Real errors have heavier tails: on NN5, which
has holidays and outages of its own, one day in 84 is marked (`tests/bench/forecast.py`)."""

WARM_UP_DAYS = 4 * WEEK

REFIT_DAYS = 4 * WEEK
"""Between two estimations of the smoothing weights; each uses only days already past, so a mark
does not change when later days arrive."""

SCALE_DAYS = 8 * WEEK
"""How far back the usual error is measured."""

USUAL_SHARE, USUAL_TO_SIGMA = 0.9, 1 / 1.6448536269514722
"""The usual error is what nine of ten days stay within. A tenth of unusual days does not move it,
and unlike the median deviation it feels heavy tails: series that are often a little off need to be
further off to be marked."""

LEAST_SIGMA_SHARE = 0.01
"""Of the usual cost of a day: less than 5 % off is never an anomaly, however calm the series."""

CLIP = 2.5
"""Sigmas that an unexpected day may teach the model at most, or its echo would be marked too."""

NEW_NORMAL_DAYS = 3
"""So many unexpected days in a row, all to one side, are taken for a new level."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    day: date
    actual: float
    expected: float
    low: float
    high: float
    """The band outside which a day is marked."""
    score: float
    """Distance from what was expected, in robust sigmas; negative is cheaper."""


@dataclass(slots=True)
class _State:
    """Level and weekly season, carried from day to day by the smoothing weights."""

    level: float
    season: Floats
    alpha: float
    gamma: float
    run: list[float] = field(default_factory=list)
    """Errors of the unexpected days just before, all to one side."""

    def expected(self, index: int) -> float:
        return self.level + float(self.season[index % WEEK])

    def learn(self, index: int, error: float) -> None:
        self.level += self.alpha * error
        self.season[index % WEEK] += self.gamma * error


def find_anomalies(
    values: Mapping[date, float | None], *, non_negative: bool = True
) -> list[Anomaly]:
    """Marked days in order; none where there is not enough data to expect anything."""
    series = prepare(values)
    if isinstance(series, NotEnough) or len(series.values) <= WARM_UP_DAYS:
        return []
    return _walk(series, non_negative)


def _walk(series: Daily, non_negative: bool) -> list[Anomaly]:
    cleaned = series.values.copy()
    state, errors = _start(cleaned[:WARM_UP_DAYS])
    found = []
    for index in range(WARM_UP_DAYS, len(cleaned)):
        since_start = index - WARM_UP_DAYS
        if since_start and since_start % REFIT_DAYS == 0:
            _reweigh(state, cleaned[:index])
        if not series.observed[index]:
            cleaned[index] = state.expected(index)
            continue
        expected = state.expected(index)
        error = float(series.values[index]) - expected
        sigma = _sigma(errors, cleaned[max(0, index - SCALE_DAYS) : index])
        errors.append(error)
        score = error / sigma if sigma else 0.0
        if abs(score) < THRESHOLD:
            state.run.clear()
            state.learn(index, error)
            continue
        reach = THRESHOLD * sigma
        low = max(0.0, expected - reach) if non_negative else expected - reach
        found.append(
            Anomaly(
                series.day(index),
                float(series.values[index]),
                expected,
                low,
                expected + reach,
                score,
            )
        )
        _learn_from_unexpected(state, index, error, sigma)
        cleaned[index] = expected + float(np.clip(error, -CLIP * sigma, CLIP * sigma))
    return found


def _start(history: Floats) -> tuple[_State, list[float]]:
    """State and errors after the warm-up weeks."""
    level = float(np.median(history))
    season = np.median(history.reshape(-1, WEEK), axis=0) - level
    state = _State(level, season, alpha=0.1, gamma=0.05)
    _reweigh(state, history)
    errors = []
    for index, value in enumerate(history):
        errors.append(float(value) - state.expected(index))
        state.learn(index, errors[-1])
    return state, errors


def _reweigh(state: _State, history: Floats) -> None:
    fitted = fit(history) if np.ptp(history) else None
    if fitted is not None:
        state.alpha, state.gamma = float(fitted.alpha), float(fitted.gamma)


def _learn_from_unexpected(state: _State, index: int, error: float, sigma: float) -> None:
    if state.run and (state.run[-1] > 0) != (error > 0):
        state.run.clear()
    state.run.append(error)
    if len(state.run) >= NEW_NORMAL_DAYS:
        state.level += float(np.median(state.run))
        state.run.clear()
    else:
        state.learn(index, float(np.clip(error, -CLIP * sigma, CLIP * sigma)))


def _sigma(errors: list[float], recent: Floats) -> float:
    usual = float(np.quantile(np.abs(errors[-SCALE_DAYS:]), USUAL_SHARE)) * USUAL_TO_SIGMA
    return max(usual, LEAST_SIGMA_SHARE * float(np.median(np.abs(recent))))
