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
from .book_columns import IN_PERIODS, WHO
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
WITHIN = f"""{IN_PERIODS} AND (c.currency = '' OR c.currency = ANY(%(codes)s::text[]))"""


def dearest(filters: Filters, who: str = "user") -> tuple[str, ...]:
    """The users, or values of the label asked for, that get a row of their own."""
    if who == "label" and filters.labels:
        return filters.labels
    weights = {filters.currency: 1.0}
    if filters.convert:
        weights = conversion.newest_rates(filters)
    given = {
        **book.parameters(filters),
        **periods(filters.start, filters.end).given(),
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
    most, (users, costs) = given["most"], _by_number(filters, "costs", ">f8", given, weights)
    if not users.size:
        return ()
    there = np.flatnonzero(np.bincount(users))
    # The same amounts were added up in another order.
    cost = np.bincount(users, weights=costs).round(DIGITS)
    there = there[cost[there] >= np.sort(cost[there])[-most:][0]]
    count = np.zeros_like(cost)
    if there.size > most:
        # Of those who cost the same, as all do whose usage has no price, they who asked most.
        # Read anew, when somebody's sums may have just been made again.
        count = np.bincount(*_by_number(filters, "spans", ">i8", given), minlength=cost.size)
    last = there[np.lexsort((-count[there], -cost[there]))[:most]][-1]
    chosen = [
        number
        for number in there.tolist()
        if (cost[number], count[number]) >= (cost[last], count[last])
    ]
    names = dict(KnownUser.objects.filter(number__in=chosen).values_list("number", "user_id"))
    chosen.sort(key=lambda number: (-cost[number], -count[number], names[number]))
    return tuple(names[number] for number in chosen[:most])


def _by_number(
    filters: Filters,
    column: str,
    form: str,
    given: dict[str, Any],
    weights: dict[str, float] | None = None,
) -> tuple[Any, Any]:
    """Numbers of users, each as often as there are sums of it, and these sums."""
    found = book.rows(
        f"SELECT c.currency, string_agg(c.users, ''), string_agg(c.{column}, '')"
        " FROM finops_userspend c"
        f" WHERE c.of_all = %(of_all)s AND {WITHIN} {book.usage_in_scope(filters)} GROUP BY 1",
        given,
    )
    numbers = [np.frombuffer(users, ">i4") for _, users, _ in found]
    sums = [
        np.frombuffer(each, form) * (1 if weights is None else weights.get(currency, 0))
        for currency, _, each in found
    ]
    return np.concatenate([[], *numbers]).astype(int), np.concatenate([[], *sums])


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
