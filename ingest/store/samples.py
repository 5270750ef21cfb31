"""Readings of metrics and GPUs. A reading sent twice is one reading."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

from django.utils import timezone

from gpu_probe import wire
from gpu_probe.wire import Batch, GpuReading
from ingest import kept, partitions, quarantine
from ingest.jobs import Lease
from ingest.models import Source
from ingest.records import EARLIEST, MAX_FUTURE, MetricRecord, Reject, SeriesKey

from . import gpu_users
from .counting import (
    Counts,
    copy_rows,
    count_into_hour,
    delivery_transaction,
    hour_of,
    make_staging,
    mark_dirty,
    note_success,
    quarantine_rejects,
    sealed_reject,
)

GPU_BATCH = "gpu.batch"
"""How quarantine names a batch of one reading."""
NOT_ADDED = "A reading says nothing without its neighbours, which are gone: the sums stay."


def metrics(
    source: Source,
    records: Sequence[MetricRecord],
    rejects: Sequence[Reject] = (),
    *,
    gpus: Sequence[Batch] = (),
    lease: Lease | None = None,
    position: dict | None = None,
) -> Counts:
    """Store readings of Prometheus series, and of GPUs read with them, for the source's pool."""
    pool = _pool_of(source)
    refused = list(rejects)
    sound = [record for record in records if not _metric_refused(record, refused)]
    with delivery_transaction(lease) as cursor:
        series = _series_ids(cursor, pool, {record.series for record in sound})
        rows = {
            (series[record.series], record.at): (record.at.date(), record.value) for record in sound
        }
        stored = _write(
            cursor,
            partitions.METRIC_SAMPLE,
            pool,
            ("series_id", "value"),
            ("int8", "float8"),
            [(day, at, identity, value) for (identity, at), (day, value) in sorted(rows.items())],
            refused,
        )
        moments = [at for _, at in rows]
        stored += Counts(stale=len(sound) - len(rows))
        for batch in gpus:
            stored += _write_gpus(cursor, pool, batch, refused, moments)
        return _close(cursor, source, stored, refused, moments, position)


def gpus(
    source: Source,
    batch: Batch,
    rejects: Sequence[Reject] = (),
    *,
    lease: Lease | None = None,
    position: dict | None = None,
) -> Counts:
    """Store one batch of a GPU probe for the source's pool."""
    pool = _pool_of(source)
    refused = list(rejects)
    moments: list[datetime] = []
    with delivery_transaction(lease) as cursor:
        stored = _write_gpus(cursor, pool, batch, refused, moments)
        return _close(cursor, source, stored, refused, moments, position)


def _write_gpus(
    cursor: Any, pool: int, batch: Batch, refused: list[Reject], moments: list[datetime]
) -> Counts:
    """Upsert a batch; `moments` gets the times of its readings."""
    before = len(refused)
    readings = {
        (reading.uuid, _at(reading)): reading
        for reading in batch.readings
        if not _reading_refused(batch, reading, refused)
    }
    repeats = len(batch.readings) - len(readings) - (len(refused) - before)
    known = _gpu_ids(cursor, pool, batch, list(readings.values()))
    gpu_users.keep(cursor, known, readings.values())
    moments += [at for _, at in readings]
    stored = _write(
        cursor,
        partitions.GPU_SAMPLE,
        pool,
        ("gpu_id", *(column for column, _, _ in GPU_COLUMNS)),
        ("int8", *(kind for _, kind, _ in GPU_COLUMNS)),
        [
            (at.date(), at, known[uuid], *_measured(reading))
            for (uuid, at), reading in sorted(readings.items())
        ],
        refused,
    )
    return stored + Counts(stale=repeats)


def _close(
    cursor: Any,
    source: Source,
    stored: Counts,
    refused: list[Reject],
    moments: list[datetime],
    position: dict | None,
) -> Counts:
    """The bookkeeping of a delivery, last in its transaction."""
    quarantine_rejects(source, refused)
    counts = stored + Counts(rejected=len(refused))
    count_into_hour(cursor, source, counts)
    note_success(cursor, source, max(moments, default=None), position)
    return counts


GPU_COLUMNS = (
    # column, type, the reading's own name
    ("utilization_pct", "float8", "utilization_pct"),
    ("memory_used_bytes", "int8", "memory_used_bytes"),
    ("power_w", "float8", "power_w"),
    ("power_limit_w", "float8", "power_limit_w"),
    ("energy_mj", "int8", "energy_mj"),
    ("sm_clock_mhz", "int4", "sm_clock_mhz"),
    ("temperature_c", "float8", "temperature_c"),
    ("clock_event_reasons", "int8", "clock_event_reasons"),
    ("ecc_uncorrected", "int8", "ecc_uncorrected_errors"),
    ("memory_reserved_bytes", "int8", "memory_reserved_bytes"),
    ("ecc_corrected", "int8", "ecc_corrected_errors"),
    ("remapped_corrected", "int4", "remapped_rows_corrected"),
    ("remapped_uncorrected", "int4", "remapped_rows_uncorrected"),
    ("remap_pending", "bool", "remapped_rows_pending"),
    ("remap_failed", "bool", "remapped_rows_failed"),
    ("xid_errors", "int4", "xid_errors"),
    ("last_xid", "int4", "last_xid"),
    ("process_count", "int4", "process_count"),
    ("is_mig", "bool", "mig_mode"),
    ("is_lost", "bool", "lost"),
)


_measured = attrgetter(*(name for _, _, name in GPU_COLUMNS))


def _pool_of(source: Source) -> int:
    if source.pool_id is None:
        raise ValueError(f"Source {source.name} has no pool; choose the pool its samples are of.")
    return source.pool_id


def _write(
    cursor: Any,
    table: partitions.Partitioned,
    pool: int,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    refused: list[Reject],
) -> Counts:
    """Upsert readings (day, at, identity, values…) and mark their hours."""
    closed = partitions.sealed(table, {row[0] for row in rows})
    refused += [sealed_reject(row[0], str(row[2]), NOT_ADDED) for row in rows if row[0] in closed]
    rows = [row for row in rows if row[0] not in closed]
    if not rows:
        return Counts()
    partitions.ensure(table, {row[0] for row in rows})
    staging = f"{table.table}_in"
    staged = dict(zip(("day", "at", *columns), ("date", "timestamptz", *types), strict=True))
    names, identity, values = list(staged), columns[0], columns[1:]
    make_staging(cursor, staging, staged)
    copy_rows(cursor, staging, staged, rows)
    cursor.execute(
        f"INSERT INTO {table.table} AS s (pool_id, {', '.join(names)})"
        f" SELECT %s, {', '.join(names)} FROM {staging}"
        f" ON CONFLICT (pool_id, day, {identity}, at) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in values)
        + f" WHERE ({', '.join(f's.{name}' for name in values)}) IS DISTINCT FROM"
        f" ({', '.join(f'excluded.{name}' for name in values)})"
        f" RETURNING old.at IS NULL, new.at",
        [pool],
    )
    changed = cursor.fetchall()
    mark_dirty(cursor, "pool", pool, {hour_of(at) for _, at in changed})
    inserted = sum(new for new, _ in changed)
    return Counts(inserted, len(changed) - inserted, len(rows) - len(changed))


def _metric_refused(record: MetricRecord, refused: list[Reject]) -> bool:
    problem = None
    if not math.isfinite(record.value):
        problem = ("not_finite", "value", "NaN and infinity are no readings; leave the sample out.")
    elif not EARLIEST <= record.at <= timezone.now() + MAX_FUTURE:
        problem = ("impossible_time", "at", f"{record.at.isoformat()}: check the server's clock.")
    if problem:
        named = Reject(*problem, external_id=record.series.name)
        refused.append(kept.with_record(named, record))
    return problem is not None


def _at(reading: GpuReading) -> datetime:
    return datetime.fromtimestamp(reading.at, UTC)


def _reading_refused(batch: Batch, reading: GpuReading, refused: list[Reject]) -> bool:
    """The wire has checked its values; only the server's clock can tell the future."""
    if _at(reading) <= timezone.now() + MAX_FUTURE:
        return False
    detail = f"{_at(reading).isoformat()} is over five minutes ahead. Check the host's clock."
    alone = json.loads(wire.encode(replace(batch, readings=(reading,))))
    refused.append(
        Reject(
            "in_the_future", "at", detail, external_id=reading.uuid,
            payload=quarantine.payload(alone), form=GPU_BATCH,
        )
    )  # fmt: skip
    return True


@lru_cache(maxsize=50_000)
def fingerprint(series: SeriesKey) -> bytes:
    text = "\x1f".join((series.name, *(f"{name}\x1e{value}" for name, value in series.labels)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def _series_ids(cursor: Any, pool: int, wanted: set[SeriesKey]) -> dict[SeriesKey, int]:
    by_print = {fingerprint(series): series for series in wanted}

    def find() -> dict[SeriesKey, int]:
        cursor.execute(
            "SELECT fingerprint, id FROM ingest_series"
            " WHERE pool_id = %s AND fingerprint = ANY(%s)",
            [pool, list(by_print)],
        )
        return {by_print[bytes(mark)]: identity for mark, identity in cursor.fetchall()}

    known = find()
    fresh = [series for series in wanted if series not in known]
    if not fresh:
        return known
    cursor.executemany(
        "INSERT INTO ingest_series"
        " (pool_id, name, kind, unit, labels, fingerprint, first_seen_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING",
        [
            (pool, key.name, key.kind, key.unit, json.dumps(dict(key.labels)), fingerprint(key))
            for key in sorted(fresh, key=fingerprint)
        ],
    )
    return find()


def _gpu_ids(cursor: Any, pool: int, batch: Batch, readings: list[GpuReading]) -> dict[str, int]:
    latest = {reading.uuid: reading for reading in sorted(readings, key=lambda r: r.at)}
    cursor.executemany(
        "INSERT INTO ingest_gpu"
        " (pool_id, uuid, host, index, name, memory_total_bytes, simulated, last_seen_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (pool_id, uuid) DO UPDATE SET"
        " host = excluded.host, index = excluded.index, name = excluded.name,"
        " memory_total_bytes = coalesce(excluded.memory_total_bytes,"
        " ingest_gpu.memory_total_bytes),"
        " last_seen_at = greatest(excluded.last_seen_at, ingest_gpu.last_seen_at)",
        [
            (
                pool, uuid, batch.host, reading.index, reading.name, reading.memory_total_bytes,
                batch.simulated, _at(reading),
            )
            for uuid, reading in sorted(latest.items())
        ],
    )  # fmt: skip
    cursor.execute(
        "SELECT uuid, id FROM ingest_gpu WHERE pool_id = %s AND uuid = ANY(%s)",
        [pool, list(latest)],
    )
    return dict(cursor.fetchall())
