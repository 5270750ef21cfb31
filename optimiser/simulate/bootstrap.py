"""What a change of the batcher does to recorded traffic, with an interval.

Pure. Every repetition draws the traffic anew in moving blocks, and the calibration from its own
executions, and runs both configs on the same draw; the interval is where the middle of the
repetitions lie. Knows percent better; refuses money: freed capacity is in GPU-hours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batcher import BatcherConfig
from .curve import ServiceCurve
from .load import Floats, Load, Open, Traffic, recognise
from .replay import Replay, replay

REPETITIONS = 200
CONFIDENCE = 0.95
BLOCKS = 12
"""Blocks a window is cut into: few enough to keep bursts whole, enough to tell chance apart."""
WIDER = 1.17
"""For a dozen blocks: Student's t instead of the normal (2.20 / 1.96), and √(12 / 11)."""
LEAST_CYCLES_PER_BLOCK = 20
"""A block holds this many latencies, so that what lies behind it in the queue matters little."""
MOST_REQUESTS = 20_000
"""Per repetition. A longer window is drawn from in full, and this many requests of it replayed."""
HOURS_OF_30_DAYS = 30 * 24

METRICS = {
    "p50_ms": -1,
    "p95_ms": -1,
    "p99_ms": -1,
    "throughput_rps": 1,
    "gpu_seconds_per_request": -1,
}
"""Metric → whether more or less of it is better."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One metric before and after. `change` is the share by which it gets better, negative for
    worse, and so are its bounds; the others bound the two values themselves."""

    before: float
    after: float
    change: float
    low: float
    high: float
    before_low: float
    before_high: float
    after_low: float
    after_high: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """GPU-hours that the traffic of 30 days like this window would need no more."""

    gpu_hours_per_30_days: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Effect:
    metrics: dict[str, Interval]
    capacity: Capacity
    repetitions: int
    block_s: float
    """Length of the blocks in which traffic was drawn."""
    confidence: float

    def to_json(self) -> dict[str, Any]:
        return {name: asdict(interval) for name, interval in self.metrics.items()}


def compare(
    traffic: Traffic,
    current: BatcherConfig,
    candidate: BatcherConfig,
    curve: ServiceCurve,
    seed: int,
    *,
    load: Load | None = None,
    repetitions: int = REPETITIONS,
    confidence: float = CONFIDENCE,
    most_requests: int = MOST_REQUESTS,
) -> Effect:
    """Raises Unsupported where `replay` does."""
    load = load or recognise(traffic)
    whole = _cut(load, most_requests)
    block_s = block_length_s(traffic)
    before = _figures(replay(whole, current, curve, seed, most_requests=most_requests))
    after = _figures(replay(whole, candidate, curve, seed, most_requests=most_requests))
    drawn = np.empty((repetitions, 2, len(METRICS)))
    for number, one in enumerate(np.random.SeedSequence(seed).spawn(repetitions)):
        dice = np.random.default_rng(one)
        again, timed = resampled(load, block_s, most_requests, dice), curve.resampled(dice)
        same = int(dice.integers(2**62))
        for place, batcher in enumerate((current, candidate)):
            drawn[number, place] = _figures(
                replay(again, batcher, timed, same, most_requests=most_requests)
            )
    metrics = {
        name: _interval(before[place], after[place], drawn[:, :, place], sign, confidence)
        for place, (name, sign) in enumerate(METRICS.items())
    }
    return Effect(
        metrics=metrics,
        capacity=_freed(traffic, metrics["gpu_seconds_per_request"]),
        repetitions=repetitions,
        block_s=block_s,
        confidence=confidence,
    )


def block_length_s(traffic: Traffic) -> float:
    """Long enough for bursts and queues to stay whole, short enough for many of them."""
    cycle_s = float(np.mean(traffic.latency_s)) if traffic.requests else 0.0
    wanted = max(traffic.window_s / BLOCKS, LEAST_CYCLES_PER_BLOCK * cycle_s)
    return min(wanted, traffic.window_s / 2)


def resampled(load: Load, block_s: float, most: int, dice: np.random.Generator) -> Load:
    """The same load as it might have been: its own blocks, laid end to end anew."""
    if isinstance(load, Open):
        return _open_again(load, block_s, most, dice)
    pauses = load.think_s
    length = max(1, round(len(pauses) * block_s / load.window_s))
    count = -(-len(pauses) // length)
    begins = dice.integers(0, max(1, len(pauses) - length + 1), count)
    places = (begins[:, None] + np.arange(length)).ravel()[: len(pauses)]
    return replace(_cut(load, most), think_s=pauses[np.minimum(places, len(pauses) - 1)])


def _open_again(load: Open, block_s: float, most: int, dice: np.random.Generator) -> Open:
    rate = len(load.arrivals_s) / load.window_s
    window_s = min(load.window_s, most / rate)
    block_s = min(block_s, window_s)
    count = int(np.ceil(window_s / block_s))
    pieces: list[Floats] = []
    for number, begin in enumerate(dice.random(count) * (load.window_s - block_s)):
        low, high = np.searchsorted(load.arrivals_s, (begin, begin + block_s))
        pieces.append(load.arrivals_s[low:high] - begin + number * block_s)
    arrivals = np.concatenate(pieces)
    arrivals = arrivals[arrivals < window_s]
    # A draw of nothing but silence has no latency; the quietest that can be looked at has one.
    return Open(arrivals if len(arrivals) else load.arrivals_s[:1] * 0, window_s)


def _cut(load: Load, most: int) -> Load:
    """No more of a load than is replayed at once; a closed one is as good in a shorter window."""
    if isinstance(load, Open):
        return load
    mean_s = float(np.mean(load.think_s))
    # The replay ends itself at `most`; the window bounds it when callers pause for long.
    return replace(load, window_s=min(load.window_s, most * max(mean_s, 0.001) + 60.0))


def _figures(outcome: Replay) -> NDArray[np.float64]:
    p50, p95, p99 = np.percentile(outcome.latency_s, (50, 95, 99)) * 1000
    return np.array(
        [p50, p95, p99, outcome.throughput_rps, outcome.gpu_seconds_per_request], dtype=np.float64
    )


def _interval(
    before: float, after: float, drawn: NDArray[np.float64], sign: int, confidence: float
) -> Interval:
    change = float(sign * (after - before) / before)
    changes = sign * (drawn[:, 1] - drawn[:, 0]) / drawn[:, 0]
    low, high = _around(change, changes, confidence)
    before_low, before_high = _around(before, drawn[:, 0], confidence)
    after_low, after_high = _around(after, drawn[:, 1], confidence)
    return Interval(
        before=float(before),
        after=float(after),
        change=change,
        low=low,
        high=high,
        before_low=max(0.0, before_low),
        before_high=before_high,
        after_low=max(0.0, after_low),
        after_high=after_high,
    )


def _around(estimate: float, drawn: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """The middle of the draws, put where the estimate is and made as wide as few blocks demand.

    Draws of percentiles lie a little to one side, since cut queues are shorter; and their spread
    is that of a dozen blocks, which is known no better than a dozen numbers let it be.
    """
    tails = (100 * (1 - confidence) / 2, 50, 100 * (1 + confidence) / 2)
    low, middle, high = np.percentile(drawn, tails)
    return float(estimate + WIDER * (low - middle)), float(estimate + WIDER * (high - middle))


def _freed(traffic: Traffic, gpu_time: Interval) -> Capacity:
    """At the recorded rate: callers who wait would ask more often, which is no saving."""
    hours = traffic.rate_rps * gpu_time.before * HOURS_OF_30_DAYS
    return Capacity(hours * gpu_time.change, hours * gpu_time.low, hours * gpu_time.high)
