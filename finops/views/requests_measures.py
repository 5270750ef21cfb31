"""Derived measures of the requests page: per token, abandoned, and how much was at once.

Knows how they are worded; docs/measures.md defines them. Refuses queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from finops import charts
from finops.money import UNKNOWN
from finops.queries.traffic import AtOnce, Concurrency, RequestTable
from finops.templatetags import words

from .figures import Chart, Figure, count_figure, point_label, stamped, unknown_figure
from .tables import Cell, Column, Row, Table, count_cell, unknown_cell, words_cell

MORE = "See docs/measures.md for the definition, its source and when it is unknown."
FEW = 10
"""Below it an average needs its decimals."""


def figures(table: RequestTable, at_once: Concurrency) -> list[Figure]:
    if not table.total.requests:
        return []
    origin = stamped(table)
    return [
        _per_token(table, origin),
        _abandoned(table, origin),
        _in_flight(at_once, origin),
        _people(at_once, "users", "Users at once", at_once.naming_user, "user.id", origin),
        _people(
            at_once, "sessions", "Sessions at once", at_once.naming_session, "session.id", origin
        ),
    ]


def _per_token(table: RequestTable, origin: dict[str, Any]) -> Figure:
    tpot = table.total.tpot
    more = {
        "definition": "Time per output token after the first: (end − first token) ÷ (output tokens "
        f"− 1), of requests that told both. {MORE}",
        **origin,
    }
    if tpot.p95_ms is None:
        reason = "No request said when its first token came and how many tokens followed."
        return unknown_figure("tpot", "Each further token, 95% within", reason, **more)
    return Figure(
        "tpot",
        "Each further token, 95% within",
        words.duration(tpot.p95_ms),
        exact=f"{tpot.p95_ms:,.3f} ms",
        note=f"Half within {words.duration(tpot.p50_ms)}, 99% within "
        f"{words.duration(tpot.p99_ms)}. Known for {words.compact(tpot.count)} requests.",
        **more,
    )


def _abandoned(table: RequestTable, origin: dict[str, Any]) -> Figure:
    total = table.total
    more = {
        "definition": "Requests whose caller closed the stream or cancelled before the end, of "
        f"those that say how they ended. {MORE}",
        **origin,
    }
    if total.abandonment_rate is None:
        reason = "No request said how it ended: send error.type, or the tokens of the answer."
        return unknown_figure("abandoned", "Abandoned", reason, **more)
    return Figure(
        "abandoned",
        "Abandoned",
        words.percent(total.abandonment_rate),
        exact=f"{total.abandoned:,} of {total.endings_known:,}",
        note=f"{words.count(total.abandoned)} of {words.compact(total.endings_known)} whose ending "
        "is known.",
        **more,
    )


def _in_flight(at_once: Concurrency, origin: dict[str, Any]) -> Figure:
    peak, mean = at_once.total.in_flight_peak, at_once.total.in_flight_mean
    more = {
        "definition": "The most requests that had started and not ended at one moment; each counts "
        f"for an hour at most. {MORE}",
        **origin,
    }
    label = "In flight at once, at most" if at_once.peak_at_most else "In flight at once"
    if peak is None or mean is None:
        reason = "No request said when it ended."
        return unknown_figure("in-flight", label, reason, **more)
    note = f"{average(mean)} on average."
    if at_once.peak_at_most:
        note += " Peaks of several are added; choose one project, or one service and model."
    return count_figure("in-flight", label, peak, note=note, **more)


def _people(
    at_once: Concurrency, who: str, label: str, naming: int, attribute: str, origin: dict[str, Any]
) -> Figure:
    peak, mean = getattr(at_once.total, f"{who}_peak"), getattr(at_once.total, f"{who}_mean")
    more = {
        "definition": f"Different {who} with a request under way in one window of 5 minutes, at "
        f"the busiest one. {MORE}",
        **origin,
    }
    if at_once.users_at_most:
        label += ", at most"
    if peak is None:
        reason = f"No request named one: send {attribute} with your traces."
        return unknown_figure(who, label, reason, **more)
    known = words.percent(naming / at_once.requests) if at_once.requests else UNKNOWN
    note = f"{average(mean)} on average. {known} of requests name one."
    return count_figure(who, label, peak, note=note, **more)


def average(number: float | None) -> str:
    if number is None:
        return UNKNOWN
    return f"{number:.2g}" if number < FEW else words.count(number)


def charts_of(at_once: Concurrency) -> list[Chart]:
    """What is not known has a figure that says why, and no empty chart beside it."""
    in_flight = _chart(
        at_once,
        "in-flight",
        "Requests in flight",
        {"Peak": "in_flight_peak", "Average": "in_flight_mean"},
    )
    people = _chart(
        at_once,
        "people",
        "Users and sessions at once",
        {"Users, at the peak": "users_peak", "Sessions, at the peak": "sessions_peak"},
    )
    return [chart for chart in (in_flight, people) if chart.table.rows]


def _chart(at_once: Concurrency, id: str, title: str, parts: dict[str, str]) -> Chart:
    lines = []
    for label, name in parts.items():
        values = [getattr(one, name) for one in at_once.steps]
        lines.append(charts.Curve(label, values, [average(value) for value in values]))
    summary = _said(at_once, lines)
    drawing = charts.curves(at_once.points, lines, summary, unit="")
    columns = (Column("When"), *(Column(label, number=True) for label in parts))
    # Nothing at all, or nothing but zeros, is said and not drawn.
    is_known = any(value for line in lines for value in line.values)
    rows = tuple(
        Row((words_cell(point_label(point)), *(_cell(line.values[at]) for line in lines)))
        for at, point in enumerate(at_once.points if is_known else ())
    )
    return Chart(id, title, drawing, Table(f"{id}-series", title, columns, rows), small=True)


def _said(at_once: Concurrency, lines: Sequence[charts.Curve]) -> str:
    parts = []
    for line in lines:
        known = [
            (value, point)
            for value, point in zip(line.values, at_once.points, strict=True)
            if value is not None
        ]
        if known and (most := max(known, key=lambda pair: pair[0]))[0]:
            parts.append(f"{line.label.lower()} {average(most[0])} on {point_label(most[1])}")
    return f"Highest: {'; '.join(parts)}." if parts else "Nothing is known of this period."


COLUMNS = {
    "In flight, average": "in_flight_mean",
    "In flight, peak": "in_flight_peak",
    "Users, average": "users_mean",
    "Users, peak": "users_peak",
    "Sessions, average": "sessions_mean",
    "Sessions, peak": "sessions_peak",
}


def at_once_table(at_once: Concurrency) -> Table:
    rows = tuple(
        Row((_when(point), *_cells(one)))
        for point, one in zip(at_once.points, at_once.steps, strict=True)
    )
    return Table(
        "concurrency",
        "What was at once",
        (Column("When"), *(Column(label, number=True) for label in COLUMNS)),
        rows,
        (words_cell("Whole period"), *_cells(at_once.total)),
    )


def _when(point: Any) -> Cell:
    return Cell(point_label(point), point.isoformat(), point)


def _cells(one: AtOnce) -> tuple[Cell, ...]:
    return tuple(_cell(getattr(one, name)) for name in COLUMNS.values())


def _cell(number: float | None) -> Cell:
    if number is None:
        return unknown_cell()
    if isinstance(number, int):
        return count_cell(number)
    return Cell(text=average(number), value=f"{number:.6f}", order=number)
