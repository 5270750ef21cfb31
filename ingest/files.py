"""Takes a whole file into a source: reads it, stores it, says what became of its rows.

Knows batches. Refuses to parse (the source's adapter does) and to write facts (`store` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from ingest import store
from ingest.models import Source
from ingest.records import Reject
from ingest.sources import REGISTRY
from ingest.sources.base import FileSource, Reading
from ingest.sources.textfile import sha256_of
from ingest.store import Counts

BATCH_ROWS = 5_000


@dataclass(frozen=True)
class Taken:
    """What became of one file."""

    counts: Counts
    warnings: tuple[str, ...] = ()
    repeats: datetime | None = None
    """When the very same bill was taken before; None for a new one."""
    delivery_id: int | None = None


def take(source: Source, path: Path, *, name: str, complete: bool = True) -> Taken:
    """Store one file. Taking it again changes nothing. Raises BadFile and BadConfig.

    A request log is stored batch by batch: dying in the middle leaves whole batches, and taking
    the file again adds the rest. A bill is one transaction.
    """
    adapter = REGISTRY[source.kind]
    assert isinstance(adapter, FileSource)
    reading = adapter.read(path, source.config)
    if source.kind == "focus_csv":
        return _take_bill(source, path, name, reading, complete)
    return _take_spans(source, reading)


def _take_bill(source: Source, path: Path, name: str, reading: Reading, complete: bool) -> Taken:
    result = store.bill(source, name=name, sha256=sha256_of(path), complete=complete, rows=reading)
    repeats = result.delivery.received_at if result.repeated else None
    return Taken(result.counts, tuple(reading.warnings), repeats, result.delivery.pk)


def _take_spans(source: Source, reading: Reading) -> Taken:
    counts = Counts()
    rows = iter(reading)
    while batch := list(islice(rows, BATCH_ROWS)):
        spans = [row for row in batch if not isinstance(row, Reject)]
        counts += store.spans(source, spans, [row for row in batch if isinstance(row, Reject)])
    return Taken(counts, tuple(reading.warnings))
