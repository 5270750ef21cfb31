"""Runs a load through a batcher with a service-time curve: what would each request have taken?

Pure: the same inputs and seed give the same answer. Knows loads, batchers and curves. Refuses to
compare; it tells what happens under one config.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .batcher import BatcherConfig
from .curve import ServiceCurve
from .load import Closed, Floats, Load

MOST_REQUESTS = 2_000_000
"""A closed loop ends here at the latest: beyond it nothing more is learned."""

WARM_UP_CYCLES = 5
"""Rounds of a closed loop before it is looked at; it begins in no typical state."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What happened to the requests of one replay, warm-up left out."""

    started_s: Floats
    latency_s: Floats
    batch_sizes: NDArray[np.int64]
    execution_s: Floats
    """Instance-seconds of each execution, counted once however many requests it answered."""
    span_s: float
    """How long it took from the first start that is counted to the last answer."""
    instances: int

    @property
    def requests(self) -> int:
        return len(self.latency_s)

    def latency_ms(self, percent: float) -> float:
        return float(np.percentile(self.latency_s, percent)) * 1000

    @property
    def throughput_rps(self) -> float:
        return self.requests / self.span_s

    @property
    def gpu_seconds_per_request(self) -> float:
        return float(self.execution_s.sum()) / float(self.batch_sizes.sum())

    @property
    def mean_batch(self) -> float:
        return float(np.mean(self.batch_sizes))

    @property
    def busy_share(self) -> float:
        return float(self.execution_s.sum()) / (self.span_s * self.instances)


def replay(
    load: Load,
    batcher: BatcherConfig,
    curve: ServiceCurve,
    seed: int,
    *,
    most_requests: int = MOST_REQUESTS,
) -> Replay:
    """Raises Unsupported when a batch could grow beyond what was calibrated."""
    # Compiling the event loop takes seconds and wants numba: only who simulates pays for it.
    from . import engine

    largest = batcher.max_batch_size if batcher.dynamic else 1
    curve.seconds(largest)
    dice = np.random.default_rng(seed)
    preferred = np.zeros(batcher.max_batch_size + 1, np.bool_)
    preferred[list(batcher.preferred_sizes)] = True
    scheduling = (
        batcher.max_batch_size,
        batcher.instances,
        batcher.dynamic,
        preferred,
        batcher.max_queue_delay_s,
        curve.table,
        curve.residuals,
        curve.residual_row,
    )
    nothing = np.empty(0)
    if isinstance(load, Closed):
        warm_s = _warm_up_s(load, curve)
        horizon_s = warm_s + load.window_s
        limit = _requests_at_most(load, curve, horizon_s, most_requests)
        # Callers without a pause begin together, as they do after anything that held them all up.
        starts = dice.random(load.clients) * float(np.mean(load.think_s))
        thinks, before, ways = np.resize(load.think_s, limit), *_ways(curve, limit, dice)
        outcome = engine.run(
            starts, load.clients, thinks, horizon_s, *scheduling, dice.random(limit), before, *ways
        )
    else:
        warm_s = 0.0
        starts = np.asarray(load.arrivals_s[:most_requests], dtype=np.float64)
        before, ways = _ways(curve, len(starts), dice)
        order = np.argsort(starts + before, kind="stable")
        outcome = engine.run(
            starts[order], 0, nothing, 0.0, *scheduling, dice.random(len(starts)), before[order],
            *ways,
        )  # fmt: skip
    started, latency, sizes, seconds, ended, requests, runs = outcome
    return _counted(
        started[:requests], latency[:requests], sizes[:runs], seconds[:runs], ended[:runs],
        warm_s, batcher.instances,
    )  # fmt: skip


def _counted(
    started: Floats, latency: Floats, sizes: NDArray[np.int64], seconds: Floats, ended: Floats,
    warm_s: float, instances: int,
) -> Replay:  # fmt: skip
    if not len(started):
        raise ValueError("A replay needs at least one request.")
    kept = started >= warm_s
    if not kept.any():
        kept[:] = True
    runs = ended >= started[kept][0]
    span_s = float((started + latency)[kept].max() - started[kept][0])
    return Replay(
        started[kept], latency[kept], sizes[runs], seconds[runs], max(span_s, 1e-9), instances
    )


def _warm_up_s(load: Closed, curve: ServiceCurve) -> float:
    cycle_s = float(np.mean(load.think_s)) + curve.overhead_s + curve.seconds(1)
    return WARM_UP_CYCLES * max(cycle_s, load.clients * curve.seconds(1))


def _requests_at_most(load: Closed, curve: ServiceCurve, horizon_s: float, most: int) -> int:
    """More cannot be answered by callers who each take at least one round for it."""
    quickest_s = float(curve.table[1] + np.min(curve.residuals))
    rounds = horizon_s / max(quickest_s + float(np.min(load.think_s)), 1e-4)
    return int(min(most, load.clients * (rounds + 2))) + load.clients


def _ways(
    curve: ServiceCurve, count: int, dice: np.random.Generator
) -> tuple[Floats, tuple[Floats, Floats]]:
    """What each request takes to the server, and each answer from there and at the client."""
    # A single answer's time at the client was measured as part of its overhead.
    alone = np.maximum(np.array(curve.overheads_s) - curve.spacing_s, 0.0) / 2
    spacings = np.array(curve.spacings_s)
    before, after = dice.choice(alone, count), dice.choice(alone, count)
    return before, (after, dice.choice(spacings, count))
