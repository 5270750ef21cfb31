"""The SQL of the book: which dollar comes from a bill, which from priced usage, none from both.

A complete bill is the book for its account and month. Usage stands in where no bill covers it:
for a provider that a bill service is matched with (`BillMatch`), from the end of what the bill has
charged. Whole covered days are left out of the daily costs; a day that a bill covers in part is
filled from quarter hours, so no dollar is counted twice and none is lost.

Knows tables and access. Refuses to interpret: rows leave here as sums per key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from ingest.models.owners import UNALLOCATED

from .filters import Filters, midnight

REQUEST_KINDS = ("llm", "embedding", "rerank", "inference")
"""Spans that a model answered; tools, agents and chains are not requests of their own."""

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
}
"""Each part's column for each thing that rows are grouped or filtered by."""

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


@dataclass(frozen=True, slots=True)
class Window:
    """Usage of one provider that a bill covers for whole days, or that fills a day's rest."""

    provider: str
    start: Any
    end: Any


@dataclass(frozen=True, slots=True)
class Coverage:
    """What complete bills cover of the usage in a range."""

    days: tuple[Window, ...] = ()
    """Accounting days `[start, end)` whose daily usage is left out."""
    edges: tuple[Window, ...] = ()
    """Instants `[start, end)` inside those days that no bill covers."""


def coverage(filters: Filters) -> Coverage:
    """Empty unless the book is asked for: usage alone is all usage, a bill alone has none."""
    if filters.basis != "book" or not filters.bills:
        return Coverage()
    covered: dict[str, list[tuple[datetime, datetime]]] = {}
    for provider, month, until in billed_months(filters):
        start = datetime.combine(month, time(), UTC)
        if start < until:
            covered.setdefault(provider, []).append((start, until))
    days: list[Window] = []
    edges: list[Window] = []
    for provider, spans in covered.items():
        for first, last in _whole_days(spans, filters):
            days.append(Window(provider, first, last))
            edges += (
                Window(provider, start, end)
                for start, end in _gaps(
                    spans, midnight(first, filters.zone), midnight(last, filters.zone)
                )
            )
    return Coverage(tuple(days), tuple(edges))


def billed_months(filters: Filters) -> list[tuple[str, date, datetime]]:
    """(usage provider, billing month, covered until) of the bills believed in.

    Covered until: the bill's newest charge, but no later than a day after the newest usage line of
    the matched service began. A subscription charged for the whole month in advance must not hide
    usage that is not billed yet.
    """
    sql = f"""
        SELECT m.usage_provider, p.billing_month,
            least(max(p.last_charge_at), max(d.charged_until))
        FROM ingest_deliveryperiod p
        JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
        JOIN ingest_billday d ON d.period_id = p.id AND d.charge_category = 'Usage'
        JOIN finops_billmatch m ON m.bill_provider = d.provider AND m.bill_service = d.service
        WHERE {believed(filters)}
            AND p.billing_month >= %(start)s::date - 62 AND p.billing_month < %(end)s
        GROUP BY 1, 2"""
    return list(rows(sql, parameters(filters)))


def believed(filters: Filters) -> str:
    if filters.known_on is None:
        return "p.known_to IS NULL"
    return "p.known_from < %(known)s AND (p.known_to IS NULL OR p.known_to >= %(known)s)"


def _whole_days(
    spans: Iterable[tuple[datetime, datetime]], filters: Filters
) -> Iterator[tuple[date, date]]:
    """The accounting days that the spans touch, inside the range, as ranges that do not meet."""
    zone = ZoneInfo(filters.zone)
    open_range: list[date] = []
    for start, end in sorted(spans):
        first = max(start.astimezone(zone).date(), filters.start)
        last = (end - timedelta(microseconds=1)).astimezone(zone).date() + timedelta(days=1)
        last = min(last, filters.end)
        if first >= last:
            continue
        if open_range and first <= open_range[1]:
            open_range[1] = max(open_range[1], last)
            continue
        if open_range:
            yield open_range[0], open_range[1]
        open_range = [first, last]
    if open_range:
        yield open_range[0], open_range[1]


def _gaps(
    spans: Iterable[tuple[datetime, datetime]], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The parts of `[start, end)` outside every span."""
    inside = sorted((max(a, start), min(b, end)) for a, b in spans if a < end and b > start)
    reached = start
    for a, b in inside:
        if a > reached:
            yield reached, a
        reached = max(reached, b)
    if reached < end:
        yield reached, end


def parameters(filters: Filters, covered: Coverage = Coverage()) -> dict[str, Any]:
    """Every value the SQL below may name; text never enters the statement itself."""
    known = filters.known_on and midnight(filters.known_on + timedelta(days=1), filters.zone)
    return {
        "zone": filters.zone,
        "start": filters.start,
        "end": filters.end,
        "start_at": filters.start_at,
        "end_at": filters.end_at,
        "known": known,
        "project_ids": None if filters.project_ids is None else list(filters.project_ids),
        "unclaimed": UNALLOCATED,
        "kinds": list(REQUEST_KINDS),
        "provider": list(filters.providers),
        "model": list(filters.models),
        "service": list(filters.services),
        "day_provider": [window.provider for window in covered.days],
        "day_from": [window.start for window in covered.days],
        "day_to": [window.end for window in covered.days],
        "edge_provider": [window.provider for window in covered.edges],
        "edge_from": [window.start for window in covered.edges],
        "edge_to": [window.end for window in covered.edges],
    }


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
    return f"""
SELECT {_keys(USAGE, keys, time_column if step else None)}, c.currency,
    sum(c.cost) FILTER (WHERE {counted}) AS cost, 0::numeric AS reconciled,
    sum(c.cost) AS usage_cost, sum(c.cost) AS api_cost, 0::numeric AS hardware_cost,
    {VOLUMES},
    0::bigint AS unknown_lines, 0::float8 AS unpriced_gpu_s, 0::float8 AS answered
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


def _usage_edges(filters: Filters, keys: Sequence[str], step: str) -> str:
    """What a bill leaves of a day it covers in part. Volumes are in the daily rows already."""
    return f"""
SELECT {_keys(USAGE, keys, "(c.at AT TIME ZONE %(zone)s)::date" if step else None)}, c.currency,
    sum(c.cost), 0::numeric, 0::numeric, 0::numeric, 0::numeric, {NO_VOLUMES},
    0::bigint, 0::float8, 0::float8
FROM edges w JOIN finops_costquarter c
    ON c.provider = w.provider AND c.at >= w.first AND c.at < w.last
WHERE true {usage_in_scope(filters)}
GROUP BY {_ordinals(keys, step)}"""


def _hardware(filters: Filters, keys: Sequence[str], step: str, is_covered: bool) -> str:
    """What pools cost by the hour, minus the instants that a bill of their provider covers."""
    time_column = {
        "": None,
        "day": "(q.at AT TIME ZONE %(zone)s)::date",
        "hour": "date_trunc('hour', q.at)",
    }[step]
    counted = "true"
    if is_covered:
        counted = """NOT EXISTS (SELECT FROM days_billed w WHERE w.provider = l.provider
        AND (q.at AT TIME ZONE %(zone)s)::date >= w.first
        AND (q.at AT TIME ZONE %(zone)s)::date < w.last)
        OR EXISTS (SELECT FROM edges w WHERE w.provider = l.provider
        AND q.at >= w.first AND q.at < w.last)"""
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


def _bills(filters: Filters, keys: Sequence[str], step: str) -> str:
    cost = COSTS[filters.metric]
    return f"""
SELECT {_keys(BILL, keys, "d.day" if step else None)}, d.currency,
    sum({cost}), sum({cost}), 0::numeric, 0::numeric, 0::numeric, {UNKNOWN_VOLUMES},
    coalesce(sum(d.lines) FILTER (WHERE {cost} IS NULL), 0)::bigint, 0::float8, 0::float8
FROM ingest_billday d
JOIN ingest_deliveryperiod p ON p.id = d.period_id
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
LEFT JOIN (
    -- Two providers may share one bill service; its lines then carry the first name.
    SELECT bill_provider, bill_service, min(usage_provider) AS usage_provider
    FROM finops_billmatch GROUP BY 1, 2
) m ON m.bill_provider = d.provider AND m.bill_service = d.service
WHERE d.day >= %(start)s AND d.day < %(end)s AND {believed(filters)}
    {_shared_in_scope(filters)} {_narrowed(BILL, filters)}
GROUP BY {_ordinals(keys, step)}"""


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
    return parts


def rows(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=offset) for offset in range((end - start).days)]


def hours(start: datetime, end: datetime) -> list[datetime]:
    count = int((end - start) / timedelta(hours=1))
    return [start.astimezone(UTC) + timedelta(hours=offset) for offset in range(count)]
