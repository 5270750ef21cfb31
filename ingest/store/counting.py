"""What became of the rows of one delivery, and the bookkeeping every kind of fact shares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ingest import encryption, failpoints
from ingest.jobs import Lease
from ingest.models import Delivery, Project, Reject, Source
from ingest.privacy import looks_like_text
from ingest.records import Reject as RejectRecord


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows in = inserted + updated + unchanged + stale + rejected."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    rejected: int = 0

    @property
    def rows_in(self) -> int:
        return self.inserted + self.updated + self.unchanged + self.stale + self.rejected

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.stale + other.stale,
            self.rejected + other.rejected,
        )

    def as_dict(self) -> dict[str, int]:
        return {
            "rows_in": self.rows_in,
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "stale": self.stale,
            "rejected": self.rejected,
        }


@contextmanager
def delivery_transaction(lease: Lease | None) -> Iterator[Any]:
    """One transaction with a cursor; a worker whose lease ran out cannot write in it."""
    with transaction.atomic():
        if lease is not None:
            lease.check()
        failpoints.hit("store.begun")
        with connection.cursor() as cursor:
            yield cursor
        failpoints.hit("store.before_commit")
    failpoints.hit("store.after_commit")


def make_staging(cursor: Any, table: str, columns: dict[str, str]) -> None:
    """An empty temporary table; a caller may store several deliveries in one transaction."""
    listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    cursor.execute(f"CREATE TEMP TABLE IF NOT EXISTS {table} ({listed}) ON COMMIT DELETE ROWS")
    cursor.execute(f"DELETE FROM {table}")


def copy_rows(
    cursor: Any, table: str, columns: dict[str, str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Binary COPY: about 1.8 times as fast as text."""
    into = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    # Django translates psycopg's errors in a call of its own, and the rows go out after that one.
    with cursor.db.wrap_database_errors, cursor.copy(into) as copy:
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)


def project_of(source: Source) -> int:
    return source.project_id or Project.objects.unallocated().pk


def sealed_reject(day: date, external_id: str, why: str) -> RejectRecord:
    detail = f"{day} is past the retention and closed. {why}"
    return RejectRecord("sealed_day", "day", detail, external_id)


_told: ContextVar[list[RejectRecord] | None] = ContextVar("told_rejects", default=None)


@contextmanager
def rejects_told() -> Iterator[list[RejectRecord]]:
    """What is refused meanwhile is told to the caller, for it is in quarantine already."""
    told: list[RejectRecord] = []
    mark = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(mark)


def quarantine_rejects(
    source: Source, rejects: Sequence[RejectRecord], delivery: Delivery | None = None
) -> None:
    told = _told.get()
    if told is not None:
        told.extend(rejects)
        return
    if source.interval_s is not None:
        rejects = _not_yet_kept(source, rejects)
    Reject.objects.bulk_create(
        Reject(
            source=source,
            delivery=delivery,
            reason=reject.reason,
            field=reject.field[:100],
            detail=reject.detail,
            external_id=_named(reject.external_id),
            line=reject.line,
            payload=encryption.encrypt(reject.payload) if reject.payload else b"",
            form=reject.form if reject.payload else "",
        )
        for reject in rejects
    )


def _named(external_id: str) -> str:
    """A sender may put a text where an id belongs."""
    return "" if looks_like_text(external_id[:200]) else external_id[:200]


def _not_yet_kept(source: Source, rejects: Sequence[RejectRecord]) -> list[RejectRecord]:
    """A source that is pulled reads the same time again and again: each row is kept once."""
    ids = [reject.external_id[:200] for reject in rejects if reject.external_id]
    kept = set(
        Reject.objects.filter(source=source, external_id__in=ids).values_list(
            "external_id", "reason", "detail"
        )
    )
    fresh: dict[Any, RejectRecord] = {}
    for number, reject in enumerate(rejects):
        same = (reject.external_id[:200], reject.reason, reject.detail)
        if same not in kept:
            fresh.setdefault(same if reject.external_id else number, reject)
    return list(fresh.values())


def mark_dirty(cursor: Any, owner_kind: str, owner_id: int, hours: Iterable[datetime]) -> None:
    rows = [(owner_kind, owner_id, hour) for hour in sorted(set(hours))]
    if rows:
        cursor.executemany(
            "INSERT INTO ingest_dirty_hour (owner_kind, owner_id, hour, marked_at)"
            " VALUES (%s, %s, %s, now())",
            rows,
        )


def hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def count_into_hour(cursor: Any, source: Source, counts: Counts) -> None:
    """Add a push to the row of its hour.

    Adding is exact here because it commits with the rows it counts. It comes last in the
    transaction, so that pushes of one source wait for each other only while they commit.
    """
    failpoints.hit("store.rows")
    start = hour_of(timezone.now())
    fields = counts.as_dict()
    cursor.execute(
        f"INSERT INTO ingest_pull (source_id, window_from, window_to, state, started_at,"
        f" finished_at, error, {', '.join(fields)})"
        f" VALUES (%s, %s, %s, 'done', now(), now(), '', {', '.join(['%s'] * len(fields))})"
        f" ON CONFLICT (source_id, window_from, window_to) DO UPDATE SET finished_at = now(), "
        + ", ".join(f"{name} = ingest_pull.{name} + excluded.{name}" for name in fields),
        [source.pk, start, start + timedelta(hours=1), *fields.values()],
    )


def note_success(
    cursor: Any, source: Source, newest: datetime | None, position: dict | None = None
) -> None:
    """Move the source's cursor and its last-seen times."""
    if position is not None:
        Source.objects.filter(pk=source.pk).update(cursor=position)
    # Rewritten only when seconds have passed, by the clock or in the facts: pushes of one source
    # would queue up on this one row.
    cursor.execute(
        "UPDATE ingest_source SET last_success_at = now(), last_error = '', last_error_at = NULL,"
        " last_fact_at = greatest(last_fact_at, %s)"
        " WHERE id = %s AND (last_success_at IS NULL OR last_error <> ''"
        " OR last_success_at < now() - interval '3 seconds'"
        " OR %s > coalesce(last_fact_at, '-infinity') + interval '3 seconds')",
        [newest, source.pk, newest],
    )
