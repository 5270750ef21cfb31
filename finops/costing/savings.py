"""What a change saved: the GPU time it no longer takes, and the money no longer paid for it.

Knows requests, GPU-seconds, prices and how hardware is billed, slice by slice of measured time.
Refuses a claim without an interval, and to call freed capacity money: hours that are paid whether
busy or not cost the same as before.

    saved = requests × (GPU-seconds per request before − GPU-seconds per request now)

Every interval here holds 90 % (`LEVEL`). That of the saving has two parts: how well the time before
is known (the baseline's own interval) and how much the time now varies (a bootstrap of blocks of
consecutive slices, because busy minutes come together). The seed is fixed: same facts, same figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from finops.money import CONTEXT, SCALE

METHOD_VERSION = 1
"""Raised whenever the same facts would give another figure."""

LEVEL = 0.90
DRAWS = 4_000
SEED = 20_261_101

Z_OF_LEVEL = 1.6448536269514722
"""Half of a normal distribution's width at `LEVEL`, in standard deviations."""

SECONDS_PER_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Interval:
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of measured time, about a minute."""

    seconds: float
    requests: int
    gpu_seconds: float


@dataclass(frozen=True, slots=True)
class Saving:
    gpu_seconds: Interval
    before: Interval
    """GPU-seconds per request, as it would have been."""
    now: Interval
    requests: int
    measured_s: float


@dataclass(frozen=True, slots=True)
class HeldPrice:
    """What an hour of the hardware cost while so many of the requests were answered."""

    requests: int
    hourly: Decimal
    paid_by_use: bool


@dataclass(frozen=True, slots=True)
class Cash:
    """An amount with its interval, in one currency."""

    amount: Decimal
    low: Decimal
    high: Decimal
    currency: str


def ratio(slices: Sequence[Slice]) -> Interval | None:
    """GPU-seconds per request over all slices.

    None without a request, and for a single slice: what has no parts shows no spread, and without
    spread there is no interval.
    """
    if len(slices) < 2 or not any(one.requests for one in slices):
        return None
    return _around(_ratio_of(slices), _ratio_draws(slices, _dice(1)))


def saving(before: Interval, slices: Sequence[Slice]) -> Saving | None:
    """What these slices took less than they would have before; None where `ratio` is."""
    now = ratio(slices)
    if now is None:
        return None
    requests = sum(one.requests for one in slices)
    draws = requests * (_draws_of(before, _dice(0)) - _ratio_draws(slices, _dice(1)))
    return Saving(
        gpu_seconds=_around(requests * (before.value - now.value), draws),
        before=before,
        now=now,
        requests=requests,
        measured_s=sum(one.seconds for one in slices),
    )


def expected(
    before: float, now: float, better_low: float, better_high: float, requests: int
) -> Interval:
    """GPU-seconds to be saved on so many requests, from a simulation's ratios and its interval.

    `better` is the share by which the ratio falls, (before − now) / before.
    """
    freed = requests * (before - now)
    low, high = requests * before * better_low, requests * before * better_high
    return Interval(freed, min(freed, low), max(freed, high))


def cash_saved(freed_gpu_seconds: Interval, prices: Sequence[HeldPrice], currency: str) -> Cash:
    """Money no longer paid. Hours that are paid anyway save nothing until there are fewer."""
    hourly = _mean_avoidable_hourly(prices)
    amount, low, high = (
        _cost(hourly, seconds)
        for seconds in (freed_gpu_seconds.value, freed_gpu_seconds.low, freed_gpu_seconds.high)
    )
    return Cash(amount, low, high, currency)


def _mean_avoidable_hourly(prices: Sequence[HeldPrice]) -> Decimal:
    """Each price of the period weighs as many requests as it saw."""
    avoidable = {one.hourly if one.paid_by_use else Decimal(0) for one in prices}
    if len(avoidable) == 1:
        return avoidable.pop()
    paid = reduce(
        CONTEXT.add,
        (CONTEXT.multiply(Decimal(p.requests), p.hourly) for p in prices if p.paid_by_use),
        Decimal(0),
    )
    return CONTEXT.divide(paid, Decimal(sum(one.requests for one in prices)))


def _cost(hourly: Decimal, seconds: float) -> Decimal:
    hours = CONTEXT.divide(Decimal(repr(seconds)), SECONDS_PER_HOUR)
    return CONTEXT.multiply(hourly, hours).quantize(SCALE, ROUND_HALF_EVEN, CONTEXT)


def _dice(stream: int) -> np.random.Generator:
    """One stream per source of doubt, so that neither moves with the other's draws."""
    return np.random.default_rng([SEED, stream])


def _draws_of(known: Interval, dice: np.random.Generator) -> NDArray[np.float64]:
    """A normal distribution with a width of its own on each side, as wide as the interval."""
    steps = dice.standard_normal(DRAWS) / Z_OF_LEVEL
    below, above = known.value - known.low, known.high - known.value
    drawn: NDArray[np.float64] = known.value + np.where(steps < 0, below, above) * steps
    return drawn


def _ratio_draws(slices: Sequence[Slice], dice: np.random.Generator) -> NDArray[np.float64]:
    """The ratio in periods made of blocks of this one, drawn anew with replacement."""
    count = len(slices)
    length = max(1, round(count ** (1 / 3)))
    blocks = -(-count // length)
    requests = np.array([one.requests for one in slices], dtype=np.float64)
    gpu_seconds = np.array([one.gpu_seconds for one in slices])
    starts = dice.integers(0, count, size=(DRAWS, blocks))
    # Sums of a whole block, wrapping around at the end, so that every slice is as likely drawn.
    summed_requests = _wrapped_sums(requests, length)[starts].sum(axis=1)
    summed_seconds = _wrapped_sums(gpu_seconds, length)[starts].sum(axis=1)
    seen = summed_requests > 0
    drawn: NDArray[np.float64] = np.full(DRAWS, _ratio_of(slices))
    np.divide(summed_seconds, summed_requests, out=drawn, where=seen)
    return drawn


def _wrapped_sums(values: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    whole = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[:length]]))])
    sums: NDArray[np.float64] = whole[length : length + len(values)] - whole[: len(values)]
    return sums


def _ratio_of(slices: Sequence[Slice]) -> float:
    return sum(one.gpu_seconds for one in slices) / sum(one.requests for one in slices)


def _around(value: float, draws: NDArray[np.float64]) -> Interval:
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(value, min(value, float(low)), max(value, float(high)))
