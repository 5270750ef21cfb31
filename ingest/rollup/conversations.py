"""Spans → which sessions there were in an accounting day, as sets that can be united.

Knows the requests of one project's open day; `users` calls it, in the same transaction. Refuses
sessions over several days: their numbers mean something within one day alone.
"""

from __future__ import annotations

from typing import Any

from ingest.models.fields import PAGE_BITS

from .spans import REQUEST_KINDS

SETS = f"""
WITH named AS (
    SELECT s.provider, s.model, s.service, s.session_id, count(*) AS requests
    FROM ingest_span s
    WHERE s.project_id = %(project)s
        AND s.day BETWEEN (%(from)s AT TIME ZONE 'UTC')::date - 1
            AND (%(to)s AT TIME ZONE 'UTC')::date + 1
        AND s.started_at >= %(from)s AND s.started_at < %(to)s AND s.kind IN {REQUEST_KINDS}
    GROUP BY 1, 2, 3, 4
), numbered AS (
    SELECT *, CASE WHEN session_id = '' THEN -1
        ELSE dense_rank() OVER (PARTITION BY session_id = '' ORDER BY session_id) - 1 END AS number
    FROM named
)
INSERT INTO ingest_conversation_day
    (project_id, day, provider, model, service, page, sessions, requests)
SELECT %(project)s, %(day)s, provider, model, service,
    CASE WHEN number < 0 THEN -1 ELSE number / {PAGE_BITS} END AS page,
    bit_or(set_bit(0::bit({PAGE_BITS}), (number %% {PAGE_BITS})::int, 1)) FILTER (
        WHERE number >= 0),
    sum(requests)
FROM numbered GROUP BY provider, model, service, page"""


def write(cursor: Any, values: dict[str, Any]) -> None:
    cursor.execute(
        "DELETE FROM ingest_conversation_day WHERE project_id = %(project)s AND day = %(day)s",
        values,
    )
    cursor.execute(SETS, values)
