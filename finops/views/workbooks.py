"""A table as a spreadsheet file: the same rows as its CSV, and a sheet that says what they are.

Knows XLSX. Refuses to decide what is in a table: each address of a CSV has a twin that ends in
`.xlsx`, asks the same view, and writes the same table.

A spreadsheet counts in binary and shows 15 digits. A column with a number of more digits than that
has a second one of text behind it, with every digit, so that nothing is lost and sums still work.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, path, re_path
from django.urls.resolvers import RegexPattern
from django.utils import timezone

from finops.actions.channels.delivery import link
from finops.money import CONTEXT
from finops.queries.filters import LABEL, Filters
from finops.queries.stamp import Stamped
from finops.templatetags import words

from .page import group_label
from .tables import Cell, Table, TableFile, written

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DIGITS = 15
"""Of a decimal number that every spreadsheet keeps and shows."""
MOST_ROWS = 1_048_575
"""Below the head, as the format has it."""
MOST_SIGNS = 32_767
"""Of one cell, as the format has it."""
CUT = " … (cut here: one cell of a spreadsheet holds no more; the CSV has all)"
EXACT = ", every digit"
UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
"""What XML cannot hold, and what would be read as standing for it; the format writes `_x001F_`."""
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
SAMPLE = "These figures are made up to show how Breakeven works."
NARROWEST, WIDEST = 10, 60

FILTER_LABELS = {
    "range": "Period chosen",
    "from": "First day",
    "to": "Day after the last",
    "group_by": "Grouped by",
    "f.project": "Project",
    "f.team": "Team",
    "f.provider": "Provider",
    "f.model": "Model",
    "f.service": "Service",
    "basis": "Basis",
    "metric": "Cost of the bill",
    "currency": "Currency",
    "known_on": "Bills as known on",
    "compare": "Compared with",
    "convert": "Converted to",
}


def with_workbooks(patterns: Iterable[URLPattern]) -> list[URLPattern]:
    """All addresses, and beside each of a CSV the one of the same table as XLSX."""
    found = []
    for one in patterns:
        found.append(one)
        if (one.name or "").endswith("-csv"):
            found.append(_twin(one))
    return found


def _twin(one: URLPattern) -> URLPattern:
    name = f"{(one.name or '').removesuffix('-csv')}-xlsx"
    if isinstance(one.pattern, RegexPattern):
        address = str(one.pattern).removesuffix(r"\.csv$") + r"\.xlsx$"
        return re_path(address, as_workbook(one.callback), name=name)
    return path(
        f"{str(one.pattern).removesuffix('.csv')}.xlsx", as_workbook(one.callback), name=name
    )


def as_workbook(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The same view; a table it answers with leaves as XLSX, anything else as it is."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        return xlsx_response(response, request) if isinstance(response, TableFile) else response

    return answer


def xlsx_response(file: TableFile, request: HttpRequest) -> HttpResponse:
    if len(file.table.rows) > MOST_ROWS:
        raise BadRequest("A spreadsheet holds no more than a million rows; take the CSV.")
    response = HttpResponse(workbook(file.table, about(file, request)), content_type=XLSX)
    name = f"{file.name.removesuffix('.csv')}.xlsx"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def workbook(table: Table, notes: Sequence[tuple[str, str]]) -> bytes:
    """Two sheets: the table, and what it is."""
    # Here, because only a download needs it and each worker would hold it.
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    _table_sheet(book, table)
    sheet = book.create_sheet("About")
    sheet.column_dimensions["A"].width, sheet.column_dimensions["B"].width = 24, WIDEST * 1.5
    for name, value in notes:
        sheet.append([_text(sheet, name, bold=True), _text(sheet, value)])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


# The table


def _table_sheet(book: Any, table: Table) -> None:
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet("Table")
    columns = list(_columns(table))
    for at, (label, place, is_exact) in enumerate(columns, 1):
        longest = max((_shown_width(row.cells[place], is_exact) for row in table.rows), default=0)
        width = max(NARROWEST, min(WIDEST, max(longest, len(label)) + 2))
        sheet.column_dimensions[get_column_letter(at)].width = width
    sheet.freeze_panes = "A2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(table.rows) + 1}"
    sheet.append([_text(sheet, label, bold=True) for label, _, _ in columns])
    for row in table.rows:
        sheet.append(_line(sheet, columns, row.cells))
    if table.total:
        sheet.append(_line(sheet, columns, table.total, bold=True))


def _columns(table: Table) -> Iterator[tuple[str, int, bool]]:
    """(head, place in the table, with every digit as text) of each column of the sheet."""
    lines = [row.cells for row in table.rows] + ([table.total] if table.total else [])
    for place, column in enumerate(table.columns):
        yield column.label, place, False
        if not all(_fits(_number(line[place])) for line in lines):
            yield f"{column.label}{EXACT}", place, True


def _number(cell: Cell) -> Decimal | None:
    """None for what only sorts like one, such as `3 of 5`."""
    return Decimal(cell.value) if cell.is_number and NUMBER.fullmatch(cell.value) else None


def _fits(number: Decimal | None) -> bool:
    return number is None or len(number.normalize(CONTEXT).as_tuple().digits) <= DIGITS


def _shown_width(cell: Cell, is_exact: bool) -> int:
    return len(written(cell) if is_exact or _number(cell) is None else str(cell.text))


def _line(
    sheet: Any, columns: Sequence[tuple[str, int, bool]], cells: Sequence[Cell], bold: bool = False
) -> list[Any]:
    return [
        _text(sheet, cells[place].value, bold) if is_exact else _cell(sheet, cells[place], bold)
        for _, place, is_exact in columns
    ]


def _cell(sheet: Any, cell: Cell, bold: bool) -> Any:
    """A number as a number and a day as a day; unknown is empty; the rest is text."""
    from openpyxl.cell import WriteOnlyCell

    number = _number(cell)
    if number is not None:
        made = WriteOnlyCell(sheet, number)
        made.number_format = cell.form or _form(number)
    elif _is_day(cell):
        made = WriteOnlyCell(sheet, cell.order)
        made.number_format = "yyyy-mm-dd"
    else:
        return _text(sheet, written(cell), bold)
    _embolden(made, bold)
    return made


def _is_day(cell: Cell) -> bool:
    """A whole day in full; a month is text, and so is an instant: a spreadsheet has no zones."""
    day = cell.order
    is_day = isinstance(day, date) and not isinstance(day, datetime)
    return is_day and day.isoformat() == cell.value


def _form(amount: Decimal) -> str:
    if amount == amount.to_integral_value():
        return "#,##0"
    return "#,##0.00" if abs(amount) >= 1 else "General"


def _text(sheet: Any, text: str, bold: bool = False) -> Any:
    from openpyxl.cell import WriteOnlyCell

    if not text:
        return None
    kept = UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    if len(kept) > MOST_SIGNS:
        kept = kept[: MOST_SIGNS - len(CUT)] + CUT
    cell = WriteOnlyCell(sheet, kept)
    # Never a formula, whatever it begins with.
    cell.data_type = "s"
    _embolden(cell, bold)
    return cell


def _embolden(cell: Any, bold: bool) -> None:
    from openpyxl.styles import Font

    if bold:
        cell.font = Font(bold=True)


# What it is


def about(file: TableFile, request: HttpRequest) -> list[tuple[str, str]]:
    """What somebody needs who finds the file a year later."""
    known = dict(_filter_notes(file.filters)) if file.filters else {}
    return [
        ("Table", file.table.caption),
        *known.items(),
        *_other_settings(request.GET),
        *(_stamp_notes(file.result) if file.result else ()),
        *([("Sample", SAMPLE)] if _is_sample(file.result) else ()),
        ("Time zone", settings.ACCOUNTING_TIME_ZONE),
        ("Made at", timezone.now().isoformat(timespec="seconds")),
        ("From", _address(request)),
        ("Empty cells", "Unknown, or nothing to say; never zero."),
        (
            "Numbers",
            f"A spreadsheet keeps {DIGITS} digits. A column whose numbers have more is followed"
            f" by one that ends in “{EXACT.strip(', ')}”, as text.",
        ),
    ]


def _filter_notes(filters: Filters) -> Iterator[tuple[str, str]]:
    yield "Period", f"{words.days(filters)}, both days included"
    given: dict[str, list[str]] = {}
    for name, value in QueryDict(filters.to_query()).lists():
        label = FILTER_LABELS.get(name) or group_label(name.removeprefix("f."))
        given.setdefault(label, []).extend(map(str, value))
    for label, values in given.items():
        yield label, ", ".join(value or "none given" for value in values)


def _other_settings(query: QueryDict) -> Iterator[tuple[str, str]]:
    """What this table alone was asked, such as its order."""
    for name, values in query.lists():
        if name not in FILTER_LABELS and not name.startswith(f"f.{LABEL}") and any(values):
            yield name, ", ".join(map(str, values))


def _stamp_notes(result: Stamped) -> Iterator[tuple[str, str]]:
    yield "As of", result.as_of.isoformat(timespec="seconds") if result.as_of else "never"
    yield (
        "State",
        "Provisional: a part is priced usage that no complete bill covers yet"
        if result.provisional
        else "Reconciled with bills",
    )
    yield "Sources", ", ".join(source.name for source in result.sources) or "none"


def _is_sample(result: Stamped | None) -> bool:
    return settings.SAMPLE_DATA or (result is not None and result.is_sample)


def _address(request: HttpRequest) -> str:
    return link(request.get_full_path()) or request.build_absolute_uri()
