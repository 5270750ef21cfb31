"""Takes marks of dirty hours and has each owner's day recomputed, one transaction a day."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.db import connection, transaction

from ingest import failpoints
from ingest.partitions import ROLLING_UP

from . import samples, spans

WHOLE_SETS = "SET LOCAL enable_nestloop = off"
"""A young partition has no statistics, and its hour is taken to have one row: the planner then
computes the sketches of all rows anew for each row. 60,000 spans took more than a minute."""

RECOMPUTE = {"project": spans.recompute, "pool": samples.recompute}


def roll_up(limit: int = 200) -> int:
    """Recompute up to `limit` (owner, day) groups that have marks; how many it did."""
    done = 0
    while done < limit and (group := _oldest_group()) is not None:
        _recompute(*group)
        done += 1
    return done


def _oldest_group() -> tuple[str, int, date] | None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT owner_kind, owner_id, hour::date FROM ingest_dirty_hour ORDER BY id LIMIT 1"
        )
        return cursor.fetchone()


def _recompute(owner_kind: str, owner_id: int, day: date) -> None:
    """Marks first, facts after.

    A fact stored meanwhile leaves a mark of its own that this transaction cannot see, so its hour
    is done again; a fact whose mark is taken here was committed before and is seen below. The lock
    comes before both, so that of two workers the later one also reads later.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROLLING_UP.format("_shared"))
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"rollup:{owner_kind}:{owner_id}"],
        )
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
            _raise_revisions(cursor, owner_kind, owner_id, hours)
        failpoints.hit("rollup.before_commit")
    failpoints.hit("rollup.after_commit")


def _raise_revisions(cursor: Any, owner_kind: str, owner_id: int, hours: list[datetime]) -> None:
    cursor.execute(
        "INSERT INTO ingest_rolledhour (owner_kind, owner_id, hour, revision, rolled_at)"
        " SELECT %s, %s, unnest(%s::timestamptz[]), 1, now()"
        " ON CONFLICT (owner_kind, owner_id, hour) DO UPDATE"
        " SET revision = ingest_rolledhour.revision + 1, rolled_at = now()",
        [owner_kind, owner_id, hours],
    )
