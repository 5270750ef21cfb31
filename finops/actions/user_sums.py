"""What users and values of labels cost, summed for questions about all of them: which are dearest,
how many users there were, what a value came to.

Knows `UserCostDay` and `LabelCostDay` of one project and day. Refuses increments: the sums of the
day, and of the week and the four weeks it is in, are made anew from it. The caller holds the lock
of whoever prices the project.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from finops.actions.pricing import SUMS, WHOLE_OR_UNKNOWN
from finops.models.costs import COST_DIMENSIONS
from finops.queries.book_coverage import REQUEST_KINDS
from finops.queries.weeks import FOUR_WEEKS, WEEK, first_of_four, monday_of
from ingest.models.fields import PAGE_BITS

RANKED = """
DELETE FROM finops_labelspend WHERE project_id = %(project)s AND days = 1 AND first = %(day)s;
INSERT INTO finops_labelspend
    (project_id, days, first, label, value, currency, priced_spans, spans, cost)
SELECT project_id, 1, day, label, value, currency, priced_spans,
    spans + CASE WHEN currency <> '' AND is_first THEN priceless ELSE 0 END, cost
FROM (
    SELECT project_id, day, label, value, currency, sum(spans) AS spans, sum(cost) AS cost,
        sum(priced_spans) AS priced_spans,
        row_number() OVER (PARTITION BY label, value ORDER BY currency DESC) = 1 AS is_first,
        coalesce(sum(sum(spans)) FILTER (WHERE currency = '') OVER (PARTITION BY label, value), 0)
            AS priceless
    FROM finops_labelcostday WHERE project_id = %(project)s AND day = %(day)s
    GROUP BY project_id, day, label, value, currency
) AS found WHERE currency <> '' OR is_first"""
"""Usage without an amount has no row of its own beside one with an amount: half the rows."""

RANKED_LONGER = """
DELETE FROM finops_labelspend
WHERE project_id = %(project)s AND days = {days} AND first = %(from{days})s;
INSERT INTO finops_labelspend
    (project_id, days, first, label, value, currency, priced_spans, spans, cost)
SELECT project_id, {days}, %(from{days})s, label, value, currency, sum(priced_spans), sum(spans),
    sum(cost)
FROM finops_labelspend WHERE project_id = %(project)s AND days = {made_of_days}
    AND first >= %(from{days})s AND first < %(to{days})s
GROUP BY project_id, label, value, currency"""

TOTALS = """
DELETE FROM finops_labeltotal WHERE project_id = %(project)s AND days = 1 AND first = %(day)s;
INSERT INTO finops_labeltotal (project_id, days, first, label, value, provider, currency, cost,
    requests, priced_requests, tokens, unpriced_spans, unpriced_tokens, unknown_spans)
SELECT project_id, 1, day, label, value, provider, currency, sum(cost),
    coalesce(sum(spans) FILTER (WHERE kind = ANY(%(kinds)s)), 0),
    coalesce(sum(priced_spans) FILTER (WHERE kind = ANY(%(kinds)s)), 0),
    sum(tokens), sum(unpriced_spans), sum(unpriced_tokens), sum(unknown_spans)
FROM finops_labelcostday WHERE project_id = %(project)s AND day = %(day)s
GROUP BY project_id, day, label, value, provider, currency"""

TOTALS_LONGER = """
DELETE FROM finops_labeltotal
WHERE project_id = %(project)s AND days = {days} AND first = %(from{days})s;
INSERT INTO finops_labeltotal (project_id, days, first, label, value, provider, currency, cost,
    requests, priced_requests, tokens, unpriced_spans, unpriced_tokens, unknown_spans)
SELECT project_id, {days}, %(from{days})s, label, value, provider, currency, sum(cost),
    sum(requests), sum(priced_requests), sum(tokens), sum(unpriced_spans), sum(unpriced_tokens),
    sum(unknown_spans)
FROM finops_labeltotal WHERE project_id = %(project)s AND days = {made_of_days}
    AND first >= %(from{days})s AND first < %(to{days})s
GROUP BY project_id, label, value, provider, currency"""

KNOWN = """
INSERT INTO finops_knownuser (user_id)
SELECT DISTINCT user_id FROM finops_usercostday c
WHERE project_id = %(project)s AND day = %(day)s
    AND NOT EXISTS (SELECT FROM finops_knownuser k WHERE k.user_id = c.user_id)
ORDER BY user_id ON CONFLICT DO NOTHING"""
"""Always in one order: projects are priced at once, and may have new users in common."""

SPENT = """
DELETE FROM finops_userspend
WHERE project_id = %(project)s AND days = {days} AND first = %(from{days})s;
INSERT INTO finops_userspend (project_id, days, first, of_all, service, provider, model, currency,
    users, costs, spans)
SELECT %(project)s, {days}, %(from{days})s, of_all, service, provider, model, currency,
    string_agg(int4send(number), ''), string_agg(float8send(cost), ''),
    string_agg(int8send(spans), '')
FROM (
    SELECT number, grouping(model) = 1 AS of_all, coalesce(service, '') AS service,
        coalesce(provider, '') AS provider, coalesce(model, '') AS model, currency,
        sum(cost)::float8 AS cost, sum(spans)::bigint AS spans
    FROM finops_usercost{name} JOIN finops_knownuser USING (user_id)
    WHERE project_id = %(project)s AND day = %(from{days})s
    GROUP BY number, currency, GROUPING SETS ((service, provider, model), ())
) AS found
GROUP BY of_all, service, provider, model, currency"""
"""In the binary form of each number: to send arrays takes longer than to read them."""

LONGER = f"""
DELETE FROM finops_{{one}}cost{{name}} WHERE project_id = %(project)s AND day = %(from{{days}})s;
INSERT INTO finops_{{one}}cost{{name}}
    (project_id, day, {{who}}, {", ".join((*COST_DIMENSIONS, *SUMS))})
SELECT project_id, %(from{{days}})s, {{who}}, {", ".join(COST_DIMENSIONS)},
    {", ".join(f"sum({name})" for name in SUMS[:-1])}, {WHOLE_OR_UNKNOWN}
FROM finops_{{one}}cost{{made_of}}
WHERE project_id = %(project)s AND day >= %(from{{days}})s AND day < %(to{{days}})s
GROUP BY project_id, {{who}}, {", ".join(COST_DIMENSIONS)}
ORDER BY {{who}}"""
"""Each one's rows beside each other, as they are looked for."""

DAY = {"name": "day", "days": 1}
LONGER_PERIODS = (
    {"name": "week", "days": 7, "made_of": "day", "made_of_days": 1},
    {"name": "fourweeks", "days": 28, "made_of": "week", "made_of_days": 7},
)
"""Each is the sum of the ones before."""

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


def _longer(names: dict[str, str], *made: str) -> list[str]:
    return [text.format(**names, **period) for period in LONGER_PERIODS for text in made]


OF_USERS = (
    KNOWN,
    SPENT.format(**DAY),
    *_longer({"one": "user", "who": "user_id"}, LONGER, SPENT),
    NUMBERS,
    PAGES,
)
OF_LABELS = (
    RANKED,
    TOTALS,
    *_longer({"one": "label", "who": "label, value"}, RANKED_LONGER, TOTALS_LONGER, LONGER),
)


def write(cursor: Any, project: int, day: date) -> None:
    """The sums of this day, after its `UserCostDay` rows were written."""
    _write(cursor, OF_USERS, project, day)


def write_labels(cursor: Any, project: int, day: date) -> None:
    """The same of `LabelCostDay`."""
    _write(cursor, OF_LABELS, project, day)


def _write(cursor: Any, made: Sequence[str], project: int, day: date) -> None:
    monday, first = monday_of(day), first_of_four(day)
    given = {
        "project": project,
        "day": day,
        "from1": day,
        "from7": monday,
        "to7": monday + WEEK,
        "from28": first,
        "to28": first + FOUR_WEEKS,
        "kinds": list(REQUEST_KINDS),
    }
    for statements in made:
        for statement in statements.split(";"):
            cursor.execute(statement, given)
