"""Fewer readings that say the same, and how many series are too many.

Knows steps and falls of counters. Pure: no network, no database, no clock. It refuses to thin a
reset away, and to take part of a metric: its sum would be wrong, while none of it is unknown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TypeVar

from gpu_probe.wire import Batch, GpuReading
from ingest.records import MetricRecord, Reject
from ingest.sources.metrics.readings import Readings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
GPU_READINGS = "GPU readings"

T = TypeVar("T")


def floor(at: datetime, step: timedelta) -> datetime:
    return EPOCH + (at - EPOCH) // step * step


def series(records: Iterable[MetricRecord], step: timedelta) -> list[MetricRecord]:
    """The last reading of each series in each step, and both sides of every fall of a counter."""
    kept: list[MetricRecord] = []
    for own in _grouped(records, lambda record: record.series).values():
        kept += _thin(own, step, lambda record: record.at, _counted)
    return kept


def gpus(batches: Sequence[Batch], step: timedelta) -> list[Batch]:
    return [
        replace(
            batch,
            readings=tuple(
                reading
                for own in _grouped(batch.readings, lambda reading: reading.uuid).values()
                for reading in _thin(own, step, _moment, lambda reading: reading.energy_mj)
            ),
        )
        for batch in batches
    ]


def crowded(counts: Mapping[str, int], most: int) -> list[str]:
    """Which names to leave out, those with the most series first, until the others fit."""
    left_out, total = [], sum(counts.values())
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        if total <= most:
            break
        left_out.append(name)
        total -= counts[name]
    return left_out


def too_many(name: str, count: int, total: int, most: int) -> Reject:
    detail = (
        f"{name} has {count:,} of {total:,} series, more than {most:,} in all: left out whole, so"
        " that the others stay. Narrow the source, or raise max_series."
    )
    return Reject("too_many_series", "max_series", detail, external_id=name)


def within(found: Readings, most: int) -> Readings:
    """At most so many series and GPUs; what is left out is said."""
    counts = Counter(record.series.name for record in {r.series: r for r in found.records}.values())
    uuids = {reading.uuid for batch in found.gpus for reading in batch.readings}
    if uuids:
        counts[GPU_READINGS] = len(uuids)
    left_out = set(crowded(counts, most))
    if not left_out:
        return found
    total = sum(counts.values())
    return Readings(
        [record for record in found.records if record.series.name not in left_out],
        [] if GPU_READINGS in left_out else found.gpus,
        [*found.rejects, *(too_many(n, counts[n], total, most) for n in sorted(left_out))],
    )


def _thin(
    readings: list[T],
    step: timedelta,
    at: Callable[[T], datetime],
    counted: Callable[[T], float | None],
) -> Iterator[T]:
    readings.sort(key=at)
    # A reading closes its step: (12:00, 12:01] is the step of 12:01.
    places = [-((EPOCH - at(reading)) // step) for reading in readings]
    keep = {place: at_last for at_last, place in enumerate(places)}
    kept = set(keep.values())
    for after, (earlier, later) in enumerate(pairwise(readings), 1):
        before, now = counted(earlier), counted(later)
        if before is not None and now is not None and now < before:
            kept |= {after - 1, after}
    return (reading for place, reading in enumerate(readings) if place in kept)


def _counted(record: MetricRecord) -> float | None:
    return record.value if record.series.kind == "counter" else None


def _moment(reading: GpuReading) -> datetime:
    return datetime.fromtimestamp(reading.at, UTC)


K = TypeVar("K")


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
