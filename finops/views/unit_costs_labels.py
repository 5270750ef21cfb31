"""What the values of a label cost, as a table of the page of unit costs and its CSV.

Knows how it is worded. Refuses sums of its own: the rows are those of the page of costs.
"""

from __future__ import annotations

from dataclasses import replace

from finops.queries.amounts import SpendRow, SpendTable
from finops.queries.filters import LABEL, Filters
from finops.queries.spend import spend_by

from .figures import known_cost
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    cost_cell,
    count_cell,
    share_cell,
    unit_cell,
    words_cell,
)


def values_table(filters: Filters, label: str) -> Table:
    """Dearest first; what has no value stands beside it, so that the rows are the whole."""
    table = spend_by(replace(filters, group_by=(f"{LABEL}{label}",)))
    columns = (
        Column(f"Label {label}"),
        Column(f"Cost, {table.currency}", number=True),
        Column("Share", number=True),
        Column("Requests", number=True),
        Column("Tokens", number=True),
        Column("Per 1,000 requests", number=True),
        Column("Per 1M tokens", number=True),
        Column("Without a price", number=True, help="Requests that are in no cost"),
    )
    rows = tuple(Row(_value_cells(row, table)) for row in table.rows)
    return Table(
        "label-values",
        f"Costs by {label}",
        columns,
        rows,
        _value_cells(table.total, table) if rows else (),
        empty="No cost in this period. Choose a longer one, or drop a filter.",
    )


def _value_cells(row: SpendRow, table: SpendTable) -> tuple[Cell, ...]:
    currency, cost = table.currency, known_cost(row, table.total)
    return (
        words_cell(row.labels[0]),
        cost_cell(cost, currency),
        share_cell(None if cost is None else row.share),
        count_cell(row.requests),
        count_cell(row.tokens),
        unit_cell(row.per_thousand_requests, currency),
        unit_cell(row.per_million_tokens, currency),
        count_cell(row.unpriced_spans),
    )
