"""How many events of an objective were good, per quarter hour, hour or day, from rollups.

Knows for each indicator which rows it counts. Latency is counted from the mergeable sketch, so that
P95 ≤ T on the page of requests and "95 % within T" here are the same. Refuses to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.conf import settings

from finops.costing.burn import Counts
from finops.costing.objectives import (
    AVAILABILITY,
    COST,
    ERROR_RATE,
    LATENCY,
    QUALITY,
    Definition,
)
from finops.queries import book
from finops.queries.filters import Filters
from finops.queries.traffic.where import condition, values
from ingest import sketch
from ingest.models import Project

QUARTER, HOUR, DAY = "quarter", "hour", "day"
STEPS = (QUARTER, HOUR, DAY)
Point = date | datetime

TABLES = {
    QUARTER: ("ingest_span_quarter", "r.at"),
    HOUR: ("ingest_span_hour", "r.at"),
    DAY: ("ingest_span_day", "r.day"),
}
BINNED = {
    QUARTER: "date_bin('15 minutes', {at}, %(start_at)s)",
    HOUR: "date_bin('1 hour', {at}, %(start_at)s)",
    DAY: "({at} AT TIME ZONE %(zone)s)::date",
}


def filters_of(project: Project, definition: Definition, start: date, end: date) -> Filters:
    """The filters that the page of requests would have for this scope and these days."""
    return Filters(
        zone=settings.ACCOUNTING_TIME_ZONE,
        start=start,
        end=end,
        projects=(project.slug,),
        providers=definition.providers,
        models=definition.models,
        services=definition.services,
        basis="usage",
        currency=definition.currency or settings.REPORTING_CURRENCY,
        project_ids=(project.pk,),
    )


def counts_by(
    filters: Filters,
    definition: Definition,
    step: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Mapping[Point, Counts]:
    """Points without events are left out. `since` and `until` narrow the filters' days."""
    given = values(filters)
    given |= {
        "start_at": since or given["start_at"],
        "end_at": until or given["end_at"],
        "threshold": definition.threshold,
        "score": definition.score,
        "currency": definition.currency,
    }
    if definition.indicator == QUALITY:
        return _scores(step, given)
    if definition.indicator == ERROR_RATE:
        return _quarters(FAILING.format(scope=condition(filters, "r")), step, given)
    if definition.indicator == COST:
        return _quarters(DEAR.format(scope=condition(filters, "c")), step, given)
    return _requests(filters, definition, step, given)


def good_up_to(threshold_ms: float) -> int:
    """The last bucket whose values count as within the threshold: right to 1 % of it."""
    key = sketch.bucket(threshold_ms)
    return key if sketch.midpoint(key) <= threshold_ms else key - 1


def _requests(
    filters: Filters, definition: Definition, step: str, given: dict[str, Any]
) -> dict[Point, Counts]:
    table, point = TABLES[step]
    days = "r.day >= %(start)s AND r.day < %(end)s"
    within = days if step == DAY else "r.at >= %(start_at)s AND r.at < %(end_at)s"
    scope = f"FROM {table} r WHERE {within} AND {condition(filters, 'r')} GROUP BY 1"
    if definition.indicator == AVAILABILITY:
        sql = f"SELECT {point}, sum(r.spans - r.errors), sum(r.spans), 0 {scope}"
        return _found(sql, given)
    name = "latency" if definition.indicator == LATENCY else "ttft"
    assert definition.threshold is not None
    given["bucket"] = good_up_to(float(definition.threshold))
    sql = f"""
SELECT {point}, sum((SELECT coalesce(sum(b.n), 0) FROM unnest(r.{name}_keys, r.{name}_counts)
    AS b (k, n) WHERE b.k <= %(bucket)s)), sum(r.{name}_count), sum(r.spans - r.{name}_count)
{scope}"""
    return _found(sql, given)


FAILING = """
SELECT r.at, sum(r.errors) * 100 <= %(threshold)s * sum(r.spans) AS is_good
FROM ingest_span_quarter r WHERE r.at >= %(start_at)s AND r.at < %(end_at)s AND {scope}
GROUP BY 1 HAVING sum(r.spans) > 0"""

# What has no price could only make it dearer: above the target it is bad, below it unknown.
DEAR = """
SELECT at, CASE WHEN cost > %(threshold)s * (priced + missing) THEN false
    WHEN missing = 0 THEN cost <= %(threshold)s * priced END AS is_good
FROM (
    SELECT c.at, sum(c.cost) FILTER (WHERE c.currency = %(currency)s) AS cost,
        coalesce(sum(c.priced_spans) FILTER (WHERE c.currency = %(currency)s), 0) AS priced,
        sum(c.unpriced_spans + c.unknown_spans) AS missing
    FROM finops_costquarter c WHERE c.at >= %(start_at)s AND c.at < %(end_at)s AND {scope}
    GROUP BY 1
) AS q WHERE priced + missing > 0"""


def _quarters(source: str, step: str, given: dict[str, Any]) -> dict[Point, Counts]:
    point = BINNED[step].format(at="q.at")
    return _found(
        f"SELECT {point}, count(*) FILTER (WHERE q.is_good), count(q.is_good),"
        f" count(*) - count(q.is_good) FROM ({source}) AS q GROUP BY 1",
        given,
    )


def _scores(step: str, given: dict[str, Any]) -> dict[Point, Counts]:
    value = "coalesce(s.number, s.truth::int::float8)"
    return _found(
        f"SELECT {BINNED[step].format(at='s.at')}, count(*) FILTER (WHERE {value}"
        " >= %(threshold)s), count(*), 0 FROM ingest_score s"
        " WHERE s.project_id = ANY(%(project_ids)s) AND s.name = %(score)s AND s.label IS NULL"
        " AND s.at >= %(start_at)s AND s.at < %(end_at)s GROUP BY 1",
        given,
    )


def _found(sql: str, given: dict[str, Any]) -> dict[Point, Counts]:
    return {
        point: Counts(int(good or 0), int(total or 0), int(unknown or 0))
        for point, good, total, unknown in book.rows(sql, given)
    }
