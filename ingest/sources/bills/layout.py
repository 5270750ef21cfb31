"""What a layout of a billing file is: how one vendor's columns become FOCUS's.

Knows headers. Refuses values: `line` checks those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ingest.records import BillRecord
from ingest.sources.base import BadFile
from ingest.sources.textfile import Record

_IN_BRACKETS = re.compile(r"\(([A-Za-z0-9_]+)\)\s*$")


@dataclass(frozen=True, slots=True)
class Options:
    """What the source's settings say of its files."""

    format: str = ""
    """Empty: found out from the header."""
    delimiter: str = ""
    currency: str = ""
    """Of files that name none."""


class Layout(Protocol):
    """One vendor's header, understood."""

    key: ClassVar[str]
    names: list[str]
    notes: tuple[str, ...]
    """What is to be said of how the file was taken."""

    def column(self, field: str) -> str:
        """The file's own name of what became this field."""
        ...

    def lines(self, record: Record, cells: list[str], repairs: list[str]) -> Sequence[BillRecord]:
        """The lines of one row: one, or more where credits hang on it. Raises BadCell."""
        ...


def plain(name: str) -> str:
    """A column's name without case, spaces and punctuation.

    Azure's translated headers keep the English name in brackets: that one counts.
    """
    found = _IN_BRACKETS.search(name)
    return re.sub(r"[\W_]", "", found[1] if found else name).lower()


def checked_names(names: Iterable[str], file: str) -> list[str]:
    names = [name.strip() for name in names]
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadFile(f"{file} has two columns named {name}; rename one.")
        seen.add(name)
    return names


class Columns:
    """Where each column is, whatever the case and punctuation of its name."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.at: dict[str, int] = {}
        for index, name in enumerate(names):
            self.at.setdefault(plain(name), index)

    def first(self, *wanted: str) -> int | None:
        """The first of these columns that is there."""
        return next((self.at[name] for name in wanted if name in self.at), None)

    def name(self, *wanted: str) -> str:
        at = self.first(*wanted)
        return wanted[0] if at is None else self.names[at]


class Cells:
    """One row by its columns' plain names."""

    __slots__ = ("_at", "_cells")

    def __init__(self, columns: Columns, cells: Sequence[str]) -> None:
        self._at, self._cells = columns.at, cells

    def __getitem__(self, name: str) -> str:
        index = self._at.get(name)
        return "" if index is None else self._cells[index].strip()

    def any(self, *names: str) -> str:
        """The first of these cells that says something."""
        for name in names:
            if told := self[name]:
                return told
        return ""


def unused(columns: Columns, used: Iterable[str]) -> tuple[tuple[int, str], ...]:
    """The columns no field is made of."""
    taken = {columns.at[name] for name in used if name in columns.at}
    return tuple((i, name) for i, name in enumerate(columns.names) if i not in taken)


def fields_by_column(direct: Mapping[str, tuple[str, ...]]) -> set[str]:
    return {name for names in direct.values() for name in names}
