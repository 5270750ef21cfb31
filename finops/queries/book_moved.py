"""What rules of allocation moved within the book: to a project, and away from where it stood.

Each move is there twice, so that over all projects it adds up to nothing. Knows the tables of what
landed. Refuses volumes: requests and tokens stay with the project that sent them.
"""

from __future__ import annotations

from .book_columns import (
    BILL,
    COSTS,
    HARDWARE,
    MATCHED,
    MODEL_OF_BILL,
    NO_VOLUMES,
    UNKNOWN_VOLUMES,
    USAGE,
    Grouping,
    hardware_counted,
    hardware_source,
    narrowed,
    usage_counted,
    usage_in_scope,
)
from .book_coverage import Coverage, asks_whose, believed
from .filters import Filters
from .landed_usage import NAMES, landed_usage, same

MOVED_BY_RULES = "(moved by rules)"
"""The user of what a rule moved, which is not told by user."""

MOVED_BILL = BILL | {
    "project": "d.project_id::text",
    "model": MODEL_OF_BILL.format(
        unused="(d.period_id, d.provider, d.service, d.sku) IN (SELECT * FROM no_models)"
    ),
    "rule": "coalesce(d.rule_id::text, '')",
}
MOVED_HARDWARE = HARDWARE | {
    "project": "q.project_id::text",
    "rule": "coalesce(q.rule_id::text, '')",
}
MOVED_USAGE = USAGE | {
    "anybody": f"'{MOVED_BY_RULES}'",
    "rule": "c.rule_id::text",
}

BOTH_SIDES = "(VALUES (1), (-1)) AS side (sign)"
SIDE = "CASE WHEN side.sign = 1 THEN l.project_id ELSE l.sender_id END AS project_id"
LANDED = landed_usage("l.day >= %(start)s AND l.day < %(end)s")


def parts(filters: Filters, by: Grouping, covered: Coverage) -> list[str]:
    """Over all projects what was moved adds up to nothing, and is not read."""
    if filters.basis == "usage" or not asks_whose(filters, by.keys):
        return []
    found = [_moved_bills(filters, by)]
    if filters.basis == "book":
        found.append(_moved_hardware(filters, by, covered.of_pools))
        if covered.moves_usage:
            found.append(_moved_usage(filters, by, len(covered.days)))
            if covered.edges:
                found.append(_moved_usage_edges(filters, by))
    return found


def _moved_usage(filters: Filters, by: Grouping, windows: int) -> str:
    """What rules gave of requests to a project, and took from their sender, but for what a bill
    covers. The usage itself, by which a unit is priced, stays the sender's."""
    moves = f"""(SELECT l.day, {NAMES}, l.rule_id, side.sign, {SIDE},
        side.sign * l.cost AS cost, side.sign * l.list_cost AS list_cost
    FROM {LANDED} AS l CROSS JOIN {BOTH_SIDES})"""
    counted = usage_counted(windows)
    return _sums(filters, by, moves, counted)


def _moved_usage_edges(filters: Filters, by: Grouping) -> str:
    """Of a day that a bill covers in part: the rest is moved as the whole day was."""
    moves = f"""(SELECT l.day, {NAMES}, l.rule_id, side.sign, {SIDE},
        {_share("cost")}, {_share("list_cost")}
    FROM edges w
    JOIN finops_costquarter q ON q.provider = w.provider AND q.at >= w.first AND q.at < w.last
    JOIN {LANDED} AS l ON l.sender_id = q.project_id
        AND l.day = (q.at AT TIME ZONE %(zone)s)::date AND {same("q")}
    JOIN finops_costday d ON d.project_id = q.project_id AND d.day = l.day AND {same("d")}
    CROSS JOIN {BOTH_SIDES})"""
    return _sums(filters, by, moves, "true")


def _share(cost: str) -> str:
    return f"side.sign * round(q.{cost} * l.{cost} / nullif(d.{cost}, 0), 20) AS {cost}"


def _sums(filters: Filters, by: Grouping, moves: str, counted: str) -> str:
    is_list = filters.metric == "list"
    cost = "c.list_cost" if is_list else "c.cost"
    # Who gave has the row already of which the list price is unknown.
    unlisted = f"count(*) FILTER (WHERE c.list_cost IS NULL AND c.sign = 1 AND ({counted}))"
    return f"""
SELECT {by.columns(MOVED_USAGE, "c.day")}, c.currency,
    sum({cost}) FILTER (WHERE {counted}), 0::numeric, 0::numeric, 0::numeric, 0::numeric,
    {NO_VOLUMES}, {unlisted if is_list else "0::bigint"}, 0::float8, 0::float8
FROM {moves} AS c {by.named(MOVED_USAGE)}
WHERE true {usage_in_scope(filters)}
GROUP BY {by.ordinals}"""


def _moved_hardware(filters: Filters, by: Grouping, is_covered: bool) -> str:
    """What rules took from Unallocated, and gave to projects, of what pools cost."""
    columns, source = MOVED_HARDWARE, hardware_source(by.step, is_covered)
    counted = hardware_counted(is_covered)
    return f"""
SELECT {by.columns(columns, source.point)}, q.currency,
    sum(q.allocated) FILTER (WHERE {counted}), 0::numeric, sum(q.allocated),
    0::numeric, sum(q.allocated), {NO_VOLUMES}, 0::bigint, 0::float8,
    coalesce(sum(q.requests), 0)::float8
FROM {source.landed} q JOIN ingest_pool l ON l.id = q.pool_id {by.named(columns)}
WHERE {source.within}
    {_moved_in_scope(filters, "q.project_id")} {narrowed(columns, filters)}
GROUP BY {by.ordinals}"""


def _moved_bills(filters: Filters, by: Grouping) -> str:
    """What rules took from Unallocated, and gave to projects, of bills."""
    columns, cost = MOVED_BILL, COSTS[filters.metric]
    return f"""
SELECT {by.columns(columns, "d.day")}, d.currency,
    sum({cost}), sum({cost}), 0::numeric, 0::numeric, 0::numeric,
    {UNKNOWN_VOLUMES}, sum(d.unknown_{filters.metric})::bigint, 0::float8, 0::float8
FROM finops_landedbill d
JOIN ingest_deliveryperiod p ON p.id = d.period_id
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
{MATCHED} {by.named(columns)}
WHERE d.day >= %(start)s AND d.day < %(end)s AND {believed(filters)}
    {_moved_in_scope(filters, "d.project_id")} {narrowed(columns, filters)}
GROUP BY {by.ordinals}"""


def _moved_in_scope(filters: Filters, owner: str) -> str:
    if not filters.bills:
        return "AND false"
    return "" if filters.project_ids is None else f"AND {owner} = ANY(%(project_ids)s)"
