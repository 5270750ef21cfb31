"""What a cell of a bill means: exact decimals, UTC times, the words FOCUS allows, tags.

Knows single cells. Refuses floats, local times without a rule, and to change a value in silence:
whoever asks hears what was mended. Cells repeat a million times in a bill, so meanings are
remembered, in tables that never grow without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any

MONEY_PLACES, MOST_MONEY_DIGITS = 20, 12
QUANTITY_PLACES, MOST_QUANTITY_DIGITS = 30, 24
EXACT = Context(prec=60)
YEARS = range(2000, 2101)
REMEMBERED = 50_000

SPELLINGS = {
    "charge_category": ("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    "charge_class": ("Correction",),
    "charge_frequency": ("One-Time", "Recurring", "Usage-Based"),
    "commitment_discount_status": ("Used", "Unused"),
    "pricing_category": ("Standard", "Dynamic", "Committed", "Other"),
}
"""The values FOCUS allows. Another case is mended and flagged, another word is kept."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?(s?nan\d*|inf(inity)?)", re.ASCII | re.IGNORECASE)
_CURRENCY = re.compile(r"[A-Z]{3}")
_PLAIN_SHORT = 12
"""A number of at most so many characters and no exponent is within every limit."""

NULLS = frozenset({"", "NULL", "null", "Null"})


class BadCell(ValueError):
    """A cell that cannot be true: a code, the field it belongs to, and how to mend it."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field
        self.detail = detail


def texts(cells: Sequence[str]) -> tuple[list[str], list[int]]:
    """Each cell without padding and NUL, which no database takes; and where a word meant nothing.

    Some exports write NULL where a cell is empty: it becomes empty, and is told.
    """
    told = list(map(str.strip, cells))
    nulls: list[int] = []
    # Searched all at once: to look at each cell would take as long as the rest of the row.
    said = "\x1f".join(told)
    if "\0" in said:
        told = [clean(text) for text in told]
    if "ULL" in said or "ull" in said:
        nulls = [place for place, text in enumerate(told) if text and text in NULLS]
        for place in nulls:
            told[place] = ""
    return told, nulls


def clean(text: str) -> str:
    return text.replace("\0", "\ufffd")


class Numbers(dict[str, Decimal | None]):
    """Text → its exact value; empty is unknown. Raises ValueError(code, detail).

    `rounded` holds the texts with more decimals than can be stored.
    """

    def __init__(self, places: int, most_digits: int) -> None:
        super().__init__({"": None})
        self.places, self.most_digits = places, most_digits
        self.rounded: set[str] = set()

    def __missing__(self, text: str) -> Decimal | None:
        value, is_rounded = number(text, self.places, self.most_digits)
        if len(self) >= REMEMBERED:
            self.clear()
            self.rounded.clear()
            self[""] = None
        if is_rounded:
            self.rounded.add(text)
        self[text] = value
        return value


def number(text: str, places: int, most_digits: int) -> tuple[Decimal, bool]:
    """The value, and whether decimals beyond what can be stored were rounded off.

    Raises ValueError(code, detail).
    """
    if not _NUMBER.fullmatch(text):
        if _NO_NUMBER.fullmatch(text):
            detail = f"{text[:40]} is not finite; leave the cell empty if it is unknown"
            raise ValueError("not_finite", detail)
        raise ValueError("bad_number", f"{text[:40]!r} is no number such as 1234.56 or 8e-07")
    value = Decimal(text)
    if len(text) <= _PLAIN_SHORT and "e" not in text and "E" not in text:
        return value, False
    if value and value.adjusted() >= most_digits:
        raise ValueError("impossible_number", f"{text[:40]} is too large to be true")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -places:
        rounded = value.quantize(Decimal(1).scaleb(-places), context=EXACT)
        return rounded, rounded != value
    return value, False


@lru_cache(maxsize=10_000)
def time(text: str) -> datetime | None:
    """An ISO time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text.removesuffix(" UTC"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in YEARS else None


@lru_cache(maxsize=1_000)
def is_currency(text: str) -> bool:
    return _CURRENCY.fullmatch(text) is not None


@lru_cache(maxsize=10_000)
def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def json_value(text: str) -> Any:
    """The value of a JSON cell; None when it is none."""
    return _parsed(text) if text else None


@lru_cache(maxsize=10_000)
def tags_of(text: str) -> dict[str, str] | None:
    """A JSON object as tags; None when it is none. The same one for the same text: to be read."""
    plain = _parsed(text)
    if not isinstance(plain, dict):
        return None
    return {
        json_text(key): json_text(value if isinstance(value, str) else json.dumps(value))
        for key, value in plain.items()
    }


def json_text(text: str) -> str:
    """Half a surrogate pair is legal JSON and no legal text."""
    return clean(text.encode("utf-8", "replace").decode())
