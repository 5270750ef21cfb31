"""Marks of releases, config changes and incidents on any figure over time, grouped and in words.

Knows a figure's points and where on them an event stands. Refuses to decide which events matter.
A mark stands on the point whose time holds the event, as the figure's own bars and lines do.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from html import escape
from typing import Any

from finops.charts import Drawing, Legend, axis_value
from finops.templatetags import words

MOST_MARKS = 12
"""More lines than this hide what they stand on; then neighbours share one."""
MOST_NAMED = 3

Point = date | datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """One event as a chart shows it."""

    kind: str
    title: str
    """As in `release search 1.4.2`."""
    at: datetime
    ended_at: datetime | None = None
    goes_on: bool = False
    """Has no end yet."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one kind is drawn; by its dashes too, for colour alone tells not everybody apart."""

    label: str
    swatch: str
    colour: str
    dash: str


KINDS: Mapping[str, _Kind] = {
    "incident": _Kind("Incident", "incident", "var(--chart-alarm)", "dash"),
    "release": _Kind("Release", "release", "var(--ink)", "solid"),
    "config_change": _Kind("Config change", "config", "var(--ink-2)", "dot"),
}
"""The gravest first: it gives a shared mark its colour."""

Spots = dict[int, list[Mark]]
"""By point: what stands on it."""


def marked(
    drawing: Drawing, points: Sequence[Point], marks: Sequence[Mark], *, is_told: bool = False
) -> Drawing:
    """The same drawing with these marks, in its legend and in its sentence too.

    `is_told`: another chart of the page has said them, and once is enough to hear.
    """
    spots = _spots(points, sorted(marks, key=lambda mark: mark.at)) if points else {}
    if not spots:
        return drawing
    shown = [mark for at in sorted(spots) for mark in spots[at]]
    groups = _grouped(spots, len(points))
    layout = drawing.figure["layout"]
    # A second axis from bottom to top, so that a mark needs to know nothing of the values.
    over = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    shapes = [*layout.get("shapes", ()), *_bands(points, shown), *_lines(points, groups)]
    figure = {
        **drawing.figure,
        "data": [*drawing.figure["data"], _heads(points, groups)],
        "layout": {**layout, "shapes": shapes, "yaxis2": over},
    }
    kinds = [kind for name, kind in KINDS.items() if any(mark.kind == name for mark in shown)]
    return replace(
        drawing,
        figure=figure,
        legend=(*drawing.legend, *(Legend(kind.swatch, kind.label) for kind in kinds)),
        summary=drawing.summary if is_told else f"{drawing.summary} {_said(shown)}",
        marks=tuple(_line_said(mark) for mark in shown),
    )


def _spots(points: Sequence[Point], marks: Sequence[Mark]) -> Spots:
    spots: Spots = {}
    for mark in marks:
        at = _index(points, mark.at)
        # Before the first point there may be what was still going on at it.
        if at is not None and (at >= 0 or mark.goes_on or mark.ended_at is not None):
            spots.setdefault(max(at, 0), []).append(mark)
    return spots


def _index(points: Sequence[Point], instant: datetime) -> int | None:
    """The point that holds the instant; -1 before the first, None after the last."""
    when: Any = instant
    given: Sequence[Any] = points
    if given and not isinstance(given[0], datetime):
        when = words.local(instant).date()
    at = bisect_right(given, when) - 1
    if at < len(given) - 1:
        return at
    step = given[-1] - given[-2] if len(given) > 1 else timedelta(days=1)
    return at if when < given[-1] + step else None


def _grouped(spots: Spots, points: int) -> Spots:
    if len(spots) <= MOST_MARKS:
        return spots
    width = -(-points // MOST_MARKS)
    bins: dict[int, list[int]] = {}
    for at in sorted(spots):
        bins.setdefault(at // width, []).append(at)
    return {ats[0]: [mark for at in ats for mark in spots[at]] for ats in bins.values()}


def _gravest(marks: Sequence[Mark]) -> _Kind:
    held = {mark.kind for mark in marks}
    return next(kind for name, kind in KINDS.items() if name in held)


def _lines(points: Sequence[Point], groups: Spots) -> list[dict[str, Any]]:
    lines = []
    for at, marks in sorted(groups.items()):
        kind, x = _gravest(marks), axis_value(points[at])
        lines.append(
            {
                "type": "line",
                "xref": "x",
                "yref": "paper",
                "x0": x,
                "x1": x,
                "y0": 0,
                "y1": 1,
                "line": {"color": kind.colour, "width": 1, "dash": kind.dash},
            }
        )
    return lines


def _bands(points: Sequence[Point], marks: Sequence[Mark]) -> list[dict[str, Any]]:
    """From where to where an incident went on, when that is more than one point."""
    bands = []
    for mark in marks:
        begin = max(_index(points, mark.at) or 0, 0)
        last = len(points) - 1
        ended = None if mark.ended_at is None else _index(points, mark.ended_at)
        end = last if ended is None else ended
        lasted = mark.ended_at is not None or mark.goes_on
        if mark.kind != "incident" or not lasted or end <= begin:
            continue
        bands.append(
            {
                "type": "rect",
                "layer": "below",
                "xref": "x",
                "yref": "paper",
                "x0": axis_value(points[begin]),
                "x1": axis_value(points[end]),
                "y0": 0,
                "y1": 1,
                "fillcolor": "var(--chart-alarm)",
                "opacity": 0.08,
                "line": {"width": 0},
            }
        )
    return bands[:MOST_MARKS]


def _heads(points: Sequence[Point], groups: Spots) -> dict[str, Any]:
    """A small head on each line, which says what it is when pointed at."""
    ats = sorted(groups)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Events",
        "yaxis": "y2",
        "x": [axis_value(points[at]) for at in ats],
        "y": [1] * len(ats),
        "cliponaxis": False,
        "marker": {
            "symbol": "triangle-down",
            "size": 9,
            "color": [_gravest(groups[at]).colour for at in ats],
        },
        "hovertext": [escape(_named(groups[at]), quote=False) for at in ats],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _named(marks: Sequence[Mark]) -> str:
    return _several([_capital(mark.title) for mark in marks], len(marks))


def _said(marks: Sequence[Mark]) -> str:
    named = [f"{mark.title} on {words.short_day(words.local(mark.at))}" for mark in marks]
    return f"Marked: {_several(named, len(marks))}."


def _several(named: Sequence[str], count: int) -> str:
    rest = count - MOST_NAMED
    said = ", ".join(named[:MOST_NAMED])
    return f"{said} and {rest} more" if rest > 0 else said


def _line_said(mark: Mark) -> str:
    said = f"{_capital(mark.title)}, {words.when_text(mark.at)}"
    if mark.ended_at is not None:
        return f"{said}, ended {words.when_text(mark.ended_at)}"
    return f"{said}, not ended" if mark.goes_on else said


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
