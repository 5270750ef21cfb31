"""The book split by user, or by the values of a label: the dearest by name, and everybody else as
what is left of the total.

Users are summed less often than everything else, a late request names none, and a day that a bill
covers in part is filled from sums without users. All that is in the row of everybody else, so that
the rows add up to the total to the last digit. A label is a split of the same kind: a request
without it, and the values beyond those that a day keeps apart, have a row of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import localcontext
from typing import Any

from finops.money import CONTEXT

from . import book
from .book import EVERYTHING, Asked, Split, Sum
from .book_columns import EVERYBODY_ELSE, WHO
from .book_coverage import Coverage
from .filters import Filters

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

    `whole` is what is known already by `anybody` in place of that key, at least the measures asked
    for; what is read of it goes there.
    """
    by_name = [split for split in splits if is_by_name(split)]
    shares: dict[Split, list[Sum]] = {split: [] for split in by_name}
    if filters.basis != "bill":
        read = book.sums(filters, by_name, step, users, replace(asked, named=None), covered)
        shares.update(zip(by_name, read, strict=True))
    plain = [replace(split, keys=anybody(split.keys)) for split in splits]
    known = dict(whole or {})
    if wanted := [split for split in dict.fromkeys(plain) if split not in known]:
        read = book.sums(filters, wanted, step, (), _of_everything(asked, shares), covered)
        known.update(zip(wanted, read, strict=True))
    if whole is not None and asked.named is None:
        whole.update(known)
    return [
        [*shares[split], *_rest(split, shares[split], known[of_all], asked)]
        if split in shares
        else known[of_all]
        for split, of_all in zip(splits, plain, strict=True)
    ]


def _of_everything(asked: Asked, shares: Mapping[Split, Sequence[Sum]]) -> Asked:
    """Of the whole, what somebody has a share in has to be told apart too."""
    if asked.named is None:
        return asked
    shared = (_of_anybody(split, one.keys) for split, told in shares.items() for one in told)
    return replace(asked, named=tuple(dict.fromkeys((*shared, *asked.named))))


def is_by_name(split: Split) -> bool:
    return bool(set(split.keys) & set(WHO))


def anybody(keys: Sequence[str]) -> tuple[str, ...]:
    """With all users, or all values of a label, as one."""
    return tuple("anybody" if key in WHO else key for key in keys)


def _of_anybody(split: Split, keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        EVERYBODY_ELSE if name in WHO else key for name, key in zip(split.keys, keys, strict=True)
    )


def _rest(split: Split, shares: Sequence[Sum], whole: Sequence[Sum], asked: Asked) -> list[Sum]:
    """What is in the whole and in nobody's share: the usage of others, and what is no usage."""
    [place] = (at for at, name in enumerate(split.keys) if name in WHO)
    of_anybody = {keys: _of_anybody(split, keys) for keys in {one.keys for one in shares}}
    told: dict[Key, list[dict[str, Any]]] = {}
    for one in shares:
        told.setdefault((of_anybody[one.keys], one.point, one.currency), []).append(one.measures)
    left = []
    with localcontext(CONTEXT):
        for one in whole:
            parts = told.get((one.keys, one.point, one.currency), ())
            measures = {
                name: _less(one.measures[name], [part[name] for part in parts])
                for name in asked.measures
            }
            if one.keys[place] != EVERYBODY_ELSE or any(measures.values()):
                left.append(one._replace(measures=measures))
    return left


def _less(whole: Any, parts: list[Any]) -> Any:
    """None where the whole is unknown; of a part nobody knows nothing is taken."""
    known = [part for part in parts if part is not None]
    return whole - sum(known) if known and whole is not None else whole
