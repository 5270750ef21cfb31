"""What exporters said → our series and GPU readings, the same through whichever door it came.

Knows the ready-made sets, and what NaN and DCGM's "not supported" mean. Pure: no network, no
database, no clock. What cannot be a reading is a reject; what an exporter cannot measure stays
unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gpu_probe import wire
from ingest.records import EARLIEST, MetricRecord, Reject, SeriesKey
from ingest.sources.metrics.sets import (
    CPU_BUSY_SECONDS,
    CPU_SECONDS,
    CPUS,
    ENGINE_ACTIVE,
    MEANINGS,
    Meaning,
)

Labels = tuple[tuple[str, str], ...]

MAX_LABEL_CHARS = 500

DCGM_BLANKS = frozenset(
    float(start + offset)
    for start in (0x7FFFFFF0, 2**47, 0x7FFFFFFFFFFFFFF0)
    for offset in range(4)
)
"""What DCGM writes for blank, not found, not supported and not permitted."""

CPU_IDLE = ("idle", "iowait")
"""While a CPU waits for a disk another process could have it."""

UUID_LABELS = ("UUID", "uuid")
HOST_LABELS = ("Hostname", "hostname", "instance")
MIG_LABEL = "GPU_I_ID"
UNNAMED_GPU = "NVIDIA GPU"
ENGINE_FIELD = "engine_active_ratio"

_WHOLE_NUMBERS = frozenset(
    {
        "memory_used_bytes", "memory_total_bytes", "memory_reserved_bytes", "energy_mj",
        "sm_clock_mhz", "temperature_c", "clock_event_reasons", "ecc_uncorrected_errors",
    }
)  # fmt: skip
_MEASURED = _WHOLE_NUMBERS | {"utilization_pct", "power_w", "power_limit_w"}


@dataclass(frozen=True, slots=True)
class Said:
    """One series as an exporter told it; `labels` come from `labels_of`."""

    name: str
    labels: Labels
    points: Sequence[tuple[datetime, float]]
    kind: str = "untyped"


@dataclass(slots=True)
class Readings:
    records: list[MetricRecord] = field(default_factory=list)
    gpus: list[wire.Batch] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


@dataclass(slots=True)
class _Series:
    key: SeriesKey
    values: dict[datetime, tuple[int, float]] = field(default_factory=dict)
    """When → (rank of the exporter's name, value)."""


@dataclass(slots=True)
class _Gpu:
    """One GPU at one moment."""

    labels: Labels
    values: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Field → (rank of the exporter's name, value)."""


@dataclass(slots=True)
class _Host:
    """One host's CPUs at one moment."""

    seconds: float = 0.0
    busy_seconds: float = 0.0
    cpus: set[str] = field(default_factory=set)
    is_whole: bool = True


def labels_of(labels: Mapping[str, str], *without: str) -> Labels:
    return tuple(
        (name, text[:MAX_LABEL_CHARS].replace("\0", "\ufffd"))
        for name, text in sorted(labels.items())
        if name not in without
    )


def read(
    said: Iterable[Said],
    sets: Sequence[str],
    prefixes: tuple[str, ...] = (),
    *,
    read_until: datetime | None = None,
) -> Readings:
    """The readings of these sets, and as they are those whose name begins with a prefix.

    What is at or before `read_until` was read once already: its rejects are known.
    """
    reader = _Reader(frozenset(sets), prefixes, read_until or EARLIEST)
    for reading in said:
        reader.take(reading)
    return reader.finish()


def is_wanted(name: str, sets: frozenset[str], prefixes: tuple[str, ...]) -> bool:
    meaning = MEANINGS.get(name)
    return (meaning is not None and meaning.set in sets) or name.startswith(prefixes)


class _Reader:
    """Looks at names and labels once a series, for there may be thousands with many points each."""

    def __init__(
        self, sets: frozenset[str], prefixes: tuple[str, ...], read_until: datetime
    ) -> None:
        self.sets, self.prefixes, self.read_until = sets, prefixes, read_until
        self.rejects: list[Reject] = []
        self.series: dict[tuple[str, Labels], _Series] = {}
        self.gpus: dict[str, dict[datetime, _Gpu]] = {}
        self.hosts: dict[Labels, dict[datetime, _Host]] = {}

    def take(self, said: Said) -> None:
        if not is_wanted(said.name, self.sets, self.prefixes):
            return
        meaning = MEANINGS.get(said.name)
        if meaning is not None and meaning.set not in self.sets:
            meaning = None
        if meaning is not None and meaning.metric.per_cpu:
            self._take_cpu(said)
        else:
            self._take_sound(replace(said, points=self._sound(said)), meaning)

    def _sound(self, said: Said) -> list[tuple[datetime, float]]:
        is_quantile = bool(_label(said.labels, "quantile"))
        sound = []
        for at, value in said.points:
            if is_quantile and math.isnan(value):
                continue  # of no observations: nothing happened, and nothing is wrong
            if self._is_sound(said, at, value):
                sound.append((at, value))
        return sound

    def _is_sound(self, said: Said, at: datetime, value: float) -> bool:
        if not math.isfinite(value):
            detail = "NaN and infinity are no readings; this one was left out."
            self._refuse(said, at, "not_finite", "value", detail)
            return False
        if value in DCGM_BLANKS and said.name.startswith(("DCGM_", "dcgm_")):
            detail = "The exporter says that it cannot measure this."
            self._refuse(said, at, "not_supported", "value", detail)
            return False
        return True

    def _take_sound(self, said: Said, meaning: Meaning | None) -> None:
        if meaning is None:
            self._take_series(said, SeriesKey(said.name, said.kind, "", said.labels), 1.0, 0)
            return
        metric, is_whole_gpu = meaning.metric, _is_whole_gpu(said.labels)
        if metric.gpu and is_whole_gpu:
            self._take_gpu(said, metric.gpu, metric.factor, meaning.rank)
            return
        if metric.name == ENGINE_ACTIVE and is_whole_gpu:
            self._take_gpu(said, ENGINE_FIELD, 1.0, meaning.rank)
        key = SeriesKey(metric.name, metric.kind, metric.unit, said.labels)
        self._take_series(said, key, metric.factor, meaning.rank)

    def _take_series(self, said: Said, key: SeriesKey, factor: float, rank: int) -> None:
        """The newest name of a thing counts where an exporter still tells the older one too."""
        values = self.series.setdefault((key.name, key.labels), _Series(key)).values
        for at, value in said.points:
            held = values.get(at)
            if held is None or rank < held[0]:
                values[at] = (rank, value * factor)
            elif held[0] == rank:
                self._repeated(said, at)

    def _take_gpu(self, said: Said, name: str, factor: float, rank: int) -> None:
        moments = self.gpus.setdefault(_first(said.labels, UUID_LABELS), {})
        for at, value in said.points:
            gpu = moments.setdefault(at, _Gpu(said.labels))
            held = gpu.values.get(name)
            if held is None or rank < held[0]:
                gpu.values[name] = (rank, value * factor)
            # A GPU that several pods share stands there once for each, with the same value.
            elif held[0] == rank and gpu.labels == said.labels:
                self._repeated(said, at)

    def _take_cpu(self, said: Said) -> None:
        labels = tuple(label for label in said.labels if label[0] not in ("cpu", "mode"))
        cpu, is_busy = _label(said.labels, "cpu"), _label(said.labels, "mode") not in CPU_IDLE
        moments = self.hosts.setdefault(labels, {})
        for at, value in said.points:
            host = moments.setdefault(at, _Host())
            if not self._is_sound(said, at, value):
                host.is_whole = False  # a sum without one of its parts would look like a reset
                continue
            host.cpus.add(cpu)
            host.seconds += value
            host.busy_seconds += value if is_busy else 0.0

    def _repeated(self, said: Said, at: datetime) -> None:
        detail = "The same series stands twice; the first one counts."
        self._refuse(said, at, "repeated_series", "labels", detail)

    def _refuse(self, said: Said, at: datetime, reason: str, field: str, detail: str) -> None:
        if at > self.read_until:
            self.rejects.append(Reject(reason, field, detail, external_id=said.name))

    def finish(self) -> Readings:
        records = [
            MetricRecord(series.key, at, value)
            for series in self.series.values()
            for at, (_, value) in series.values.items()
        ]
        for labels, moments in self.hosts.items():
            for at, host in moments.items():
                if host.is_whole:
                    records += _of_host(labels, at, host)
        return Readings(records, self._batches(), self.rejects)

    def _batches(self) -> list[wire.Batch]:
        hosts: dict[str, list[wire.GpuReading]] = {}
        for uuid, moments in self.gpus.items():
            for at, gpu in moments.items():
                refused: list[Reject] = []
                reading = _gpu_reading(uuid, at, gpu, refused)
                if at > self.read_until:
                    self.rejects += refused
                if reading is not None:
                    hosts.setdefault(_host(gpu.labels), []).append(reading)
        return [_batch(host, readings) for host, readings in hosts.items()]


def _of_host(labels: Labels, at: datetime, host: _Host) -> list[MetricRecord]:
    return [
        MetricRecord(SeriesKey(CPU_SECONDS, "counter", "s", labels), at, host.seconds),
        MetricRecord(SeriesKey(CPU_BUSY_SECONDS, "counter", "s", labels), at, host.busy_seconds),
        MetricRecord(SeriesKey(CPUS, "gauge", "", labels), at, float(len(host.cpus))),
    ]


def _label(labels: Labels, name: str) -> str:
    return next((text for key, text in labels if key == name), "")


def _first(labels: Labels, names: Sequence[str]) -> str:
    return next((text for name in names if (text := _label(labels, name))), "")


def _is_whole_gpu(labels: Labels) -> bool:
    """A slice of a GPU (MIG) has the whole one's id, and is not the whole one."""
    return bool(_first(labels, UUID_LABELS)) and not _label(labels, MIG_LABEL)


def _host(labels: Labels) -> str:
    said = _first(labels, HOST_LABELS)
    return said.rpartition(":")[0] or said or "unknown host"


def _gpu_reading(
    uuid: str, at: datetime, gpu: _Gpu, rejects: list[Reject]
) -> wire.GpuReading | None:
    """The wire's own limits hold here too: a value outside them is unknown and said so."""
    index = _label(gpu.labels, "gpu")
    reading = wire.GpuReading(
        uuid=uuid,
        index=int(index) if index.isdecimal() and len(index) < 5 else 0,
        name=_label(gpu.labels, "modelName") or UNNAMED_GPU,
        at=at.timestamp(),
        **_measured({name: value for name, (_, value) in gpu.values.items()}),
    )
    while True:
        try:
            wire.check_reading(reading)
        except wire.WireError as error:
            detail = f"{error}; this value was left out."
            rejects.append(Reject("impossible_value", error.field, detail, external_id=uuid))
            if error.field not in _MEASURED:
                return None
            unknown: dict[str, Any] = {error.field: None}
            reading = replace(reading, **unknown)
        else:
            return reading


def _measured(said: dict[str, float]) -> dict[str, Any]:
    values = {name: said[name] for name in _MEASURED if name in said}
    if "utilization_pct" not in values and ENGINE_FIELD in said:
        values["utilization_pct"] = said[ENGINE_FIELD] * 100
    if "memory_total_bytes" not in values and {"memory_used_bytes", "memory_free_bytes"} <= set(
        said
    ):
        # Without the driver's own share it is the memory that programs can have.
        parts = ("memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes")
        values["memory_total_bytes"] = sum(said.get(part, 0.0) for part in parts)
    return {
        name: round(value) if name in _WHOLE_NUMBERS else value for name, value in values.items()
    }


def _batch(host: str, readings: list[wire.GpuReading]) -> wire.Batch:
    """As from a probe on that host; nothing numbers what is pulled."""
    return wire.Batch(
        host=host,
        pool="",
        probe_version="DCGM exporter",
        driver_version=None,
        boot_id="",
        sequence=0,
        simulated=False,
        readings=tuple(readings),
    )
