"""Curves, batchers and traffic for the tests of simulations."""

import heapq
from datetime import UTC, datetime, timedelta

import numpy as np

from optimiser.simulate import (
    BatcherConfig,
    Closed,
    Open,
    ServiceCurve,
    Timing,
    Traffic,
    replay,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SIZES = (1, 2, 4, 8, 16, 32)


def curve(fixed_ms=20.0, per_row_ms=1.0, overhead_ms=0.8, spacing_ms=0.0):
    """Executions that never scatter, so that a test can work out what must come."""
    timings = [Timing(size, ((fixed_ms + per_row_ms * size) / 1000,) * 3) for size in SIZES]
    return ServiceCurve.fit(timings, overhead_ms / 1000, spacing_ms / 1000)


def calibrated(dice, repeats=8, singles=32):
    """As a calibration would find it: with chance in it."""
    return ServiceCurve.fit(
        [
            Timing(
                size,
                tuple(
                    0.020
                    + 0.001 * size
                    + dice.exponential(0.0006, singles if size == 1 else repeats)
                ),
            )
            for size in SIZES
        ],
        0.0008,
        0.00008,
    )


def batcher(delay_us=None, preferred=(), most=32, instances=1):
    """Without a delay there is no dynamic batching."""
    config = {"max_batch_size": most, "instance_group": [{"count": instances}]}
    if delay_us is not None:
        config["dynamic_batching"] = {
            "preferred_batch_size": list(preferred),
            "max_queue_delay_microseconds": delay_us,
        }
    return BatcherConfig.of(config)


def poisson(dice, window_s, rate_rps):
    return np.sort(dice.random(dice.poisson(rate_rps * window_s)) * window_s)


def closed(callers, think_ms, window_s=60.0):
    return Closed(callers, np.atleast_1d(np.asarray(think_ms, dtype=float)) / 1000, window_s)


def recorded(load, config, curve, seed=1, names_callers=False):
    """What spans would say of a load under a config."""
    outcome = replay(load, config, curve, seed)
    order = np.argsort(outcome.started_s, kind="stable")
    started = outcome.started_s[order] - (
        outcome.started_s.min() if isinstance(load, Closed) else 0.0
    )
    latency = outcome.latency_s[order]
    window_s = load.window_s if isinstance(load, Open) else float(started[-1]) + 0.001
    callers = _who(started, latency, load.clients) if names_callers else None
    return Traffic(started, latency, NOON, NOON + timedelta(seconds=window_s), callers)


def _who(started, latency, callers):
    """Whoever is free first asks next."""
    free = [(0.0, number) for number in range(callers)]
    found = []
    for start, took in zip(started, latency, strict=True):
        _, number = heapq.heappop(free)
        found.append(number)
        heapq.heappush(free, (start + took, number))
    return np.array(found)
