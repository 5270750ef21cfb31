"""The SQL of the book: which dollar comes from a bill, which from priced usage, none from both.

A complete bill is the book for its account and month. Usage stands in where no bill covers it:
for a provider that a bill service is matched with (`BillMatch`), from the end of what the bill has
charged. Whole covered days are left out of the daily costs; a day that a bill covers in part is
filled from quarter hours, so no dollar is counted twice and none is lost.

Bills and hardware belong to nobody by themselves: they stand under Unallocated. What rules of
allocation landed on a project is *moved* there, and so is the cost of requests that rules take from
the project that sent them: see `book_moved`. Usage alone is shown as it was used: there nothing is
moved.

Knows tables and access. Refuses to interpret: rows leave here as sums per key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from . import book_moved
from .book_columns import (
    BILL,
    HARDWARE,
    IN_PERIODS,
    MATCHED,
    NO_MODELS,
    NO_VOLUMES,
    UNKNOWN_VOLUMES,
    USAGE,
    USAGE_COSTS,
    VOLUMES,
    VOLUMES_OF_TOTAL,
    WHO,
    Grouping,
    hardware_counted,
    hardware_source,
    narrowed,
    usage_counted,
)
from .book_columns import COSTS as COSTS
from .book_columns import EVERYBODY_ELSE as EVERYBODY_ELSE
from .book_columns import IDLE as IDLE
from .book_columns import NO_MODEL as NO_MODEL
from .book_columns import NOT_ON_BILL as NOT_ON_BILL
from .book_columns import OTHER as OTHER
from .book_columns import SHARED as SHARED
from .book_columns import UNBILLED as UNBILLED
from .book_columns import usage_in_scope as usage_in_scope
from .book_coverage import REQUEST_KINDS as REQUEST_KINDS
from .book_coverage import Coverage, coverage
from .book_coverage import believed as believed
from .book_coverage import parameters as parameters
from .book_coverage import rows as rows
from .filters import Filters
from .weeks import periods

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


CONTEXT = f"""
WITH unclaimed AS MATERIALIZED (SELECT id FROM ingest_project WHERE slug = %(unclaimed)s),
pools AS MATERIALIZED (
    SELECT DISTINCT lower(provider) AS provider FROM ingest_pool WHERE provider <> ''),
no_models AS MATERIALIZED (
    {NO_MODELS}),
days_billed AS MATERIALIZED (
    SELECT * FROM unnest(%(day_provider)s::text[], %(day_from)s::date[], %(day_to)s::date[])
        AS w (provider, first, last)),
edges AS MATERIALIZED (
    SELECT * FROM unnest(
        %(edge_provider)s::text[], %(edge_from)s::timestamptz[], %(edge_to)s::timestamptz[])
        AS w (provider, first, last))"""


def _shared_in_scope(filters: Filters) -> str:
    """Bills and hardware belong to the unallocated project, and to who sees the organisation."""
    if not filters.bills:
        return "AND false"
    if filters.project_ids is None:
        return ""
    return "AND (SELECT id FROM unclaimed) = ANY(%(project_ids)s)"


def _usage(filters: Filters, by: Grouping, windows: int) -> str:
    """Daily (or quarter-hourly) costs, minus the days a bill covers; of users there are days."""
    if _labels_alone(filters, by):
        return _label_totals(filters, by, windows)
    table, time_column, within = {
        "day": ("finops_costday", "c.day", "c.day >= %(start)s AND c.day < %(end)s"),
        "hour": (
            "finops_costquarter",
            "date_trunc('hour', c.at)",
            "c.at >= %(start_at)s AND c.at < %(end_at)s",
        ),
    }[by.step or "day"]
    for name in _split_by(filters, by.keys):
        who = WHO[name]
        table = who.days
        if _goes_by_periods(filters, by.step):
            table, within = who.periods, "true"
        if name in by.keys:
            within += f" AND {who.key} = ANY(%(users)s::text[])"
        if name == "label":
            within += " AND c.label = %(label)s"
            within += f" AND {who.key} = ANY(%(labels)s::text[])" if filters.labels else ""
    counted = usage_counted(windows)
    cost = USAGE_COSTS.get(filters.metric, "c.cost")
    return f"""
SELECT {by.columns(USAGE, time_column)}, c.currency,
    sum({cost}) FILTER (WHERE {counted}) AS cost, 0::numeric AS reconciled,
    sum(c.cost) AS usage_cost, sum(c.cost) AS api_cost, 0::numeric AS hardware_cost,
    {VOLUMES},
    {_unlisted(filters, counted)} AS unknown_lines, 0::float8 AS unpriced_gpu_s,
    0::float8 AS answered
FROM {table} c {by.named(USAGE)}
WHERE {within} {usage_in_scope(filters)}
GROUP BY {by.ordinals}"""


def _labels_alone(filters: Filters, by: Grouping) -> bool:
    """Whether what is asked of values of a label is known without the models that they used."""
    return (
        _goes_by_periods(filters, by.step)
        and _split_by(filters, by.keys) == ["label"]
        and set(by.keys) <= {"label", "project", "provider", "anybody"}
        and not (filters.models or filters.services)
    )


def _label_totals(filters: Filters, by: Grouping, windows: int) -> str:
    """As `_usage`, of `LabelTotal`."""
    named = "AND c.value = ANY(%(users)s::text[])" if "label" in by.keys else ""
    named += " AND c.value = ANY(%(labels)s::text[])" if filters.labels else ""
    return f"""
SELECT {by.columns(USAGE, "c.day")}, c.currency,
    sum(c.cost) FILTER (WHERE {usage_counted(windows)}) AS cost, 0::numeric AS reconciled,
    sum(c.cost) AS usage_cost, sum(c.cost) AS api_cost, 0::numeric AS hardware_cost,
    {VOLUMES_OF_TOTAL}, 0::bigint AS unknown_lines, 0::float8 AS unpriced_gpu_s,
    0::float8 AS answered
FROM (SELECT *, first AS day FROM finops_labeltotal) c {by.named(USAGE)}
WHERE {IN_PERIODS} AND c.label = %(label)s {named} {usage_in_scope(filters)}
GROUP BY {by.ordinals}"""


def _split_by(filters: Filters, keys: Sequence[str]) -> list[str]:
    """Which of the splits by name are asked for: by user, or by a label or one value of it."""
    by_label = filters.split_label and filters.labels
    return [name for name in WHO if name in keys or (name == "label" and by_label)]


def _goes_by_periods(filters: Filters, step: str) -> bool:
    """Figures over a range. Of list prices rows are counted, so they stay days."""
    return not step and filters.metric not in USAGE_COSTS


def _periods(filters: Filters, covered: Coverage) -> dict[str, list[date]]:
    """A period that a bill covers in part goes by shorter ones."""
    edges = [edge for window in covered.days for edge in (window.start, window.end)]
    return periods(filters.start, filters.end, edges).given()


def _unlisted(filters: Filters, counted: str) -> str:
    """Rows with an amount of which the list price is unknown, where that is asked for."""
    if filters.metric not in USAGE_COSTS:
        return "0::bigint"
    return f"count(*) FILTER (WHERE c.list_cost IS NULL AND c.currency <> '' AND ({counted}))"


def _usage_edges(filters: Filters, by: Grouping) -> str:
    """What a bill leaves of a day it covers in part. Volumes are in the daily rows already."""
    cost = USAGE_COSTS.get(filters.metric, "c.cost")
    return f"""
SELECT {by.columns(USAGE, "(c.at AT TIME ZONE %(zone)s)::date")}, c.currency,
    sum({cost}), 0::numeric, 0::numeric, 0::numeric, 0::numeric, {NO_VOLUMES},
    {_unlisted(filters, "true")}, 0::float8, 0::float8
FROM edges w JOIN finops_costquarter c
    ON c.provider = w.provider AND c.at >= w.first AND c.at < w.last {by.named(USAGE)}
WHERE true {usage_in_scope(filters)}
GROUP BY {by.ordinals}"""


def _hardware(filters: Filters, by: Grouping, is_covered: bool) -> str:
    """What pools cost by the hour, minus the instants that a bill of their provider covers."""
    source = hardware_source(by.step, is_covered)
    counted = hardware_counted(is_covered)
    return f"""
SELECT {by.columns(HARDWARE, source.point)}, q.currency,
    sum(q.allocated) FILTER (WHERE {counted}), 0::numeric, sum(q.allocated), 0::numeric,
    sum(q.allocated), {NO_VOLUMES}, 0::bigint,
    coalesce(900 * sum(l.gpu_count * {source.unpriced_quarters}), 0)::float8,
    coalesce(sum(q.requests), 0)::float8
FROM {source.paid} q JOIN ingest_pool l ON l.id = q.pool_id {by.named(HARDWARE)}
WHERE {source.within}
    {_shared_in_scope(filters)} {narrowed(HARDWARE, filters)}
GROUP BY {by.ordinals}"""


def _bills(filters: Filters, by: Grouping) -> str:
    cost = COSTS[filters.metric]
    return f"""
SELECT {by.columns(BILL, "d.day")}, d.currency,
    sum({cost}), sum({cost}), 0::numeric, 0::numeric, 0::numeric, {UNKNOWN_VOLUMES},
    sum(d.unknown_{filters.metric})::bigint, 0::float8, 0::float8
FROM ingest_billskuday d
JOIN ingest_deliveryperiod p ON p.id = d.period_id
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
{MATCHED} {by.named(BILL)}
WHERE d.day >= %(start)s AND d.day < %(end)s AND {believed(filters)}
    {_shared_in_scope(filters)} {narrowed(BILL, filters)}
GROUP BY {by.ordinals}"""


class Sum(NamedTuple):
    """One row of an answer, of which there are thousands: made in a third of a dataclass's time."""

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


@dataclass(frozen=True, slots=True)
class Asked:
    """How much of the book a page shows: what it does not show is not summed."""

    measures: tuple[str, ...] = MEASURES
    named: tuple[tuple[str, ...], ...] | None = None
    """The keys of the groups with rows of their own; all others are summed as `OTHER`."""


EVERYTHING = Asked()


def sums(
    filters: Filters,
    splits: Sequence[Split],
    step: str = "day",
    users: Sequence[str] = (),
    asked: Asked = EVERYTHING,
    covered: Coverage | None = None,
) -> list[list[Sum]]:
    """The scope, split in each of these ways, in one pass: `result[i]` answers `splits[i]`.

    With the key `user`, or `label`, there is the usage of `users` alone: see `by_user`. `covered`
    is what bills cover of this scope, where that is known already.
    """
    keys = tuple(dict.fromkeys(key for split in splits for key in split.keys))
    stepped = step if any(split.by_time for split in splits) else ""
    covered = covered or coverage(filters, keys)
    by = Grouping(keys, stepped, asked.named is not None)
    parts = _parts(filters, by, covered)
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
    source = f"({' UNION ALL '.join(parts)}) AS parts ({listed}, currency, {', '.join(MEASURES)})"
    totals = ", ".join(f"sum({name})" for name in asked.measures)
    sql = f"""{CONTEXT}{by.named_groups()}
SELECT grouping({listed}), {listed}, currency, {totals}
FROM {source}
GROUP BY GROUPING SETS ({", ".join(f"({one})" for one in sets)})"""
    answers: list[list[Sum]] = [[] for _ in splits]
    given = parameters(filters, covered) | {"users": list(users)} | _periods(filters, covered)
    for place in range(len(keys)):
        given[f"named{place}"] = [named[place] for named in asked.named or ()]
    currency = len(columns) + 1
    told = [
        (mask, [columns.index(key) + 1 for key in split.keys], split.by_time, answer)
        for mask, split, answer in zip(masks, splits, answers, strict=True)
    ]
    for row in rows(sql, given):
        measures = dict(zip(asked.measures, row[currency + 1 :], strict=True))
        for mask, own, by_time, answer in told:
            if mask == row[0]:
                keys = tuple([row[at] for at in own])
                point = row[currency - 1] if by_time else None
                answer.append(Sum(keys, point, row[currency], measures))
    return answers


def _parts(filters: Filters, by: Grouping, covered: Coverage) -> list[str]:
    if filters.labels:
        return [_usage(filters, by, windows=0)]  # nothing else has labels
    if set(by.keys) & set(WHO):
        return [_usage(filters, by, len(covered.days))]
    parts = []
    if filters.basis in ("book", "usage"):
        parts.append(_usage(filters, by, len(covered.days)))
        parts.append(_hardware(filters, by, covered.of_pools))
    if covered.edges:
        parts.append(_usage_edges(filters, by))
    if filters.basis in ("book", "bill"):
        parts.append(_bills(filters, by))
    return parts + book_moved.parts(filters, by, covered)


def days(start: date, end: date) -> list[date]:
    return [start + timedelta(days=offset) for offset in range((end - start).days)]


def hours(start: datetime, end: datetime) -> list[datetime]:
    count = int((end - start) / timedelta(hours=1))
    return [start.astimezone(UTC) + timedelta(hours=offset) for offset in range(count)]
