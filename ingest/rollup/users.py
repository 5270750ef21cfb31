"""Spans → what each user used in an accounting day, not more often than it is worth.

Knows the facts of open days. Refuses days of which a part is closed: what was summed stays.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from ingest import partitions
from ingest.records import TOKEN_FIELDS

from .spans import DIMS, OWN_USAGE, USAGE_BELOW, day_start

LEAST_WAIT = timedelta(minutes=1)
REST = 20
"""After a day took a second, it is left alone for twenty: at most 5 % of the time goes into it."""

COUNTS = "spans, errors, usage_unknown, " + ", ".join(TOKEN_FIELDS)

SUM = f"""
WITH facts AS (
    SELECT s.user_id, {DIMS}, s.status,
        {OWN_USAGE},
        u.key IS NULL AND s.status = 'ok' AND s.kind IN ('llm', 'embedding', 'rerank')
            AND s.input_tokens IS NULL AND s.output_tokens IS NULL AS usage_unknown
    FROM ingest_span s
    {USAGE_BELOW}
    WHERE s.project_id = %(project)s
        AND s.day BETWEEN (%(from)s AT TIME ZONE 'UTC')::date - 1
            AND (%(to)s AT TIME ZONE 'UTC')::date + 1
        AND s.started_at >= %(from)s AND s.started_at < %(to)s
        -- What neither is a request nor used anything would only fill the table.
        AND (s.kind IN ('llm', 'embedding', 'rerank', 'inference')
            OR num_nonnulls(s.input_tokens, s.output_tokens) > 0)
)
INSERT INTO ingest_user_day (project_id, day, user_id, {DIMS}, {COUNTS})
SELECT %(project)s, %(day)s, user_id, {DIMS},
    count(*), count(*) FILTER (WHERE status = 'error'), count(*) FILTER (WHERE usage_unknown),
    {", ".join(f"coalesce(sum({name}), 0)::bigint" for name in TOKEN_FIELDS)}
FROM facts GROUP BY user_id, {DIMS}"""


def sum_users(now: datetime, limit: int = 100) -> int:
    """Sum the users of up to `limit` days that changed and may be summed again; how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT project_id, day FROM ingest_user_day_state WHERE changed <> summed"
            " AND (not_before IS NULL OR not_before <= %s)"
            " ORDER BY not_before NULLS FIRST, day DESC LIMIT %s",
            [now, limit],
        )
        due = cursor.fetchall()
    return sum(_sum_day(project, day, now) for project, day in due)


def _sum_day(project: int, day: date, now: datetime) -> bool:
    """The change first, facts after: one that comes meanwhile leaves the day due again."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    start, end = day_start(day, zone), day_start(day + timedelta(days=1), zone)
    began = monotonic()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(partitions.ROLLING_UP.format("_shared"))
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"users:{project}:{day}"]
        )
        if not cursor.fetchone()[0]:
            return False  # another worker is at it
        cursor.execute(
            "SELECT changed FROM ingest_user_day_state WHERE project_id = %s AND day = %s",
            [project, day],
        )
        (changed,) = cursor.fetchone()
        if not partitions.sealed(partitions.SPAN, _utc_days(start, end)):
            _write(cursor, {"project": project, "day": day, "from": start, "to": end})
        wait = max(LEAST_WAIT, REST * timedelta(seconds=monotonic() - began))
        cursor.execute(
            "UPDATE ingest_user_day_state SET summed = %s, not_before = %s"
            " WHERE project_id = %s AND day = %s",
            [changed, now + wait, project, day],
        )
    return True


def _write(cursor: Any, values: dict[str, Any]) -> None:
    cursor.execute(
        "DELETE FROM ingest_user_day WHERE project_id = %(project)s AND day = %(day)s", values
    )
    cursor.execute(SUM, values)


def _utc_days(start: datetime, end: datetime) -> list[date]:
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
