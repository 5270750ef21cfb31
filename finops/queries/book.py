"""The SQL of the book: which dollar comes from a bill, which from priced usage, none from both.

A complete bill is the book for its account and month. Usage stands in where no bill covers it:
for a provider that a bill service is matched with (`BillMatch`), from the end of what the bill has
charged. Whole covered days are left out of the daily costs; a day that a bill covers in part is
filled from quarter hours, so no dollar is counted twice and none is lost.

Bills and hardware belong to nobody by themselves: they stand under Unallocated. What rules of
allocation landed on a project is *moved* there: one row gives it to the project, another takes it
from Unallocated, so the sum over projects is the total, whatever the rules say. Usage alone is
shown as it was used: there nothing is moved.

Knows tables and access. Refuses to interpret: rows leave here as sums per key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from .book_coverage import REQUEST_KINDS as REQUEST_KINDS
from .book_coverage import Coverage, coverage
from .book_coverage import believed as believed
from .book_coverage import parameters as parameters
from .book_coverage import rows as rows
from .filters import Filters

IDLE = "(idle)"
SHARED = "(shared hardware)"
UNBILLED = "(not billed)"
NOT_ON_BILL = "(not on the bill)"

USAGE = {
    "project": "c.project_id::text",
    "provider": "c.provider",
    "model": "c.model",
    "service": "c.service",
    "kind": "c.kind",
    "tier": "c.tier",
    "sku": f"'{UNBILLED}'",
    "origin": "'usage'",
    "user": "c.user_id",
    "rule": "''",
}
HARDWARE = {
    "project": "(SELECT id::text FROM unclaimed)",
    "provider": "l.provider",
    "model": f"CASE WHEN q.model = '' THEN '{IDLE}' ELSE q.model END",
    "service": f"'{SHARED}'",
    "kind": f"'{SHARED}'",
    "tier": f"'{SHARED}'",
    "sku": "l.hardware",
    "origin": "'hardware'",
    "user": f"'{SHARED}'",
    "rule": "''",
}
BILL = {
    "project": "(SELECT id::text FROM unclaimed)",
    "provider": "coalesce(m.usage_provider, d.provider)",
    # A bill knows no models, but what a model's provider charges for is named by its SKU.
    "model": "CASE WHEN m.usage_provider <> '' AND d.sku <> '' THEN d.sku"
    f" ELSE '{NOT_ON_BILL}' END",
    "service": "d.service",
    "kind": f"'{NOT_ON_BILL}'",
    "tier": f"'{NOT_ON_BILL}'",
    "sku": "d.sku",
    "origin": "'bill'",
    "user": f"'{NOT_ON_BILL}'",
    "rule": "''",
}
MOVED_BILL = BILL | {"project": "d.project_id::text", "rule": "coalesce(d.rule_id::text, '')"}
MOVED_HARDWARE = HARDWARE | {
    "project": "q.project_id::text",
    "rule": "coalesce(q.rule_id::text, '')",
}
"""Each part's column for each thing that rows are grouped or filtered by."""

USAGE_COSTS = {"list": "c.list_cost"}
"""Of priced usage it is known what was paid, and often what the list asks; see docs/prices.md."""

COSTS = {
    "effective": "d.effective_cost",
    "billed": "d.billed_cost",
    "list": "d.list_cost",
    "contracted": "d.contracted_cost",
}

MEASURES = (
    "cost",
    "reconciled",
    "usage_cost",
    "api_cost",
    "hardware_cost",
    "requests",
    "tokens",
    "priced_requests",
    "priced_tokens",
    "pool_requests",
    "pool_tokens",
    "unpriced_spans",
    "unpriced_tokens",
    "unknown_spans",
    "unknown_lines",
    "unpriced_gpu_s",
    "answered",
)


CONTEXT = """
WITH unclaimed AS MATERIALIZED (SELECT id FROM ingest_project WHERE slug = %(unclaimed)s),
pools AS MATERIALIZED (
    SELECT DISTINCT lower(provider) AS provider FROM ingest_pool WHERE provider <> ''),
days_billed AS MATERIALIZED (
    SELECT * FROM unnest(%(day_provider)s::text[], %(day_from)s::date[], %(day_to)s::date[])
        AS w (provider, first, last)),
edges AS MATERIALIZED (
    SELECT * FROM unnest(
        %(edge_provider)s::text[], %(edge_from)s::timestamptz[], %(edge_to)s::timestamptz[])
        AS w (provider, first, last))"""


def _narrowed(columns: dict[str, str], filters: Filters) -> str:
    """AND-ed conditions for the filters that are set; names come from the tables above."""
    conditions = [
        f"AND {columns[name]} = ANY(%({name})s::text[])"
        for name in ("provider", "model", "service")
        if getattr(filters, f"{name}s")
    ]
    return " ".join(conditions)


def _owned(filters: Filters) -> str:
    return "" if filters.project_ids is None else "AND c.project_id = ANY(%(project_ids)s)"


def usage_in_scope(filters: Filters) -> str:
    """AND-ed conditions for rows of usage under the alias `c`; values come from `parameters`."""
    return f"{_owned(filters)} {_narrowed(USAGE, filters)}"


def _shared_in_scope(filters: Filters) -> str:
    """Bills and hardware belong to the unallocated project, and to who sees the organisation."""
    if not filters.bills:
        return "AND false"
    if filters.project_ids is None:
        return ""
    return "AND (SELECT id FROM unclaimed) = ANY(%(project_ids)s)"


def _usage(filters: Filters, keys: Sequence[str], step: str, is_covered: bool) -> str:
    """Daily (or quarter-hourly) costs, minus the days a bill covers; of users there are days."""
    table, time_column, within = {
        "day": ("finops_costday", "c.day", "c.day >= %(start)s AND c.day < %(end)s"),
        "hour": (
            "finops_costquarter",
            "date_trunc('hour', c.at)",
            "c.at >= %(start_at)s AND c.at < %(end_at)s",
        ),
    }[step or "day"]
    if "user" in keys:
        table = "finops_usercostday"
        within += " AND c.user_id = ANY(%(users)s::text[])"
    counted = "true"
    if is_covered:
        counted = """NOT EXISTS (SELECT FROM days_billed w WHERE w.provider = c.provider
        AND c.day >= w.first AND c.day < w.last)"""
    cost = USAGE_COSTS.get(filters.metric, "c.cost")
    return f"""
SELECT {_keys(USAGE, keys, time_column if step else None)}, c.currency,
    sum({cost}) FILTER (WHERE {counted}) AS cost, 0::numeric AS reconciled,
    sum(c.cost) AS usage_cost, sum(c.cost) AS api_cost, 0::numeric AS hardware_cost,
    {VOLUMES},
    {_unlisted(filters, counted)} AS unknown_lines, 0::float8 AS unpriced_gpu_s,
    0::float8 AS answered
FROM {table} c
WHERE {within} {usage_in_scope(filters)}
GROUP BY {_ordinals(keys, step)}"""


VOLUMES = """
    coalesce(sum(c.spans) FILTER (WHERE c.kind = ANY(%(kinds)s)), 0) AS requests,
    sum(c.tokens) AS tokens,
    coalesce(sum(c.priced_spans) FILTER (WHERE c.kind = ANY(%(kinds)s)), 0) AS priced_requests,
    coalesce(sum(c.tokens - c.unpriced_tokens) FILTER (WHERE c.currency <> ''), 0)
        AS priced_tokens,
    coalesce(sum(c.spans) FILTER (WHERE c.kind = ANY(%(kinds)s)
        AND lower(c.provider) IN (SELECT provider FROM pools)), 0) AS pool_requests,
    coalesce(sum(c.tokens) FILTER (WHERE lower(c.provider) IN (SELECT provider FROM pools)), 0)
        AS pool_tokens,
    sum(c.unpriced_spans) AS unpriced_spans,
    sum(c.unpriced_tokens) AS unpriced_tokens,
    sum(c.unknown_spans) AS unknown_spans"""
"""A pool is paid by the hour: its spans have no price of their own, and none is missing."""

NO_VOLUMES = """
    0::bigint AS requests, 0::bigint AS tokens, 0::bigint AS priced_requests,
    0::bigint AS priced_tokens, 0::bigint AS pool_requests, 0::bigint AS pool_tokens,
    0::bigint AS unpriced_spans, 0::bigint AS unpriced_tokens, 0::bigint AS unknown_spans"""

UNKNOWN_VOLUMES = """
    NULL::bigint AS requests, NULL::bigint AS tokens, NULL::bigint AS priced_requests,
    NULL::bigint AS priced_tokens, NULL::bigint AS pool_requests, NULL::bigint AS pool_tokens,
    NULL::bigint AS unpriced_spans, NULL::bigint AS unpriced_tokens,
    NULL::bigint AS unknown_spans"""
"""Bills know of no requests: NULL adds nothing, and stays where there is nothing else."""


def _unlisted(filters: Filters, counted: str) -> str:
    """Rows with an amount of which the list price is unknown, where that is asked for."""
    if filters.metric not in USAGE_COSTS:
        return "0::bigint"
    return f"count(*) FILTER (WHERE c.list_cost IS NULL AND c.currency <> '' AND ({counted}))"


def _usage_edges(filters: Filters, keys: Sequence[str], step: str) -> str:
    """What a bill leaves of a day it covers in part. Volumes are in the daily rows already."""
    cost = USAGE_COSTS.get(filters.metric, "c.cost")
    return f"""
SELECT {_keys(USAGE, keys, "(c.at AT TIME ZONE %(zone)s)::date" if step else None)}, c.currency,
    sum({cost}), 0::numeric, 0::numeric, 0::numeric, 0::numeric, {NO_VOLUMES},
    {_unlisted(filters, "true")}, 0::float8, 0::float8
FROM edges w JOIN finops_costquarter c
    ON c.provider = w.provider AND c.at >= w.first AND c.at < w.last
WHERE true {usage_in_scope(filters)}
GROUP BY {_ordinals(keys, step)}"""


def _hardware(filters: Filters, keys: Sequence[str], step: str, is_covered: bool) -> str:
    """What pools cost by the hour, minus the instants that a bill of their provider covers."""
    time_column = _hardware_point(step)
    counted = _hardware_counted(is_covered)
    return f"""
SELECT {_keys(HARDWARE, keys, time_column)}, q.currency,
    sum(q.allocated) FILTER (WHERE {counted}), 0::numeric, sum(q.allocated), 0::numeric,
    sum(q.allocated), {NO_VOLUMES}, 0::bigint,
    coalesce(900 * sum(l.gpu_count) FILTER (WHERE q.model = '' AND q.allocated IS NULL), 0)::float8,
    coalesce(sum(q.requests), 0)::float8
FROM finops_poolquarter q JOIN ingest_pool l ON l.id = q.pool_id
WHERE q.at >= %(start_at)s AND q.at < %(end_at)s
    {_shared_in_scope(filters)} {_narrowed(HARDWARE, filters)}
GROUP BY {_ordinals(keys, step)}"""


def _moved_hardware(filters: Filters, keys: Sequence[str], step: str, is_covered: bool) -> str:
    """What rules took from Unallocated, and gave to projects, of what pools cost."""
    columns = MOVED_HARDWARE
    counted = _hardware_counted(is_covered)
    return f"""
SELECT {_keys(columns, keys, _hardware_point(step))}, q.currency,
    sum(q.allocated) FILTER (WHERE {counted}), 0::numeric, sum(q.allocated),
    0::numeric, sum(q.allocated), {NO_VOLUMES}, 0::bigint, 0::float8,
    coalesce(sum(q.requests), 0)::float8
FROM finops_landedhardware q JOIN ingest_pool l ON l.id = q.pool_id
WHERE q.at >= %(start_at)s AND q.at < %(end_at)s
    {_moved_in_scope(filters, "q.project_id")} {_narrowed(columns, filters)}
GROUP BY {_ordinals(keys, step)}"""


def _hardware_point(step: str) -> str | None:
    return {
        "": None,
        "day": "(q.at AT TIME ZONE %(zone)s)::date",
        "hour": "date_trunc('hour', q.at)",
    }[step]


def _hardware_counted(is_covered: bool) -> str:
    """Hardware that a bill of its provider covers is on that bill."""
    if not is_covered:
        return "true"
    return """NOT EXISTS (SELECT FROM days_billed w WHERE w.provider = l.provider
        AND (q.at AT TIME ZONE %(zone)s)::date >= w.first
        AND (q.at AT TIME ZONE %(zone)s)::date < w.last)
        OR EXISTS (SELECT FROM edges w WHERE w.provider = l.provider
        AND q.at >= w.first AND q.at < w.last)"""


def _moved_in_scope(filters: Filters, owner: str) -> str:
    if not filters.bills:
        return "AND false"
    return "" if filters.project_ids is None else f"AND {owner} = ANY(%(project_ids)s)"


def _bills(filters: Filters, keys: Sequence[str], step: str) -> str:
    cost = COSTS[filters.metric]
    return f"""
SELECT {_keys(BILL, keys, "d.day" if step else None)}, d.currency,
    sum({cost}), sum({cost}), 0::numeric, 0::numeric, 0::numeric, {UNKNOWN_VOLUMES},
    coalesce(sum(d.lines) FILTER (WHERE {cost} IS NULL), 0)::bigint, 0::float8, 0::float8
FROM ingest_billday d
JOIN ingest_deliveryperiod p ON p.id = d.period_id
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
{MATCHED}
WHERE d.day >= %(start)s AND d.day < %(end)s AND {believed(filters)}
    {_shared_in_scope(filters)} {_narrowed(BILL, filters)}
GROUP BY {_ordinals(keys, step)}"""


def _moved_bills(filters: Filters, keys: Sequence[str], step: str) -> str:
    """What rules took from Unallocated, and gave to projects, of bills."""
    columns, cost = MOVED_BILL, COSTS[filters.metric]
    return f"""
SELECT {_keys(columns, keys, "d.day" if step else None)}, d.currency,
    sum({cost}), sum({cost}), 0::numeric, 0::numeric, 0::numeric,
    {UNKNOWN_VOLUMES}, sum(d.unknown_{filters.metric})::bigint, 0::float8, 0::float8
FROM finops_landedbill d
JOIN ingest_deliveryperiod p ON p.id = d.period_id
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
{MATCHED}
WHERE d.day >= %(start)s AND d.day < %(end)s AND {believed(filters)}
    {_moved_in_scope(filters, "d.project_id")} {_narrowed(columns, filters)}
GROUP BY {_ordinals(keys, step)}"""


MATCHED = """LEFT JOIN (
    -- Two providers may share one bill service; its lines then carry the first name.
    SELECT bill_provider, bill_service, min(usage_provider) AS usage_provider
    FROM finops_billmatch GROUP BY 1, 2
) m ON m.bill_provider = d.provider AND m.bill_service = d.service"""


def _keys(columns: dict[str, str], keys: Sequence[str], point: str | None) -> str:
    chosen = [f"{columns[key]} AS k{place}" for place, key in enumerate(keys)]
    if point:
        chosen.append(f"{point} AS point")
    return ", ".join(chosen) if chosen else "0 AS k0"


def _ordinals(keys: Sequence[str], step: str) -> str:
    """Positions of the key columns and the currency behind them; one dummy when there is none."""
    count = max(1, len(keys) + bool(step)) + 1
    return ", ".join(str(place) for place in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Sum:
    """One row of an answer."""

    keys: tuple[str, ...]
    point: Any
    """The day or hour; None when the answer has no steps."""
    currency: str
    measures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Split:
    """One way of splitting the scope: by which names of `USAGE`, and by day or hour."""

    keys: tuple[str, ...] = ()
    by_time: bool = False


def sums(
    filters: Filters, splits: Sequence[Split], step: str = "day", users: Sequence[str] = ()
) -> list[list[Sum]]:
    """The scope, split in each of these ways, in one pass: `result[i]` answers `splits[i]`.

    With the key `user`, usage is that of `users` alone: see `by_user`.
    """
    keys = tuple(dict.fromkeys(key for split in splits for key in split.keys))
    stepped = step if any(split.by_time for split in splits) else ""
    covered = coverage(filters)
    parts = _parts(filters, keys, stepped, covered)
    columns = [*keys, *(["point"] if stepped else [])] or ["nothing"]
    names = {column: f"c{place}" for place, column in enumerate(columns)}
    kept = [{*split.keys, "nothing"} | ({"point"} if split.by_time else set()) for split in splits]
    sets = [
        ", ".join([names[column] for column in columns if column in own] + ["currency"])
        for own in kept
    ]
    # As SQL's grouping() has it: bit by bit from the left, 1 where a column is summed over.
    masks = [
        int("".join("0" if column in own else "1" for column in columns), base=2) for own in kept
    ]
    listed = ", ".join(names.values())
    sql = f"""{CONTEXT}
SELECT grouping({listed}), {listed}, currency, {", ".join(f"sum({name})" for name in MEASURES)}
FROM ({" UNION ALL ".join(parts)}) AS parts ({", ".join((listed, "currency", *MEASURES))})
GROUP BY GROUPING SETS ({", ".join(f"({one})" for one in sets)})"""
    answers: list[list[Sum]] = [[] for _ in splits]
    for mask, *row in rows(sql, parameters(filters, covered) | {"users": list(users)}):
        found = dict(zip(columns, row, strict=False))
        currency, measures = (
            row[len(columns)],
            dict(zip(MEASURES, row[len(columns) + 1 :], strict=True)),
        )
        for place, split in enumerate(splits):
            if masks[place] == mask:
                point = found["point"] if split.by_time else None
                own = tuple(found[key] for key in split.keys)
                answers[place].append(Sum(own, point, currency, measures))
    return answers


def _parts(filters: Filters, keys: tuple[str, ...], step: str, covered: Coverage) -> list[str]:
    parts = []
    if filters.basis in ("book", "usage"):
        parts.append(_usage(filters, keys, step, bool(covered.days)))
        parts.append(_hardware(filters, keys, step, bool(covered.days)))
    if covered.edges and "user" not in keys:
        parts.append(_usage_edges(filters, keys, step))
    if filters.basis in ("book", "bill"):
        parts.append(_bills(filters, keys, step))
    if filters.basis != "usage" and _asks_whose(filters, keys):
        parts.append(_moved_bills(filters, keys, step))
        if filters.basis == "book":
            parts.append(_moved_hardware(filters, keys, step, bool(covered.days)))
    return parts


def _asks_whose(filters: Filters, keys: tuple[str, ...]) -> bool:
    """Over all projects what was moved adds up to nothing, and is not read."""
    return filters.project_ids is not None or "project" in keys or "rule" in keys


def days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=offset) for offset in range((end - start).days)]


def hours(start: datetime, end: datetime) -> list[datetime]:
    count = int((end - start) / timedelta(hours=1))
    return [start.astimezone(UTC) + timedelta(hours=offset) for offset in range(count)]
