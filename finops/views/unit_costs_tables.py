"""Tables and sentences of the page of unit costs; the CSV writes the same tables.

Knows how they are worded. Refuses queries.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from finops import charts
from finops.money import plain
from finops.queries.amounts import Spend
from finops.queries.filters import Filters
from finops.queries.unit_costs import (
    GPU_UNITS,
    UNITS,
    Outcome,
    PoolUnits,
    UnitCost,
    UnitRow,
    UnitSeries,
    UnitTable,
    WhatIf,
)
from finops.templatetags import words

from .costs_table import can_filter
from .figures import Chart, point_label
from .page import GROUP_LABELS, View, group_said
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    change_cell,
    count_cell,
    money_cell,
    share_cell,
    unit_cell,
    unknown_cell,
    words_cell,
)

DEFINITIONS = {
    "tokens": "Priced usage ÷ the tokens it was priced for.",
    "input": "Cost of input, cache included ÷ the input tokens it was priced for.",
    "output": "Cost of output ÷ the output tokens it was priced for, reasoning included.",
    "requests": "Priced usage and hardware ÷ the requests they were paid for.",
    "conversation": "Cost of the requests that name a session ÷ different sessions of a project.",
    "answer": "Cost of scored answers, the failed ones too ÷ those whose score reaches the "
    "threshold. An answer is a trace.",
    "user": "Priced usage of requests that name a user ÷ different users of a project.",
    "label": "Priced usage of requests that have the label ÷ its different values.",
    "gpu-paid": "What pools cost ÷ GPUs × hours that were paid for.",
    "gpu-used": "What pools cost while observed ÷ the GPU-hours in which they computed.",
}
CLASSES = {
    "input": "input",
    "cache_read": "cached input",
    "cache_write_5m": "writing the cache for 5 minutes",
    "cache_write_1h": "writing the cache for an hour",
    "output": "output",
    "reasoning": "reasoning",
    "audio_input": "audio input",
    "audio_output": "audio output",
    "image_input": "image input",
}


def number(count: Decimal) -> str:
    """A denominator: whole things whole, hours with two decimals."""
    whole = count == count.to_integral_value()
    return words.count(float(count)) if whole else f"{count:,.2f}"


def unit_note(unit: UnitCost, currency: str, is_compared: bool) -> str:
    if unit.value is None or unit.cost is None or unit.count is None:
        return ""
    note = f"{words.money(unit.cost, currency)} ÷ {number(unit.count)} {unit.counted}."
    if unit.coverage:
        note += f" {unit.coverage}"
    if is_compared:
        note += f" {before_said(unit, currency)}"
    return note


def before_said(unit: UnitCost, currency: str) -> str:
    if unit.before is None or unit.change is None:
        return "Unknown in the period before."
    if abs(unit.change) < 0.0005:
        return "The same as in the period before."
    word = "more" if unit.change > 0 else "less"
    before = words.rate(unit.before, currency)
    return f"{words.percent(abs(unit.change))} {word} than {before} in the period before."


def differs_said(spend: Spend) -> str:
    usage = words.money(spend.usage_cost, spend.currency)
    return f"Bills are in it. Unit costs rest on priced usage and hardware: {usage}."


def trend(series: UnitSeries) -> Chart:
    unit, currency = UNITS[series.unit], series.currency
    # Of a label that is chosen, its name.
    called = next((one.label for one in series.values if one.named), unit.label)
    lines = [_curve(called, [one.value for one in series.values], currency)]
    if series.before:
        before = [one.value for one in series.before[: len(series.points)]]
        before += [None] * (len(series.points) - len(before))
        lines.append(_curve("Period before", before, currency))
    drawing = charts.curves(series.points, lines, _trend_said(series), currency=currency)
    columns = (
        Column("Day"),
        Column(f"{called}, {currency}", number=True),
        Column(f"Cost, {currency}", number=True),
        Column(unit.counted.capitalize(), number=True),
        *((Column("Period before", number=True),) if series.before else ()),
        Column("Of what"),
    )
    is_known = any(one.value is not None for one in series.values)
    rows = []
    for at, point in enumerate(series.points if is_known else ()):
        one = series.values[at]
        before_cells: tuple[Cell, ...] = ()
        if series.before:
            earlier = series.before[at].value if at < len(series.before) else None
            before_cells = (unit_cell(earlier, currency),)
        rows.append(
            Row(
                (
                    words_cell(point_label(point)),
                    unit_cell(one.value, currency),
                    money_cell(one.cost, currency),
                    number_cell(one.count),
                    *before_cells,
                    words_cell(one.reason or one.coverage or "All of it.", prose=True),
                )
            )
        )
    title = f"{called}, day by day"
    return Chart("unit-cost", title, drawing, Table("unit-series", title, columns, tuple(rows)))


def _curve(label: str, values: list[Decimal | None], currency: str) -> charts.Curve:
    drawn = [None if value is None else float(value) for value in values]
    return charts.Curve(label, drawn, [words.rate(value, currency) for value in values])


def _trend_said(series: UnitSeries) -> str:
    known = [
        (one.value, point)
        for one, point in zip(series.values, series.points, strict=True)
        if one.value is not None
    ]
    if not known:
        reasons = {one.reason for one in series.values if one.reason}
        return sorted(reasons)[0] if reasons else "Nothing is known of this period."
    low, high = min(known), max(known)
    return (
        f"From {words.rate(low[0], series.currency)} on {point_label(low[1])}"
        f" to {words.rate(high[0], series.currency)} on {point_label(high[1])};"
        f" known on {len(known)} of {len(series.points)} days."
    )


def number_cell(count: Decimal | None) -> Cell:
    if count is None:
        return unknown_cell()
    return Cell(number(count), plain(count), count)


def units_table(table: UnitTable, view: View, filters: Filters) -> Table:
    columns = (
        *(Column(GROUP_LABELS[group]) for group in table.group_by),
        Column(f"Spend, {table.currency}", number=True, help="The same as on the page Costs"),
        Column("Requests", number=True),
        Column("Unpriced", number=True, help="Requests that are in no amount"),
        *(
            column
            for key, unit in table.total.units.items()
            if key not in GPU_UNITS
            for column in (
                Column(unit.label, number=True),
                *((Column("Change", number=True),) if filters.compare else ()),
            )
        ),
    )
    rows = tuple(
        Row((*_labels(row, view, filters), *_unit_cells(row, table, filters))) for row in table.rows
    )
    total = (
        words_cell("Total"),
        *(words_cell("") for _ in table.group_by[1:]),
        *_unit_cells(table.total, table, filters),
    )
    name = " and ".join(group_said(group) for group in table.group_by)
    return Table(
        "unit-costs",
        f"Unit costs by {name}",
        columns,
        rows,
        total if rows else (),
        empty="No priced usage in this period. Choose a longer one, or drop a filter.",
    )


def _labels(row: UnitRow, view: View, filters: Filters) -> list[Cell]:
    cells = [words_cell(label or "none given") for label in row.labels]
    group, key = filters.group_by[0], row.keys[0]
    if can_filter(group, key):
        down = filters.drill(group, key)
        rest = down.group_by or (("service",) if group == "model" else ("model",))
        href = view.url(replace(down, group_by=rest))
        cells[0] = words_cell(row.labels[0] or "none given", href=href)
    return cells


def _unit_cells(row: UnitRow, table: UnitTable, filters: Filters) -> tuple[Cell, ...]:
    cells: list[Cell] = [
        money_cell(row.cost, table.currency),
        count_cell(row.requests),
        count_cell(row.unpriced),
    ]
    for key, unit in row.units.items():
        if key in GPU_UNITS:
            continue
        note = f"of {number(unit.count)}" if unit.value is not None and unit.count else ""
        cells.append(unit_cell(unit.value, table.currency, note=note))
        if filters.compare:
            cells.append(change_cell(unit.change, unit.before))
    return tuple(cells)


def pools_table(table: UnitTable) -> Table:
    columns = (
        Column("Pool"),
        Column("Currency"),
        Column("Per GPU-hour paid", number=True),
        Column("GPU-hours paid", number=True),
        Column("Per GPU-hour used", number=True, help="All that was paid while observed"),
        Column("GPU-hours used", number=True),
        Column("Utilisation", number=True, help="Used of what was paid and observed"),
        Column("Observed", number=True),
        Column("GPU-hours without a price", number=True),
        Column("What is unknown, and why"),
    )
    return Table(
        "pools",
        "GPU-hours by pool",
        columns,
        tuple(_pool_row(row) for row in table.pools),
        empty="No hardware cost in this period.",
    )


def _pool_row(row: PoolUnits) -> Row:
    why = " ".join(dict.fromkeys(filter(None, (row.paid.reason, row.used.reason))))
    return Row(
        (
            words_cell(row.pool),
            words_cell(row.currency),
            unit_cell(row.paid.value, row.currency),
            number_cell(row.paid.count),
            unit_cell(row.used.value, row.currency),
            number_cell(row.used.count),
            share_cell(row.utilization),
            share_cell(row.coverage),
            number_cell(row.unpriced_hours),
            words_cell(why or row.used.coverage or "Nothing.", prose=True),
        )
    )


def what_if_table(found: WhatIf) -> Table:
    currency = found.currency
    columns = (
        Column("Same traffic on"),
        Column("Requests", number=True, help="Priced on both sides"),
        Column(f"Cost now, {currency}", number=True),
        Column(f"Cost then, {currency}", number=True),
        Column("Difference", number=True),
        Column("Change", number=True),
        Column("Not priced", number=True, help="Requests that this model has no price for"),
        Column("Their cost now", number=True),
        Column("What it rests on"),
    )
    return Table(
        "what-if",
        "The same traffic on another model",
        columns,
        tuple(_outcome_row(one, currency) for one in found.outcomes),
        empty="Choose up to three models of the price book above.",
    )


def _outcome_row(one: Outcome, currency: str) -> Row:
    return Row(
        (
            words_cell(str(one.candidate)),
            count_cell(one.requests),
            money_cell(one.cost_now, currency),
            money_cell(one.cost_then, currency),
            money_cell(one.difference, currency),
            change_cell(one.change, None),
            count_cell(one.left_out),
            money_cell(one.left_out_cost, currency),
            words_cell(_rests_on(one), prose=True),
        )
    )


def _rests_on(one: Outcome) -> str:
    if one.reason:
        return one.reason
    if not one.fallbacks:
        return "Each token class has a price of its own."
    parts = [
        f"{CLASSES[fallback.token_class]} as {CLASSES[fallback.billed_as]}"
        for fallback in one.fallbacks
    ]
    return f"Without a price of its own: {', '.join(parts)}."


def what_if_said(found: WhatIf) -> str:
    if found.book is None:
        return "There is no price book yet."
    text = (
        f"{words.count(found.requests)} chat requests of this period are priced as a whole, at "
        f"{words.money(found.cost_now, found.currency)}. Other models are priced by version "
        f"{found.book.version} of the price book, as on {words.day(found.prices_on.date())}."
    )
    if found.unpriced:
        text += (
            f" {words.count(found.unpriced)} more are in neither cost: they have no price in"
            f" {found.currency}, did not say what they used, or are paid by the hour."
        )
    if found.conversion is not None:
        text += " Both costs are converted at the rate of the day of each request."
    return text
