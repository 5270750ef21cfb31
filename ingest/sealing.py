"""Which spans the sums of a closed day hold, remembered in 8 bytes each.

Knows identities alone. Refuses content: the facts go, and only "counted already" stays, so that a
delivery sent again after its day was closed is not counted again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

HEAD = "substring(uuid_send(key) FOR 8)::bigint"


def head_of(key: UUID) -> int:
    """The same 8 bytes as `HEAD`."""
    return int.from_bytes(key.bytes[:8], "big", signed=True)


@dataclass(frozen=True, slots=True)
class Remembered:
    """Those of the asked keys that the sums of closed days hold."""

    counted: frozenset[UUID] = frozenset()
    with_usage: frozenset[UUID] = frozenset()
    """Counted with usage of their own."""
    parents: frozenset[UUID] = frozenset()
    """Spans whose usage is counted at a child, whether they themselves were seen or not."""


def remember_spans(cursor: Any, partition: str, day: date) -> None:
    """Before the partition goes; nobody may write into it meanwhile."""
    cursor.execute(
        "INSERT INTO ingest_sealed_keys (project_id, day, without_usage, with_usage, parents)"
        " SELECT coalesce(s.project_id, p.project_id), %s, coalesce(s.without_usage, '{}'),"
        " coalesce(s.with_usage, '{}'), coalesce(p.parents, '{}')"
        " FROM (SELECT project_id,"
        f" array_agg({HEAD}) FILTER (WHERE num_nonnulls(input_tokens, output_tokens) = 0)"
        " AS without_usage,"
        f" array_agg({HEAD}) FILTER (WHERE num_nonnulls(input_tokens, output_tokens) > 0)"
        f" AS with_usage FROM {partition} GROUP BY project_id) AS s"
        f" FULL JOIN (SELECT project_id, array_agg({HEAD}) AS parents FROM ingest_usage_parent"
        " WHERE day = %s GROUP BY project_id) AS p ON p.project_id = s.project_id",
        [day, day],
    )
    cursor.execute(
        "UPDATE ingest_sealedday SET keeps_keys = true"
        " WHERE \"table\" = 'ingest_span' AND day = %s",
        [day],
    )


def recall(cursor: Any, project: int, days: Iterable[date], keys: Collection[UUID]) -> Remembered:
    """What these closed days know of these keys."""
    by_head = {head_of(key): key for key in keys}
    found = []
    for column in ("without_usage", "with_usage", "parents"):
        cursor.execute(
            "SELECT DISTINCT asked.head FROM unnest(%s::bigint[]) AS asked (head)"
            f" JOIN (SELECT unnest({column}) AS head FROM ingest_sealed_keys"
            " WHERE project_id = %s AND day = ANY(%s)) AS kept USING (head)",
            [list(by_head), project, sorted(set(days))],
        )
        found.append(frozenset(by_head[head] for (head,) in cursor.fetchall()))
    without, with_usage, parents = found
    return Remembered(without | with_usage, with_usage, parents)


def keeps_keys(cursor: Any, days: Iterable[date]) -> set[date]:
    """Those of the closed days of which it is remembered whose spans were counted."""
    cursor.execute(
        "SELECT day FROM ingest_sealedday"
        " WHERE \"table\" = 'ingest_span' AND keeps_keys AND day = ANY(%s)",
        [sorted(set(days))],
    )
    return {day for (day,) in cursor.fetchall()}
