"""Spans of closed days: kept beside the sealed sums, each counted once.

A day is closed when its facts are dropped. A span that comes later is added to what is known of its
hour: its newest version counts, all versions stay. What the sums hold already is refused, for
nothing is left that a second count could be told from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from ingest import partitions, sealing
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_FIELDS, Reject

from .counting import Counts, copy_rows, hour_of, make_staging, mark_dirty, sealed_reject

Rows = Mapping[UUID, Mapping[str, Any]]
"""A span's columns by its key."""

KEPT = {
    "key": "uuid",
    "version": "int8",
    "trace_id": "text",
    "span_id": "text",
    "parent_key": "uuid",
    "started_at": "timestamptz",
    **dict.fromkeys(DIMENSIONS, "text"),
    "input_band": "int4",
    "status": "text",
    "latency_ms": "float8",
    "ttft_ms": "float8",
    **dict.fromkeys(TOKEN_FIELDS, "int8"),
    "source_cost_usd": "numeric",
    "usage_counted": "bool",
}
COMPARED = tuple(name for name in KEPT if name not in ("key", "version", "usage_counted"))
"""What makes two versions differ."""

BESIDE = (timedelta(days=-1), timedelta(), timedelta(days=1))
"""A later version may start on the day beside; further away it is another span."""

CURRENT = (
    "SELECT DISTINCT ON (key) * FROM ingest_late_span"
    " WHERE project_id = %(project)s AND key = ANY(%(keys)s) ORDER BY key, id DESC"
)
WRITE = f"""
WITH current AS ({CURRENT}), judged AS (
    SELECT i.*, c.started_at AS before, CASE
        WHEN c.key IS NULL THEN 'inserted'
        -- What another source says of it was said already.
        WHEN c.source_id <> %(source)s THEN 'unchanged'
        WHEN i.version < c.version THEN 'stale'
        WHEN ({", ".join(f"i.{name}" for name in COMPARED)})
            IS NOT DISTINCT FROM ({", ".join(f"c.{name}" for name in COMPARED)}) THEN 'unchanged'
        ELSE 'updated' END AS outcome
    FROM late_in i LEFT JOIN current c USING (key)
), written AS (
    INSERT INTO ingest_late_span (project_id, source_id, arrived_at, {", ".join(KEPT)})
    SELECT %(project)s, %(source)s, now(), {", ".join(KEPT)} FROM judged
    WHERE outcome IN ('inserted', 'updated') ORDER BY key
)
SELECT outcome, started_at, before FROM judged"""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of some spans that start on closed days, or on a day beside one."""

    closed: set[date]
    remembered: set[date]
    """Closed days of which it is known whose spans were counted."""
    sums: sealing.Remembered
    late: set[UUID]
    """Came late before."""
    open_days: dict[UUID, date]
    """Where a span is whose facts are still there."""
    parents: set[UUID]
    """Open spans with a child that reports usage."""

    def is_of_an_open_day(self, key: UUID, day: date) -> bool:
        return day not in self.closed and key not in self.late | self.sums.counted

    def problem(self, key: UUID, day: date) -> str:
        """Why it is not taken; empty when it is."""
        if key in self.late:
            return ""
        if key in self.sums.counted:
            return "It was counted before; its details are gone, so it stays as it was."
        if key in self.open_days:
            return f"It was first seen on {self.open_days[key]}; a closed day is no place to go."
        if day not in self.remembered:
            return "Of a day closed by an earlier version it is not known whether it was counted."
        return ""

    def usage_counted(self, key: UUID, parent: UUID | None) -> bool:
        """Where nested spans report the same usage, one of them counts: here, who was first."""
        return key in self.sums.parents | self.parents or parent in self.sums.with_usage


def closed_near(days: Iterable[date]) -> set[date]:
    """The closed ones of these days and of the days beside them."""
    return partitions.sealed(partitions.SPAN, {day + step for day in days for step in BESIDE})


def is_near(day: date, closed: set[date]) -> bool:
    return any(day + step in closed for step in BESIDE)


def take(
    cursor: Any, project: int, source: int, near: Rows, closed: set[date], refused: list[Reject]
) -> tuple[Counts, set[UUID]]:
    """Store those that are late. What became of them, and the keys that are done with."""
    # Two deliveries of one late span: the second waits, and finds it.
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"late spans:{project}"]
    )
    known = _known(cursor, project, near, closed)
    done, late = set(), {}
    for key, row in near.items():
        if known.is_of_an_open_day(key, row["day"]):
            continue
        done.add(key)
        problem = known.problem(key, row["day"])
        if problem:
            external_id = f"{row['trace_id']}/{row['span_id']}"
            refused.append(sealed_reject(row["day"], external_id, problem))
        else:
            late[key] = {**row, "usage_counted": known.usage_counted(key, row["parent_key"])}
    return _write(cursor, project, source, late), done


def _known(cursor: Any, project: int, near: Rows, closed: set[date]) -> _Known:
    days = {row["day"] + step for row in near.values() for step in BESIDE} & closed
    parents = {row["parent_key"] for row in near.values() if row["parent_key"] is not None}

    def of(table: str, columns: str = "key") -> list[tuple[Any, ...]]:
        cursor.execute(
            f"SELECT {columns} FROM {table} WHERE project_id = %s AND key = ANY(%s)",
            [project, list(near)],
        )
        return cursor.fetchall()

    return _Known(
        closed=closed,
        remembered=sealing.keeps_keys(cursor, days),
        sums=sealing.recall(cursor, project, days, parents | set(near)),
        late={key for (key,) in of("ingest_late_span")},
        open_days=dict(of("ingest_span_key", "key, day")),
        parents={key for (key,) in of("ingest_usage_parent")},
    )


def _write(cursor: Any, project: int, source: int, late: Rows) -> Counts:
    if not late:
        return Counts()
    make_staging(cursor, "late_in", KEPT)
    copy_rows(cursor, "late_in", KEPT, (tuple(row[name] for name in KEPT) for row in late.values()))
    cursor.execute(WRITE, {"project": project, "source": source, "keys": list(late)})
    outcomes = cursor.fetchall()
    changed = [row for row in outcomes if row[0] in ("inserted", "updated")]
    # A newer version may move a span to another hour: both hours change.
    times = {at for _, *both in changed for at in both if at is not None}
    if changed:
        times |= _starts_of_parents(cursor, project, late)
    mark_dirty(cursor, "project", project, {hour_of(at) for at in times})
    kinds = [outcome for outcome, _, _ in outcomes]
    return Counts(**{name: kinds.count(name) for name in set(kinds)})


def _starts_of_parents(cursor: Any, project: int, late: Rows) -> set[datetime]:
    """A parent that came late before its child counts its usage no longer."""
    cursor.execute(
        "SELECT DISTINCT started_at FROM ingest_late_span WHERE project_id = %s AND key = ANY(%s)",
        [project, [row["parent_key"] for row in late.values() if row["parent_key"] is not None]],
    )
    return {at for (at,) in cursor.fetchall()}
