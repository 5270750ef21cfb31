"""What users cost, summed for questions about all of them: who is dearest, how many there were.

Knows `UserCostDay` of one project and day. Refuses increments: the sums of the day, and of the week
it is in, are made anew from it. The caller holds the lock of whoever prices the project.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from finops.actions.pricing import SUMS, WHOLE_OR_UNKNOWN
from finops.models.costs import COST_DIMENSIONS
from ingest.models.fields import PAGE_BITS

WEEK = timedelta(days=7)

DAY = """
DELETE FROM finops_userspend WHERE project_id = %(project)s AND days = 1 AND first = %(day)s;
INSERT INTO finops_userspend (project_id, days, first, user_id, currency, spans, cost)
SELECT project_id, 1, day, user_id, currency,
    spans + CASE WHEN currency <> '' AND is_first THEN priceless ELSE 0 END, cost
FROM (
    SELECT project_id, day, user_id, currency, sum(spans) AS spans, sum(cost)::float8 AS cost,
        row_number() OVER (PARTITION BY user_id ORDER BY currency DESC) = 1 AS is_first,
        coalesce(sum(sum(spans)) FILTER (WHERE currency = '') OVER (PARTITION BY user_id), 0)
            AS priceless
    FROM finops_usercostday WHERE project_id = %(project)s AND day = %(day)s
    GROUP BY project_id, day, user_id, currency
) AS found WHERE currency <> '' OR is_first"""
"""Usage without an amount has no row of its own beside one with an amount: half the rows."""

WHOLE_WEEK = """
DELETE FROM finops_userspend WHERE project_id = %(project)s AND days = 7 AND first = %(monday)s;
INSERT INTO finops_userspend (project_id, days, first, user_id, currency, spans, cost)
SELECT project_id, 7, %(monday)s, user_id, currency, sum(spans), sum(cost)
FROM finops_userspend WHERE project_id = %(project)s AND days = 1
    AND first >= %(monday)s AND first < %(next)s
GROUP BY project_id, user_id, currency"""

COST_WEEK = f"""
DELETE FROM finops_usercostweek WHERE project_id = %(project)s AND day = %(monday)s;
INSERT INTO finops_usercostweek (project_id, day, user_id, {", ".join((*COST_DIMENSIONS, *SUMS))})
SELECT project_id, %(monday)s, user_id, {", ".join(COST_DIMENSIONS)},
    {", ".join(f"sum({name})" for name in SUMS[:-1])}, {WHOLE_OR_UNKNOWN}
FROM finops_usercostday WHERE project_id = %(project)s AND day >= %(monday)s AND day < %(next)s
GROUP BY project_id, user_id, {", ".join(COST_DIMENSIONS)}"""

NUMBERS = """
INSERT INTO finops_usernumber (project_id, user_id, number)
SELECT %(project)s, user_id, row_number() OVER (ORDER BY user_id) + (
    SELECT coalesce(max(number), -1) FROM finops_usernumber WHERE project_id = %(project)s)
FROM (
    SELECT DISTINCT c.user_id FROM finops_usercostday c
    WHERE c.project_id = %(project)s AND c.day = %(day)s AND c.user_id <> '' AND c.priced_spans > 0
        AND NOT EXISTS (SELECT FROM finops_usernumber n
            WHERE n.project_id = c.project_id AND n.user_id = c.user_id)
) AS found"""

PAGES = f"""
DELETE FROM finops_userpage WHERE project_id = %(project)s AND day = %(day)s;
INSERT INTO finops_userpage (project_id, day, service, provider, model, currency, page, users,
    priced_spans, cost)
SELECT c.project_id, c.day, c.service, c.provider, c.model, c.currency,
    coalesce(n.number / {PAGE_BITS}, -1) AS page,
    bit_or(set_bit(0::bit({PAGE_BITS}), n.number %% {PAGE_BITS}, 1)) FILTER (
        WHERE n.number IS NOT NULL),
    sum(c.priced_spans), sum(c.cost)
FROM finops_usercostday c LEFT JOIN finops_usernumber n USING (project_id, user_id)
WHERE c.project_id = %(project)s AND c.day = %(day)s AND c.priced_spans > 0
GROUP BY c.project_id, c.day, c.service, c.provider, c.model, c.currency, page"""


def write(cursor: Any, project: int, day: date) -> None:
    """The sums of this day, after its `UserCostDay` rows were written."""
    monday = day - timedelta(days=day.weekday())
    given = {"project": project, "day": day, "monday": monday, "next": monday + WEEK}
    for statements in (DAY, WHOLE_WEEK, COST_WEEK, NUMBERS, PAGES):
        for statement in statements.split(";"):
            cursor.execute(statement, given)
