"""Spans → quarter hours → hours, accounting days and weeks.

The quarters of a closed day are never summed again, for their facts are gone; spans that came late
have quarters of their own, and every coarser sum adds the two.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from ingest import endings, partitions
from ingest.models.rollups import DIMENSIONS, SpanSums
from ingest.records import TOKEN_FIELDS
from ingest.sketch import BUCKET_SQL

from . import concurrency

DIMS = ", ".join(DIMENSIONS)
SUMMED = SpanSums.SUMMED
SKETCHES = ("latency", "ttft", "tpot")
JOINED = "\n".join(f"LEFT JOIN {name} USING (at, {DIMS})" for name in SKETCHES)
ARRAYS = tuple(f"{name}_{part}" for name in SKETCHES for part in ("keys", "counts"))
MEASURES = ", ".join((*SUMMED, *ARRAYS))
WEEK = timedelta(days=7)
REQUEST_KINDS = ("llm", "embedding", "rerank", "inference")
"""Spans that a model answered."""

OWN_USAGE = ", ".join(
    f"CASE WHEN u.key IS NULL THEN s.{name} END AS {name}" for name in TOKEN_FIELDS
)

USAGE_BELOW = """LEFT JOIN LATERAL (
        SELECT u.key FROM ingest_usage_parent u
        WHERE u.project_id = s.project_id AND u.key = s.key LIMIT 1
    ) AS u ON true"""
"""One look-up by key for each span. As a plain join, a project that statistics do not know yet is
taken to have one parent, and every span is then compared with every parent: 30 s for 20,000."""

PRODUCED = (
    "({s}.output_tokens + coalesce({s}.reasoning_tokens, 0) + coalesce({s}.audio_output_tokens, 0))"
)
TPOT = f"""CASE WHEN {{s}}.status = 'ok' AND {{s}}.latency_ms >= {{s}}.ttft_ms
            AND {PRODUCED} >= 2
            THEN ({{s}}.latency_ms - {{s}}.ttft_ms) / ({PRODUCED} - 1) END"""
"""Milliseconds for each token after the first, as OpenTelemetry has it of answers that succeeded;
NULL where the first one's time was not told, or how many there were. `.format(s=alias)`."""

FACTS = f"""
WITH facts AS MATERIALIZED (
    SELECT date_bin('15 minutes', s.started_at, 'epoch') AS at, {DIMS}, s.status,
        -- Nested spans that report the same usage: the leaf counts, so a parent's is left out.
        {OWN_USAGE},
        CASE WHEN u.key IS NULL THEN s.source_cost_usd END AS source_cost_usd,
        u.key IS NULL AND s.status = 'ok' AND s.kind IN ('llm', 'embedding', 'rerank')
            AND s.input_tokens IS NULL AND s.output_tokens IS NULL AS usage_unknown,
        s.latency_ms, s.ttft_ms, {TPOT.format(s="s")} AS tpot_ms,
        {endings.KNOWN_SQL.format(s="s")} AS ending_known,
        {endings.ABANDONED_SQL.format(s="s")} AS abandoned
    FROM ingest_span s
    {USAGE_BELOW}
    WHERE s.project_id = %(owner)s
        -- A span stays on the day it was first seen on, which may be the day beside.
        AND s.day BETWEEN %(first)s::date - 1 AND %(last)s::date + 1
        AND s.started_at >= %(first)s AND s.started_at < %(last)s + interval '1 hour'
        AND date_trunc('hour', s.started_at) = ANY(%(hours)s)
)"""


LATE_FACTS = f"""
WITH newest AS (
    SELECT DISTINCT ON (key) * FROM ingest_late_span l
    WHERE l.project_id = %(owner)s AND l.key IN (
        SELECT key FROM ingest_late_span WHERE project_id = %(owner)s
            AND started_at >= %(first)s AND started_at < %(last)s + interval '1 hour')
    ORDER BY key, id DESC
), own AS (
    SELECT n.*, n.usage_counted OR EXISTS (
        SELECT FROM ingest_late_span c
        WHERE c.project_id = n.project_id AND c.parent_key = n.key) AS elsewhere
    FROM newest n WHERE date_trunc('hour', n.started_at) = ANY(%(hours)s)
), facts AS MATERIALIZED (
    SELECT date_bin('15 minutes', started_at, 'epoch') AS at, {DIMS}, status,
        {", ".join(f"CASE WHEN NOT elsewhere THEN {name} END AS {name}" for name in TOKEN_FIELDS)},
        CASE WHEN NOT elsewhere THEN source_cost_usd END AS source_cost_usd,
        NOT elsewhere AND status = 'ok' AND kind IN ('llm', 'embedding', 'rerank')
            AND input_tokens IS NULL AND output_tokens IS NULL AS usage_unknown,
        latency_ms, ttft_ms, {TPOT.format(s="own")} AS tpot_ms,
        false AS ending_known, false AS abandoned
    FROM own
)"""
"""Of each late span the newest version, with its usage where that is counted nowhere else. It does
not keep the type of an error, so how it ended is unknown."""


def _sketch(name: str) -> str:
    return f"""{name} AS (
    SELECT at, {DIMS}, array_agg(k ORDER BY k) AS {name}_keys, array_agg(n ORDER BY k)
        AS {name}_counts
    FROM (
        SELECT at, {DIMS}, {BUCKET_SQL.format(x=f"{name}_ms")} AS k, count(*)::int AS n
        FROM facts WHERE {name}_ms IS NOT NULL GROUP BY at, {DIMS}, k
    ) AS buckets GROUP BY at, {DIMS}
)"""


def _summed(facts: str, target: str) -> str:
    return f"""{facts},
{", ".join(_sketch(name) for name in SKETCHES)}
INSERT INTO {target} (project_id, at, {DIMS}, {MEASURES})
SELECT %(owner)s, f.at, {", ".join(f"f.{name}" for name in DIMENSIONS)},
    count(*), count(*) FILTER (WHERE f.status = 'error'), count(*) FILTER (WHERE f.usage_unknown),
    {", ".join(f"coalesce(sum(f.{name}), 0)::bigint" for name in TOKEN_FIELDS)},
    sum(f.source_cost_usd), count(f.source_cost_usd),
    count(f.latency_ms), coalesce(sum(f.latency_ms), 0),
    count(f.ttft_ms), coalesce(sum(f.ttft_ms), 0),
    count(f.tpot_ms), coalesce(sum(f.tpot_ms), 0),
    count(*) FILTER (WHERE f.ending_known), count(*) FILTER (WHERE f.abandoned),
    {", ".join(f"coalesce(any_value({name}), '{{}}')" for name in ARRAYS)}
FROM facts f
{JOINED}
GROUP BY f.at, {", ".join(f"f.{name}" for name in DIMENSIONS)}"""


QUARTERS = _summed(FACTS, "ingest_span_quarter")
LATE_QUARTERS = _summed(LATE_FACTS, "ingest_late_quarter")

EVERY_QUARTER = f"""(
    SELECT project_id, at, {DIMS}, {MEASURES} FROM ingest_span_quarter
    UNION ALL SELECT project_id, at, {DIMS}, {MEASURES} FROM ingest_late_quarter
) AS quarters"""
"""All that is known of quarter hours: one dimension may have two rows, to be added."""


def merged(source: str, target: str, column: str, value: str, where: str) -> str:
    """SQL that sums rows of one rollup into a coarser one, sketches merged by bucket."""
    sketches = ", ".join(
        f"""{name} AS (
    SELECT at, {DIMS}, array_agg(k ORDER BY k) AS {name}_keys,
        array_agg(n ORDER BY k) AS {name}_counts
    FROM (SELECT at, {DIMS}, k, sum(n)::int AS n
        FROM facts, unnest({name}_keys, {name}_counts) AS b (k, n) GROUP BY at, {DIMS}, k
    ) AS buckets GROUP BY at, {DIMS})"""
        for name in SKETCHES
    )
    return f"""
WITH facts AS MATERIALIZED (
    SELECT {value} AS at, {DIMS}, {MEASURES} FROM {source} WHERE {where}
), {sketches}
INSERT INTO {target} (project_id, {column}, {DIMS}, {MEASURES})
SELECT %(owner)s, f.at, {", ".join(f"f.{name}" for name in DIMENSIONS)},
    {", ".join(f"sum(f.{name})" for name in SUMMED)},
    {", ".join(f"coalesce(any_value({_side(name)}.{name}), '{{}}')" for name in ARRAYS)}
FROM facts f
{JOINED}
GROUP BY f.at, {", ".join(f"f.{name}" for name in DIMENSIONS)}"""


def _side(array: str) -> str:
    return array.split("_")[0]


HOURS = merged(
    EVERY_QUARTER,
    "ingest_span_hour",
    "at",
    "date_trunc('hour', at)",
    "project_id = %(owner)s AND date_trunc('hour', at) = ANY(%(hours)s)"
    " AND at >= %(first)s AND at < %(last)s + interval '1 hour'",
)
DAYS = merged(
    EVERY_QUARTER,
    "ingest_span_day",
    "day",
    "(at AT TIME ZONE %(zone)s)::date",
    "project_id = %(owner)s AND at >= %(from)s AND at < %(to)s",
)
WEEKS = merged(
    "ingest_span_day",
    "ingest_span_week",
    "day",
    "date_trunc('week', day)::date",
    "project_id = %(owner)s AND day >= %(from_week)s AND day < %(to_week)s",
)
REQUESTS = merged(
    f"""(SELECT project_id, day, '' AS service, '' AS kind, '' AS provider, '' AS model,
        '' AS tier, 0 AS input_band, {MEASURES}
    FROM ingest_span_day WHERE kind IN {REQUEST_KINDS}) AS requests""",
    "ingest_request_day",
    "day",
    "day",
    "project_id = %(owner)s AND day BETWEEN %(from_day)s AND %(to_day)s",
)


def recompute(cursor: Any, project: int, hours: list[datetime]) -> None:
    """Quarters and hours of these hours, and every accounting day and week they touch."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    days = accounting_days(hours, zone)
    values = {
        "owner": project,
        "hours": hours,
        "first": hours[0],
        "last": hours[-1],
        "zone": zone.key,
        "from": day_start(days[0], zone),
        "to": day_start(days[-1] + timedelta(days=1), zone),
        "from_day": days[0],
        "to_day": days[-1],
        "from_week": monday(days[0]),
        "to_week": monday(days[-1]) + WEEK,
    }
    # Every hour of a call is of one UTC day.
    if not partitions.sealed(partitions.SPAN, [hours[0].astimezone(UTC).date()]):
        _write_quarters(cursor, "ingest_span_quarter", QUARTERS, values)
        concurrency.mark(cursor, project, hours)
        _note_change(cursor, project, days)
    _write_quarters(cursor, "ingest_late_quarter", LATE_QUARTERS, values)
    cursor.execute(
        "DELETE FROM ingest_span_hour WHERE project_id = %(owner)s AND at = ANY(%(hours)s)", values
    )
    cursor.execute(HOURS, values)
    for table, insert in (("ingest_span_day", DAYS), ("ingest_request_day", REQUESTS)):
        cursor.execute(
            f"DELETE FROM {table} WHERE project_id = %(owner)s"
            " AND day BETWEEN %(from_day)s AND %(to_day)s",
            values,
        )
        cursor.execute(insert, values)
    cursor.execute(
        "DELETE FROM ingest_span_week WHERE project_id = %(owner)s"
        " AND day >= %(from_week)s AND day < %(to_week)s",
        values,
    )
    cursor.execute(WEEKS, values)


def _write_quarters(cursor: Any, table: str, insert: str, values: dict[str, Any]) -> None:
    cursor.execute(
        f"DELETE FROM {table} WHERE project_id = %(owner)s"
        " AND date_trunc('hour', at) = ANY(%(hours)s)"
        " AND at >= %(first)s AND at < %(last)s + interval '1 hour'",
        values,
    )
    cursor.execute(insert, values)


def _note_change(cursor: Any, project: int, days: list[date]) -> None:
    """The users of these days are summed when it is time: see `users`."""
    cursor.execute(
        "INSERT INTO ingest_user_day_state AS s (project_id, day, changed, summed)"
        " SELECT %s, unnest(%s::date[]), 1, 0"
        " ON CONFLICT (project_id, day) DO UPDATE SET changed = s.changed + 1",
        [project, days],
    )


def accounting_days(hours: list[datetime], zone: ZoneInfo) -> list[date]:
    """Every day of the zone that has a moment in one of these hours, in order."""
    last_moment = timedelta(minutes=59, seconds=59)
    return sorted(
        {at.astimezone(zone).date() for hour in hours for at in (hour, hour + last_moment)}
    )


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def day_start(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)
