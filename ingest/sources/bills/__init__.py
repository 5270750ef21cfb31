"""Billing files of every layout → FOCUS bill lines: open, recognise, translate, check.

Knows which reader follows which. Refuses silent losses: every row of a file is lines or a reject,
and a file that cannot be read at all is one clear sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest import quarantine
from ingest.records import BillRecord, Reject
from ingest.sources.base import BadFile, Reading
from ingest.sources.textfile import Record

from . import gcp
from .aws_cur import AwsCur
from .azure import ACTUAL, AMORTIZED, Azure, is_committed
from .detect import layout_of
from .focus import Focus
from .gcp import Gcp
from .layout import Cells, Columns, Layout, Options
from .quality import Quality
from .tables import DELIMITERS, open_table
from .values import BadCell

BY_NAME = (
    "Its name says which of Azure's two views it is. A file of the other view needs a source of its"
    " own; in this one it would replace this file."
)
FORMATS = ("focus", "aws_cur", ACTUAL, AMORTIZED, "gcp")

__all__ = ["DELIMITERS", "FORMATS", "File", "Options", "read", "read_all"]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a delivery, and what people call it, for its path may be that of a copy."""

    path: Path
    name: str


def read(path: Path, options: Options, *, name: str = "") -> Reading:
    """The file's rows as bill lines and rejects, in bounded memory; iterate once."""
    return read_all([File(path, name or path.name)], options)


def read_all(files: Sequence[File], options: Options) -> Reading:
    """The same of several files that are one delivery: their lines are counted on."""
    reading = Reading(())
    reading.rows = _rows(files, options, reading.warnings)
    return reading


def _rows(
    files: Sequence[File], options: Options, warnings: list[str]
) -> Iterator[BillRecord | Reject]:
    quality, after = Quality(), 0
    for file in files:
        where = f"{file.name}, " if len(files) > 1 else ""
        last = 0
        with open_table(file.path, options.delimiter) as table:
            layout = _layout(file.path, table.names, options, file.name)
            notes = (*table.notes, *layout.notes)
            warnings += (note for note in notes if note not in warnings)
            for record in table.records:
                last = record.line
                made = _taken(record, layout, after, where)
                if isinstance(made, Reject):
                    quality.refuse()
                    yield made
                    continue
                for line in made:
                    quality.add(line)
                    yield line
        after += last
    warnings += quality.warnings()


def _taken(record: Record, layout: Layout, after: int, where: str) -> Sequence[BillRecord] | Reject:
    line = f"{where}line {record.line}" if where else f"Line {record.line}"
    problem, cells, width = record.problem, record.cells, len(layout.names)
    if not problem and len(cells) > width:
        problem = f"has {len(cells)} cells under {width} columns; check its quotes"
    if problem:
        return Reject("unreadable_row", "", f"{line} {problem}.", line=record.line + after)
    repairs: list[str] = []
    if len(cells) < width:
        # Real exports leave the last cells off; what is missing is unknown.
        missing = width - len(cells)
        repairs.append(f"row: {missing} cells missing at its end")
        cells = cells + [""] * missing
    if after:
        record = Record(record.line + after, cells, record.content)
    try:
        return layout.lines(record, cells, repairs)
    except BadCell as bad:
        column = layout.column(bad.field)
        return Reject(
            bad.reason,
            column,
            f"{line}, column {column}: {bad.detail}.",
            line=record.line,
            payload=quarantine.payload(dict(zip(layout.names, cells, strict=True))),
        )


# ---- which layout ------------------------------------------------------------------------------


def _layout(path: Path, names: list[str], options: Options, file: str) -> Layout:
    key = "azure" if options.format in (ACTUAL, AMORTIZED) else options.format
    return _MAKERS[key or layout_of(names, file)](path, names, options, file)


def _azure(path: Path, names: list[str], options: Options, file: str) -> Layout:
    """Both views have the same header: the settings, the file's name or its rows tell which."""
    view = options.format or _view_by_name(file)
    if not view and any(is_committed(row) for row in _scan(path, names, options)):
        raise BadFile(
            f"{file} may be an actual or an amortised Azure export, which tell reservations"
            " differently and have the same columns; set Format of the source to azure_actual or"
            " azure_amortized."
        )
    notes = (BY_NAME,) if view and not options.format else ()
    return Azure(names, file, Options(view or ACTUAL, options.delimiter, options.currency), notes)


def _view_by_name(file: str) -> str:
    said = file.casefold()
    is_actual, is_amortized = "actual" in said, "amorti" in said
    if is_actual == is_amortized:
        return ""
    return ACTUAL if is_actual else AMORTIZED


def _gcp(path: Path, names: list[str], options: Options, file: str) -> Layout:
    """Cut by usage or by invoice: whichever month the rows have in common."""
    usage: set[str] = set()
    invoices: set[str] = set()
    for row in _scan(path, names, options):
        usage.add(gcp.usage_month(row))
        invoices.add(gcp.invoice_month(row))
    return Gcp(names, file, options, by_usage=len(usage) == 1 < len(invoices))


def _scan(path: Path, names: list[str], options: Options) -> Iterator[Cells]:
    columns = Columns(names)
    with open_table(path, options.delimiter) as table:
        for record in table.records:
            missing = len(names) - len(record.cells)
            yield Cells(columns, record.cells + [""] * missing if missing > 0 else record.cells)


_MAKERS: dict[str, Callable[[Path, list[str], Options, str], Layout]] = {
    "focus": lambda path, names, options, file: Focus(names, file, options),
    "aws_cur": lambda path, names, options, file: AwsCur(names, file, options),
    "azure": _azure,
    "gcp": _gcp,
}
