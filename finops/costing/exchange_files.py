"""Files of exchange rates, as the European Central Bank publishes them, or as a plain table.

Knows the bank's CSV (daily, and the whole history, packed or not), its XML (daily, 90 days), and a
table with the columns day, base, quote and rate. Refuses a file of which any value is wrong, naming
line and field; refuses entities in XML, which could open files or grow without end.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from xml.parsers import expat

from finops.costing.exchange import PIVOT, DayRate

ECB = "ECB"
MOST_BYTES = 16 * 1024 * 1024
"""The whole history since 1999 has less than 3 MiB."""

MOST_PROBLEMS = 20
TABLE = ("day", "base", "quote", "rate")
ABSENT = ("", "N/A")
CODE = re.compile(r"[A-Za-z0-9 _.-]{1,20}", re.ASCII)
RATE = re.compile(r"[0-9]{1,11}(\.[0-9]{1,20})?", re.ASCII)
EARLIEST, LATEST = date(1999, 1, 1), date(2099, 12, 31)
PLAIN_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", re.ASCII)
DAY_IN_WORDS = re.compile(r"([0-9]{1,2}) ([A-Za-z]{3,9}) ([0-9]{4})", re.ASCII)
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wrong:
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"Line {self.line}, {self.field}" if self.line else self.field.capitalize()
        return f"{where}: {self.message}"


class BadRates(ValueError):
    """Nothing of the file was taken."""

    def __init__(self, wrong: Sequence[Wrong], more: int = 0) -> None:
        self.wrong = tuple(wrong)
        self.more = more
        rest = f" And {more} more." if more else ""
        super().__init__(" ".join(str(one) for one in wrong) + rest)


@dataclass(slots=True)
class _Reading:
    """Rates as they are found, and everything that is wrong with them."""

    source: str
    rates: dict[tuple[date, str, str], DayRate] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)

    def bad(self, line: int, name: str, message: str) -> None:
        self.wrong.append(Wrong(line, name, message))

    def take(self, line: int, day: date | None, base: str, quote: str, text: str) -> None:
        rate = self.rate(line, f"rate of {quote[:20]}", text)
        if day is None or rate is None:
            return
        for name, code in (("base", base), ("quote", quote)):
            if not CODE.fullmatch(code):
                return self.bad(line, name, f"“{code[:20]}” is no currency; use a code such as USD")
        if base == quote:
            return self.bad(line, "quote", "a currency has no rate in itself; drop the line.")
        known = self.rates.setdefault(
            (day, base, quote), DayRate(day, base, quote, rate, self.source)
        )
        if known.rate != rate:
            said = f"{quote} has two rates on {day}, {known.rate} and {rate}; keep one of them."
            self.bad(line, f"rate of {quote}", said)

    def day(self, line: int, name: str, text: str) -> date | None:
        found = _day_of(text.strip())
        if found and EARLIEST <= found <= LATEST:
            return found
        self.bad(line, name, f"“{text[:30]}” is no day from 1999 on; use one such as 2026-01-31.")
        return None

    def rate(self, line: int, name: str, text: str) -> Decimal | None:
        if RATE.fullmatch(text) and Decimal(text) > 0:
            return Decimal(text)
        said = f"“{text[:30]}” is no rate; use a number above zero with a point, such as 1.0956."
        self.bad(line, name, said)
        return None

    def done(self) -> tuple[DayRate, ...]:
        if self.wrong:
            raise BadRates(self.wrong[:MOST_PROBLEMS], len(self.wrong[MOST_PROBLEMS:]))
        if not self.rates:
            raise BadRates([Wrong(0, "file", "there is no rate in it.")])
        return tuple(self.rates.values())


def _day_of(text: str) -> date | None:
    """As in `2026-01-31`, or as the bank's daily file has it, `31 January 2026`."""
    try:
        if found := PLAIN_DAY.fullmatch(text):
            return date(*(int(part) for part in found.groups()))
        if found := DAY_IN_WORDS.fullmatch(text):
            day, month, year = found.groups()
            return date(int(year), MONTHS.index(month.lower()) + 1, int(day))
    except ValueError:
        return None
    return None


def read(content: bytes, source: str = "") -> tuple[DayRate, ...]:
    """All rates of a file. `source` names a plain table; the bank's files name themselves."""
    if len(content) > MOST_BYTES:
        raise BadRates([Wrong(0, "file", f"it has more than {MOST_BYTES:,} bytes.")])
    if content.startswith(b"PK"):
        content = _unpacked(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRates([Wrong(0, "file", "it is no text in UTF-8.")]) from None
    if text.lstrip().startswith("<"):
        return _xml(text.lstrip())
    return _csv(text, source)


def _unpacked(content: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            [name] = [name for name in packed.namelist() if not name.endswith("/")]
            with packed.open(name) as inner:
                found = inner.read(MOST_BYTES + 1)
    except (ValueError, RuntimeError, NotImplementedError, OSError, zipfile.BadZipFile) as error:
        message = "the archive must hold one file, without a password."
        raise BadRates([Wrong(0, "file", message)]) from error
    if len(found) > MOST_BYTES:
        raise BadRates([Wrong(0, "file", f"unpacked it has more than {MOST_BYTES:,} bytes.")])
    return found


def _csv(text: str, source: str) -> tuple[DayRate, ...]:
    lines = csv.reader(io.StringIO(text, newline=""))
    try:
        head = [name.strip() for name in next(lines, [])]
        if head[:1] == ["Date"]:
            return _ecb_csv(lines, head)
        if tuple(name.casefold() for name in head) == TABLE:
            return _table(lines, source)
    except csv.Error as error:
        raise BadRates([Wrong(lines.line_num, "line", f"{error}.")]) from error
    said = f"the first line must be {','.join(TABLE)}, or Date and currencies as the ECB has it."
    raise BadRates([Wrong(1, "header", said)])


def _ecb_csv(lines: Iterator[list[str]], head: list[str]) -> tuple[DayRate, ...]:
    """One line a day, one column a currency; `N/A` where there was no rate."""
    found = _Reading(ECB)
    # Every line of the bank's ends in a comma.
    codes = head[1:-1] if head[-1] == "" else head[1:]
    for line, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) not in (len(head), 1 + len(codes)):
            found.bad(line, "line", f"it has {len(cells)} values where the header has {len(head)}.")
            continue
        day = found.day(line, "Date", cells[0])
        for code, cell in zip(codes, cells[1:], strict=False):
            if cell.strip() not in ABSENT:
                found.take(line, day, PIVOT, code, cell.strip())
    return found.done()


def _table(lines: Iterator[list[str]], source: str) -> tuple[DayRate, ...]:
    found = _Reading(source)
    for line, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(TABLE):
            found.bad(line, "line", f"it has {len(cells)} values; give {', '.join(TABLE)}.")
            continue
        day, base, quote, rate = (cell.strip() for cell in cells)
        found.take(line, found.day(line, "day", day), base, quote, rate)
    return found.done()


def _xml(text: str) -> tuple[DayRate, ...]:
    """`Cube` elements: one a day with `time`, in it one a currency with `currency` and `rate`."""
    found = _Reading(ECB)
    parser = expat.ParserCreate(namespace_separator=" ")
    day: date | None = None

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal day
        if name.rpartition(" ")[2] != "Cube":
            return
        line = parser.CurrentLineNumber
        if "time" in attributes:
            day = found.day(line, "time", attributes["time"])
        elif "currency" in attributes:
            code = attributes["currency"]
            if day is None and not found.wrong:
                found.bad(line, "time", f"the rate of {code[:20]} stands in no day.")
            found.take(line, day, PIVOT, code, attributes.get("rate", ""))

    def refuse(*_: object) -> None:
        raise BadRates([Wrong(parser.CurrentLineNumber, "document type", "take it out.")])

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        said = f"{expat.ErrorString(error.code)}; send the file as it was published."
        raise BadRates([Wrong(error.lineno, "XML", said)]) from error
    return found.done()
