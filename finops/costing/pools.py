"""What a pool's hardware cost over a stretch of time, and how much of it which model used.

Knows seconds, GPUs and an hourly price. Refuses to call unobserved time used, and to let the parts
differ from the whole: the rows of a stretch add up to what was paid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import reduce

from finops.money import CONTEXT, SCALE, Money

IDLE = ""
"""The model name of the row that holds what no model used."""

SECONDS_PER_HOUR = Decimal(3600)

MICRO = 1_000_000
"""Busy time is counted in whole microseconds."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What telemetry says of one model: compute seconds, answered requests, seconds observed."""

    busy_s: float
    requests: float | None
    covered_s: float


@dataclass(frozen=True, slots=True)
class PoolLine:
    """One model's share. `busy_s`, `used` and `allocated` are None where unknown."""

    model: str
    requests: float | None
    busy_s: float | None
    covered_s: float
    used: Decimal | None
    allocated: Decimal | None


def share_out(
    elapsed_s: float,
    gpu_count: int | None,
    hourly: Money | None,
    busy: Mapping[str, Busy],
    *,
    by_use: bool = False,
) -> list[PoolLine]:
    """The rows of one stretch of `elapsed_s` seconds, the idle one last.

    A model's row carries what it used, the idle row the rest, so the sum of `allocated` is what
    was paid and the sum of `used` is the busy share of it. Without telemetry (nothing covered) the
    idle row has it all, with `busy_s` and `used` unknown.

    Instances overlap: two instances on one GPU may each be busy for the same second. Where the
    busy seconds of all models exceed the GPU-seconds observed, every model's share is scaled down
    alike, so `busy_s` is the GPU-seconds ascribed to the model and never more than there were.
    Where the number of GPUs is unknown the raw seconds stand and no money is ascribed.

    Hardware billed by use costs what was used: idle time is free, and without telemetry the cost is
    unknown. It needs no number of GPUs, for there is no fixed one.
    """
    covered_s = min(elapsed_s, max((model.covered_s for model in busy.values()), default=0.0))
    scale = _scale_to_capacity(sum(model.busy_s for model in busy.values()), gpu_count, covered_s)
    known_size = by_use or gpu_count is not None
    rate = hourly.amount if hourly is not None and known_size else None
    lines = []
    for name, model in sorted(busy.items()):
        busy_s = math.floor(model.busy_s * scale * MICRO) / MICRO
        used = _cost(rate, Decimal(repr(busy_s)))
        seen_s = min(elapsed_s, model.covered_s)
        lines.append(PoolLine(name, model.requests, busy_s, seen_s, used, used))
    known_busy_s, known_used = (0.0, _cost(rate, Decimal(0))) if covered_s else (None, None)
    if by_use:
        idle = known_used
    else:
        paid = _cost(rate, Decimal(repr(elapsed_s)) * (gpu_count or 0))
        idle = None if paid is None else CONTEXT.subtract(paid, _sum(line.used for line in lines))
    return [*lines, PoolLine(IDLE, None, known_busy_s, covered_s, known_used, idle)]


def _scale_to_capacity(busy_s: float, gpu_count: int | None, covered_s: float) -> float:
    if gpu_count is None or busy_s <= gpu_count * covered_s:
        return 1.0
    return gpu_count * covered_s / busy_s


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return reduce(CONTEXT.add, (amount for amount in amounts if amount is not None), Decimal(0))


def _cost(hourly: Decimal | None, seconds: Decimal) -> Decimal | None:
    """Cut, not rounded, at the last decimal that is stored: the parts never exceed the whole."""
    if hourly is None:
        return None
    amount = CONTEXT.divide(CONTEXT.multiply(hourly, seconds), SECONDS_PER_HOUR)
    return amount.quantize(SCALE, ROUND_DOWN, CONTEXT)
