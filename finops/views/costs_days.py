"""The table behind the chart of costs over time, where its bars lead, and from when it may move.

Knows series and their groups. Refuses queries.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from finops import charts
from finops.queries.amounts import SpendTable
from finops.queries.filters import Filters
from finops.queries.spend import OTHER, Series

from .costs_lines import lines_href
from .costs_table import row_href
from .figures import known_cost, point_label
from .page import View
from .tables import Column, Row, Table, cost_cell, money_cell, words_cell


def bars_href(series: Series, keys: tuple[str, ...], view: View, filters: Filters) -> str:
    """The lines of a group on a bar's day; its rows where a bar is an hour, none of many groups."""
    if keys == (OTHER,) or not series.points:
        return ""
    if series.step == "day":
        first, *_ = series.points
        after = first + timedelta(days=1)
        one = replace(filters, start=first, end=after, preset="")
        if href := lines_href(view, one, filters.group_by, keys):
            # One address for hundreds of bars: the page puts their days in.
            return href.replace(f"from={first}&to={after}", "from={day}&to={next}")
    return row_href(view, filters, keys)


def unpriced(table: SpendTable, series: Series) -> set[tuple[str, ...]]:
    """The groups of the series whose cost nobody knows."""
    drawn = filter(None, (table.rows.of(line.keys) for line in series.lines))
    return {row.keys for row in drawn if known_cost(row, table.total) is None}


def provisional_from(series: Series):
    """The first point after the last one a bill covers; None when bills cover nothing or all."""
    covered = [at for at, amount in enumerate(series.reconciled) if amount]
    if not covered or covered[-1] + 1 >= len(series.points):
        return None
    return series.points[covered[-1] + 1]


def series_table(series: Series, without: set[tuple[str, ...]]) -> Table:
    priced = [line for line in series.lines if line.keys not in without]
    columns = (
        Column("When"),
        Column("Total", number=True),
        *(Column(line.label, number=True) for line in series.lines),
    )
    totals = charts.step_totals(line.values for line in priced)
    rows = []
    for at, point in enumerate(series.points if totals else ()):
        cells = [
            cost_cell(None, series.currency)
            if line.keys in without
            else money_cell(line.values[at], series.currency)
            for line in series.lines
        ]
        total = money_cell(totals[at], series.currency)
        rows.append(Row((words_cell(point_label(point)), total, *cells)))
    return Table("cost-series", "Cost over time by group", columns, tuple(rows))
