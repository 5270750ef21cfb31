"""Whether GPUs are well, what held their clocks back, who uses them. Unknown is never "none"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingest.models import Gpu, GpuProcess, MigInstance

from .book import rows


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHealth:
    """One GPU over the window. Errors are those that came in it; None is "was not told"."""

    reasons_s: float | None = None
    """Seconds in which the GPU told what holds its clocks."""
    throttled_s: float | None = None
    """Of those, in which something held back speed that is paid for; not the power cap."""
    thermal_s: float | None = None
    power_brake_s: float | None = None
    power_cap_s: float | None = None
    """Normal under load: the GPU draws all that it may."""
    lost_s: float | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    remapped_rows: int | None = None
    """Memory rows replaced over the GPU's life."""
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    xid_errors: int | None = None
    last_xid: int | None = None

    @property
    def throttled_share(self) -> float | None:
        return self._share(self.throttled_s)

    @property
    def thermal_share(self) -> float | None:
        return self._share(self.thermal_s)

    @property
    def power_brake_share(self) -> float | None:
        return self._share(self.power_brake_s)

    @property
    def power_cap_share(self) -> float | None:
        return self._share(self.power_cap_s)

    def _share(self, held_s: float | None) -> float | None:
        return held_s / self.reasons_s if held_s is not None and self.reasons_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    pid: int
    name: str
    """Empty where the probe was not told to send names."""
    mig_uuid: str
    memory_used_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRow:
    """A MIG instance. Its utilisation is not here because NVML has none of it."""

    uuid: str
    profile: str
    gpu_instance_id: int | None
    compute_instance_id: int | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    memory_reserved_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUse:
    """Who uses it now, that is at `told_at`; None where no probe ever told."""

    told_at: datetime | None
    is_lost: bool
    is_mig: bool | None
    process_count: int | None
    processes: tuple[ProcessRow, ...]
    """Those with most memory, the most first; `process_count` counts all."""
    mig_instances: tuple[SliceRow, ...]


HEALTH = """
SELECT gpu_id, sum(reasons_s), sum(throttled_s), sum(thermal_s), sum(power_brake_s),
    sum(power_cap_s), sum(lost_s), sum(ecc_corrected)::bigint, sum(ecc_uncorrected)::bigint,
    max(remapped_rows),
    (array_agg(remap_pending ORDER BY day DESC) FILTER (WHERE remap_pending IS NOT NULL))[1],
    (array_agg(remap_failed ORDER BY day DESC) FILTER (WHERE remap_failed IS NOT NULL))[1],
    sum(xid_errors)::bigint,
    (array_agg(last_xid ORDER BY day DESC) FILTER (WHERE xid_errors > 0))[1]
FROM ingest_gpu_day WHERE day BETWEEN %(first_day)s AND %(last_day)s GROUP BY gpu_id"""

FIELDS = (
    "reasons_s", "throttled_s", "thermal_s", "power_brake_s", "power_cap_s", "lost_s",
    "ecc_corrected", "ecc_uncorrected", "remapped_rows", "remap_pending", "remap_failed",
    "xid_errors", "last_xid",
)  # fmt: skip


def health(given: dict[str, Any]) -> dict[int, GpuHealth]:
    """By GPU, over the days from `first_day` to `last_day`."""
    return {
        gpu: GpuHealth(**dict(zip(FIELDS, told, strict=True))) for gpu, *told in rows(HEALTH, given)
    }


def use(gpus: Iterable[Gpu]) -> dict[int, GpuUse]:
    """By GPU, as its newest reading has it, in two queries however many there are."""
    listed = {gpu.pk: gpu for gpu in gpus}
    processes: dict[int, list[ProcessRow]] = {}
    for process in GpuProcess.objects.filter(gpu__in=listed):
        row = ProcessRow(
            pid=process.pid,
            name=process.name,
            mig_uuid=process.mig_uuid,
            memory_used_bytes=process.memory_used_bytes,
        )
        processes.setdefault(process.gpu_id, []).append(row)
    slices: dict[int, list[SliceRow]] = {}
    for part in MigInstance.objects.filter(gpu__in=listed):
        slices.setdefault(part.gpu_id, []).append(_slice(part))
    return {
        key: GpuUse(
            told_at=gpu.told_at,
            is_lost=gpu.is_lost,
            is_mig=gpu.is_mig,
            process_count=gpu.process_count,
            processes=tuple(processes.get(key, ())),
            mig_instances=tuple(slices.get(key, ())),
        )
        for key, gpu in listed.items()
    }


def _slice(part: MigInstance) -> SliceRow:
    return SliceRow(
        uuid=part.uuid,
        profile=part.profile,
        gpu_instance_id=part.gpu_instance_id,
        compute_instance_id=part.compute_instance_id,
        memory_used_bytes=part.memory_used_bytes,
        memory_total_bytes=part.memory_total_bytes,
        memory_reserved_bytes=part.memory_reserved_bytes,
    )
