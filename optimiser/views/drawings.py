"""Figures of evidence: curves over a number, and dots with their intervals.

Knows the form of a Plotly figure and the tokens of `finops.charts`. Refuses to compute anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from finops.charts import Drawing, Legend, base_layout

HOVER = "%{hovertext}<extra></extra>"


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one colour; `said` is each of them in words."""

    label: str
    x: Sequence[float | str]
    y: Sequence[float | None]
    said: Sequence[str]
    colour: int
    mode: str = "lines+markers"
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    """Ends of each point's interval."""
    size: int = 6
    symbol: str = "circle"


def over_numbers(
    series: Sequence[Series], said: str, *, x_title: str, y_suffix: str = "", x_suffix: str = ""
) -> Drawing:
    """Both axes are plain numbers from zero."""
    layout = _layout(x_title, y_suffix)
    layout["xaxis"] |= {"rangemode": "tozero", "ticksuffix": x_suffix, "zeroline": False}
    return _drawing(series, layout, said)


def by_category(series: Sequence[Series], said: str, *, y_suffix: str = "") -> Drawing:
    """Named places along the axis, in the order they come."""
    layout = _layout("", y_suffix)
    layout["xaxis"] |= {"type": "category"}
    layout["scattermode"] = "group"
    return _drawing(series, layout, said)


def _drawing(series: Sequence[Series], layout: dict[str, Any], said: str) -> Drawing:
    legend = tuple(Legend(str(one.colour), one.label) for one in series)
    return Drawing({"data": [_trace(one) for one in series], "layout": layout}, legend, said)


def _trace(one: Series) -> dict[str, Any]:
    colour = f"var(--chart-{one.colour})"
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": one.mode,
        "name": escape(one.label, quote=False),
        "x": list(one.x),
        "y": list(one.y),
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": one.size, "symbol": one.symbol},
        "hovertext": [escape(word, quote=False) for word in one.said],
        "hovertemplate": HOVER,
    }
    if one.low is not None and one.high is not None:
        known = [0.0 if value is None else value for value in one.y]
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": [high - value for high, value in zip(one.high, known, strict=True)],
            "arrayminus": [value - low for low, value in zip(one.low, known, strict=True)],
            "color": colour,
            "thickness": 1.5,
            "width": 5,
        }
    return trace


def _layout(x_title: str, y_suffix: str) -> dict[str, Any]:
    layout = base_layout(hovermode="closest")
    layout["margin"] = {**layout["margin"], "b": 44 if x_title else 28}
    layout["xaxis"] = {
        "type": "linear",
        "fixedrange": True,
        "showgrid": False,
        "linecolor": "var(--chart-grid)",
        "tickfont": layout["xaxis"]["tickfont"],
        "title": {"text": x_title, "font": layout["xaxis"]["tickfont"], "standoff": 8},
    }
    layout["yaxis"] |= {"ticksuffix": y_suffix, "separatethousands": True}
    return layout
