"""Takes a whole file into a source: reads it, stores it, says what became of its rows.

Knows batches. Refuses to parse (the source's adapter does) and to write facts (`store` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from ingest import store
from ingest.models import Source
from ingest.records import Reject
from ingest.sources import REGISTRY, bills
from ingest.sources.base import BadFile, BillFileSource, FileSource, Reading
from ingest.sources.bill_file import BillFile, options_of
from ingest.sources.bills.deliveries import SETTLED_AFTER, Planned, Stored, of_one_view, plan
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
    if isinstance(adapter, BillFileSource):
        reading = adapter.read(path, source.config, name)
        return _take_bill(source, path, name, reading, complete)
    return _take_spans(source, adapter.read(path, source.config))


def _take_bill(source: Source, path: Path, name: str, reading: Reading, complete: bool) -> Taken:
    result = store.bill(source, name=name, sha256=sha256_of(path), complete=complete, rows=reading)
    if result.repeated:
        return Taken(result.counts, (), result.delivery.received_at, result.delivery.pk)
    return Taken(result.counts, tuple(result.delivery.warnings), None, result.delivery.pk)


def take_folder(source: Source, folder: Path, now: datetime) -> list[tuple[str, Taken]]:
    """Every delivery of a folder, by its manifests. Taking it again changes nothing.

    A file that no manifest names is kept and not believed. Raises BadFile and BadConfig.
    """
    adapter = REGISTRY[source.kind]
    assert isinstance(adapter, BillFile)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    stored = [
        Stored(
            path.relative_to(folder).as_posix(),
            path.stat().st_size,
            sha256_of(path).hex(),
            datetime.fromtimestamp(path.stat().st_mtime, UTC),
        )
        for path in files
    ]
    # Nobody is still writing what a person hands in.
    found = plan(
        stored, lambda key: (folder / key).read_bytes(), now + SETTLED_AFTER, alone_is_whole=False
    )
    if found.unreadable:
        raise BadFile(
            f"{found.unreadable[0]} is no manifest known here; those of AWS reports, AWS data"
            " exports and Azure exports are. Take it out of the folder."
        )
    wanted = of_one_view(found.deliveries, adapter.check_config(source.config)["format"])
    return [(one.name, _take_planned(source, adapter, folder, one)) for one in wanted]


def _take_planned(source: Source, adapter: BillFile, folder: Path, planned: Planned) -> Taken:
    options = options_of(adapter.check_config(source.config), planned.format)
    files = [bills.File(folder / one.key, Path(one.key).name) for one in planned.files]
    result = store.bill(
        source,
        name=planned.name,
        sha256=planned.sha256,
        complete=planned.complete,
        note=planned.note,
        rows=bills.read_all(files, options),
    )
    repeats = result.delivery.received_at if result.repeated else None
    warnings = (
        ()
        if result.repeated
        else (*([planned.note] if planned.note else []), *result.delivery.warnings)
    )
    return Taken(result.counts, warnings, repeats, result.delivery.pk)


def _take_spans(source: Source, reading: Reading) -> Taken:
    counts = Counts()
    rows = iter(reading)
    while batch := list(islice(rows, BATCH_ROWS)):
        spans = [row for row in batch if not isinstance(row, Reject)]
        counts += store.spans(source, spans, [row for row in batch if isinstance(row, Reject)])
    return Taken(counts, tuple(reading.warnings))
