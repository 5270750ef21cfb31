"""What differs between two configs, field by field, as a table and as text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from finops.views.tables import Cell, Column, Row, Table
from optimiser.plan import MISSING, Moved, canonical


def diff_table(id: str, moved: Iterable[Moved], old: str, new: str) -> Table:
    columns = (Column("Field"), Column(old), Column(new))
    rows = tuple(
        Row((path_cell(one.path), value_cell(one.old), value_cell(one.new))) for one in moved
    )
    caption = f"{old} and {new.lower()} config, field by field"
    return Table(id, caption, columns, rows, empty="Nothing differs.")


def path_cell(path: str) -> Cell:
    """Long names may break where they join: a zero-width space says so, the value has none."""
    return Cell(text=path.replace(".", ".\u200b").replace("_", "_\u200b"), value=path)


def value_cell(value: Any) -> Cell:
    if value is MISSING:
        return Cell(text="not set", value="", unknown=True)
    text = canonical(value)
    return Cell(text=text, value=text)


def pretty(config: Any) -> str:
    """A whole config, one field a line, in the same order every time."""
    return "" if config is None else json.dumps(config, indent=2, sort_keys=True)
