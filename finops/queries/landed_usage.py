"""What rules moved of requests, as readers count it: never more than the requests cost.

Of a day whose requests are gone nothing lands anew. Priced below what was moved of it, its moves
count in proportion, so that no sender costs less than nothing; priced up again, they count as they
landed. Knows the tables. Refuses to write: what landed is kept as it was.
"""

from __future__ import annotations

from ingest import partitions
from ingest.models.rollups import DIMENSIONS

NAMED = (*DIMENSIONS, "currency")
NAMES = ", ".join(f"l.{name}" for name in NAMED)


def same(one: str, other: str = "l") -> str:
    """Joins rows of the same dimension and currency."""
    return " AND ".join(f"{one}.{name} = {other}.{name}" for name in NAMED)


CLOSED = f"""l.day IN (
    SELECT z.day + beside FROM ingest_sealedday z, generate_series(-1, 1) AS beside
    WHERE z."table" = '{partitions.SPAN.table}')"""
"""Days of which requests may be gone; an open one is landed anew when its prices change."""


def landed_usage(within: str) -> str:
    """A table like that of `LandedUsage`; `within` narrows the days of its rows, named `l`."""
    return f"""(
SELECT l.day, {NAMES}, l.sender_id, l.project_id, l.rule_id,
    CASE WHEN o.moved > o.cost THEN trunc(l.cost * o.cost / o.moved, 20) ELSE l.cost END AS cost,
    CASE WHEN o.moved_list > o.list_cost THEN trunc(l.list_cost * o.list_cost / o.moved_list, 20)
        ELSE l.list_cost END AS list_cost
FROM finops_landedusage l
LEFT JOIN (
    SELECT l.sender_id, l.day, {NAMES}, sum(l.cost) AS moved, sum(l.list_cost) AS moved_list,
        coalesce(d.cost, 0) AS cost,
        -- Null where the day has no list price: then that of what was moved stands.
        CASE WHEN d.day IS NULL THEN 0 ELSE d.list_cost END AS list_cost
    FROM finops_landedusage l
    LEFT JOIN finops_costday d ON d.project_id = l.sender_id AND d.day = l.day AND {same("d")}
    WHERE {within} AND {CLOSED}
    GROUP BY l.sender_id, l.day, {NAMES}, d.day, d.cost, d.list_cost
    HAVING sum(l.cost) > coalesce(d.cost, 0)
        OR sum(l.list_cost) > CASE WHEN d.day IS NULL THEN 0 ELSE d.list_cost END
) AS o ON o.sender_id = l.sender_id AND o.day = l.day AND {same("o")}
WHERE {within})"""
