"""The table of the costs explorer: a row per group, with what it cost and what it is made of.

Knows how rows are worded and where they lead. Refuses queries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from finops.queries import cursors
from finops.queries.amounts import Amounts, SpendRow, SpendTable
from finops.queries.filters import FIELDS, Filters, label_of
from finops.queries.group_names import LABELS

from .costs_lines import lines_href
from .figures import known_cost
from .page import View, group_label, group_said
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    change_cell,
    cost_cell,
    count_cell,
    money_cell,
    share_cell,
    unit_cell,
    words_cell,
)

NEXT_GROUP = {
    "team": "project",
    "project": "model",
    "provider": "model",
    "model": "service",
    "service": "model",
}
"""What a row opens into."""


PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one page, by their number; the total is that of all rows."""

    first: int
    count: int
    is_later: bool
    """Asked for by a cursor."""

    @classmethod
    def of(cls, table: SpendTable, view: View) -> Part:
        """The last page where the cursor is of a time when there were more rows."""
        cursor, count = view.extra.get("cursor"), len(table.rows)
        first = cursors.decode(cursor, cursors.identity)[0] if cursor else 0
        last = max(count - 1, 0) // PAGE_ROWS * PAGE_ROWS
        return cls(min(first, last), count, bool(cursor))

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + PAGE_ROWS)

    def links(self, view: View) -> dict[str, Any]:
        """What `components/pagination.html` shows."""
        end = min(self.first + PAGE_ROWS, self.count)
        return {
            "next_href": view.url(cursor=cursors.encode(end)) if end < self.count else "",
            "first_href": view.url(cursor="") if self.is_later else "",
            "shown": f"Rows {self.first + 1:,} to {end:,} of {self.count:,}; the total is of all",
        }


def cost_table(
    table: SpendTable, view: View, filters: Filters, shown: slice = slice(None)
) -> Table:
    sort = view.extra.get("sort", "")
    # They come dearest first; any other order is one of cells, and needs them all.
    found = table.rows if sort else table.rows[shown]
    rows = tuple(cost_row(row, table, view, filters) for row in found)
    columns = (
        *(Column(group_label(group), group) for group in table.group_by),
        Column(f"Cost, {table.currency}", "cost", number=True),
        *(compare_columns() if filters.compare else ()),
        Column("Share", "share", number=True),
        Column("Requests", "requests", number=True),
        Column("Tokens", "tokens", number=True),
        *(usage_columns(table.currency) if filters.basis == "book" else ()),
        Column("Per 1M tokens", "per-million", number=True),
        Column("Per 1,000 requests", "per-thousand", number=True),
        Column("Without a price", "unpriced", number=True, help="Requests that are in no cost"),
        Column("Usage unknown", "unknown", number=True, help="Requests that named no usage"),
    )
    labels = (words_cell("Total"), *(words_cell("") for _ in table.group_by[1:]))
    total = (*labels, *measure_cells(table.total, table, filters))
    name = " and ".join(group_said(group) for group in table.group_by)
    made = Table(
        "costs",
        f"Cost by {name}",
        columns,
        rows,
        total if rows else (),
        empty="No cost in this period. Choose a longer one, or drop a filter.",
    ).sorted_by(sort)
    if sort:
        made = replace(made, rows=made.rows[shown])
    return made.linked(lambda wanted: view.url(sort=wanted, cursor=""), "-cost")


def compare_columns() -> tuple[Column, ...]:
    return Column("Before", "before", number=True), Column("Change", "change", number=True)


def usage_columns(currency: str) -> tuple[Column, ...]:
    """Bills tell no user, project or model: a row's cost may be what no bill covers, while its unit
    prices are of all usage."""
    help_text = "All usage at its prices, billed or not: what prices per token and request are of"
    return (Column(f"Usage cost, {currency}", "usage-cost", number=True, help=help_text),)


def cost_row(row: SpendRow, table: SpendTable, view: View, filters: Filters) -> Row:
    labels = [words_cell(label or "none given") for label in row.labels]
    labels[0] = replace(labels[0], href=row_href(view, filters, row.keys))
    return Row((*labels, *measure_cells(row, table, filters, view)))


def measure_cells(
    row: SpendRow, table: SpendTable, filters: Filters, view: View | None = None
) -> tuple[Cell, ...]:
    currency, cost = table.currency, known_cost(row, table.total)
    href = requests_href(view, filters, row.keys) if view and row.requests else ""
    lines = lines_href(view, filters, filters.group_by, row.keys) if view else ""
    compared = (money_cell(row.previous, currency), change_cell(row.change, row.previous))
    return (
        cost_cell(cost, currency, href=lines),
        *(compared if filters.compare else ()),
        NONE if cost is None else share_cell(row.share, meter=row.share if view else None),
        count_cell(row.requests, href=href),
        count_cell(row.tokens),
        *((usage_cell(row, table),) if filters.basis == "book" else ()),
        NONE if row.tokens == 0 else unit_cell(row.per_million_tokens, currency),
        NONE if row.requests == 0 else unit_cell(row.per_thousand_requests, currency),
        count_cell(row.unpriced_spans),
        count_cell(row.unknown_spans),
    )


def usage_cell(row: Amounts, table: SpendTable) -> Cell:
    """Nothing where only a bill speaks; no price where that is why there is no cost."""
    if row.usage_cost:
        return money_cell(row.usage_cost, table.currency)
    if not row.requests:
        return NONE
    known = known_cost(row, table.total) is not None
    return cost_cell(row.usage_cost if known else None, table.currency)


def row_href(view: View, filters: Filters, keys: tuple[str, ...]) -> str:
    """The same page, one step down; nothing for what cannot be filtered by."""
    group = filters.group_by[0]
    if not (can_filter(group, keys[0]) or can_filter_label(group, keys[0])):
        return ""
    down = filters.drill(group, keys[0])
    if not down.group_by:
        down = replace(down, group_by=(NEXT_GROUP.get(group, "model"),))
    return view.url(down, sort="", cursor="")


def requests_href(view: View, filters: Filters, keys: tuple[str, ...]) -> str:
    if filters.labels:
        return ""
    for group, key in zip(filters.group_by, keys, strict=True):
        if not can_filter(group, key):
            return ""
        filters = filters.drill(group, key)
    return view.to("requests", replace(filters, group_by=()))


def can_filter(group: str, key: str) -> bool:
    """An empty value is no filter, but for models, where it is a group of its own."""
    return group in FIELDS and (bool(key) or group == "model")


def can_filter_label(group: str, key: str) -> bool:
    """A value of a label, or requests without it; other values are of each day's own."""
    return bool(label_of(group)) and (key not in LABELS or not key)
