"""Takes marks of dirty hours and has each owner's day recomputed, one transaction a day."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from time import monotonic
from typing import Any

from django.db import connection, transaction

from ingest import failpoints
from ingest.partitions import ROLLING_UP

from . import concurrency, samples, spans

WHOLE_SETS = "SET LOCAL enable_nestloop = off"
"""A young partition has no statistics, and its hour is taken to have one row: the planner then
computes the sketches of all rows anew for each row. 60,000 spans took more than a minute."""

RECOMPUTE = {
    "project": spans.recompute,
    "pool": samples.recompute,
    "concurrency": concurrency.recompute,
}
PRICED = ("project", "pool")
"""Of these somebody waits for the next revision."""

REST = 9
"""After a day took a second, all workers leave it alone for nine: a busy hour has new facts at
every moment and is summed anew from all of them, for which a tenth of a processor is enough."""

LEAST_REST_S = {"concurrency": 30.0}
"""What a project's requests did at once costs as much as all its other sums, and is looked at less
often."""

RESTS = """
INSERT INTO ingest_resting_day (owner_kind, owner_id, day, until)
SELECT %s, %s, %s, clock_timestamp() + make_interval(secs => %s)
ON CONFLICT (owner_kind, owner_id, day) DO UPDATE SET until = excluded.until
"""
OVER = """
DELETE FROM ingest_resting_day
WHERE owner_kind = %s AND owner_id = %s AND until <= clock_timestamp()
"""
IS_AWAKE = """
 AND NOT EXISTS (SELECT FROM ingest_resting_day r WHERE r.owner_kind = d.owner_kind
 AND r.owner_id = d.owner_id AND r.day = d.hour::date AND r.until > clock_timestamp())
"""

Group = tuple[str, int, date]
Owner = tuple[str, int]


def roll_up(limit: int = 200, *, rests: bool = False) -> int:
    """Recompute up to `limit` (owner, day) groups that have marks; how many it did.

    Several workers go beside each other: an owner that one of them is at is left until nothing else
    is due, and then waited for. With `rests` it is left for a later call, and so is a group that
    was costly a moment ago.
    """
    done, theirs = 0, set[Owner]()
    while done < limit:
        group = _oldest_group(theirs, rests=rests)
        waits = group is None and bool(theirs) and not rests
        if waits:
            theirs.clear()
            group = _oldest_group(theirs, rests=rests)
        if group is None:
            break
        if not _recompute(*group, waits=waits, rests=rests):
            theirs.add(group[:2])
            continue
        done += 1
    return done


def _oldest_group(theirs: Collection[Owner], *, rests: bool) -> Group | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT owner_kind, owner_id, hour::date FROM ingest_dirty_hour d"
            " WHERE NOT (owner_kind, owner_id) IN (SELECT * FROM unnest(%s::text[], %s::int[]))"
            f"{IS_AWAKE if rests else ''} ORDER BY id LIMIT 1",
            _columns(theirs, 2),
        )
        return cursor.fetchone()


def _columns(rows: Collection[tuple[Any, ...]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


def _recompute(owner_kind: str, owner_id: int, day: date, *, waits: bool, rests: bool) -> bool:
    """Marks first, facts after. False, and nothing done, if another worker is at this owner and it
    is not waited for.

    A fact stored meanwhile leaves a mark of its own that this transaction cannot see, so its hour
    is done again; a fact whose mark is taken here was committed before and is seen below. The lock
    comes before both, so that of two workers the later one also reads later.
    """
    began_at = monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROLLING_UP.format("_shared"))
        take = "pg_advisory_xact_lock" if waits else "pg_try_advisory_xact_lock"
        cursor.execute(
            f"SELECT {take}(hashtextextended(%s, 0))", [f"rollup:{owner_kind}:{owner_id}"]
        )
        if cursor.fetchone() == (False,):
            return False
        cursor.execute(
            "DELETE FROM ingest_dirty_hour WHERE owner_kind = %s AND owner_id = %s"
            " AND hour::date = %s RETURNING hour",
            [owner_kind, owner_id, day],
        )
        hours = sorted({hour for (hour,) in cursor.fetchall()})
        failpoints.hit("rollup.marks_taken")
        if hours:
            cursor.execute(WHOLE_SETS)
            RECOMPUTE[owner_kind](cursor, owner_id, hours)
            failpoints.hit("rollup.summed")
            if owner_kind in PRICED:
                _raise_revisions(cursor, owner_kind, owner_id, hours)
            if rests:
                _rest(cursor, (owner_kind, owner_id, day), monotonic() - began_at)
        failpoints.hit("rollup.before_commit")
    failpoints.hit("rollup.after_commit")
    return True


def _rest(cursor: Any, group: Group, took_s: float) -> None:
    """Only under the owner's lock: so no two workers write the same owner's rows."""
    cursor.execute(OVER, group[:2])
    rest_s = max(REST * took_s, LEAST_REST_S.get(group[0], 0.0) - took_s)
    cursor.execute(RESTS, [*group, rest_s])


def _raise_revisions(cursor: Any, owner_kind: str, owner_id: int, hours: list[datetime]) -> None:
    cursor.execute(
        "INSERT INTO ingest_rolledhour (owner_kind, owner_id, hour, revision, rolled_at)"
        " SELECT %s, %s, unnest(%s::timestamptz[]), 1, now()"
        " ON CONFLICT (owner_kind, owner_id, hour) DO UPDATE"
        " SET revision = ingest_rolledhour.revision + 1, rolled_at = now()",
        [owner_kind, owner_id, hours],
    )
