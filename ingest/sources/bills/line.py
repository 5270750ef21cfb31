"""One row in FOCUS's words → one bill line, checked.

Knows FOCUS's fields and what makes a line impossible. Refuses vendors' words: a layout translates
those first. A row becomes a whole line or a `BadCell`; what was mended is flagged on the line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any

from ingest.records import BillRecord

from .values import (
    MONEY_PLACES,
    MOST_MONEY_DIGITS,
    MOST_QUANTITY_DIGITS,
    NULLS,
    QUANTITY_PLACES,
    SPELLINGS,
    BadCell,
    Numbers,
    is_currency,
    tags_of,
    texts,
    time,
)

COSTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
QUANTITIES = ("consumed_quantity", "pricing_quantity")
TIMES = (
    "billing_period_start", "billing_period_end", "charge_period_start", "charge_period_end",
)  # fmt: skip
_MADE = ("line", "extra", "repairs", "content_hash")
OWN = tuple(name for name in BillRecord._fields if name not in _MADE)
TEXTS = tuple(
    name
    for name in OWN
    if name not in {*COSTS, *QUANTITIES, *TIMES, *SPELLINGS, "tags", "billing_currency"}
)
ORDER = (*TEXTS, *SPELLINGS, *TIMES, *COSTS, *QUANTITIES, "billing_currency", "tags")
"""The cells `make` takes, in this order: text as the file has it, empty where it says nothing."""

PLACE = {name: index for index, name in enumerate(ORDER)}
_AS_RECORD = itemgetter(
    *((*ORDER, *_MADE).index(name) for name in BillRecord._fields)
)  # from our order to the record's
_WORDS = tuple({word.casefold(): word for word in words} for words in SPELLINGS.values())
_RIGHT = tuple(frozenset(words) for words in SPELLINGS.values())
_SPELLED = tuple(SPELLINGS)
_FIRST_SPELLED = len(TEXTS)
_FIRST_TIME = _FIRST_SPELLED + len(_SPELLED)
_FIRST_COST = _FIRST_TIME + len(TIMES)
_FIRST_QUANTITY = _FIRST_COST + len(COSTS)
_CURRENCY = _FIRST_QUANTITY + len(QUANTITIES)
_TAGS = _CURRENCY + 1
_ACCOUNT = PLACE["billing_account_id"]

money = Numbers(MONEY_PLACES, MOST_MONEY_DIGITS)
quantities = Numbers(QUANTITY_PLACES, MOST_QUANTITY_DIGITS)


def in_order(told: Mapping[str, str]) -> tuple[str, ...]:
    """What a layout found out by field, as the cells `make` takes."""
    return tuple(told.get(name, "") for name in ORDER)


def make(
    line: int,
    cells: Sequence[str],
    *,
    content: bytes,
    extra: dict[str, str],
    repairs: list[str],
    column: Callable[[str], str],
    tags: dict[str, str] | None = None,
) -> BillRecord:
    """The line of a row. `column` names a field's column; `tags` are those read already."""
    told, nulls = texts(cells)
    repairs += (f"{ORDER[place]}: the word {cells[place].strip()}" for place in nulls)
    values: list[Any] = told[:_FIRST_SPELLED]
    if not values[_ACCOUNT]:
        detail = "is empty; every charge belongs to an account"
        raise BadCell("missing_account", "billing_account_id", detail)
    spelled, mended = _spelled(*told[_FIRST_SPELLED:_FIRST_TIME])
    values += spelled
    repairs += mended
    times = list(map(time, told[_FIRST_TIME:_FIRST_COST]))
    if None in times:
        raise _bad_time(times.index(None), told[_FIRST_TIME:_FIRST_COST])
    if times[3] < times[2]:  # type: ignore[operator]  # none is None
        detail = f"is before {column('charge_period_start')}; check the export"
        raise BadCell("ends_before_start", "charge_period_end", detail)
    values += times
    values += _numbers(COSTS, told[_FIRST_COST:_FIRST_QUANTITY], money, repairs)
    values += _numbers(QUANTITIES, told[_FIRST_QUANTITY:_CURRENCY], quantities, repairs)
    values.append(_currency(told[_CURRENCY], repairs))
    values.append(_tags(told[_TAGS], extra, repairs, column) if tags is None else tags)
    values += (line, extra, tuple(repairs), hashlib.blake2b(content, digest_size=16).digest())
    return BillRecord._make(_AS_RECORD(values))


@lru_cache(maxsize=10_000)
def _spelled(*told: str) -> tuple[list[str], list[str]]:
    """The words as FOCUS spells them, and what was mended. Kept: a bill has a handful of these."""
    spelled, mended = [], []
    for name, words, right, text in zip(_SPELLED, _WORDS, _RIGHT, told, strict=True):
        own = text if not text or text in right else words.get(text.casefold(), text)
        spelled.append(own)
        if own != text:
            mended.append(f"{name}: case")
    return spelled, mended


def _bad_time(place: int, told: Sequence[str]) -> BadCell:
    text = told[place]
    shown = f"{text[:40]!r} is no time" if text else "is empty; send a time"
    return BadCell("bad_time", TIMES[place], f"{shown} such as 2026-05-01T00:00:00Z")


def _numbers(
    names: Sequence[str], told: Sequence[str], known: Numbers, repairs: list[str]
) -> list[Decimal | None]:
    try:
        values = list(map(known.__getitem__, told))
    except ValueError:
        raise _bad_number(names, told, known) from None
    if known.rounded and not known.rounded.isdisjoint(told):
        repairs += (
            f"{name}: rounded to {known.places} decimals"
            for name, text in zip(names, told, strict=True)
            if text in known.rounded
        )
    return values


def _bad_number(names: Sequence[str], told: Sequence[str], known: Numbers) -> BadCell:
    """The first of these that is no number, and why."""
    for name, text in zip(names, told, strict=True):
        try:
            known[text]
        except ValueError as error:
            reason, detail = error.args
            return BadCell(reason, name, detail)
    raise AssertionError("one of them is no number")


def _currency(told: str, repairs: list[str]) -> str:
    right = told.upper()
    if not is_currency(right):
        detail = f"{told[:40]!r} is no ISO 4217 code such as USD"
        raise BadCell("bad_currency", "billing_currency", detail)
    if right != told:
        repairs.append("billing_currency: case")
    return right


def _tags(
    told: str, extra: dict[str, str], repairs: list[str], column: Callable[[str], str]
) -> dict[str, str]:
    """The tags; a cell that cannot be read is kept as text under its column's name."""
    if not told:
        return {}
    tags = tags_of(told)
    if tags is not None:
        return tags
    # Azure's older exports leave the braces off.
    tags = tags_of(f"{{{told}}}")
    if tags is not None:
        repairs.append("tags: braces added")
        return tags
    repairs.append("tags: not JSON, kept as text")
    extra[column("tags")] = told
    return {}


def rest_of(cells: Sequence[str], rest: Sequence[tuple[int, str]]) -> dict[str, str]:
    """The columns that have no field, by name, without the empty ones."""
    return {
        name: cell if "\0" not in cell else cell.replace("\0", "\ufffd")
        for index, name in rest
        if (cell := cells[index]) and cell not in NULLS
    }
