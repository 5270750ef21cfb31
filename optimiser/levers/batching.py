"""Dynamic batching: may requests wait a moment for each other, so that one execution serves them?

Pure. Replays recorded traffic over a grid of settings and takes the one that needs the least GPU
time without making P95 worse than allowed. Never changes how many instances there are. Refuses at
low load, where requests would wait for others that do not come, and shows the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from optimiser.simulate import (
    SIMULATOR_VERSION,
    BatcherConfig,
    Closed,
    Effect,
    Load,
    Replay,
    ServiceCurve,
    Traffic,
    Unsupported,
    compare,
    recognise,
    replay,
)
from optimiser.targets import router

from . import evidence
from .base import NEEDS_EXPERIMENT, NOT_ENOUGH_DATA, RECOMMENDED, REFUSED, Finding, Lever

DELAYS_US = (0, 1_000, 2_000, 5_000, 10_000, 20_000)
SMALLEST_BATCH = 4
MOST_SIZES = 3
LARGEST_PREFERRED = 64

P95_MAY_BE_WORSE = 0.10
LEAST_GAIN = 0.05
"""Less GPU time saved than this is not worth a change."""
AS_GOOD = 0.02
"""Settings whose GPU time differs by less count as equal; then the lower P95 decides."""
TRIES = 3
"""So many of the best are looked at with intervals before the lever gives up."""

LEAST_REQUESTS = 200
LEAST_THAT_MEET = 0.02
"""Where fewer requests begin while another is under way there is nothing to put together."""
GRID_REQUESTS = 20_000

MEDIAN_OFF = 1.5
P95_OFF = 2.0
"""If the replay of what is live is off by such factors it does not describe this server."""


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of the grid and what the replay says of it."""

    batcher: BatcherConfig
    outcome: Replay
    p95_ms: float
    gpu_s: float


@dataclass(frozen=True, slots=True)
class Case:
    """What is known before any setting is tried."""

    traffic: Traffic
    config: Mapping[str, Any]
    current: BatcherConfig
    seed: int
    load: Load


class Batching(Lever):
    key = "batching"
    version = "1"
    label = "Dynamic batching"

    def propose(
        self,
        traffic: Traffic,
        live_config: Mapping[str, Any],
        curve: ServiceCurve | None,
        seed: int,
    ) -> Finding:
        """1. Can this model be batched? 2. Is there traffic to batch? 3. Is it calibrated?
        4. Does the replay describe what is live? 5. Search, compare, choose."""
        said = _said_first(traffic, live_config, curve, seed)
        try:
            current = BatcherConfig.of(live_config)
        except Unsupported as error:
            return Finding(REFUSED, error.reason, evidence=said)
        refused = _nothing_to_batch(traffic, live_config)
        if refused is not None:
            return Finding(*refused, evidence=said)
        case = Case(traffic, live_config, current, seed, recognise(traffic))
        said["load"] = case.load.to_json()
        if curve is None:
            return Finding(
                NEEDS_EXPERIMENT,
                "How long batches of this model take has not been measured: run a calibration on "
                "its shadow.",
                evidence=said,
            )
        try:
            return _search(case, curve, said)
        except Unsupported as error:
            return Finding(NEEDS_EXPERIMENT, error.reason, evidence=said)


def _said_first(
    traffic: Traffic, config: Mapping[str, Any], curve: ServiceCurve | None, seed: int
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "window": [traffic.window_from.isoformat(), traffic.window_to.isoformat()],
        "traffic": evidence.traffic_said(traffic),
        "seed": seed,
        "input_hash": evidence.input_hash(traffic, config, curve, seed),
        "versions": {"lever": Batching.version, "simulator": SIMULATOR_VERSION},
        "limits": {"p95_may_be_worse": P95_MAY_BE_WORSE, "least_gain": LEAST_GAIN},
        "cash": None,
    }
    if curve is not None:
        said["service_curve"] = evidence.curve_said(curve)
        said["overhead_ms"] = curve.overhead_s * 1000
        said["spacing_ms"] = curve.spacing_s * 1000
    return said


def _nothing_to_batch(traffic: Traffic, config: Mapping[str, Any]) -> tuple[str, str] | None:
    """Why no setting needs to be tried, as outcome and reason."""
    if router.is_router(config):
        return REFUSED, "It is a router and does no work of its own: batch the models behind it."
    most = int(config.get("max_batch_size", 0))
    if most < 2:
        return REFUSED, f"The model takes no batches: its max_batch_size is {most}."
    if traffic.requests < LEAST_REQUESTS:
        return (
            NOT_ENOUGH_DATA,
            f"{traffic.requests} answered requests were recorded in {_lasting(traffic.window_s)}; "
            f"{LEAST_REQUESTS} are needed.",
        )
    met = evidence.share_that_met_others(traffic)
    if met < LEAST_THAT_MEET:
        return (
            REFUSED,
            f"At {traffic.rate_rps:.3g} requests a second only {met:.1%} of them began while "
            "another was under way: there is nothing to put together.",
        )
    return None


def _search(case: Case, curve: ServiceCurve, said: dict[str, Any]) -> Finding:
    now = _point(case, case.current, curve)
    said["current"] = evidence.replay_said(now.batcher, now.outcome)
    said["current"]["percentiles_ms"] = evidence.percentiles_ms(now.outcome.latency_s)
    said["assumptions"] = _assumptions(case, curve)
    doubt = _does_not_describe(case.traffic, now.outcome)
    if doubt is not None:
        return Finding(NEEDS_EXPERIMENT, doubt, evidence=said)
    points = [_point(case, one, curve) for one in grid(case.current, curve.largest)]
    ranked = _ranked(points, now)
    said["grid"] = [_grid_point(point, now) for point in points]
    said["settings_tried"] = len(points)
    if not ranked:
        return Finding(REFUSED, _none_fits(points, now), evidence=said)
    for place, point in enumerate(ranked[:TRIES]):
        effect = compare(
            case.traffic, case.current, point.batcher, curve, case.seed, load=case.load
        )
        if place == 0 or _holds(effect):
            _say_chosen(said, point, effect)
        if _holds(effect):
            return _recommended(case, curve, point, effect, said)
    return Finding(REFUSED, _gains_too_little(said, now, len(points)), evidence=said)


def grid(current: BatcherConfig, largest: int) -> list[BatcherConfig]:
    """Delays, maxima and preferred sizes within what the model takes and what was calibrated."""
    most = min(current.max_batch_size, largest)
    maxima = [most]
    while len(maxima) < MOST_SIZES and maxima[-1] // 2 >= SMALLEST_BATCH:
        maxima.append(maxima[-1] // 2)
    found = []
    for size in maxima:
        for preferred in _preferred(size):
            for delay_us in DELAYS_US:
                one = BatcherConfig(size, current.instances, True, preferred, delay_us)
                if one != current:
                    found.append(one)
    return found


def _preferred(most: int) -> list[tuple[int, ...]]:
    """The maximum alone, which is what Triton takes without any, or one or two smaller sizes."""
    found: list[tuple[int, ...]] = [(most,)]
    half, quarter = min(most // 2, LARGEST_PREFERRED), min(most // 4, LARGEST_PREFERRED // 2)
    if half >= SMALLEST_BATCH:
        found.append((half,))
    if quarter >= SMALLEST_BATCH:
        found.append((quarter, half))
    return found


def _point(case: Case, batcher: BatcherConfig, curve: ServiceCurve) -> Point:
    outcome = replay(case.load, batcher, curve, case.seed, most_requests=GRID_REQUESTS)
    return Point(batcher, outcome, outcome.latency_ms(95), outcome.gpu_seconds_per_request)


def _ranked(points: list[Point], now: Point) -> list[Point]:
    """Within the P95 limit, the least GPU time first; among about equals the lower P95."""
    fit = [point for point in points if _is_quick_enough(point, now)]
    if not fit:
        return []
    step = AS_GOOD * min(point.gpu_s for point in fit)
    return sorted(fit, key=lambda point: (round(point.gpu_s / step), point.p95_ms))


def _is_quick_enough(point: Point, now: Point) -> bool:
    return point.p95_ms <= (1 + P95_MAY_BE_WORSE) * now.p95_ms


def _holds(effect: Effect) -> bool:
    """With the whole interval, not only on average."""
    return (
        effect.metrics["gpu_seconds_per_request"].low >= LEAST_GAIN
        and effect.metrics["p95_ms"].low >= -P95_MAY_BE_WORSE
    )


def _does_not_describe(traffic: Traffic, told: Replay) -> str | None:
    """The replay of the live config must give what was recorded under it."""
    for percent, limit in ((50, MEDIAN_OFF), (95, P95_OFF)):
        seen_ms = float(np.percentile(traffic.latency_s, percent)) * 1000
        told_ms = told.latency_ms(percent)
        if not 1 / limit <= told_ms / max(seen_ms, 1e-6) <= limit:
            return (
                f"The replay says P{percent} is {told_ms:.0f} ms under the live config and "
                f"{seen_ms:.0f} ms was recorded: calibrate again, have spans name their caller "
                "(user.id) so that callers who wait can be told from those who do not, and see "
                "who else calls this model: the replay knows this project's requests alone."
            )
    return None


def _none_fits(points: list[Point], now: Point) -> str:
    best = min(points, key=lambda point: point.gpu_s)
    return (
        f"Each of {len(points)} settings would make P95 more than {P95_MAY_BE_WORSE:.0%} worse: "
        f"the one that frees most GPU time ({1 - best.gpu_s / now.gpu_s:.0%}) takes it from "
        f"{now.p95_ms:.0f} to {best.p95_ms:.0f} ms."
    )


def _gains_too_little(said: Mapping[str, Any], now: Point, settings: int) -> str:
    chosen = said["effect"]
    gpu, p95 = chosen["gpu_seconds_per_request"], chosen["p95_ms"]
    return (
        f"With {said['candidate']['mean_batch']:.1f} requests to a batch on average "
        f"({now.outcome.mean_batch:.1f} now) the best of {settings} settings would free "
        f"{gpu['change']:.1%} of the GPU time (at worst {gpu['low']:.1%}, {LEAST_GAIN:.0%} is "
        f"needed) and P95 would go from {p95['before']:.0f} to {p95['after']:.0f} ms."
    )


def _grid_point(point: Point, now: Point) -> dict[str, Any]:
    return {
        **evidence.replay_said(point.batcher, point.outcome),
        "within_limit": _is_quick_enough(point, now),
    }


def _say_chosen(said: dict[str, Any], point: Point, effect: Effect) -> None:
    said["candidate"] = evidence.replay_said(point.batcher, point.outcome)
    said["candidate"]["percentiles_ms"] = evidence.percentiles_ms(point.outcome.latency_s)
    said["effect"] = effect.to_json()
    said["capacity"] = asdict(effect.capacity)
    said["bootstrap"] = {
        "repetitions": effect.repetitions,
        "block_s": effect.block_s,
        "confidence": effect.confidence,
    }


def _recommended(
    case: Case, curve: ServiceCurve, point: Point, effect: Effect, said: dict[str, Any]
) -> Finding:
    gpu, p95 = effect.metrics["gpu_seconds_per_request"], effect.metrics["p95_ms"]
    alone = said["if_one_caller_is_left"] = _if_one_caller_is_left(case, curve, point)
    return Finding(
        RECOMMENDED,
        f"With {point.batcher.summary}, an execution serves {point.outcome.mean_batch:.1f} "
        f"requests and frees {gpu.change:.0%} of the GPU time ({gpu.low:.0%} to {gpu.high:.0%}); "
        f"P95 goes from {p95.before:.0f} to {p95.after:.0f} ms.",
        candidate_config=candidate_config(case.config, point.batcher),
        effect=effect,
        evidence=said,
        risk=(
            "It pays while requests come together. If the load falls to one caller, P95 goes from "
            f"{alone['p95_before_ms']:.0f} to {alone['p95_after_ms']:.0f} ms and nothing is freed."
            f"{_median_risk(effect)}"
        ),
        rollback=(
            "The stored full config is loaded again, which takes seconds and fails no request; "
            "without a PASS that happens by itself."
        ),
    )


def _median_risk(effect: Effect) -> str:
    """P95 alone decides, so say when it is the usual request that pays."""
    p50 = effect.metrics["p50_ms"]
    if p50.change >= -P95_MAY_BE_WORSE:
        return ""
    return f" The median request takes longer: {p50.before:.0f} ms becomes {p50.after:.0f}."


def _if_one_caller_is_left(case: Case, curve: ServiceCurve, point: Point) -> dict[str, float]:
    one = Closed(1, np.zeros(1), 60.0)
    before, after = (
        replay(one, batcher, curve, case.seed) for batcher in (case.current, point.batcher)
    )
    return {"p95_before_ms": before.latency_ms(95), "p95_after_ms": after.latency_ms(95)}


def candidate_config(live: Mapping[str, Any], batcher: BatcherConfig) -> dict[str, Any]:
    """The live config in full, with other batching."""
    return {
        **live,
        "max_batch_size": batcher.max_batch_size,
        "dynamic_batching": {
            **(live.get("dynamic_batching") or {}),
            "preferred_batch_size": list(batcher.preferred_sizes),
            "max_queue_delay_microseconds": batcher.max_queue_delay_us,
        },
    }


def _assumptions(case: Case, curve: ServiceCurve) -> list[str]:
    """What the figures rest on, for whoever is to believe them."""
    if isinstance(case.load, Closed):
        load = (
            f"{case.load.clients} callers wait for their answer and pause "
            f"{np.mean(case.load.think_s) * 1000:.0f} ms on average before they ask again."
        )
    else:
        load = "Requests come as recorded, however long the others take."
    return [
        load,
        "Each request holds one row; requests of more rows would fill batches sooner.",
        f"Batches take as long as the calibration measured, {len(curve.timings)} sizes from 1 to "
        f"{curve.largest}; between them on a straight line.",
        f"Outside the model a request takes {curve.overhead_s * 1000:.1f} ms, and answers of one "
        f"batch reach their callers {curve.spacing_s * 1000:.2f} ms apart, as in the calibration.",
        "Several instances do not slow each other down.",
        "Freed capacity is at the recorded rate of requests; it is no cash until somebody pays "
        "for less.",
    ]


def _lasting(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
