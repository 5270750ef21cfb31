"""What pools cost, and what of it landed on projects, by the accounting day.

Knows quarter hours of one pool and makes its days anew from them, in the transaction that wrote
them. Refuses increments.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from ingest.rollup.spans import day_start

OF_DAYS = "pool_id = %(pool)s AND at >= %(from)s AND at < %(to)s"
DAY = "(at AT TIME ZONE %(zone)s)::date"

QUARTER_S = 900

HARDWARE = (
    "first_at", "paid", "used", "unobserved", "covered_s", "elapsed_s", "unpriced_s", "priced_paid",
    "observed", "observed_used", "observed_busy_s",
)  # fmt: skip
"""What is known of a pool's hardware by the day."""


def hardware_of(where: str, elapsed_s: str) -> str:
    """SQL of `HARDWARE` by pool, accounting day and currency, from quarter hours.

    `elapsed_s` says how long a quarter has been, of one that may still be running.
    """
    is_seen = "NOT unpriced AND covered_s > 0"
    # What is billed by use is used to the last cent, whatever was observed.
    unobserved = "least(paid - used, paid * (1 - covered_s::numeric / nullif(elapsed_s, 0)))"
    return f"""
SELECT pool_id, {DAY} AS day, currency, min(at) AS first_at, sum(paid) AS paid, sum(used) AS used,
    sum({unobserved}) AS unobserved, sum(covered_s) AS covered_s, sum(elapsed_s)::float8
        AS elapsed_s,
    coalesce(sum(elapsed_s) FILTER (WHERE unpriced), 0)::float8 AS unpriced_s,
    sum(paid) FILTER (WHERE NOT unpriced) AS priced_paid,
    sum(paid - {unobserved}) FILTER (WHERE {is_seen}) AS observed,
    sum(used) FILTER (WHERE {is_seen}) AS observed_used,
    sum(busy_s) FILTER (WHERE {is_seen}) AS observed_busy_s
FROM (
    SELECT *, ({elapsed_s})::numeric AS elapsed_s FROM (
        SELECT pool_id, at, max(currency) AS currency, sum(allocated) AS paid, sum(used) AS used,
            sum(busy_s) AS busy_s, bool_or(allocated IS NULL) AS unpriced,
            max(covered_s) FILTER (WHERE model = '') AS covered_s
        FROM finops_poolquarter WHERE {where} GROUP BY pool_id, at
    ) AS quarters
) AS quarters GROUP BY 1, 2, 3"""


POOL_DAYS = f"""
DELETE FROM finops_poolday WHERE pool_id = %(pool)s AND day BETWEEN %(first)s AND %(last)s;
INSERT INTO finops_poolday
    (pool_id, day, model, currency, allocated, requests, unpriced_quarters, used, busy_s,
     counted_quarters, observed_quarters, observed_used, observed_requests, uncounted_quarters)
SELECT pool_id, {DAY}, model, currency, sum(allocated), coalesce(sum(requests), 0),
    count(*) FILTER (WHERE model = '' AND allocated IS NULL), sum(used), sum(busy_s),
    count(requests), count(*) FILTER (WHERE is_seen),
    coalesce(sum(used) FILTER (WHERE is_seen AND requests IS NOT NULL), 0),
    coalesce(sum(requests) FILTER (WHERE is_seen AND used IS NOT NULL), 0),
    count(*) FILTER (WHERE is_seen AND requests IS NULL)
FROM (
    SELECT *, max(covered_s) FILTER (WHERE model = '') OVER (PARTITION BY at) > 0 AS is_seen
    FROM finops_poolquarter WHERE {OF_DAYS}
) AS quarters GROUP BY 1, 2, 3, 4;
DELETE FROM finops_hardwareday WHERE pool_id = %(pool)s AND day BETWEEN %(first)s AND %(last)s;
INSERT INTO finops_hardwareday (pool_id, day, currency, {", ".join(HARDWARE)})
{hardware_of(OF_DAYS, str(QUARTER_S))}"""

LANDED_DAYS = f"""
DELETE FROM finops_landedhardwareday
WHERE pool_id = %(pool)s AND day BETWEEN %(first)s AND %(last)s;
INSERT INTO finops_landedhardwareday
    (pool_id, day, model, currency, project_id, rule_id, requests, allocated)
SELECT pool_id, {DAY}, model, currency, project_id, rule_id, sum(requests), sum(allocated)
FROM finops_landedhardware WHERE {OF_DAYS} GROUP BY 1, 2, 3, 4, 5, 6"""


def write_paid(cursor: Any, pool: int, days: Iterable[date]) -> None:
    """After quarter hours of these days were written."""
    _write(cursor, POOL_DAYS, pool, days)


def write_landed(cursor: Any, pool: int, day: date) -> None:
    """After what landed of this day was written."""
    _write(cursor, LANDED_DAYS, pool, (day,))


def _write(cursor: Any, statements: str, pool: int, days: Iterable[date]) -> None:
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    asked = list(days)
    first, last = min(asked), max(asked)
    given = {
        "pool": pool,
        "first": first,
        "last": last,
        "from": day_start(first, zone),
        "to": day_start(last + timedelta(days=1), zone),
        "zone": zone.key,
    }
    for statement in statements.split(";"):
        cursor.execute(statement, given)
