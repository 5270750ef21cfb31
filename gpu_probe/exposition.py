"""What the probe knows, in Prometheus' text format.

Knows Prometheus' conventions: base units in names, counters end in _total, one HELP and TYPE for
each name. Refuses zeros for the unknown: what was not measured has no line. Pure: no network, no
clock, no NVML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from gpu_probe.host import HostFigures
from gpu_probe.wire import Batch, GpuReading

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

CLOCK_REASONS = {
    0x1: "gpu_idle",
    0x2: "applications_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
    0x100: "display_clocks",
    0x200: "board_limit",
    0x400: "reliability",
}
"""NVML's clock-event bits."""

Labels = dict[str, str]
Value = float | int | bool | None


@dataclass(frozen=True, slots=True)
class SpoolFigures:
    waiting: int = 0
    waiting_bytes: int = 0
    rejected: int = 0
    dropped: int = 0


@dataclass(slots=True)
class Snapshot:
    """All that one scrape answers. `batch` is None while no GPU answers."""

    batch: Batch | None
    silent_gpus: int
    host: HostFigures
    spool: SpoolFigures | None
    version: str
    xid_totals: Counter[str] = field(default_factory=Counter)
    """By GPU, since the probe started: a reading has only what is new."""


@dataclass(slots=True)
class _Family:
    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)


class _Page:
    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def add(self, name: str, kind: str, help: str, value: Value, labels: Labels) -> None:
        if value is None:
            return
        family = self._families.setdefault(name, _Family(name, kind, help))
        family.lines.append(f"{name}{_labelled(labels)} {_number(value)}")

    def gauge(self, name: str, help: str, value: Value, **labels: str) -> None:
        self.add(name, "gauge", help, value, labels)

    def counter(self, name: str, help: str, value: Value, **labels: str) -> None:
        self.add(name, "counter", help, value, labels)

    def text(self) -> str:
        written = []
        for family in self._families.values():
            written += [
                f"# HELP {family.name} {family.help}",
                f"# TYPE {family.name} {family.kind}",
            ]
            written += family.lines
        return "\n".join(written) + "\n"


def render(snapshot: Snapshot) -> str:
    page = _Page()
    _probe(page, snapshot)
    if snapshot.batch is not None:
        for reading in snapshot.batch.readings:
            _gpu(page, snapshot.batch, reading, snapshot.xid_totals)
    _host(page, snapshot.host)
    return page.text()


def _probe(page: _Page, snapshot: Snapshot) -> None:
    name = "breakeven_gpu_probe"
    page.gauge(f"{name}_info", "The probe's version.", 1, version=snapshot.version)
    page.gauge(f"{name}_up", "Whether a GPU answers.", snapshot.batch is not None)
    silent = snapshot.silent_gpus
    page.gauge(f"{name}_silent_gpus", "GPUs that are there and give no figures.", silent)
    spool = snapshot.spool
    if spool is None:
        return
    page.gauge(f"{name}_spool_batches", "Batches on disk, not yet delivered.", spool.waiting)
    page.gauge(f"{name}_spool_bytes", "Their size on disk.", spool.waiting_bytes)
    page.gauge(f"{name}_rejected_batches", "Batches that the server refused.", spool.rejected)
    page.counter(
        f"{name}_dropped_batches_total",
        "Batches thrown away undelivered, since the spool was full.",
        spool.dropped,
    )


def _gpu(page: _Page, batch: Batch, one: GpuReading, xids: Counter[str]) -> None:
    told = {"gpu": str(one.index), "uuid": one.uuid}
    name = "breakeven_gpu"
    page.gauge(
        f"{name}_info",
        "What the GPU is.",
        1,
        **told,
        model=one.name,
        pool=batch.pool,
        driver_version=batch.driver_version or "",
    )
    page.gauge(f"{name}_up", "0 for a GPU that the driver has lost.", not one.lost, **told)
    page.gauge(f"{name}_sample_timestamp_seconds", "When these figures were read.", one.at, **told)
    _gpu_load(page, name, one, told)
    _gpu_health(page, name, one, told, xids)
    _gpu_users(page, name, one, told)


def _gpu_load(page: _Page, name: str, one: GpuReading, told: Labels) -> None:
    percent, clock = one.utilization_pct, one.sm_clock_mhz
    for suffix, help, value in (
        (
            "utilization_ratio",
            "Share of time with at least one kernel running.",
            None if percent is None else percent / 100,
        ),
        ("memory_used_bytes", "Memory in use.", one.memory_used_bytes),
        ("memory_total_bytes", "Memory there is.", one.memory_total_bytes),
        ("memory_reserved_bytes", "Memory kept by the driver.", one.memory_reserved_bytes),
        ("power_watts", "Power drawn.", one.power_w),
        ("power_limit_watts", "The power limit in force.", one.power_limit_w),
        ("sm_clock_hertz", "Clock of the SMs.", None if clock is None else clock * 1_000_000),
        ("temperature_celsius", "Temperature of the GPU.", one.temperature_c),
    ):
        page.gauge(f"{name}_{suffix}", help, value, **told)
    if one.energy_mj is not None:
        help = "Energy used since the driver was loaded."
        page.counter(f"{name}_energy_joules_total", help, one.energy_mj / 1000, **told)
    if one.clock_event_reasons is not None:
        for bit, reason in CLOCK_REASONS.items():
            held = bool(one.clock_event_reasons & bit)
            help = "1 while this holds the clocks back."
            page.gauge(f"{name}_clock_event_reason", help, held, **told, reason=reason)


def _gpu_health(page: _Page, name: str, one: GpuReading, told: Labels, xids: Counter[str]) -> None:
    ecc = "Memory errors since the driver was loaded."
    page.counter(
        f"{name}_ecc_errors_total", ecc, one.ecc_corrected_errors, **told, kind="corrected"
    )
    page.counter(
        f"{name}_ecc_errors_total", ecc, one.ecc_uncorrected_errors, **told, kind="uncorrected"
    )
    rows = "Memory rows replaced over the GPU's life."
    page.gauge(
        f"{name}_remapped_rows", rows, one.remapped_rows_corrected, **told, cause="corrected"
    )
    page.gauge(
        f"{name}_remapped_rows", rows, one.remapped_rows_uncorrected, **told, cause="uncorrected"
    )
    page.gauge(
        f"{name}_remapped_rows_pending",
        "1 while rows wait for a reset to be replaced.",
        one.remapped_rows_pending,
        **told,
    )
    page.gauge(
        f"{name}_remapped_rows_failed",
        "1 if a row could not be replaced.",
        one.remapped_rows_failed,
        **told,
    )
    if one.xid_errors is not None:
        help = "XID errors since the probe started."
        page.counter(f"{name}_xid_errors_total", help, xids[one.uuid], **told)
    page.gauge(f"{name}_last_xid", "Code of the newest XID error.", one.last_xid, **told)


def _gpu_users(page: _Page, name: str, one: GpuReading, told: Labels) -> None:
    page.gauge(f"{name}_mig_enabled", "Whether it is sliced by MIG.", one.mig_mode, **told)
    for part in one.mig_instances or ():
        whose = {**told, "mig_uuid": part.uuid, "profile": part.profile or ""}
        for suffix, value in (
            ("used", part.memory_used_bytes),
            ("total", part.memory_total_bytes),
            ("reserved", part.memory_reserved_bytes),
        ):
            help = f"Memory of a MIG instance: {suffix}."
            page.gauge(f"{name}_mig_memory_{suffix}_bytes", help, value, **whose)
    page.gauge(f"{name}_processes", "Compute processes.", one.process_count, **told)
    for process in one.processes or ():
        page.gauge(
            f"{name}_process_memory_bytes",
            "GPU memory of the processes that hold most.",
            process.memory_used_bytes,
            **told,
            pid=str(process.pid),
            process=process.name or "",
            mig_uuid=process.mig_uuid or "",
        )


def _host(page: _Page, host: HostFigures) -> None:
    name = "breakeven_host"
    for cpu, modes in host.cpu_seconds.items():
        for mode, seconds in modes.items():
            help = "Time of each CPU in each mode."
            page.counter(f"{name}_cpu_seconds_total", help, seconds, cpu=cpu, mode=mode)
    for suffix, help, value in (
        (
            "cpu_utilization_ratio",
            "Busy share of all CPUs since the reading before.",
            host.cpu_utilization,
        ),
        ("memory_total_bytes", "Memory of the host.", host.memory_total_bytes),
        (
            "memory_available_bytes",
            "Memory that a program could still get.",
            host.memory_available_bytes,
        ),
        ("load1", "Load average over a minute.", host.load_1m),
        ("load5", "Load average over five minutes.", host.load_5m),
        ("load15", "Load average over fifteen minutes.", host.load_15m),
    ):
        page.gauge(f"{name}_{suffix}", help, value)


def _labelled(labels: Labels) -> str:
    pairs: Iterable[str] = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return "{" + ",".join(pairs) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float | int | bool) -> str:
    # repr() of a float is exact and Prometheus reads it; a bool would be a word.
    return str(int(value)) if isinstance(value, bool) else repr(value)
