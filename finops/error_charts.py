"""Counts of errors over time as a drawing. Knows Plotly's figures; refuses queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from html import escape
from typing import Any

from finops.charts import COLOURS, GAP, Drawing, Legend, axis_value, base_layout
from finops.templatetags import words


def errors_by_type(
    points: Sequence[date | datetime], lines: Sequence[tuple[str, Sequence[int], bool]]
) -> Drawing:
    """Errors per step, stacked by type; the rest is grey."""
    x = [axis_value(point) for point in points]
    swatches = ["rest" if is_rest else str(at % COLOURS + 1) for at, (_, _, is_rest) in
                enumerate(lines)]  # fmt: skip
    data = [
        _bars(x, label, counts, f"var(--chart-{swatch})")
        for (label, counts, _), swatch in zip(lines, swatches, strict=True)
    ]
    layout = base_layout(barmode="stack")
    layout["yaxis"]["separatethousands"] = True
    legend = tuple(Legend(swatch, line[0]) for line, swatch in zip(lines, swatches, strict=True))
    return Drawing({"data": data, "layout": layout}, legend, _said(lines))


def _bars(x: list[str], label: str, counts: Sequence[int], fill: str) -> dict[str, Any]:
    # plotly.js reads a little HTML in its labels; the name of an error is never that.
    plain = escape(label, quote=False)
    return {
        "type": "bar",
        "name": plain,
        "x": x,
        "y": [count or GAP for count in counts],
        "marker": {"color": fill, "line": {"width": 0}},
        "hovertext": [f"{plain}: {words.count(count)}" for count in counts],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _said(lines: Sequence[tuple[str, Sequence[int], bool]]) -> str:
    if not lines:
        return "No errors in this period."
    total, (label, counts, _) = sum(sum(line[1]) for line in lines), lines[0]
    return f"{words.count(total)} errors; {words.percent(sum(counts) / total)} are {label}."
