"""Every partitioned table: how wide a partition is, how it is made, when it may go.

Knows the calendar of partitions. Refuses to drop anything that is not rolled up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from ingest.sealing import remember_spans

ROLLING_UP = "SELECT pg_advisory_xact_lock{}(hashtextextended('rolling up', 0))"
"""Shared by everybody who sums facts; held alone by who drops them, so that no day is summed from
facts that are going."""


@dataclass(frozen=True)
class Partitioned:
    table: str
    monthly: bool = False
    retention: str | None = None
    """Key of settings.RETENTION_DAYS, or None: kept for ever."""
    arrival: str = ""
    """The column that says when a row came: an old file loaded today is not old yet."""
    owner_kind: str = ""
    followers: tuple[str, ...] = ()
    """Tables whose rows of a day go with the partition of that day."""
    waits_for: str = "false"
    """What else, in SQL, must still be made of the facts of a `%(day)s`."""
    remember: Callable[[Any, str, date], None] | None = None
    """Keeps what must be known of a day after its facts are gone."""

    def bounds(self, day: date) -> tuple[date, date]:
        if not self.monthly:
            return day, day + timedelta(days=1)
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)

    def name(self, day: date) -> str:
        first = self.bounds(day)[0]
        return f"{self.table}_{first:%Y%m}" if self.monthly else f"{self.table}_{first:%Y%m%d}"


SPAN = Partitioned(
    "ingest_span",
    retention="span",
    arrival="received_at",
    owner_kind="project",
    followers=(
        "ingest_span_key",
        "ingest_usage_parent",
        "ingest_span_sighting",
        "ingest_span_text",
    ),
    # An accounting day meets up to three days of UTC, and a request reaches into the next hour.
    waits_for="EXISTS (SELECT FROM ingest_user_day_state WHERE changed <> summed"
    " AND day BETWEEN %(day)s::date - 1 AND %(day)s::date + 1)"
    " OR EXISTS (SELECT FROM ingest_dirty_hour WHERE owner_kind = 'concurrency'"
    " AND hour >= %(day)s::date AND hour < %(day)s::date + interval '25 hours')",
    remember=remember_spans,
)
METRIC_SAMPLE = Partitioned(
    "ingest_metric_sample", retention="sample", arrival="at", owner_kind="pool"
)
GPU_SAMPLE = Partitioned("ingest_gpu_sample", retention="sample", arrival="at", owner_kind="pool")
BILL_LINE = Partitioned("ingest_bill_line", monthly=True)
SPAN_TEXT = Partitioned("ingest_span_text")
"""Each project says how long its text stays, at most as long as its spans: see `store.texts`."""

TABLES = (SPAN, METRIC_SAMPLE, GPU_SAMPLE, BILL_LINE, SPAN_TEXT)

_known: set[tuple[str, str]] = set()
"""Partitions this process has seen, by database and name."""


def ensure(table: Partitioned, days: Iterable[date]) -> None:
    """Make the partitions that these days need, inside the caller's transaction.

    A partition is created apart and then attached, because attaching locks out neither readers nor
    writers of the parent, and `CREATE TABLE … PARTITION OF` does.
    """
    database = connection.settings_dict["NAME"]
    wanted = {table.name(day): day for day in days}
    missing = sorted(name for name in wanted if (database, name) not in _known)
    if not missing:
        return
    with connection.cursor() as cursor:
        for name in missing:
            if not _exists(cursor, name):
                _create(cursor, table, name, wanted[name])
    transaction.on_commit(lambda: _known.update((database, name) for name in missing))


def drop(name: str) -> None:
    """Without a look at what is in it: the caller has looked, and holds off who writes."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {name}")
    forget(name)


def forget(names: str) -> None:
    """Look again whether the tables whose names begin so exist: another process may drop them."""
    _known.difference_update({known for known in _known if known[1].startswith(names)})


def _create(cursor, table: Partitioned, name: str, day: date) -> None:
    low, high = table.bounds(day)
    # Two writers of a new day: the second waits here and then finds the partition made.
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"partition:{name}"])
    if _exists(cursor, name):
        return
    cursor.execute(
        f"CREATE TABLE {name} (LIKE {table.table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    cursor.execute(
        f"ALTER TABLE {table.table} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')"
    )


def _exists(cursor, name: str) -> bool:
    # Not to_regclass: it may answer from a cache that has not heard of the other writer's commit.
    cursor.execute(
        "SELECT FROM pg_class WHERE relname = %s AND relnamespace = current_schema()::regnamespace",
        [name],
    )
    return cursor.rowcount == 1


def sealed(table: Partitioned, days: Iterable[date]) -> set[date]:
    """Those of the days whose facts were dropped: recomputing them would lose their rollups."""
    with connection.cursor() as cursor:
        cursor.execute(
            'SELECT day FROM ingest_sealedday WHERE "table" = %s AND day = ANY(%s)',
            [table.table, sorted(set(days))],
        )
        return {day for (day,) in cursor.fetchall()}


def existing(table: Partitioned) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass"
            " ORDER BY 1",
            [table.table],
        )
        return [name for (name,) in cursor.fetchall()]


def drop_expired(today: date) -> list[str]:
    """Drop partitions older than their retention of which everything is summed."""
    dropped = []
    for table in TABLES:
        if table.retention is None:
            continue
        cutoff = today - timedelta(days=settings.RETENTION_DAYS[table.retention])
        for name in existing(table):
            day = date.fromisoformat(name.removeprefix(f"{table.table}_"))
            if day < cutoff and _drop(table, name, day, cutoff):
                dropped.append(name)
    return dropped


def _drop(table: Partitioned, name: str, day: date, cutoff: date) -> bool:
    """Nobody sums and nobody writes between the look at what is left to do and the end."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ROLLING_UP.format(""))
        cursor.execute(f"LOCK TABLE {name} IN SHARE MODE")
        cursor.execute(
            "SELECT EXISTS (SELECT FROM ingest_dirty_hour WHERE owner_kind = %(owner)s"
            " AND hour >= %(day)s::date AND hour < %(day)s::date + 1)"
            f" OR {table.waits_for}"
            f" OR coalesce((SELECT max({table.arrival}) >= %(cutoff)s::date FROM {name}), false)",
            {"owner": table.owner_kind, "day": day, "cutoff": cutoff},
        )
        if cursor.fetchone()[0]:
            return False
        cursor.execute(
            'INSERT INTO ingest_sealedday ("table", day, sealed_at) VALUES (%s, %s, now())'
            " ON CONFLICT DO NOTHING",
            [table.table, day],
        )
        if table.remember:
            table.remember(cursor, name, day)
        cursor.execute(f"DROP TABLE {name}")
        for follower in table.followers:
            cursor.execute(f"DELETE FROM {follower} WHERE day = %s", [day])
        _known.discard((connection.settings_dict["NAME"], name))
        return True
