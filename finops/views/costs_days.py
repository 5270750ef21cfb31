"""The table behind the chart of costs over time, where its bars lead, and from when it may move.

Knows series and their groups. Refuses queries.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from finops import charts
from finops.queries.amounts import SpendTable
from finops.queries.filters import Filters
from finops.queries.spend import OTHER, Series

from .costs_lines import lines_href
from .figures import known_cost, point_label
from .page import View
from .tables import Column, Row, Table, cost_cell, money_cell, words_cell


def day_hrefs(
    series: Series, keys: tuple[str, ...], view: View, filters: Filters
) -> tuple[str, ...]:
    """The lines of a group on each day; none where a bar is an hour, or many groups."""
    if series.step != "day" or keys == (OTHER,) or not series.points:
        return ()
    first, *_ = series.points
    # One address is made, and told apart by its days: there are hundreds of bars.
    one = replace(filters, start=first, end=first + timedelta(days=1), preset="")
    href = lines_href(view, one, filters.group_by, keys)
    return tuple(href.replace(_days(first), _days(day)) for day in series.points) if href else ()


def _days(day: date) -> str:
    """As addresses have it."""
    return f"from={day}&to={day + timedelta(days=1)}"


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
