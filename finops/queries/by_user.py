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

from . import book
from .amounts import added, minus
from .book import EVERYTHING, Asked, Split, Sum
from .book_columns import WHO
from .book_coverage import Coverage
from .filters import Filters

EVERYBODY_ELSE = "(everybody else)"

Key = tuple[tuple[str, ...], Any, str]


def sums(
    filters: Filters,
    splits: Sequence[Split],
    step: str,
    users: Sequence[str],
    asked: Asked = EVERYTHING,
    covered: Coverage | None = None,
    whole: dict[Split, list[Sum]] | None = None,
) -> list[list[Sum]]:
    """As `book.sums`, for splits of which some have the key `user` or `label`.

    `whole` is what is known already of splits without such a key, at least the measures asked for;
    what is read of them goes there.
    """
    whole = {} if whole is None else whole
    plain = [replace(split, keys=_without_user(split.keys, split.keys)) for split in splits]
    if wanted := [split for split in dict.fromkeys(plain) if split not in whole]:
        read = book.sums(filters, wanted, step, (), asked, covered)
        whole.update(zip(wanted, read, strict=True))
    named = [split for split in splits if is_by_name(split)]
    shares = dict(zip(named, book.sums(filters, named, step, users, asked, covered), strict=True))
    return [
        [*shares[split], *_rest(split, shares[split], whole[all_users], asked)]
        if split in shares
        else whole[all_users]
        for split, all_users in zip(splits, plain, strict=True)
    ]


def is_by_name(split: Split) -> bool:
    return bool(set(split.keys) & set(WHO))


def _rest(split: Split, shares: Sequence[Sum], whole: Sequence[Sum], asked: Asked) -> list[Sum]:
    """What is in the whole and in nobody's share."""
    told: dict[Key, list[dict[str, Any]]] = {}
    for one in shares:
        key = (_without_user(split.keys, one.keys), one.point, one.currency)
        told.setdefault(key, []).append(one.measures)
    left = []
    for one in whole:
        parts = added(told.get((one.keys, one.point, one.currency), []))
        measures = {name: _less(one.measures[name], parts.get(name)) for name in asked.measures}
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
