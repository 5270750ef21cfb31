"""Traffic for the judge's bench: what the noise of a service looks like, made or recorded.

A world yields pairs of blocks with two alike arms; the bench then makes one arm better or worse.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from optimiser.verify import SPLIT, SWITCHBACK
from optimiser.verify.measures import p95

Floats = NDArray[np.float64]
Dice = np.random.Generator
Requests = Callable[[Dice, int, int], Floats]
"""(dice, blocks, requests) → latencies, one row per block."""
Noise = Callable[[Dice, int], tuple[Floats, Floats]]
"""(dice, blocks) → logarithmic noise of latency and of cost, block by block in time."""

ERROR_RATE = 0.003
STEADY_LOADS = ("0.9", "1.3", "1.7", "2.1", "2.5")
REQUESTS_FILE = "aibrix_v0.2.1_requests.csv.gz"
LATENCY_NOISE_FILE = "azure_vm_noise_pg_latency.csv.gz"
SPEED_NOISE_FILE = "azure_vm_noise_redis_get.csv.gz"


def unrelated(spread: float) -> Noise:
    def noise(dice: Dice, blocks: int) -> tuple[Floats, Floats]:
        return spread * dice.standard_normal(blocks), spread * dice.standard_normal(blocks)

    return noise


SLIGHTLY_APART = unrelated(0.03)


@dataclass(frozen=True)
class Arms:
    """One row per pair, control in column 0; the arms are alike."""

    p95_ms: Floats
    cost: Floats
    error_rate: Floats
    """Each block's own; ERROR_RATE in the mean."""
    requests: tuple[int, int]


@dataclass(frozen=True)
class World:
    name: str
    service: Callable[[Dice], tuple[Requests, Noise]]
    """Draws the service that one run is about: its pilot and its experiment are of the same."""
    design: str = SWITCHBACK
    treated_share: float = 0.5
    requests_per_pair: int = 600
    has_bursts_of_errors: bool = False
    arm_noise: Noise = SLIGHTLY_APART
    """Of a split: what each arm has of its own; the service's noise is common to both."""

    def pairs(self, service: tuple[Requests, Noise], dice: Dice, pairs: int) -> Arms:
        requests, noise = service
        if self.design == SPLIT:
            latency, cost = (np.repeat(one[:, None], 2, axis=1) for one in noise(dice, pairs))
            for arm in (0, 1):
                own_latency, own_cost = self.arm_noise(dice, pairs)
                latency[:, arm] += own_latency
                cost[:, arm] += own_cost
            treated = round(self.requests_per_pair * self.treated_share)
            counts = (self.requests_per_pair - treated, treated)
            arms = _divided_by_lot(requests(dice, pairs, self.requests_per_pair), treated, dice)
        else:
            swapped = dice.random(pairs) < 0.5
            latency, cost = (_in_random_order(one, swapped) for one in noise(dice, 2 * pairs))
            counts = (self.requests_per_pair // 2,) * 2
            arms = (requests(dice, pairs, counts[0]), requests(dice, pairs, counts[1]))
        tails = np.stack([p95(arm, min(counts)) for arm in arms], axis=1)
        rates = np.full((pairs, 2), ERROR_RATE)
        if self.has_bursts_of_errors:
            rates *= dice.exponential(size=(pairs, 2))
        return Arms(tails * np.exp(latency), np.exp(cost), rates, counts)


def always(requests: Requests, noise: Noise) -> Callable[[Dice], tuple[Requests, Noise]]:
    return lambda dice: (requests, noise)


def _in_random_order(series: Floats, swapped: NDArray[np.bool_]) -> Floats:
    both = series.reshape(-1, 2)
    return np.where(swapped[:, None], both[:, ::-1], both)


def _divided_by_lot(traffic: Floats, treated: int, dice: Dice) -> tuple[Floats, Floats]:
    """Each slice's requests go to either arm by lot and keep their order."""
    lot = np.argsort(dice.random(traffic.shape), axis=1)
    to_treated, to_control = np.sort(lot[:, :treated]), np.sort(lot[:, treated:])
    return np.take_along_axis(traffic, to_control, 1), np.take_along_axis(traffic, to_treated, 1)


def lognormal(dice: Dice, blocks: int, count: int) -> Floats:
    return np.exp(3 + 0.4 * dice.standard_normal((blocks, count)))


def heavy_tailed(dice: Dice, blocks: int, count: int) -> Floats:
    """One request in five from a Pareto tail with no finite variance."""
    body = np.exp(3 + 0.3 * dice.standard_normal((blocks, count)))
    return np.where(dice.random(body.shape) < 0.2, body * (1 + dice.pareto(1.8, body.shape)), body)


def wandering(spread: float, memory: float) -> Noise:
    """Each block remembers the one before; cost partly goes with latency."""

    def noise(dice: Dice, blocks: int) -> tuple[Floats, Floats]:
        first, second = (_autoregressive(dice, blocks, memory) for _ in range(2))
        return spread * first, spread * (0.6 * first + 0.8 * second)

    return noise


def _autoregressive(dice: Dice, blocks: int, memory: float) -> Floats:
    steps = dice.standard_normal(blocks)
    steps[1:] *= np.sqrt(1 - memory**2)
    for n in range(1, blocks):
        steps[n] += memory * steps[n - 1]
    return steps


def jumping(spread: float) -> Noise:
    """Now and then a block is far off: Student's t with 2.5 degrees of freedom."""

    def noise(dice: Dice, blocks: int) -> tuple[Floats, Floats]:
        return spread * dice.standard_t(2.5, blocks), spread * dice.standard_t(2.5, blocks)

    return noise


@dataclass(frozen=True)
class Recorded:
    """Real latencies of real servers, and how real machines vary over time doing the same."""

    latencies: tuple[Floats, ...]
    latency_noise: tuple[Floats, ...]
    cost_noise: tuple[Floats, ...]

    def service(self, dice: Dice) -> tuple[Requests, Noise]:
        return self._service(self.latencies[dice.integers(len(self.latencies))], dice)

    def service_with_rising_load(self, dice: Dice) -> tuple[Requests, Noise]:
        """All loads one after the other: long enough for the slices of a split."""
        half = len(self.latencies) // 2
        either = self.latencies[:half] if dice.random() < 0.5 else self.latencies[half:]
        return self._service(np.concatenate(either), dice)

    def _service(self, recording: Floats, dice: Dice) -> tuple[Requests, Noise]:
        machines = [one[dice.integers(len(one))] for one in (self.latency_noise, self.cost_noise)]

        def requests(dice: Dice, blocks: int, count: int) -> Floats:
            """Stretches of the recording in their order, so that neighbours stay alike."""
            starts = dice.integers(len(recording), size=(blocks, 1))
            return np.asarray(recording[(starts + np.arange(count)) % len(recording)])

        def noise(dice: Dice, blocks: int) -> tuple[Floats, Floats]:
            first, second = (_stretch(dice, machine, blocks) for machine in machines)
            return first, second

        return requests, noise


def _stretch(dice: Dice, series: Floats, length: int) -> Floats:
    start = dice.integers(len(series) - length)
    return series[start : start + length].copy()


@lru_cache(maxsize=2)
def recorded(folder: Path) -> Recorded:
    by_load: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for row in _rows(folder / REQUESTS_FILE):
        if row["variant"].removeprefix("aibrix_") in ("naive", "naive_7") and (
            row["offered_qps"] in STEADY_LOADS
        ):
            took = float(row["ttft"]) + float(row["generation_time"])
            key = row["variant"], row["offered_qps"]
            by_load[key].append((float(row["launch_time"]), took * 1000))
    latencies = tuple(np.array([took for _, took in sorted(one)]) for one in by_load.values())
    speed = tuple(-one for one in _machines(folder / SPEED_NOISE_FILE))
    return Recorded(latencies, _machines(folder / LATENCY_NOISE_FILE), speed)


def _machines(file: Path) -> tuple[Floats, ...]:
    """Logarithms of the same test again and again on each long-lived machine."""
    machines: dict[tuple[str, ...], list[tuple[str, float]]] = defaultdict(list)
    for row in _rows(file):
        if row["vm_lifespan"] == "long":
            key = row["VM_id"], row["vm_region"], row["vm_sku"]
            machines[key].append((row["starttime"], float(row["value"])))
    return tuple(np.log([value for _, value in sorted(one)]) for one in machines.values())


def _rows(file: Path) -> csv.DictReader[str]:
    return csv.DictReader(gzip.open(file, "rt", encoding="utf-8"))


def worlds(folder: Path) -> list[World]:
    real = recorded(folder)
    plain = always(lognormal, unrelated(0.05))
    return [
        World("lognormal", plain),
        World("lognormal, blocks remember", always(lognormal, wandering(0.08, 0.8))),
        World("lognormal, errors in bursts", plain, has_bursts_of_errors=True),
        World("heavy-tailed", always(heavy_tailed, unrelated(0.05)), requests_per_pair=1200),
        World(
            "heavy-tailed, blocks jump", always(heavy_tailed, jumping(0.04)), requests_per_pair=1200
        ),
        World("real", real.service, requests_per_pair=400),
        World("lognormal, split", plain, SPLIT),
        World("lognormal, split, arms remember", plain, SPLIT, arm_noise=wandering(0.04, 0.3)),
        World("real, split 20 %", real.service_with_rising_load, SPLIT, 0.2, 800),
    ]
