"""Who uses a GPU now: its processes and slices, as its newest reading told them.

Knows the newest state alone; a reading that is older than what is held changes nothing, whatever
order batches come in. Refuses to take silence for "nobody": readings that tell nothing of users
(DCGM's, say) leave the state as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gpu_probe.wire import GpuReading


def keep(cursor: Any, known: Mapping[str, int], readings: Iterable[GpuReading]) -> None:
    """Hold the newest of these readings for each GPU, inside the caller's transaction."""
    newest: dict[str, GpuReading] = {}
    for reading in readings:
        if _tells(reading) and reading.at >= newest.get(reading.uuid, reading).at:
            newest[reading.uuid] = reading
    for uuid, reading in sorted(newest.items()):
        if _claim(cursor, known[uuid], reading):
            _replace(cursor, known[uuid], reading)


def _tells(reading: GpuReading) -> bool:
    told = (reading.mig_mode, reading.process_count, reading.processes, reading.mig_instances)
    return reading.lost or any(part is not None for part in told)


def _claim(cursor: Any, gpu: int, reading: GpuReading) -> bool:
    """Whether this reading is newer than what is held; then what is held of the GPU is its own."""
    at = datetime.fromtimestamp(reading.at, UTC)
    cursor.execute(
        "UPDATE ingest_gpu SET told_at = %s, process_count = %s, is_mig = %s, is_lost = %s"
        " WHERE id = %s AND (told_at IS NULL OR told_at < %s)",
        [at, reading.process_count, reading.mig_mode, reading.lost, gpu, at],
    )
    return bool(cursor.rowcount == 1)


def _replace(cursor: Any, gpu: int, reading: GpuReading) -> None:
    cursor.execute("DELETE FROM ingest_gpuprocess WHERE gpu_id = %s", [gpu])
    cursor.execute("DELETE FROM ingest_miginstance WHERE gpu_id = %s", [gpu])
    cursor.executemany(
        "INSERT INTO ingest_gpuprocess (gpu_id, pid, name, mig_uuid, memory_used_bytes)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [
            (gpu, one.pid, one.name or "", one.mig_uuid or "", one.memory_used_bytes)
            for one in reading.processes or ()
        ],
    )
    cursor.executemany(
        "INSERT INTO ingest_miginstance (gpu_id, uuid, profile, gpu_instance_id,"
        " compute_instance_id, memory_used_bytes, memory_total_bytes, memory_reserved_bytes)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        [
            (
                gpu, one.uuid, one.profile or "", one.gpu_instance_id, one.compute_instance_id,
                one.memory_used_bytes, one.memory_total_bytes, one.memory_reserved_bytes,
            )
            for one in reading.mig_instances or ()
        ],
    )  # fmt: skip
