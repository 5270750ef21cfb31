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
    -- To group by a number is several times faster than by three names. 0 is the whole project.
    SELECT row_number() OVER () AS id, service, provider, model
    FROM (SELECT DISTINCT service, provider, model FROM own) AS names
), cut AS MATERIALIZED (
    SELECT n.id, o.user_id, o.session_id, o.timed, o.lo, o.hi, generate_series(
        date_bin('15 minutes', o.lo, 'epoch'), greatest(o.lo, o.hi - interval '1 microsecond'),
        interval '15 minutes') AS at
    FROM own o JOIN named n USING (service, provider, model)
), pieces AS MATERIALIZED (
    -- `place` is the quarter hour's number, `since` and `till` are its microseconds.
    SELECT id, user_id, session_id, timed, lo >= at AS started,
        (date_part('epoch', at - %(first)s) / 900)::bigint AS place,
        (1e6 * date_part('epoch', greatest(lo, at) - at))::bigint AS since,
        (1e6 * date_part('epoch', least(hi, at + interval '15 minutes') - at))::bigint AS till
    FROM cut WHERE date_trunc('hour', at) = ANY(%(hours)s)
), sums AS (
    SELECT coalesce(id, 0) AS id, place, count(*) FILTER (WHERE started) AS requests,
        count(*) FILTER (WHERE started AND timed) AS timed,
        count(*) FILTER (WHERE started AND user_id <> '') AS user_requests,
        count(*) FILTER (WHERE started AND session_id <> '') AS session_requests,
        sum(till - since) / 1000.0 AS busy_ms
    FROM pieces GROUP BY GROUPING SETS ((id, place), (place))
), peaks AS (
    SELECT moment >> 31 >> 8 AS id, moment >> 31 & 255 AS place, max(under_way) AS peak FROM (
        -- All that begins in a quarter hour ends in it, so a plain running sum is at 0 between two.
        SELECT moment, sum((moment & 1) * 2 - 1) OVER (
            ORDER BY moment ROWS UNBOUNDED PRECEDING) AS under_way
        FROM (
            -- Sorted as one number: whose, which quarter, when in it; who ends before who starts.
            SELECT (place << 31) + unnest(ARRAY[since << 1 | 1, till << 1,
                (id << 39) + (since << 1 | 1), (id << 39) + (till << 1)])
            FROM pieces WHERE till > since
        ) AS moments (moment)
    ) AS levels GROUP BY moment >> 31
), users AS ({users}), sessions AS ({sessions})
INSERT INTO ingest_concurrency_quarter (project_id, whole, at, service, provider, model,
    requests, timed, user_requests, session_requests, busy_ms, peak,
    users_1, users_2, users_3, sessions_1, sessions_2, sessions_3)
SELECT %(owner)s, s.id = 0, %(first)s + s.place * interval '15 minutes', coalesce(n.service, ''),
    coalesce(n.provider, ''), coalesce(n.model, ''), s.requests, s.timed, s.user_requests,
    s.session_requests, s.busy_ms, coalesce(p.peak, 0),
    u.in_1, u.in_2, u.in_3, c.in_1, c.in_2, c.in_3
FROM sums s
LEFT JOIN named n USING (id)
LEFT JOIN peaks p USING (id, place)
LEFT JOIN users u USING (id, place)
LEFT JOIN sessions c USING (id, place)"""

DIFFERENT = """
    SELECT id, place, count(*) FILTER (WHERE windows & 1 <> 0) AS in_1,
        count(*) FILTER (WHERE windows & 2 <> 0) AS in_2,
        count(*) FILTER (WHERE windows & 4 <> 0) AS in_3
    FROM (
        SELECT coalesce(id, 0) AS id, place, bit_or(windows) AS windows FROM (
            -- A bit for each window it was under way in. The last moment that belongs to it is the
            -- one before its end; of what took no time, its only one.
            SELECT id, place, {who}, (7 << (since / 300000000)::int)
                & (7 >> (2 - greatest(since, till - 1) / 300000000)::int) AS windows
            FROM pieces WHERE {who} <> ''
        ) AS seen GROUP BY GROUPING SETS ((id, place, {who}), (place, {who}))
    ) AS each GROUP BY id, place"""

INSERT = QUARTERS.format(
    users=DIFFERENT.format(who="user_id"), sessions=DIFFERENT.format(who="session_id")
)


def mark(cursor: Any, project: int, hours: list[datetime]) -> None:
    """These hours are to be counted again, and those after them that their requests reach into."""
    reached = sorted({at + more for at in hours for more in (timedelta(0), LONGEST)})
    cursor.execute(
        "INSERT INTO ingest_dirty_hour (owner_kind, owner_id, hour, marked_at)"
        " SELECT 'concurrency', %s, unnest(%s::timestamptz[]), now()",
        [project, reached],
    )


def recompute(cursor: Any, project: int, hours: list[datetime]) -> None:
    """These hours of one day, unless it is closed.

    Where the day before is closed, requests that reach in from it are not known any more.
    """
    # Days are closed in order; only of a clock that was put right is the next one closed already.
    if partitions.sealed(partitions.SPAN, [hours[0].astimezone(UTC).date()]):
        return
    values = {
        "owner": project,
        "hours": hours,
        "first": hours[0],
        "last": hours[-1],
        "longest": LONGEST,
    }
    cursor.execute(
        "DELETE FROM ingest_concurrency_quarter WHERE project_id = %(owner)s"
        " AND date_trunc('hour', at) = ANY(%(hours)s)"
        " AND at >= %(first)s AND at < %(last)s + interval '1 hour'",
        values,
    )
    cursor.execute(INSERT, values)
