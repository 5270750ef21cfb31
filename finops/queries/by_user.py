"""The book split by user, or by the values of a label: the dearest by name, and everybody else as
what is left of the total.

Users are summed less often than everything else, a late request names none, and a day that a bill
covers in part is filled from sums without users. All that is in the row of everybody else, so that
the rows add up to the total to the last digit. A label is a split of the same kind: a request
without it, and the values beyond those that a day keeps apart, have a row of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ingest.labels import OTHER_VALUES

from . import book, conversion
from .amounts import added, minus
from .book import EVERYTHING, Asked, Split, Sum
from .book_columns import WHO, Who
from .book_coverage import Coverage
from .filters import Filters
from .weeks import periods

MOST_NAMED = 100
"""Half as many where each of them is split again."""
EVERYBODY_ELSE = "(everybody else)"
NOBODY = ""
"""The value of requests without the label, and the user of those that name none."""

WEIGHT = "(%(weights)s::float8[])[array_position(%(codes)s::text[], c.currency::text)]"
"""What an amount counts beside others; of usage without an amount, nothing."""

Key = tuple[tuple[str, ...], Any, str]


def dearest(filters: Filters, who: str = "user") -> tuple[str, ...]:
    """The users, or values of the label asked for, that get a row of their own."""
    if who == "label" and filters.labels:
        return filters.labels
    key = WHO[who].key
    weights = {filters.currency: 1.0}
    if filters.convert:
        weights = conversion.newest_rates(filters)
    found = book.rows(
        f"SELECT {key} FROM ({_spent(filters, WHO[who])}) AS c"
        " WHERE c.currency = '' OR c.currency = ANY(%(codes)s::text[])"
        f" GROUP BY 1 ORDER BY sum(c.cost * coalesce({WEIGHT}, 0)) DESC,"
        " sum(c.spans) DESC, 1 LIMIT %(most)s",
        {
            **book.parameters(filters),
            **periods(filters.start, filters.end).given(),
            "codes": list(weights),
            "weights": list(weights.values()),
            "most": MOST_NAMED if len(filters.group_by) < 2 else (MOST_NAMED + 1) // 2,
        },
    )
    named = [user for (user,) in found]
    return tuple(dict.fromkeys(named if who == "user" else (*named, NOBODY, OTHER_VALUES)))


def _spent(filters: Filters, who: Who) -> str:
    """Rows to rank by; of all usage there are narrow sums."""
    scope = book.usage_in_scope(filters)
    if len(who.columns) > 1:
        scope += " AND c.label = %(label)s"
    if filters.providers or filters.models or filters.services:
        # Summed first: to make floats of numerics takes longer than to add them up.
        return (
            f"SELECT {who.key}, c.currency, sum(c.cost)::float8 AS cost, sum(c.spans) AS spans"
            f" FROM {who.periods} c WHERE true {scope} GROUP BY 1, 2"
        )
    return " UNION ALL ".join(
        f"SELECT {who.key}, c.currency, c.cost::float8, c.spans FROM {who.spend} c"
        f" WHERE c.days = {days} AND c.first = ANY(%({chosen})s::date[]) {scope}"
        for days, chosen in ((28, "four_weeks"), (7, "weeks"), (1, "other_days"))
    )


def sums(
    filters: Filters,
    splits: Sequence[Split],
    step: str,
    users: Sequence[str],
    asked: Asked = EVERYTHING,
    covered: Coverage | None = None,
) -> list[list[Sum]]:
    """As `book.sums`, for splits of which some have the key `user` or `label`."""
    plain = [replace(split, keys=_without_user(split.keys, split.keys)) for split in splits]
    wanted = list(dict.fromkeys(plain))
    whole = dict(zip(wanted, book.sums(filters, wanted, step, (), asked, covered), strict=True))
    named = [split for split in splits if is_by_name(split)]
    shares = dict(zip(named, book.sums(filters, named, step, users, asked, covered), strict=True))
    return [
        [*shares[split], *_rest(split, shares[split], whole[all_users])]
        if split in shares
        else whole[all_users]
        for split, all_users in zip(splits, plain, strict=True)
    ]


def is_by_name(split: Split) -> bool:
    return bool(set(split.keys) & set(WHO))


def _rest(split: Split, shares: Sequence[Sum], whole: Sequence[Sum]) -> list[Sum]:
    """What is in the whole and in nobody's share."""
    told: dict[Key, list[dict[str, Any]]] = {}
    for one in shares:
        key = (_without_user(split.keys, one.keys), one.point, one.currency)
        told.setdefault(key, []).append(one.measures)
    left = []
    for one in whole:
        parts = added(told.get((one.keys, one.point, one.currency), []))
        measures = {name: _less(value, parts.get(name)) for name, value in one.measures.items()}
        if any(measures.values()):
            keys = iter(one.keys)
            own = tuple(EVERYBODY_ELSE if name in WHO else next(keys) for name in split.keys)
            left.append(Sum(own, one.point, one.currency, measures))
    return left


def _without_user(names: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for name, value in zip(names, values, strict=True) if name not in WHO)


def _less(whole: Any, part: Any) -> Any:
    """None where the whole is unknown."""
    return whole if whole is None or part is None else minus(whole, part)
