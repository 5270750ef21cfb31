"""Two simulated GPUs whose busy share is what the demo's Triton really spent computing.

`python -m optimiser.demo.gpus --triton DIR/triton.json --url URL --token-file FILE` reads
Triton's own counters and pushes readings as the GPU probe does: its wire format, its spool, its
sender. Every batch says `simulated: true`.

Knows Triton's statistics and gpu_probe's public names. Refuses to run where a real GPU answers (the
probe measures that one), and to guess: while Triton's counters cannot be read, nothing is sent.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from gpu_probe import __version__
from gpu_probe.nvml import NoNvml, Nvml
from gpu_probe.send import Sender
from gpu_probe.wire import Batch, GpuReading
from optimiser.demo.endpoints import NO_TLS, Endpoints

REAL_GPU = 5
"""Exit code where NVML answers: run `python -m gpu_probe` instead."""

INTERVAL_S = 10.0
STATISTICS_TIMEOUT_S = 3.0
NANOSECONDS_PER_MICROSECOND = 1000
DRIVER = "simulated"

GIB = 2**30
MILLIJOULES_PER_JOULE = 1000
NVML_REASON_IDLE = 1


@dataclass(frozen=True)
class Gpu:
    """What one simulated GPU serves. The hardware figures are chosen to be plausible for an
    80 GB data-centre GPU (its limit and clocks are public); nobody measured them."""

    index: int
    models: tuple[str, ...]
    loaded_bytes: int
    name: str = "Simulated 80 GB GPU"
    memory_total_bytes: int = 80 * GIB
    empty_bytes: int = GIB // 2
    idle_w: float = 62.0
    power_limit_w: float = 400.0
    idle_clock_mhz: int = 210
    busy_clock_mhz: int = 1410
    idle_temperature_c: int = 34
    busy_temperature_c: int = 72

    @property
    def uuid(self) -> str:
        return f"GPU-simulated-{self.index}"

    def reading(self, at: float, busy: float, is_serving: bool, energy_mj: int) -> GpuReading:
        clock_mhz = self.busy_clock_mhz if busy > 0 else self.idle_clock_mhz
        warmth_c = (self.busy_temperature_c - self.idle_temperature_c) * busy
        return GpuReading(
            uuid=self.uuid,
            index=self.index,
            name=self.name,
            at=at,
            utilization_pct=round(100 * busy, 3),
            memory_used_bytes=self.loaded_bytes if is_serving else self.empty_bytes,
            memory_total_bytes=self.memory_total_bytes,
            power_w=round(self.power_w(busy), 1),
            power_limit_w=self.power_limit_w,
            energy_mj=energy_mj,
            sm_clock_mhz=clock_mhz,
            temperature_c=round(self.idle_temperature_c + warmth_c),
            clock_event_reasons=0 if busy > 0 else NVML_REASON_IDLE,
            ecc_uncorrected_errors=0,
            mig_mode=False,
            process_count=1 if is_serving else 0,
        )

    def power_w(self, busy: float) -> float:
        return self.idle_w + (self.power_limit_w - self.idle_w) * busy


GPUS = (
    Gpu(0, models=("fixedcost", "fixedcost_shadow"), loaded_bytes=41 * GIB),
    Gpu(
        1,
        models=("matrix", "matrix_shadow", "digits_fp32", "digits_int8", "digits_wrong"),
        loaded_bytes=9 * GIB,
    ),
)
"""`hosted` is on none of them: it stands in for somebody else's hardware. Neither is the router
`digits`, which only waits for the models behind it."""

Counters = dict[str, float]
"""Microseconds computed so far, by model."""


class Unknown(Exception):
    """Triton's counters could not be read, though it may well be working."""


def read_counters(http_url: str) -> Counters | None:
    """Compute time per model; None when nobody listens, which is a Triton that is not running."""
    try:
        answer = httpx.get(
            f"{http_url}/v2/models/stats",
            timeout=STATISTICS_TIMEOUT_S,
            trust_env=False,
            verify=NO_TLS,
        )
        answer.raise_for_status()
        return parse_counters(answer.json()["model_stats"])
    except httpx.ConnectError:
        return None
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise Unknown(f"{type(error).__name__}: {error}") from error


def parse_counters(versions: list[dict[str, Any]]) -> Counters:
    """From `batch_stats`, where an execution is counted once. Prometheus's counter adds it once
    for every request of the batch, which would make a batching GPU look ever busier."""
    counters: Counters = {}
    for version in versions:
        spent_ns = sum(int(batch["compute_infer"]["ns"]) for batch in version["batch_stats"])
        counters.setdefault(version["name"], 0.0)
        counters[version["name"]] += spent_ns / NANOSECONDS_PER_MICROSECOND
    return counters


def computed_us(before: Counters, now: Counters, models: Sequence[str]) -> float:
    """Microseconds since the last look. A counter that fell began again at zero."""
    total = 0.0
    for model in models:
        earlier, later = before.get(model, 0.0), now.get(model, 0.0)
        total += later - earlier if later >= earlier else later
    return total


@dataclass
class Simulation:
    """Turns successive looks at the counters into readings. Pure but for its own memory."""

    before: Counters | None = None
    looked_at: float | None = None
    energy_mj: dict[int, float] = field(default_factory=lambda: {gpu.index: 0.0 for gpu in GPUS})

    def look(self, at: float, counters: Counters | None) -> list[GpuReading]:
        """Readings for the time since the last look; none at the first, which only begins it."""
        began, before = self.looked_at, self.before
        self.looked_at, self.before = at, counters or {}
        if began is None or at <= began:
            return []
        elapsed_s = at - began
        readings = []
        for gpu in GPUS:
            spent_us = computed_us(before or {}, counters or {}, gpu.models)
            busy = min(1.0, spent_us / (elapsed_s * 1e6))
            joules = gpu.power_w(busy) * elapsed_s
            self.energy_mj[gpu.index] += joules * MILLIJOULES_PER_JOULE
            energy_mj = int(self.energy_mj[gpu.index])
            readings.append(gpu.reading(at, busy, counters is not None, energy_mj))
        return readings


def has_real_gpu() -> bool:
    try:
        with Nvml() as nvml:
            return bool(nvml.readings())
    except NoNvml:
        return False


def push_until(ending: threading.Event, options: argparse.Namespace, sender: Sender) -> None:
    simulation, boot_id, sequence = Simulation(), str(uuid4()), 0
    while True:
        try:
            http_url = Endpoints.read(options.triton).http
            readings = simulation.look(time.time(), read_counters(http_url))
        except (Unknown, FileNotFoundError) as error:
            logging.warning("gpus: nothing to say now, Triton's counters are unknown (%s)", error)
            readings = []
        if readings:
            sender.keep(batch(options, boot_id, sequence, readings))
            sequence += 1
        if ending.wait(options.interval):
            return


def batch(
    options: argparse.Namespace, boot_id: str, sequence: int, readings: list[GpuReading]
) -> Batch:
    return Batch(
        host=options.host,
        pool=options.pool,
        probe_version=__version__,
        driver_version=DRIVER,
        boot_id=boot_id,
        sequence=sequence,
        simulated=True,
        readings=tuple(readings),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.gpus", description=__doc__)
    parser.add_argument("--triton", type=Path, required=True, help="DIR/triton.json")
    parser.add_argument("--url", required=True, help="Breakeven's address")
    parser.add_argument("--token-file", type=Path, required=True, help="holds the push token")
    parser.add_argument("--interval", type=float, default=INTERVAL_S, help="seconds, default 10")
    parser.add_argument("--spool", type=Path, help="default: gpu-spool beside triton.json")
    parser.add_argument("--pool", default="demo-gpus", help="the pool that owns the two GPUs")
    parser.add_argument("--host", default="sample-triton")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if has_real_gpu():
        print("A real GPU answers on this machine: run `python -m gpu_probe` instead.", flush=True)
        return REAL_GPU
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    sender = Sender(
        options.url,
        lambda: options.token_file.read_text().strip(),
        options.spool or options.triton.parent / "gpu-spool",
    )
    delivery = threading.Thread(target=sender.run, daemon=True)
    delivery.start()
    try:
        push_until(ending, options, sender)
    finally:
        sender.stop()
        delivery.join(15)
        sender.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
