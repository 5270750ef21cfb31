"""What a lever looked at, as plain JSON: for pages to draw, and for doing it again.

Pure. Knows how traffic, curves and replays are told; refuses conclusions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from optimiser.simulate import BatcherConfig, Replay, ServiceCurve, Traffic

PERCENTS = (1, 5, 10, 25, 50, 75, 90, 95, 99)


def input_hash(
    traffic: Traffic, config: Mapping[str, Any], curve: ServiceCurve | None, seed: int
) -> str:
    """SHA-256 over everything that a result depends on but the versions."""
    digest = hashlib.sha256()
    for array in (traffic.started_s, traffic.latency_s, traffic.callers):
        kept = np.array([]) if array is None else np.ascontiguousarray(array)
        digest.update(f"{kept.dtype.str}{kept.shape};".encode())
        digest.update(kept.tobytes())
    said = {
        "window": [traffic.window_from.isoformat(), traffic.window_to.isoformat()],
        "config": config,
        "curve": None if curve is None else curve.to_json(),
        "seed": seed,
    }
    digest.update(json.dumps(said, sort_keys=True, separators=(",", ":")).encode())
    return digest.hexdigest()


def traffic_said(traffic: Traffic) -> dict[str, Any]:
    """The recorded requests: how many, how long they took, how many were under way together."""
    found: dict[str, Any] = {
        "requests": traffic.requests,
        "window_s": traffic.window_s,
        "rate_rps": traffic.rate_rps,
        "callers_named": traffic.callers is not None,
    }
    if traffic.requests:
        found |= {
            "latency_ms": percentiles_ms(traffic.latency_s),
            "met_others": share_that_met_others(traffic),
            "under_way_mean": float(np.sum(traffic.latency_s)) / traffic.window_s,
        }
    return found


def share_that_met_others(traffic: Traffic) -> float:
    """The share of requests that began while another was under way."""
    longest = np.maximum.accumulate(traffic.started_s + traffic.latency_s)
    met = np.r_[False, traffic.started_s[1:] < longest[:-1]]
    return float(np.mean(met))


def percentiles_ms(latency_s: np.ndarray) -> dict[str, float]:
    values = np.percentile(latency_s, PERCENTS) * 1000
    return {f"p{percent}": float(value) for percent, value in zip(PERCENTS, values, strict=True)}


def replay_said(batcher: BatcherConfig, outcome: Replay) -> dict[str, Any]:
    """One config and what came of it; a point of the grid, or a whole curve of percentiles."""
    return {
        **batcher.to_json(),
        "summary": batcher.summary,
        "p50_ms": outcome.latency_ms(50),
        "p95_ms": outcome.latency_ms(95),
        "p99_ms": outcome.latency_ms(99),
        "gpu_seconds_per_request": outcome.gpu_seconds_per_request,
        "throughput_rps": outcome.throughput_rps,
        "mean_batch": outcome.mean_batch,
        "busy_share": outcome.busy_share,
    }


def curve_said(curve: ServiceCurve) -> list[dict[str, Any]]:
    """The points of a service-time curve, with the range of what was measured."""
    return [
        {
            "batch_size": one.batch_size,
            "executions": len(one.seconds),
            "mean_ms": curve.seconds(one.batch_size) * 1000,
            "low_ms": min(one.seconds) * 1000,
            "high_ms": max(one.seconds) * 1000,
            "ms_per_request": curve.seconds(one.batch_size) * 1000 / one.batch_size,
        }
        for one in curve.timings
    ]
