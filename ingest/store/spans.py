"""Spans: identity, versions, and which of two nested usages counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.utils import timezone

from ingest import kept, partitions
from ingest.jobs import Lease
from ingest.models import Source
from ingest.records import TOKEN_FIELDS, Reject, SpanRecord, span_key

from . import late, texts
from .counting import (
    Counts,
    copy_rows,
    count_into_hour,
    delivery_transaction,
    make_staging,
    note_success,
    project_of,
    quarantine_rejects,
    sealed_reject,
)

TEXTS = (
    "trace_id", "span_id", "parent_span_id", "external_id", "kind", "name", "service", "provider",
    "model", "request_model", "tier", "status", "error_type", "user_id", "session_id",
    "usage_convention",
)  # fmt: skip
PLAIN = (
    *TEXTS, "version", "started_at", "ended_at", "latency_ms", "ttft_ms", "input_band",
    *TOKEN_FIELDS, "source_cost_usd", "prompt_hash", "parameters_hash", "prompt_signature",
    "input_chars", "output_chars", "removable_tokens",
)  # fmt: skip

ORDER = ("day", "key", "parent_key", "prefix_hashes", "raw_usage", "attributes", *PLAIN)
COLUMNS = {
    **dict.fromkeys(ORDER, "text"),
    **dict.fromkeys(("version", "removable_tokens", *TOKEN_FIELDS), "int8"),
    **dict.fromkeys(("latency_ms", "ttft_ms"), "float8"),
    **dict.fromkeys(("started_at", "ended_at"), "timestamptz"),
    **dict.fromkeys(("input_band", "input_chars", "output_chars"), "int4"),
    "day": "date",
    "key": "uuid",
    "parent_key": "uuid",
    "prefix_hashes": "bytea[]",
    **dict.fromkeys(("prompt_hash", "parameters_hash", "prompt_signature"), "bytea"),
    **dict.fromkeys(("raw_usage", "attributes"), "jsonb"),
    "source_cost_usd": "numeric",
}

IDENTITY = ("project_id", "day", "key", "trace_id", "span_id")
STORED = ("day", "key", "prefix_hashes", "raw_usage", "attributes", *PLAIN)
"""Columns of `ingest_span` that come from the record."""
VALUES = tuple(name for name in STORED if name not in IDENTITY)
"""What a later version may change."""
COMPARED = tuple(name for name in VALUES if name not in ("version", "external_id"))
"""What makes two versions differ."""

NEW_KEYS = (
    "INSERT INTO ingest_span_key (project_id, key, day) SELECT %(project)s, key, day FROM span_in"
    " ON CONFLICT DO NOTHING"
)
INSERT = (
    f"INSERT INTO ingest_span (project_id, source_id, received_at, {', '.join(STORED)})"
    f" SELECT %(project)s, %(source)s, now(), {', '.join(STORED)} FROM span_in"
)


def _merged(name: str) -> str:
    """A later version of the same source replaces; another source only fills what is unknown."""
    own, new = f"s.{name}", f"excluded.{name}"
    known = f"nullif({own}, '')" if name in TEXTS else own
    fill = f"coalesce({known}, {new})" if name != "version" else own
    return f"{name} = CASE WHEN s.source_id = excluded.source_id THEN {new} ELSE {fill} END"


UPSERT = (
    INSERT.replace("INTO ingest_span (", "INTO ingest_span AS s (")
    + " ON CONFLICT (project_id, day, key) DO UPDATE SET "
    + ", ".join(_merged(name) for name in VALUES)
    + f""" WHERE CASE WHEN s.source_id = excluded.source_id
        THEN excluded.version >= s.version
            AND ({", ".join(f"s.{name}" for name in COMPARED)})
                IS DISTINCT FROM ({", ".join(f"excluded.{name}" for name in COMPARED)})
        ELSE {
        " OR ".join(
            f"(nullif(s.{name}, '') IS NULL AND nullif(excluded.{name}, '') IS NOT NULL)"
            if name in TEXTS
            else f"(s.{name} IS NULL AND excluded.{name} IS NOT NULL)"
            for name in COMPARED
        )
    } END RETURNING old.key IS NULL AS inserted"""
)
MATCHING = (
    "FROM span_in i JOIN ingest_span s ON s.project_id = %(project)s"
    " AND s.day = i.day AND s.key = i.key"
)


def spans(
    source: Source,
    records: Sequence[SpanRecord],
    rejects: Sequence[Reject] = (),
    *,
    lease: Lease | None = None,
    position: dict | None = None,
) -> Counts:
    """Store spans of one source; returns what became of each.

    The same span may come again, from the same source in a newer or older version, or from
    another one. Sent again unchanged it changes nothing. Spans of closed days go to `late`.
    """
    project = project_of(source)
    refused = list(rejects)
    sound = _sound(records, refused)
    latest, repeats = _latest_of_each(project, sound)
    with delivery_transaction(lease) as cursor:
        changed, latest = _without_late(cursor, project, source.pk, latest, refused)
        if latest:
            partitions.ensure(partitions.SPAN, {row[0] for row in latest.values()})
            _stage(cursor, latest)
            changed += _write(cursor, {"project": project, "source": source.pk}, refused)
            texts.keep(cursor, project, sound)
            _note_usage_parents(cursor, project)
        quarantine_rejects(source, refused)
        # An older copy inside one delivery is stale, whatever its content.
        counts = changed + Counts(stale=repeats, rejected=len(refused))
        newest = max((record.started_at for record in sound), default=None)
        count_into_hour(cursor, source, counts)
        note_success(cursor, source, newest, position)
    return counts


def _sound(records: Sequence[SpanRecord], refused: list[Reject]) -> list[SpanRecord]:
    now = timezone.now()
    sound = []
    for record in records:
        problem = record.problem(now)
        if problem is None:
            sound.append(record)
        else:
            refused.append(kept.with_record(problem, record))
    return sound


_plain = attrgetter(*PLAIN)


def _latest_of_each(
    project: int, records: Sequence[SpanRecord]
) -> tuple[dict[UUID, tuple[Any, ...]], int]:
    """Rows to copy by key, in key order so that two deliveries cannot deadlock; and repeats."""
    latest: dict[UUID, SpanRecord] = {}
    for record in records:
        key = span_key(project, record.trace_id, record.span_id)
        before = latest.get(key)
        if before is None or record.version >= before.version:
            latest[key] = record
    rows = {key: _row(project, key, latest[key]) for key in sorted(latest)}
    return rows, len(records) - len(rows)


def _row(project: int, key: UUID, record: SpanRecord) -> tuple[Any, ...]:
    # A span that calls itself its parent has none: else its usage would count nowhere.
    parent = record.parent_span_id if record.parent_span_id != record.span_id else ""
    return (
        record.started_at.astimezone(UTC).date(),
        key,
        span_key(project, record.trace_id, parent) if parent and record.has_usage else None,
        list(record.prefix_hashes) if record.prefix_hashes is not None else None,
        # Plain objects: the jsonb dumper makes the JSON, and would make text of text.
        dict(record.raw_usage) if record.raw_usage else None,
        dict(record.attributes) if record.attributes else None,
        *_plain(record),
    )


def _without_late(
    cursor: Any,
    project: int,
    source: int,
    rows: dict[UUID, tuple[Any, ...]],
    refused: list[Reject],
) -> tuple[Counts, dict[UUID, tuple[Any, ...]]]:
    """What became of spans that come after their day was closed, and the rows that are left."""
    closed = late.closed_near({row[0] for row in rows.values()})
    near = {
        key: dict(zip(ORDER, row, strict=True))
        for key, row in rows.items()
        if closed and late.is_near(row[0], closed)
    }
    if not near:
        return Counts(), rows
    counts, done = late.take(cursor, project, source, near, closed, refused)
    return counts, {key: row for key, row in rows.items() if key not in done}


def _stage(cursor: Any, rows: dict[UUID, tuple[Any, ...]]) -> None:
    make_staging(cursor, "span_in", COLUMNS)
    copy_rows(cursor, "span_in", COLUMNS, rows.values())


def _write(cursor: Any, owner: dict[str, int], refused: list[Reject]) -> Counts:
    """Upsert what is staged. Most deliveries are all new, and then need no comparison."""
    cursor.execute("SELECT count(*) FROM span_in")
    staged = cursor.fetchone()[0]
    cursor.execute(NEW_KEYS, owner)
    if cursor.rowcount == staged:
        cursor.execute(INSERT, owner)
        _mark_hours(cursor, owner["project"], "SELECT started_at FROM span_in")
        return Counts(inserted=staged)
    moved = _go_to_known_days(cursor, owner, refused)
    # A newer version may move a span to another hour: both hours change.
    cursor.execute(f"SELECT DISTINCT date_trunc('hour', s.started_at) {MATCHING}", owner)
    before = [hour for (hour,) in cursor.fetchall()]
    closed = partitions.sealed(partitions.SPAN, {_day(hour) for hour in before})
    if closed:
        moved += _leave_closed_days(cursor, owner, closed, refused)
        before = [hour for hour in before if _day(hour) not in closed]
    cursor.execute(f"SELECT count(*) {MATCHING} WHERE {_OLDER}", owner)
    stale = cursor.fetchone()[0]
    cursor.execute(UPSERT, owner)
    flags = [inserted for (inserted,) in cursor.fetchall()]
    inserted, updated = sum(flags), len(flags) - sum(flags)
    _note_sightings(cursor, owner)
    if inserted or updated:
        _mark_hours(
            cursor,
            owner["project"],
            "SELECT started_at FROM span_in UNION ALL SELECT unnest(%(before)s::timestamptz[])",
            before=before if updated else [],
        )
    unchanged = staged - moved - inserted - updated - stale
    return Counts(inserted, updated, unchanged, stale)


_OLDER = "s.source_id = %(source)s AND i.version < s.version"


def _go_to_known_days(cursor: Any, owner: dict[str, int], refused: list[Reject]) -> int:
    """Put known spans on the day where they were first seen; refuse those that jumped."""
    cursor.execute(
        "UPDATE span_in i SET day = k.day FROM ingest_span_key k"
        " WHERE k.project_id = %(project)s AND k.key = i.key AND k.day <> i.day"
        " RETURNING i.key, i.trace_id, i.span_id, i.started_at, k.day",
        owner,
    )
    jumped = [
        (key, trace, span, started, day)
        for key, trace, span, started, day in cursor.fetchall()
        if abs(_day(started) - day) > timedelta(days=1)
    ]
    for _, trace, span, started, day in jumped:
        detail = f"First seen on {day}, now said to start on {_day(started)}. Send a new span id."
        refused.append(Reject("start_moved", "started_at", detail, f"{trace}/{span}"))
    if jumped:
        cursor.execute("DELETE FROM span_in WHERE key = ANY(%s)", [[row[0] for row in jumped]])
    return len(jumped)


def _leave_closed_days(
    cursor: Any, owner: dict[str, int], closed: set[date], refused: list[Reject]
) -> int:
    """A span may be kept on one day and have started on the one before, which may be closed.

    Its hour is in the sums and cannot be summed again, so it stays as it is.
    """
    cursor.execute(
        f"DELETE FROM span_in WHERE key IN (SELECT s.key {MATCHING}"
        " WHERE (s.started_at AT TIME ZONE 'UTC')::date = ANY(%(closed)s))"
        " RETURNING day, trace_id, span_id",
        {**owner, "closed": sorted(closed)},
    )
    stuck = cursor.fetchall()
    refused += [
        sealed_reject(day - timedelta(days=1), f"{trace}/{span}", "It is in the sums of that day.")
        for day, trace, span in stuck
    ]
    return len(stuck)


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _note_sightings(cursor: Any, owner: dict[str, int]) -> None:
    cursor.execute(
        "INSERT INTO ingest_span_sighting"
        " (project_id, key, source_id, external_id, version, day, seen_at)"
        " SELECT s.project_id, s.key, %(source)s, i.external_id, i.version, s.day, now()"
        f" {MATCHING}"
        " WHERE s.source_id <> %(source)s"
        " ON CONFLICT (project_id, key, source_id) DO UPDATE SET version = excluded.version"
        " WHERE excluded.version > ingest_span_sighting.version",
        owner,
    )


def _mark_hours(cursor: Any, project: int, times: str, **more: Any) -> None:
    cursor.execute(
        "INSERT INTO ingest_dirty_hour (owner_kind, owner_id, hour, marked_at)"
        " SELECT DISTINCT 'project', %(project)s::int, date_trunc('hour', started_at), now()"
        f" FROM ({times}) AS touched (started_at)",
        {"project": project, **more},
    )


def _note_usage_parents(cursor: Any, project: int) -> None:
    """Where nested spans report the same usage, the leaf counts: remember who has such a child."""
    cursor.execute(
        "INSERT INTO ingest_usage_parent (project_id, key, day)"
        " SELECT DISTINCT ON (parent_key) %s::int, parent_key, day FROM span_in"
        " WHERE parent_key IS NOT NULL ORDER BY parent_key, day"
        " ON CONFLICT DO NOTHING RETURNING key",
        [project],
    )
    fresh = [key for (key,) in cursor.fetchall()]
    if not fresh:
        return
    # Arrays rather than joins: staging has no statistics, and a join may then read whole tables.
    cursor.execute(
        "SELECT array_agg(DISTINCT day), array_agg(key) FROM ingest_span_key"
        " WHERE project_id = %s AND key = ANY(%s)",
        [project, fresh],
    )
    days, known = cursor.fetchone()
    if known:
        # A parent that was stored before its child has been counted: count its hour again.
        _mark_hours(
            cursor,
            project,
            "SELECT started_at FROM ingest_span WHERE project_id = %(project)s"
            " AND day = ANY(%(days)s) AND key = ANY(%(known)s)"
            " AND coalesce(input_tokens, output_tokens) IS NOT NULL",
            days=days,
            known=known,
        )
