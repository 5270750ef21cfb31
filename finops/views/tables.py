"""A table as data: the page draws it, CSV and XLSX write it, so the three cannot differ.

Knows columns, cells, sorting and CSV. Refuses queries: rows come ready.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from django.http import HttpResponse

from finops.money import UNKNOWN, plain
from finops.queries.filters import Filters
from finops.queries.stamp import Stamped
from finops.templatetags import words

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would run text that starts like this."""
PERCENT = "0.0%"


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    key: str = ""
    """Name of the order in the URL; empty: cannot be sorted by."""
    number: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a person reads, and the exact value behind it."""

    text: Any
    value: str
    """Exact, as the CSV holds it; empty is unknown."""
    order: Any = None
    """What it sorts by; None sorts last."""
    href: str = ""
    note: str = ""
    tone: str = ""
    """`good`, `warn`, `bad` or `quiet`: makes the text a badge."""
    meter: float | None = None
    mark: float | None = None
    """On the meter: where it might be."""
    unknown: bool = False
    fixed: bool = False
    """Must not be broken over two lines."""
    prose: bool = False
    """Sentences, which a narrow column would stack word by word."""
    form: str = ""
    """How a spreadsheet shows the number, such as `0.0%`; empty leaves it to the spreadsheet."""

    @property
    def is_number(self) -> bool:
        return isinstance(self.order, int | float | Decimal)


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Table:
    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...] = ()
    total: tuple[Cell, ...] = ()
    sort: str = ""
    """The column's key, with `-` for descending."""
    links: dict[str, str] = field(default_factory=dict)
    """Column key → URL that sorts by it."""
    empty: str = "Nothing in this period."

    def sorted_by(self, sort: str) -> Table:
        """Rows in the order the URL asks for; unknown comes last either way."""
        key, descending = sort.removeprefix("-"), sort.startswith("-")
        keys = [column.key for column in self.columns]
        if not key or key not in keys:
            return self
        at = keys.index(key)
        known = [row for row in self.rows if row.cells[at].order is not None]
        unknown = [row for row in self.rows if row.cells[at].order is None]
        known.sort(key=lambda row: row.cells[at].order, reverse=descending)
        return replace(self, rows=(*known, *unknown), sort=sort)

    @property
    def heads(self) -> Iterable[tuple[Column, str, str]]:
        """(column, `ascending`/`descending`/empty, link) for each."""
        for column in self.columns:
            state = ""
            if column.key and column.key == self.sort.removeprefix("-"):
                state = "descending" if self.sort.startswith("-") else "ascending"
            yield column, state, self.links.get(column.key, "")

    @property
    def lines(self) -> Iterable[list[tuple[Column, Cell]]]:
        for row in self.rows:
            yield list(zip(self.columns, row.cells, strict=True))

    @property
    def total_line(self) -> list[tuple[Column, Cell]]:
        return list(zip(self.columns, self.total, strict=True)) if self.total else []

    def linked(self, url, default: str = "") -> Table:
        """With a link on each head that sorts; `url(sort)` makes one."""
        table = self if self.sort else replace(self, sort=default)
        links = {
            column.key: url(_next_sort(column, table.sort)) for column in self.columns if column.key
        }
        return replace(table, links=links)


def _next_sort(column: Column, sort: str) -> str:
    """Numbers start with the largest, words with the first; a second click turns it round."""
    first, second = column.key, f"-{column.key}"
    if column.number:
        first, second = second, first
    return second if sort == first else first


# Cells


def words_cell(text: str, **more: Any) -> Cell:
    return Cell(text=text, value=text, order=text.casefold(), **more)


def money_cell(amount: Decimal | None, currency: str, **more: Any) -> Cell:
    if amount is None:
        return unknown_cell(**more)
    return Cell(text=words.money(amount, currency), value=plain(amount), order=amount, **more)


def cost_cell(amount: Decimal | None, currency: str, **more: Any) -> Cell:
    """A cost, or that there is no price to make one from."""
    if amount is None:
        return Cell(text="no price", value="", unknown=True)
    return money_cell(amount, currency, **more)


def unit_cell(amount: Decimal | None, currency: str, **more: Any) -> Cell:
    if amount is None:
        return unknown_cell(**more)
    return Cell(text=words.rate(amount, currency), value=plain(amount), order=amount, **more)


def unit_price_cell(amount: Decimal, currency: str, **more: Any) -> Cell:
    """A price of the book: all its digits matter."""
    return Cell(words.unit_price(amount, currency), plain(amount), amount, **more)


def count_cell(number: float | None, **more: Any) -> Cell:
    if number is None:
        return unknown_cell(**more)
    return Cell(text=words.count(number), value=f"{number:.0f}", order=number, **more)


def share_cell(share: float | None, **more: Any) -> Cell:
    if share is None:
        return unknown_cell(**more)
    text, value = words.percent(share), f"{share:.6f}"
    return Cell(text=text, value=value, order=share, form=PERCENT, **more)


def change_cell(share: float | None, before: Decimal | None) -> Cell:
    if share is None:
        text = "new" if before is not None else UNKNOWN
        return Cell(text=text, value="", unknown=before is None)
    sign = "+" if share > 0 else ""
    text, value = f"{sign}{words.percent(share)}", f"{share:.6f}"
    return Cell(text=text, value=value, order=share, form=PERCENT)


def duration_cell(milliseconds: float | None, **more: Any) -> Cell:
    if milliseconds is None:
        return unknown_cell(**more)
    text, value = words.duration(milliseconds), f"{milliseconds:.3f}"
    return Cell(text=text, value=value, order=milliseconds, **more)


def time_cell(instant, **more: Any) -> Cell:
    if instant is None:
        return Cell(text="never", value="", **more)
    value = instant.isoformat(timespec="seconds")
    return Cell(words.when_text(instant), value, instant, fixed=True, **more)


def unknown_cell(**more: Any) -> Cell:
    return Cell(text=UNKNOWN, value="", unknown=True, **more)


def day_cell(day, **more: Any) -> Cell:
    return Cell(words.day(day), day.isoformat(), day, fixed=True, **more)


NONE = Cell(text="–", value="")
"""Nothing to say here, as a price per request where there were none; not the same as unknown."""


# Files


class TableFile(HttpResponse):
    """A table as CSV, which still knows its table: `workbooks` answers the same as XLSX."""

    def __init__(
        self, table: Table, name: str, filters: Filters | None = None, result: Stamped | None = None
    ):
        text = io.StringIO()
        csv.writer(text).writerows(csv_rows(table))
        super().__init__(text.getvalue(), content_type="text/csv; charset=utf-8")
        self["Content-Disposition"] = f'attachment; filename="{name}"'
        self.table = table
        self.name = name
        self.filters = filters
        self.result = result


def csv_response(
    table: Table, name: str, filters: Filters | None = None, result: Stamped | None = None
) -> TableFile:
    """The table as a file. `filters` where the page has a period, `result` where it has a stamp."""
    return TableFile(table, name, filters, result)


def csv_rows(table: Table) -> list[list[str]]:
    """Exactly the rows of the screen, in its order, with exact values."""
    rows = [[column.label for column in table.columns]]
    rows += [[written(cell) for cell in row.cells] for row in table.rows]
    if table.total:
        rows.append([written(cell) for cell in table.total])
    return rows


def written(cell: Cell) -> str:
    """The exact value, unless a spreadsheet would run it: then it is told to be text."""
    if not cell.is_number and cell.value.startswith(FORMULA):
        return f"'{cell.value}"
    return cell.value
