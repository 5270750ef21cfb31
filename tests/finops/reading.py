"""Reads a page as a browser's parser would: tables, headings, and whatever CSP would refuse."""

from __future__ import annotations

import io
import re
from datetime import datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils.escape import unescape

EXACT = ", every digit"


class Page(HTMLParser):
    """`tables[id]` is rows of cells, each the exact value where the cell carries one."""

    def __init__(self, html: str):
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.refused: list[str] = []
        self.hrefs: list[str] = []
        self.text: list[str] = []
        self._table: list[list[str]] | None = None
        self._cell: list[str] | None = None
        self._value: str | None = None
        self._in_script = False
        self.feed(html)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._check(tag, given)
        if given.get("href"):
            self.hrefs.append(given["href"] or "")
        if tag == "table":
            self._table = self.tables.setdefault(given.get("id") or "", [])
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in ("td", "th") and self._table is not None:
            self._cell, self._value = [], None
        elif tag == "data" and self._cell is not None:
            self._value = given.get("value") or ""

    def _check(self, tag: str, given: dict[str, str | None]) -> None:
        """What a strict content security policy refuses, or would have to allow."""
        self._in_script = tag == "script"
        data = given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in given and not data):
            self.refused.append(f"<{tag}>")
        self.refused += [name for name in given if name == "style" or name.startswith("on")]
        for name in ("src", "href", "action"):
            if (given.get(name) or "").startswith(("http:", "https:", "//", "javascript:")):
                self.refused.append(f"{name}={given[name]}")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False
        if tag in ("td", "th") and self._table is not None and self._cell is not None:
            text = " ".join("".join(self._cell).split())
            self._table[-1].append(text if self._value is None else self._value)
            self._cell = None
        elif tag == "table":
            self._table = None

    def handle_data(self, data: str) -> None:
        if self._in_script:
            return
        self.text.append(data)
        if self._cell is not None:
            self._cell.append(data)


def workbook_rows(file: bytes) -> list[list[str]]:
    """The sheet's rows as the CSV has them: where a column has every digit beside it, those."""
    rows = [list(row) for row in load_workbook(io.BytesIO(file))["Table"].values]
    heads = [str(head or "") for head in rows[0]]
    exact = {at for at, head in enumerate(heads) if head.endswith(EXACT)}
    kept = [at for at in range(len(heads)) if at + 1 not in exact]
    found = [[plain_text(row[at]) for at in kept] for row in rows]
    found[0] = [head.removesuffix(EXACT) for head in found[0]]
    return found


def plain_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat()
    if isinstance(value, int | float):
        return number_text(Decimal(repr(value)))
    return unescape(value)


def number_text(value: Decimal) -> str:
    """One way of writing each number, whatever zeros it came with."""
    text = f"{value:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)


def same_numbers(rows: list[list[str]]) -> list[list[str]]:
    """A CSV's rows with each number written as `plain_text` writes it."""
    return [
        [number_text(Decimal(text)) if NUMBER.fullmatch(text) else text for text in row]
        for row in rows
    ]


def numbers_of(rows: list[list[str]]) -> set[str]:
    return {text for row in same_numbers(rows) for text in row if NUMBER.fullmatch(text)}
