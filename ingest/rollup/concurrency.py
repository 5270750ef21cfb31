"""Spans → how many requests, users and sessions were there at once, per quarter hour.

A request is under way in `[start, end)`. Knows the facts of open days. Refuses closed days, and
requests that came after their day was closed: of those no users and no neighbours are left.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ingest import partitions

LONGEST = timedelta(hours=1)
"""A request counts as under way for so long at most, so that a change in one hour is felt in that
hour and the next one and nowhere else. What takes longer is a job that nobody waits for."""

QUARTERS = """
WITH own AS MATERIALIZED (
    SELECT s.service, s.provider, s.model, s.user_id, s.session_id, s.started_at AS lo,
        least(coalesce(s.ended_at, s.started_at), s.started_at + %(longest)s) AS hi,
        s.ended_at IS NOT NULL AS timed
    FROM ingest_span s
    WHERE s.project_id = %(owner)s AND s.kind IN ('llm', 'embedding', 'rerank', 'inference')
        -- A span stays on the day it was first seen on, which may be the day beside.
        AND s.day BETWEEN (%(first)s - %(longest)s)::date - 1 AND %(last)s::date + 1
        AND s.started_at >= %(first)s - %(longest)s
        AND s.started_at < %(last)s + interval '1 hour'
), named AS MATERIALIZED (
    -- To sort by a number is several times faster than by three names.
    SELECT row_number() OVER ()::int AS id, service, provider, model
    FROM (SELECT DISTINCT service, provider, model FROM own) AS names
), cut AS MATERIALIZED (
    SELECT n.id, o.user_id, o.session_id, o.timed, o.lo, o.hi, generate_series(
        date_bin('15 minutes', o.lo, 'epoch'), greatest(o.lo, o.hi - interval '1 microsecond'),
        interval '15 minutes') AS at
    FROM own o JOIN named n USING (service, provider, model)
), slices AS MATERIALIZED (
    -- 0 is the whole project.
    SELECT unnest(ARRAY[0, id]) AS id, at, user_id, session_id, timed, lo >= at AS started,
        greatest(lo, at) AS lo, least(hi, at + interval '15 minutes') AS hi
    FROM cut WHERE date_trunc('hour', at) = ANY(%(hours)s)
), sums AS (
    SELECT id, at, count(*) FILTER (WHERE started) AS requests,
        count(*) FILTER (WHERE started AND timed) AS timed,
        count(*) FILTER (WHERE started AND user_id <> '') AS user_requests,
        count(*) FILTER (WHERE started AND session_id <> '') AS session_requests,
        1000 * sum(extract(epoch FROM hi - lo))::float8 AS busy_ms
    FROM slices GROUP BY id, at
), peaks AS (
    SELECT id, at, max(under_way) AS peak FROM (
        -- At the same moment, who ends goes before who starts.
        SELECT id, at, sum(step) OVER (
            PARTITION BY id, at ORDER BY moment, step ROWS UNBOUNDED PRECEDING) AS under_way
        FROM (
            SELECT id, at, lo AS moment, 1 AS step FROM slices WHERE hi > lo
            UNION ALL SELECT id, at, hi, -1 FROM slices WHERE hi > lo
        ) AS steps
    ) AS levels GROUP BY id, at
), users AS ({users}), sessions AS ({sessions})
INSERT INTO ingest_concurrency_quarter (project_id, whole, at, service, provider, model,
    requests, timed, user_requests, session_requests, busy_ms, peak, users, sessions)
SELECT %(owner)s, s.id = 0, s.at, coalesce(n.service, ''), coalesce(n.provider, ''),
    coalesce(n.model, ''), s.requests, s.timed, s.user_requests, s.session_requests, s.busy_ms,
    coalesce(p.peak, 0), u.counts, c.counts
FROM sums s
LEFT JOIN named n ON n.id = s.id
LEFT JOIN peaks p ON p.id = s.id AND p.at = s.at
LEFT JOIN users u ON u.id = s.id AND u.at = s.at
LEFT JOIN sessions c ON c.id = s.id AND c.at = s.at"""

DIFFERENT = """
    SELECT id, at, ARRAY[
        count(*) FILTER (WHERE w0), count(*) FILTER (WHERE w1), count(*) FILTER (WHERE w2)
    ]::int[] AS counts
    FROM (
        SELECT id, at, bool_or(lo < at + interval '5 minutes') AS w0,
            bool_or(lo < at + interval '10 minutes' AND till >= at + interval '5 minutes') AS w1,
            bool_or(till >= at + interval '10 minutes') AS w2
        FROM (
            -- The last moment that belongs to it; of what took no time, its only one.
            SELECT id, at, {who}, lo, greatest(lo, hi - interval '1 microsecond') AS till
            FROM slices WHERE {who} <> ''
        ) AS seen GROUP BY id, at, {who}
    ) AS each GROUP BY id, at"""

INSERT = QUARTERS.format(
    users=DIFFERENT.format(who="user_id"), sessions=DIFFERENT.format(who="session_id")
)


def recompute(cursor: Any, project: int, hours: list[datetime]) -> None:
    """These hours of one open day, and those after them that their requests reach into.

    Where the day before is closed, requests that reach in from it are not known any more.
    """
    reached = sorted({at + more for at in hours for more in (timedelta(0), LONGEST)})
    # Days are closed in order; only of a clock that was put right is the next one closed already.
    closed = partitions.sealed(partitions.SPAN, {at.astimezone(UTC).date() for at in reached})
    touched = [at for at in reached if at.astimezone(UTC).date() not in closed]
    values = {
        "owner": project,
        "hours": touched,
        "first": touched[0],
        "last": touched[-1],
        "longest": LONGEST,
    }
    cursor.execute(
        "DELETE FROM ingest_concurrency_quarter WHERE project_id = %(owner)s"
        " AND date_trunc('hour', at) = ANY(%(hours)s)"
        " AND at >= %(first)s AND at < %(last)s + interval '1 hour'",
        values,
    )
    cursor.execute(INSERT, values)
