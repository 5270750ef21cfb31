"""Which users, or values of a label, cost most: those that a split by name has a row for.

Knows the narrow sums by days, weeks and four weeks. Refuses to say what anybody cost: to rank them,
amounts of several currencies are weighed by the newest rates.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from finops.models import KnownUser
from ingest.labels import OTHER_VALUES

from . import book, conversion
from .book_columns import WHO
from .filters import Filters
from .weeks import periods

MOST_NAMED = 100
"""Half as many where each of them is split again."""
DIGITS = 9
"""Of an amount to compare by."""
NOBODY = ""
"""The value of requests without the label, and the user of those that name none."""

WEIGHT = "(%(weights)s::float8[])[array_position(%(codes)s::text[], c.currency::text)]"
"""What an amount counts beside others; of usage without an amount, nothing."""
WITHIN = """(c.days, c.first) IN (
        SELECT * FROM unnest(%(lengths)s::smallint[], %(firsts)s::date[]))
    AND (c.currency = '' OR c.currency = ANY(%(codes)s::text[]))"""


def dearest(filters: Filters, who: str = "user") -> tuple[str, ...]:
    """The users, or values of the label asked for, that get a row of their own."""
    if who == "label" and filters.labels:
        return filters.labels
    weights = {filters.currency: 1.0}
    if filters.convert:
        weights = conversion.newest_rates(filters)
    chosen = periods(filters.start, filters.end)
    by_length = {28: chosen.four_weeks, 7: chosen.weeks, 1: chosen.days}
    given = {
        **book.parameters(filters),
        **chosen.given(),
        "lengths": [length for length, firsts in by_length.items() for _ in firsts],
        "firsts": [first for firsts in by_length.values() for first in firsts],
        "codes": list(weights),
        "weights": list(weights.values()),
        "of_all": not _is_narrowed(filters),
        "most": MOST_NAMED if len(filters.group_by) < 2 else (MOST_NAMED + 1) // 2,
    }
    if who == "user":
        return _users(filters, weights, given)
    return tuple(dict.fromkeys((*_values(filters, given), NOBODY, OTHER_VALUES)))


def _is_narrowed(filters: Filters) -> bool:
    return bool(filters.providers or filters.models or filters.services)


def _users(filters: Filters, weights: dict[str, float], given: dict[str, Any]) -> tuple[str, ...]:
    """Added up here, by number: PostgreSQL takes twice as long to add up the same."""
    found = book.rows(
        "SELECT c.currency, string_agg(c.users, ''),"
        " string_agg(c.costs, ''), string_agg(c.spans, '') FROM finops_userspend c"
        f" WHERE c.of_all = %(of_all)s AND {WITHIN} {book.usage_in_scope(filters)} GROUP BY 1",
        given,
    )
    if not found:
        return ()
    users = np.concatenate([np.frombuffer(users, ">i4") for _, users, _, _ in found])
    costs = np.concatenate(
        [np.frombuffer(costs, ">f8") * weights.get(currency, 0) for currency, _, costs, _ in found]
    )
    spans = np.concatenate([np.frombuffer(spans, ">i8") for *_, spans in found])
    costs, counts = (np.bincount(users, weights=each) for each in (costs, spans))
    there = np.flatnonzero(counts)
    # The same amounts were added up in another order.
    costs, counts = costs[there].round(DIGITS), counts[there]
    *_, last = np.lexsort((-counts, -costs))[: given["most"]]
    chosen = (costs > costs[last]) | ((costs == costs[last]) & (counts >= counts[last]))
    numbered = there[chosen].tolist()
    names = dict(KnownUser.objects.filter(number__in=numbered).values_list("number", "user_id"))
    ranked = zip(-costs[chosen], -counts[chosen], map(names.__getitem__, numbered), strict=True)
    return tuple(user for *_, user in sorted(ranked)[: given["most"]])


def _values(filters: Filters, given: dict[str, Any]) -> list[str]:
    scope = f"AND c.label = %(label)s {book.usage_in_scope(filters)}"
    # Narrowed ones are summed first: to make floats of numerics takes longer than to add them up.
    source = (
        "SELECT c.value, c.currency, sum(c.cost)::float8 AS cost, sum(c.spans) AS spans"
        f" FROM {WHO['label'].periods} c WHERE true {scope} GROUP BY 1, 2"
        if _is_narrowed(filters)
        else "SELECT c.value, c.currency, c.cost::float8, c.spans"
        f" FROM finops_labelspend c WHERE {WITHIN} {scope}"
    )
    found = book.rows(
        f"SELECT c.value FROM ({source}) AS c"
        " WHERE c.currency = '' OR c.currency = ANY(%(codes)s::text[])"
        f" GROUP BY 1 ORDER BY sum(c.cost * coalesce({WEIGHT}, 0)) DESC,"
        " sum(c.spans) DESC, 1 LIMIT %(most)s",
        given,
    )
    return [value for (value,) in found]
