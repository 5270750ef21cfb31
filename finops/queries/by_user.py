"""The book split by user: the dearest by name, and everybody else as what is left of the total.

Users are summed less often than everything else, a late request names none, and a day that a bill
covers in part is filled from sums without users. All that is in the row of everybody else, so that
the rows add up to the total to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import book, conversion
from .amounts import minus
from .book import MEASURES, Split, Sum
from .filters import Filters

MOST_NAMED = 100
EVERYBODY_ELSE = "(everybody else)"

Key = tuple[tuple[str, ...], Any, str]


def dearest(filters: Filters) -> tuple[str, ...]:
    """The users that get a row of their own."""
    weights = {filters.currency: 1.0}
    if filters.convert:
        weights = conversion.newest_rates(filters)
    found = book.rows(
        "SELECT c.user_id FROM finops_usercostday c"
        " LEFT JOIN unnest(%(codes)s::text[], %(weights)s::float8[]) AS w (currency, weight)"
        " ON w.currency = c.currency"
        " WHERE c.day >= %(start)s AND c.day < %(end)s"
        " AND (w.currency IS NOT NULL OR c.currency = '')"
        f" {book.usage_in_scope(filters)}"
        " GROUP BY 1 ORDER BY sum(c.cost::float8 * coalesce(w.weight, 0)) DESC,"
        " sum(c.spans) DESC, 1 LIMIT %(most)s",
        {
            **book.parameters(filters),
            "codes": list(weights),
            "weights": list(weights.values()),
            "most": MOST_NAMED,
        },
    )
    return tuple(user for (user,) in found)


def sums(
    filters: Filters, splits: Sequence[Split], step: str, users: Sequence[str]
) -> list[list[Sum]]:
    """As `book.sums`, for splits of which some have the key `user`."""
    plain = [replace(split, keys=_without_user(split.keys, split.keys)) for split in splits]
    wanted = list(dict.fromkeys(plain))
    whole = dict(zip(wanted, book.sums(filters, wanted, step), strict=True))
    named = [split for split in splits if "user" in split.keys]
    shares = dict(zip(named, book.sums(filters, named, step, users), strict=True))
    return [
        [*shares[split], *_rest(split, shares[split], whole[all_users])]
        if split in shares
        else whole[all_users]
        for split, all_users in zip(splits, plain, strict=True)
    ]


def _rest(split: Split, shares: Sequence[Sum], whole: Sequence[Sum]) -> list[Sum]:
    """What is in the whole and in nobody's share."""
    told: dict[Key, list[Sum]] = {}
    for one in shares:
        key = (_without_user(split.keys, one.keys), one.point, one.currency)
        told.setdefault(key, []).append(one)
    left = []
    for one in whole:
        parts = told.get((one.keys, one.point, one.currency), [])
        measures = {
            name: _less(one.measures[name], [part.measures[name] for part in parts])
            for name in MEASURES
        }
        if any(measures.values()):
            keys = iter(one.keys)
            own = tuple(EVERYBODY_ELSE if name == "user" else next(keys) for name in split.keys)
            left.append(Sum(own, one.point, one.currency, measures))
    return left


def _without_user(names: Sequence[str], values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for name, value in zip(names, values, strict=True) if name != "user")


def _less(whole: Any, parts: Sequence[Any]) -> Any:
    """None where the whole is unknown."""
    if whole is None:
        return None
    for part in parts:
        if part is not None:
            whole = minus(whole, part)
    return whole
