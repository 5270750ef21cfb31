"""FOCUS bills: a CSV file of versions 1.0 to 1.4, plain or gzipped → bill lines.

Knows FOCUS columns, the ways real exports stray from them, and exact decimals. Refuses floats,
silent repairs and silent losses: what was mended is flagged on its row, every row of the file is a
record or a reject, and a missing mandatory column is one clear error.

Python's own CSV reader, on purpose: with null_padding, DuckDB 2.0 loses a last record whose quote
is never closed without a word, one row with a cell too many stops the whole file, and rows reach
Python more slowly. The tests use it as an independent reader to compare totals with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Context, Decimal
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from ingest import quarantine
from ingest.records import BillRecord, Reject
from ingest.sources.base import BadConfig, BadFile, FileSource, Reading, Setting
from ingest.sources.textfile import Record, lines, open_text, records

DELIMITERS = (",", ";", "\t", "|")

MANDATORY = (
    "BilledCost", "EffectiveCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart",
    "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ServiceName",
    "ProviderName",
)  # fmt: skip

RENAMED = {"provider_name": "ServiceProviderName", "publisher_name": "HostProviderName"}
"""FOCUS 1.4 says these instead; 1.3 says both."""

COSTS = ("billed_cost", "effective_cost", "list_cost", "contracted_cost")
QUANTITIES = ("consumed_quantity", "pricing_quantity")
TIMES = (
    "billing_period_start", "billing_period_end", "charge_period_start", "charge_period_end",
)  # fmt: skip

SPELLINGS = {
    "charge_category": ("Usage", "Purchase", "Tax", "Credit", "Adjustment"),
    "charge_class": ("Correction",),
    "charge_frequency": ("One-Time", "Recurring", "Usage-Based"),
    "commitment_discount_status": ("Used", "Unused"),
    "pricing_category": ("Standard", "Dynamic", "Committed", "Other"),
}
"""The values FOCUS allows. Another case is mended and flagged, another word is kept."""

MONEY_PLACES, MOST_MONEY_DIGITS = 20, 12
QUANTITY_PLACES, MOST_QUANTITY_DIGITS = 30, 24
EXACT = Context(prec=60)
YEARS = range(2000, 2101)

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,9})?", re.ASCII)
_NO_NUMBER = re.compile(r"[+-]?(s?nan\d*|inf(inity)?)", re.ASCII | re.IGNORECASE)
_CURRENCY = re.compile(r"[A-Z]{3}")

ROUNDED_SHARE = 0.95
FEWEST_TO_JUDGE = 5


class FocusCsv(FileSource):
    kind = "focus_csv"
    label = "FOCUS bill"
    help = "A cost and usage file in FOCUS 1.0 to 1.4, as CSV, plain or gzipped."
    owner = "organisation"
    settings = (
        Setting("delimiter", "Delimiter", "Between the columns; found by itself when empty.", ""),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        if checked["delimiter"] not in ("", *DELIMITERS):
            raise BadConfig("delimiter", "must be a comma, semicolon, tab or bar, or empty.")
        return checked

    def read(self, path: Path, config: Mapping[str, Any]) -> Reading:
        reading = Reading(())
        reading.rows = _rows(path, self.check_config(config)["delimiter"], reading.warnings)
        return reading


class _BadCell(ValueError):
    def __init__(self, reason: str, column: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.column = column
        self.detail = detail


def _rows(path: Path, delimiter: str, warnings: list[str]) -> Iterator[BillRecord | Reject]:
    judged = _EffectiveCosts()
    with open_text(path) as stream:
        found, header = _open(stream, delimiter, path.name)
        layout = _Layout.of(header.cells, path.name)
        for record in found:
            row = _row(record, layout)
            if isinstance(row, BillRecord):
                judged.add(row)
            yield row
    warnings.extend(judged.warnings())


def _open(stream: BinaryIO, delimiter: str, name: str) -> tuple[Iterator[Record], Record]:
    found = lines(stream)
    first = next(found, b"")
    if not first.strip():
        raise BadFile(f"{name} is empty; export it again with its header.")
    if not delimiter:
        # The header decides: only the right delimiter yields a column by this name.
        wanted = b"BillingAccountId"
        delimiter = next(
            (mark for mark in DELIMITERS if wanted in re.split(re.escape(mark).encode(), first)),
            max(DELIMITERS, key=lambda mark: first.count(mark.encode())),
        )
    rows = records(chain([first], found), delimiter)
    return rows, next(rows)


# ---- columns ----------------------------------------------------------------------------------

_OWN = {f.name for f in fields(BillRecord)} - {"line", "extra", "repairs", "content_hash"}
_BY_PLAIN_NAME = {name.replace("_", ""): name for name in _OWN}
_TEXTS = tuple(
    f.name
    for f in fields(BillRecord)
    if f.name in _OWN - {*COSTS, *QUANTITIES, *TIMES, *SPELLINGS, "tags", "billing_currency"}
)


@dataclass(frozen=True)
class _Layout:
    """Which cell is which field. The rest goes to `extra` under its own name."""

    names: list[str]
    at: Mapping[str, int]
    spare: Mapping[str, int]
    """Newer names of a field, used where the older one is empty."""
    rest: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, names: list[str], file: str) -> _Layout:
        names = [name.strip() for name in names]
        for name in names:
            if names.count(name) > 1:
                raise BadFile(f"{file} has two columns named {name}; rename one.")
        at: dict[str, int] = {}
        for index, name in enumerate(names):
            own = _BY_PLAIN_NAME.get(_plain(name))
            if own is not None and own not in at:
                at[own] = index
        spare = {own: names.index(newer) for own, newer in RENAMED.items() if newer in names}
        for own in list(spare):
            if own not in at:
                at[own] = spare.pop(own)
        missing = [name for name in MANDATORY if _BY_PLAIN_NAME[_plain(name)] not in at]
        if missing:
            raise BadFile(
                f"{file} has no column {', '.join(missing)}; export it as FOCUS cost and usage."
            )
        used = {*at.values()}
        rest = tuple((index, name) for index, name in enumerate(names) if index not in used)
        return cls(names, at, spare, rest)


def _plain(name: str) -> str:
    return name.replace("_", "").replace(" ", "").lower()


# ---- rows -------------------------------------------------------------------------------------


def _row(record: Record, layout: _Layout) -> BillRecord | Reject:
    problem, cells = record.problem, record.cells
    if not problem and len(cells) > len(layout.names):
        problem = f"has {len(cells)} cells under {len(layout.names)} columns; check its quotes"
    if problem:
        detail = f"Line {record.line} {problem}."
        return Reject("unreadable_row", "", detail, line=record.line)
    try:
        return _Cells(layout, cells).bill(record)
    except _BadCell as bad:
        return Reject(
            bad.reason,
            bad.column,
            f"Line {record.line}, column {bad.column}: {bad.detail}.",
            line=record.line,
            payload=quarantine.payload(dict(zip(layout.names, cells, strict=False))),
        )


class _Cells:
    """One row's cells by field, and what had to be mended in them."""

    def __init__(self, layout: _Layout, cells: list[str]) -> None:
        self.layout = layout
        self.repairs: list[str] = []
        missing = len(layout.names) - len(cells)
        if missing:
            # Real exports leave the last cells off; what is missing is unknown.
            self.repairs.append(f"row: {missing} cells missing at its end")
            cells = cells + [""] * missing
        self.cells = cells

    def bill(self, record: Record) -> BillRecord:
        tags, raw_tags = self.tags()
        extra = {
            name: told
            for index, name in self.layout.rest
            if (told := self.cells[index]) and told not in _NULLS
        }
        if raw_tags:
            extra[self.column("tags")] = raw_tags
        times = {name: self.time(name) for name in TIMES}
        if times["charge_period_end"] < times["charge_period_start"]:
            detail = "is before ChargePeriodStart; check the export"
            raise _BadCell("ends_before_start", self.column("charge_period_end"), detail)
        values: dict[str, Any] = {
            **{name: self.text(name) for name in _TEXTS},
            **times,
            **{name: self.spelling(name, words) for name, words in _WORDS.items()},
            **{name: self.number(name, MONEY_PLACES, MOST_MONEY_DIGITS) for name in COSTS},
            **{
                name: self.number(name, QUANTITY_PLACES, MOST_QUANTITY_DIGITS)
                for name in QUANTITIES
            },
        }
        if not values["billing_account_id"]:
            detail = "is empty; every charge belongs to an account"
            raise _BadCell("missing_account", self.column("billing_account_id"), detail)
        return BillRecord(
            line=record.line,
            **values,
            billing_currency=self.currency(),
            tags=tags,
            extra={_clean(name): _clean(told) for name, told in extra.items()},
            repairs=tuple(self.repairs),
            content_hash=hashlib.blake2b(record.content, digest_size=16).digest(),
        )

    def column(self, name: str) -> str:
        return self.layout.names[self.layout.at[name]]

    def raw(self, name: str) -> str:
        """The cell; some exports write NULL where a cell is empty, and pad with spaces."""
        index = self.layout.at.get(name)
        if index is None:
            return ""
        told = self.cells[index].strip()
        if told in _NULLS:
            if told:
                self.repairs.append(f"{name}: the word {told}")
            return ""
        return told

    def text(self, name: str) -> str:
        told = self.raw(name)
        newer = self.layout.spare.get(name)
        if not told and newer is not None and self.cells[newer].strip():
            self.repairs.append(f"{name}: from {self.layout.names[newer]}")
            told = self.cells[newer].strip()
        return _clean(told)

    def time(self, name: str) -> datetime:
        told = self.raw(name)
        moment = _time(told)
        if moment is None:
            shown = f"{told[:40]!r} is no time" if told else "is empty; send a time"
            detail = f"{shown} such as 2026-05-01T00:00:00Z"
            raise _BadCell("bad_time", self.column(name), detail)
        return moment

    def spelling(self, name: str, words: Mapping[str, str]) -> str:
        told = self.raw(name)
        right = words.get(told.casefold(), told)
        if right != told:
            self.repairs.append(f"{name}: case")
        return _clean(right)

    def number(self, name: str, places: int, most_digits: int) -> Decimal | None:
        told = self.raw(name)
        if not told:
            return None
        value = _decimal(told)
        if value is None:
            if _NO_NUMBER.fullmatch(told):
                detail = f"{told[:40]} is not finite; leave the cell empty if it is unknown"
                raise _BadCell("not_finite", self.column(name), detail)
            detail = f"{told[:40]!r} is no number such as 1234.56 or 8e-07"
            raise _BadCell("bad_number", self.column(name), detail)
        if value and value.adjusted() >= most_digits:
            detail = f"{told[:40]} is too large to be true"
            raise _BadCell("impossible_number", self.column(name), detail)
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent < -places:
            rounded = value.quantize(Decimal(1).scaleb(-places), context=EXACT)
            if rounded != value:
                self.repairs.append(f"{name}: rounded to {places} decimals")
            return rounded
        return value

    def currency(self) -> str:
        told = self.raw("billing_currency")
        right = told.upper()
        if not _CURRENCY.fullmatch(right):
            detail = f"{told[:40]!r} is no ISO 4217 code such as USD"
            raise _BadCell("bad_currency", self.column("billing_currency"), detail)
        if right != told:
            self.repairs.append("billing_currency: case")
        return right

    def tags(self) -> tuple[dict[str, str], str]:
        """The tags, and the cell itself where it could not be read."""
        told = self.raw("tags")
        if not told:
            return {}, ""
        tags = _object(told)
        if tags is None:
            # Azure's older exports leave the braces off.
            tags = _object(f"{{{told}}}")
            if tags is None:
                self.repairs.append("tags: not JSON, kept as text")
                return {}, told
            self.repairs.append("tags: braces added")
        return tags, ""


_NULLS = frozenset({"", "NULL", "null", "Null"})
_WORDS = {name: {word.casefold(): word for word in words} for name, words in SPELLINGS.items()}


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")


@lru_cache(maxsize=50_000)
def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


@lru_cache(maxsize=10_000)
def _time(text: str) -> datetime | None:
    """An ISO time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in YEARS else None


@lru_cache(maxsize=10_000)
def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(text: str) -> dict[str, str] | None:
    plain = _parsed(text)
    if not isinstance(plain, dict):
        return None
    return {
        _json_text(key): _json_text(value if isinstance(value, str) else json.dumps(value))
        for key, value in plain.items()
    }


def _json_text(text: str) -> str:
    """Half a surrogate pair is legal JSON and no legal text."""
    return _clean(text.encode("utf-8", "replace").decode())


# ---- the delivery as a whole ------------------------------------------------------------------


@dataclass
class _Tally:
    fractional: int = 0
    whole: int = 0
    zero: int = 0


@dataclass
class _EffectiveCosts:
    """Whether a provider's EffectiveCost can be believed.

    Some exports round it to whole units of currency, or leave it at 0, beside an exact BilledCost.
    Judged on usage alone: a purchase is rightly billed now and effective later.
    """

    providers: dict[str, _Tally] = field(default_factory=lambda: defaultdict(_Tally))

    def add(self, row: BillRecord) -> None:
        billed, effective = row.billed_cost, row.effective_cost
        if row.charge_category != "Usage" or billed is None or effective is None:
            return
        if _is_whole(billed):
            return
        tally = self.providers[row.provider_name]
        tally.fractional += 1
        tally.whole += _is_whole(effective)
        tally.zero += not effective

    def warnings(self) -> list[str]:
        return [
            f"EffectiveCost of {provider or 'an unnamed provider'} {what} on"
            f" {tally.whole} of {tally.fractional} usage rows whose BilledCost is exact;"
            " compare by billed cost until the export is mended."
            for provider, tally in sorted(self.providers.items())
            if tally.fractional >= FEWEST_TO_JUDGE
            and tally.whole >= ROUNDED_SHARE * tally.fractional
            for what in [
                "is 0" if tally.zero == tally.whole else "is rounded to whole units of currency"
            ]
        ]


def _is_whole(value: Decimal) -> bool:
    return value == value.to_integral_value()
