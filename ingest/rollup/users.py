"""Spans → what each user, and each value of a label, used in an accounting day.

Not more often than it is worth. Knows the facts of open days and the labels that people chose.
Refuses days of which a part is closed: what was summed stays.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from ingest import partitions
from ingest.labels import OTHER_VALUES, in_force
from ingest.privacy import LONGEST_LABEL, MOST_SPACES
from ingest.records import TOKEN_FIELDS

from . import conversations
from .spans import DIMS, OWN_USAGE, USAGE_BELOW, day_start

LEAST_WAIT = timedelta(minutes=1)
REST = 20
"""After a day took a second, it is left alone for twenty: at most 5 % of the time goes into it."""

MOST_VALUES = 1000
"""Values of a label that a day keeps apart, those with the most tokens; the rest are one row."""

COUNTS = "spans, errors, usage_unknown, " + ", ".join(TOKEN_FIELDS)
TOKENS = " + ".join(TOKEN_FIELDS)

FACTS = f"""
    SELECT {{who}}, {DIMS}, s.status,
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
            OR num_nonnulls(s.input_tokens, s.output_tokens) > 0)"""

SUMS = f"""count(*) AS spans, count(*) FILTER (WHERE status = 'error') AS errors,
    count(*) FILTER (WHERE usage_unknown) AS usage_unknown,
    {", ".join(f"coalesce(sum({name}), 0)::bigint AS {name}" for name in TOKEN_FIELDS)}"""

USERS = f"""
WITH facts AS ({FACTS.format(who="s.user_id")})
INSERT INTO ingest_user_day (project_id, day, user_id, {DIMS}, {COUNTS})
SELECT %(project)s, %(day)s, user_id, {DIMS}, {SUMS}
FROM facts GROUP BY user_id, {DIMS}"""

LABELS = f"""
WITH facts AS MATERIALIZED ({FACTS.format(who="ARRAY[{values}] AS told")}),
names AS (SELECT * FROM unnest(%(labels)s::text[]) WITH ORDINALITY AS n (label, place)),
sums AS MATERIALIZED (
    SELECT n.label, coalesce(f.told[n.place], '') AS value, {DIMS}, {SUMS}
    FROM facts f CROSS JOIN names n GROUP BY 1, 2, {DIMS}
), totals AS (
    -- A project that keeps text has longer labels, and its text must not outlive its days here.
    SELECT *, length(value) > %(longest)s OR value LIKE %(two_lines)s
            OR length(value) - length(replace(value, ' ', '')) > %(spaces)s AS is_text,
        sum({TOKENS}) OVER one AS all_tokens, sum(spans) OVER one AS all_spans
    FROM sums WINDOW one AS (PARTITION BY label, value)
), ranked AS MATERIALIZED (
    SELECT *, value = '' OR NOT is_text AND dense_rank() OVER (
            PARTITION BY label, value = ''
            ORDER BY is_text, all_tokens DESC, all_spans DESC, value
        ) <= %(most)s AS is_kept
    FROM totals
), days AS (
    INSERT INTO ingest_label_day_state
        (project_id, day, label, attributes, different, folded, summed_at)
    SELECT %(project)s, %(day)s, n.label,
        string_to_array((%(attributes)s::text[])[n.place], %(joint)s),
        count(DISTINCT r.value) FILTER (WHERE r.value <> ''),
        count(DISTINCT r.value) FILTER (WHERE NOT r.is_kept), now()
    FROM names n LEFT JOIN ranked r USING (label) GROUP BY n.label, n.place
)
INSERT INTO ingest_label_day (project_id, day, label, value, {DIMS}, {COUNTS})
SELECT %(project)s, %(day)s, label, CASE WHEN is_kept THEN value ELSE %(other)s END AS kept,
    {DIMS}, {", ".join(f"sum({name})::bigint" for name in COUNTS.split(", "))}
FROM ranked GROUP BY label, kept, {DIMS}"""
"""A window instead of a join: a young table has no statistics to choose the right join by."""

JOINT = "\x1f"
"""Between the attributes of one label; no attribute's name may hold it, see `ingest.labels`."""


def sum_users(now: datetime, limit: int = 100) -> int:
    """Sum the users and labels of up to `limit` days that changed and may be summed again."""
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
    for table in ("ingest_user_day", "ingest_label_day", "ingest_label_day_state"):
        cursor.execute(
            f"DELETE FROM {table} WHERE project_id = %(project)s AND day = %(day)s", values
        )
    cursor.execute(USERS, values)
    conversations.write(cursor, values)
    labels = in_force(values["project"], values["day"])
    if labels:
        _write_labels(cursor, values, labels)


def _write_labels(cursor: Any, values: dict[str, Any], labels: dict[str, list[str]]) -> None:
    """All labels of a day in one pass over its facts."""
    keys = {
        f"key_{place}_{order}": key
        for place, attributes in enumerate(labels.values())
        for order, key in enumerate(attributes)
    }
    read = "nullif(s.attributes ->> %(key_{}_{})s::text, '')"
    told = [
        f"coalesce({', '.join(read.format(place, at) for at in range(len(attributes)))})"
        for place, attributes in enumerate(labels.values())
    ]
    given = {
        "labels": list(labels),
        "attributes": [JOINT.join(attributes) for attributes in labels.values()],
        "joint": JOINT,
        "most": MOST_VALUES,
        "longest": LONGEST_LABEL,
        "spaces": MOST_SPACES,
        "two_lines": "%\n%",
        "other": OTHER_VALUES,
    }
    cursor.execute(LABELS.replace("{values}", ", ".join(told)), values | keys | given)


def _utc_days(start: datetime, end: datetime) -> list[date]:
    first = start.astimezone(UTC).date()
    last = (end - timedelta(microseconds=1)).astimezone(UTC).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
