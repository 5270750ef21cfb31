"""How well the replay of Triton's batcher foretells a real Triton's P95 latency and throughput.

A calibration and one recording of each load under the unbatched config are all that the replay is
given. Then every setting below is loaded into the live server, none of which the calibration used,
the same loads run again, and what was foretold is compared with what was measured. The last
columns of the table show how much two halves of the same measurement differ from each other: no
forecast can be nearer than that.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.http import InferInput
from tritonclient.http.aio import InferenceServerClient as Client

from optimiser.demo import triton
from optimiser.demo.endpoints import Endpoints
from optimiser.simulate import BatcherConfig, Closed, Replay, ServiceCurve, Traffic, recognise
from optimiser.simulate import replay as replayed
from optimiser.simulate.load import Load
from optimiser.targets import calibration
from optimiser.targets.triton import TritonModel
from tests.bench.common import arguments, report

SECONDS = 4.0
WARM_UP_S = 0.7
SEED = 7
COLUMNS = {"fixedcost": 16, "matrix": 64}
OPEN_RPS = {"fixedcost": 60.0, "matrix": 40.0}
BURST_S = 0.25

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Setting:
    """One way to batch. No delay, preferred size or maximum of the calibration's shadow."""

    delay_us: int
    preferred: tuple[int, ...] = ()
    most: int = 32
    instances: int = 1

    def of(self, live: Mapping[str, Any]) -> dict[str, Any]:
        batching: dict[str, Any] = {"max_queue_delay_microseconds": self.delay_us}
        if self.preferred:
            batching["preferred_batch_size"] = list(self.preferred)
        groups = [{**live["instance_group"][0], "count": self.instances}]
        return {
            **live,
            "max_batch_size": self.most,
            "instance_group": groups,
            "dynamic_batching": batching,
        }

    @property
    def name(self) -> str:
        preferred = f" pref {','.join(map(str, self.preferred))}" if self.preferred else ""
        instances = f" × {self.instances}" if self.instances > 1 else ""
        return f"{self.delay_us / 1000:g} ms max {self.most}{preferred}{instances}"


SETTINGS = (
    Setting(0),
    Setting(1_000),
    Setting(5_000),
    Setting(20_000),
    Setting(0, (4,)),
    Setting(3_000, (4,)),
    Setting(5_000, (8, 16)),
    Setting(10_000, (8,)),
    Setting(0, most=8),
    Setting(10_000, most=8),
    Setting(2_000, most=4),
    Setting(0, most=16, instances=2),
    Setting(2_000, (4, 8), most=16, instances=2),
)


@dataclass(frozen=True)
class Seen:
    """Requests of one measurement: who asked when, and how long it took."""

    started_s: np.ndarray
    latency_s: np.ndarray
    callers: np.ndarray | None
    seconds: float

    @property
    def p95_ms(self) -> float:
        return float(np.percentile(self.latency_s, 95)) * 1000

    @property
    def throughput_rps(self) -> float:
        """Answers within the measurement, so that a backlog does not count as served."""
        ended = self.started_s + self.latency_s
        return float(np.sum((ended >= 0) & (ended < self.seconds))) / self.seconds

    @property
    def halves_differ(self) -> float:
        first = self.started_s < self.seconds / 2
        if first.all() or not first.any():
            return 0.0
        one, two = (np.percentile(self.latency_s[part], 95) for part in (first, ~first))
        return float(abs(one - two) / two)

    @property
    def traffic(self) -> Traffic:
        order = np.argsort(self.started_s)
        callers = None if self.callers is None else self.callers[order]
        started = self.started_s[order]
        return Traffic(
            started, self.latency_s[order], NOW, NOW + timedelta(seconds=self.seconds), callers
        )


class Callers:
    """One client process, as an application would be, with a number of callers in it."""

    def __init__(self, endpoints: Endpoints, model: str) -> None:
        self.url, self.model = endpoints.http.removeprefix("http://"), model
        columns = COLUMNS[model]
        self.row = InferInput("INPUT", [1, columns], "FP32")
        self.row.set_data_from_numpy(np.ones((1, columns), np.float32))

    def closed(self, callers: int, seconds: float) -> Seen:
        return asyncio.run(self._closed(callers, seconds))

    def open(self, arrivals_s: np.ndarray, seconds: float) -> Seen:
        return asyncio.run(self._open(arrivals_s, seconds))

    async def _closed(self, callers: int, seconds: float) -> Seen:
        seen: list[tuple[float, float, int]] = []
        async with Client(self.url, conn_limit=128) as client:
            began = time.perf_counter() + WARM_UP_S

            async def work(number: int) -> None:
                while (start := time.perf_counter()) < began + seconds:
                    await client.infer(self.model, [self.row])
                    if start >= began:
                        seen.append((start - began, time.perf_counter() - start, number))

            await asyncio.gather(*(work(number) for number in range(callers)))
        columns = np.array(seen)
        return Seen(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.int64), seconds)

    async def _open(self, arrivals_s: np.ndarray, seconds: float) -> Seen:
        seen: list[tuple[float, float]] = []
        async with Client(self.url, conn_limit=512) as client:
            await asyncio.gather(*(client.infer(self.model, [self.row]) for _ in range(16)))
            began = time.perf_counter() + 0.05

            async def ask(at: float) -> None:
                await asyncio.sleep(began + at - time.perf_counter())
                start = time.perf_counter()
                await client.infer(self.model, [self.row])
                seen.append((start - began, time.perf_counter() - start))

            await asyncio.gather(*map(ask, arrivals_s.tolist()))
        columns = np.array(seen)
        return Seen(columns[:, 0], columns[:, 1], None, seconds)


def arrivals(rate_rps: float, seconds: float, dice: np.random.Generator) -> np.ndarray:
    """Requests in bursts: the rate changes every quarter of a second."""
    rates = dice.gamma(2.0, rate_rps / 2.0, int(np.ceil(seconds / BURST_S)))
    parts = [
        (place + dice.random(dice.poisson(rate * BURST_S))) * BURST_S
        for place, rate in enumerate(rates)
    ]
    together = np.sort(np.concatenate(parts))
    return together[together < seconds]


class Loads:
    """The three loads, as they are sent and as the replay knows them from one recording."""

    def __init__(self, callers: Callers, seconds: float) -> None:
        self.callers, self.seconds = callers, seconds
        self.schedule = arrivals(OPEN_RPS[callers.model], seconds, np.random.default_rng(SEED))
        self.names = (
            "4 callers",
            "16 callers",
            f"open, {len(self.schedule) / seconds:.0f} a second",
        )

    def send(self, name: str) -> Seen:
        if name == self.names[2]:
            return self.callers.open(self.schedule, self.seconds)
        return self.callers.closed(int(name.split()[0]), self.seconds)

    def recorded(self) -> dict[str, Load]:
        return {name: recognise(self.send(name).traffic) for name in self.names}


@dataclass(frozen=True)
class Cell:
    setting: str
    load: str
    told: Replay
    seen: Seen
    mean_batch: float
    simulated_s: float
    took_s: float

    @property
    def p95_error(self) -> float:
        return abs(self.told.latency_ms(95) - self.seen.p95_ms) / self.seen.p95_ms

    @property
    def throughput_error(self) -> float:
        seen = self.seen.throughput_rps
        return abs(throughput_of(self.told, self.seen.seconds) - seen) / seen

    @property
    def row(self) -> list[str]:
        told, seen = self.told, self.seen
        return [
            self.setting, self.load,
            f"{told.latency_ms(95):.1f}", f"{seen.p95_ms:.1f}", f"{self.p95_error:.1%}",
            f"{throughput_of(told, seen.seconds):.1f}", f"{seen.throughput_rps:.1f}",
            f"{self.throughput_error:.1%}",
            f"{told.mean_batch:.1f}", f"{self.mean_batch:.1f}", f"{seen.halves_differ:.1%}",
        ]  # fmt: skip


def throughput_of(told: Replay, seconds: float) -> float:
    """As it is measured: answers until the load ends. A closed loop is in a steady state."""
    if told.span_s > 2 * seconds:
        return told.throughput_rps
    return float(np.sum(told.started_s + told.latency_s < seconds)) / seconds


def measure(
    model: TritonModel, loads: Loads, recorded: Mapping[str, Load], curve: ServiceCurve
) -> list[Cell]:
    before = model.read()
    cells = []
    try:
        for setting in SETTINGS:
            config = setting.of(before)
            model.apply(config)
            batcher = BatcherConfig.of(config)
            for name in loads.names:
                load = recorded[name]
                at_first = model.statistics()
                seen = loads.send(name)
                at_last = model.statistics()
                # A closed loop is replayed for a minute: its P95 is then no matter of chance.
                window_s = 60.0 if isinstance(load, Closed) else load.window_s
                shown = (
                    Closed(load.clients, load.think_s, 60.0) if isinstance(load, Closed) else load
                )
                began = time.perf_counter()
                told = replayed(shown, batcher, curve, SEED)
                took_s = time.perf_counter() - began
                cells.append(
                    Cell(
                        setting.name, name, told, seen,
                        (at_last.requests_ok - at_first.requests_ok)
                        / (at_last.executions - at_first.executions),
                        window_s, took_s,
                    )
                )  # fmt: skip
    finally:
        model.restore(before)
    return cells


def main() -> None:
    parser = arguments((__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="per setting and load")
    parser.add_argument("--model", choices=sorted(COLUMNS), default="fixedcost")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        triton.start(Path(folder), with_digits=False) as server,
    ):
        endpoints = server.endpoints
        measured = calibration.measure(
            endpoints.http, endpoints.admin_key, asked.model, f"{asked.model}{triton.SHADOW}"
        )
        curve = measured.curve
        model = TritonModel(endpoints.http, endpoints.admin_key, asked.model, timeout_s=60)
        loads = Loads(Callers(endpoints, asked.model), asked.seconds)
        recorded = loads.recorded()
        for name, load in recorded.items():
            print(f"recognised {name}: {load.to_json()}")
        print(
            f"calibrated in {measured.took_s:.1f} s: overhead {curve.overhead_s * 1000:.2f} ms, "
            f"spacing {curve.spacing_s * 1000:.2f} ms, "
            + ", ".join(
                f"{one.batch_size}: {statistics.fmean(one.seconds) * 1000:.1f} ms"
                for one in measured.timings
            )
        )
        # The compiler's seconds are no part of a replay.
        replayed(recorded[loads.names[0]], BatcherConfig.of(model.read()), curve, SEED)
        cells = measure(model, loads, recorded, curve)
    result: dict[str, Any] = {
        "p95_error_median": round(statistics.median(cell.p95_error for cell in cells), 4),
        "throughput_error_median": round(statistics.median(c.throughput_error for c in cells), 4),
        "times_real_time": round(
            sum(cell.simulated_s for cell in cells) / sum(cell.took_s for cell in cells)
        ),
        "p95_error_90th": round(float(np.percentile([c.p95_error for c in cells], 90)), 4),
        "p95_halves_differ_median": round(
            statistics.median(c.seen.halves_differ for c in cells), 4
        ),
        "settings": len(SETTINGS),
        "loads": len(loads.names),
    }
    report(
        f"Replay of {asked.model}, foretold and measured",
        ["setting", "load", "P95 told", "seen", "off", "rps told", "seen", "off",
         "batch told", "seen", "halves"],
        [cell.row for cell in cells], result, asked.out,
    )  # fmt: skip


if __name__ == "__main__":
    main()
