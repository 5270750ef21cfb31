"""Rows → Plotly figures as plain JSON, with the sentence that says the same.

Knows the form of a Plotly figure and the names of our colour tokens. Refuses queries and colours of
its own: `static/js/charts.js` looks the tokens up, so a figure fits either theme. Plain dicts,
because importing plotly costs 0.3 s and 64 MB and adds nothing that a test cannot check.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from html import escape
from typing import Any

from finops.templatetags import words

COLOURS = 8
GAP = None
"""A point that is not drawn: unknown, or nothing to see."""


@dataclass(frozen=True, slots=True)
class Legend:
    swatch: str
    label: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """A figure for plotly.js, its legend in HTML, and its one sentence."""

    figure: dict[str, Any]
    legend: tuple[Legend, ...]
    summary: str
    marks: tuple[str, ...] = ()
    """The events it marks, each in words; see `chart_marks`."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One group of a stacked chart."""

    label: str
    values: tuple[Decimal | None, ...]
    """None where nothing is known of the step."""
    href: str = ""
    """Where its bars lead; `{day}` and `{next}` stand for a bar's day and the one after it."""
    is_rest: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """One day of a forecast: what is expected and where four in five such days fall."""

    day: date
    mean: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True)
class Unexpected:
    """One day whose cost was not expected, and the range that would have been."""

    day: date
    actual: Decimal
    low: Decimal
    high: Decimal
    near: str = ""
    """Events near the day, as in: 2 h after release search 1.4.2."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One line; None where nothing is known, which leaves a gap."""

    label: str
    values: Sequence[float | None]
    said: Sequence[str]
    """The same values in words, for whoever points at them."""


def stacked_costs(
    points: Sequence[date | datetime],
    stacks: Sequence[Stack],
    currency: str,
    provisional_from: date | datetime | None = None,
) -> Drawing:
    """Cost per step, stacked by group; a mark on the days no complete bill covers yet."""
    x = [axis_value(point) for point in points]
    data = [_bars(x, stack, colour(at, stack), currency) for at, stack in enumerate(stacks)]
    layout = base_layout(barmode="relative")
    _money_axis(layout, currency, step_totals(stack.values for stack in stacks))
    if provisional_from is not None:
        layout["shapes"] = [_provisional(provisional_from, points[-1])]
    legend = tuple(Legend(swatch(at, stack), stack.label) for at, stack in enumerate(stacks))
    return Drawing({"data": data, "layout": layout}, legend, _costs_said(points, stacks, currency))


def expected_costs(
    points: Sequence[date],
    totals: Sequence[Decimal | None],
    currency: str,
    forecast: Sequence[Expected],
    unexpected: Sequence[Unexpected],
    href: str = "",
) -> Drawing:
    """Cost per day, what is expected next with its band, and the days that were not expected."""
    total = Stack("Cost", tuple(totals), href)
    data = [_bars([axis_value(point) for point in points], total, "var(--chart-1)", currency)]
    legend = [Legend("1", "Cost per day")]
    if forecast:
        data += _band(forecast, currency)
        legend += [Legend("line", "Expected"), Legend("band", "80% of such days fall in here")]
    if unexpected:
        data.append(_rings(unexpected, currency))
        legend.append(Legend("alarm", "Not expected"))
    layout = base_layout()
    _money_axis(layout, currency, [*totals, *(point.high for point in forecast)])
    said = _costs_said(points, (total,), currency)
    if unexpected:
        days = ", ".join(_unexpected_said(mark) for mark in unexpected[:3])
        more = f" and {len(unexpected) - 3} more" if len(unexpected) > 3 else ""
        said += f" Not expected: {days}{more}."
    return Drawing({"data": data, "layout": layout}, tuple(legend), said)


def curves(
    points: Sequence[date | datetime],
    lines: Sequence[Curve],
    said: str,
    percent: bool = False,
    currency: str = "",
    unit: str = " ms",
) -> Drawing:
    """Lines over time that break where nothing is known."""
    x = [axis_value(point) for point in points]
    data = [
        {
            "type": "scatter",
            "mode": "lines" if len(x) > 1 else "markers",
            "name": _plain(line.label),
            "x": x,
            "y": list(line.values),
            "connectgaps": False,
            "line": {"color": f"var(--chart-{at % COLOURS + 1})", "width": 2},
            "hovertext": [f"{_plain(line.label)}: {word}" for word in line.said],
            "hovertemplate": "%{hovertext}<extra></extra>",
        }
        for at, line in enumerate(lines)
    ]
    layout = base_layout()
    if percent:
        layout["yaxis"] |= {"range": [0, 102], "ticksuffix": "%"}
    elif currency:
        known = (value for line in lines for value in line.values if value is not None)
        _money_axis(layout, currency, map(Decimal, known))
    else:
        layout["yaxis"] |= {"ticksuffix": unit, "separatethousands": True}
    legend = tuple(Legend(str(at % COLOURS + 1), line.label) for at, line in enumerate(lines))
    return Drawing({"data": data, "layout": layout}, legend, said)


def curves_by_number(
    points: Sequence[int], lines: Sequence[Curve], said: str, currency: str
) -> Drawing:
    """Lines over the days of a month, by their numbers: months then stand above each other."""
    drawing = curves([], lines, said, currency=currency)
    for line in drawing.figure["data"]:
        line |= {"x": list(points), "mode": "lines"}
    axis = drawing.figure["layout"]["xaxis"]
    for name in ("tickformatstops", "nticks", "hoverformat"):
        axis.pop(name)
    axis |= {"type": "linear", "dtick": 5, "tick0": 0, "range": [0.5, points[-1] + 0.5]}
    return drawing


def traffic(
    points: Sequence[date | datetime], answered: Sequence[int], failed: Sequence[int]
) -> Drawing:
    """Requests per step, the failed ones on top."""
    x = [axis_value(point) for point in points]
    data = [
        _counts(x, "Answered", answered, "var(--chart-1)"),
        _counts(x, "Failed", failed, "var(--chart-alarm)"),
    ]
    layout = base_layout(barmode="stack")
    layout["yaxis"]["separatethousands"] = True
    total, bad = sum(answered) + sum(failed), sum(failed)
    said = (
        f"{words.count(total)} requests, of which {words.count(bad)} failed"
        f" ({words.percent(bad / total)})."
        if total
        else "No requests in this period."
    )
    return Drawing(
        {"data": data, "layout": layout}, (Legend("1", "Answered"), Legend("bad", "Failed")), said
    )


def axis_value(point: date | datetime) -> str:
    """Days as dates, instants as local time of the accounting zone: the axis knows no zones."""
    if isinstance(point, datetime):
        return words.local(point).strftime("%Y-%m-%dT%H:%M:%S")
    return point.isoformat()


def colour(at: int, stack: Stack) -> str:
    return "var(--chart-rest)" if stack.is_rest else f"var(--chart-{at % COLOURS + 1})"


def swatch(at: int, stack: Stack) -> str:
    return "rest" if stack.is_rest else str(at % COLOURS + 1)


def _bars(x: list[str], stack: Stack, fill: str, currency: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": _plain(stack.label),
        "x": x,
        # A bar of nothing would still take a line when pointed at.
        "y": [float(value) if value else GAP for value in stack.values],
        "marker": {"color": fill, "line": {"width": 0}},
        "meta": stack.href or None,
        "hovertext": [words.money(value, currency) for value in stack.values],
        "hovertemplate": "%{fullData.name}: %{hovertext}<extra></extra>",
    }


def _counts(x: list[str], label: str, values: Sequence[int], fill: str) -> dict[str, Any]:
    return {
        "type": "bar",
        "name": label,
        "x": x,
        "y": [value or GAP for value in values],
        "marker": {"color": fill, "line": {"width": 0}},
        "hovertext": [f"{label}: {words.count(value)}" for value in values],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _band(forecast: Sequence[Expected], currency: str) -> list[dict[str, Any]]:
    """Upper edge, lower edge filled up to it, and the expected line."""
    x = [axis_value(point.day) for point in forecast]
    edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
    said = [
        f"Expected: {words.money(point.mean, currency)} "
        f"({words.money(point.low, currency)} to {words.money(point.high, currency)})"
        for point in forecast
    ]
    return [
        {**edge, "name": "High", "y": [float(point.high) for point in forecast]},
        {
            **edge,
            "name": "Low",
            "y": [float(point.low) for point in forecast],
            "fill": "tonexty",
            "fillcolor": "var(--chart-band)",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "Expected",
            "x": x,
            "y": [float(point.mean) for point in forecast],
            "line": {"color": "var(--chart-1)", "width": 2, "dash": "dash"},
            "hovertext": said,
            "hovertemplate": "%{hovertext}<extra></extra>",
        },
    ]


def _rings(unexpected: Sequence[Unexpected], currency: str) -> dict[str, Any]:
    said = [
        f"Not expected: {words.money(mark.low, currency)} to "
        f"{words.money(mark.high, currency)} would have been usual"
        + (f"<br>{_plain(words.sentence(mark.near))}" if mark.near else "")
        for mark in unexpected
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "Not expected",
        "x": [axis_value(mark.day) for mark in unexpected],
        "y": [float(mark.actual) for mark in unexpected],
        "marker": {
            "symbol": "circle-open",
            "size": 12,
            "color": "var(--chart-alarm)",
            "line": {"width": 2, "color": "var(--chart-alarm)"},
        },
        "hovertext": said,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }


def _unexpected_said(mark: Unexpected) -> str:
    return words.short_day(mark.day) + (f" ({mark.near})" if mark.near else "")


def _provisional(first: date | datetime, last: date | datetime) -> dict[str, Any]:
    half = timedelta(minutes=30) if isinstance(first, datetime) else timedelta(hours=12)
    return {
        "type": "rect",
        "layer": "below",
        "xref": "x",
        "yref": "paper",
        "x0": _edge(first, -half),
        "x1": _edge(last, half),
        "y0": 0,
        "y1": 1,
        "fillcolor": "var(--mark)",
        "line": {"width": 0},
    }


def _edge(point: date | datetime, half: timedelta) -> str:
    instant = point if isinstance(point, datetime) else datetime.combine(point, time())
    return (instant + half).strftime("%Y-%m-%dT%H:%M:%S")


def base_layout(**more: Any) -> dict[str, Any]:
    """How every figure looks; the axis is one of time unless said otherwise."""
    tick = {"color": "var(--chart-axis)", "size": 11}
    return {
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 16, "r": 16, "t": 8, "b": 28},
        "showlegend": False,
        "dragmode": False,
        "hovermode": "x unified",
        "bargap": 0.28,
        "font": {"color": "var(--ink)", "size": 12},
        "hoverlabel": {
            "bgcolor": "var(--raised)",
            "bordercolor": "var(--line)",
            "align": "left",
            "font": {"color": "var(--ink)", "size": 12},
        },
        "xaxis": {
            "type": "date",
            "fixedrange": True,
            # Hours have their day below them.
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "linecolor": "var(--chart-grid)",
            "tickfont": tick,
            "hoverformat": "%-d %b %Y",
            "spikecolor": "var(--chart-rest)",
            "spikethickness": 1,
            "spikedash": "solid",
            "tickformatstops": [
                {"dtickrange": [None, 86_399_999], "value": "%H:%M\n%-d %b"},
                {"dtickrange": [86_400_000, None], "value": "%-d %b"},
            ],
            "nticks": 9,
        },
        "yaxis": {
            "fixedrange": True,
            "automargin": True,
            "gridcolor": "var(--chart-grid)",
            "zerolinecolor": "var(--chart-grid)",
            "tickfont": tick,
            "nticks": 5,
            "rangemode": "tozero",
        },
        **more,
    }


def _money_axis(layout: dict[str, Any], currency: str, amounts: Iterable[Decimal | None]) -> None:
    """Marks such as `$12K`, `$250` and `$0.05`: plotly's own would write milli for small ones."""
    most = max((abs(amount) for amount in amounts if amount is not None), default=Decimal(0))
    symbol = words.money(Decimal(0), currency).rstrip("0.")
    form = "~s" if most >= 10_000 else ",.2~f" if most >= 1 else "~g"
    layout["yaxis"] |= {"tickprefix": symbol, "separatethousands": True, "tickformat": form}


def _costs_said(points: Sequence[date | datetime], stacks: Sequence[Stack], currency: str) -> str:
    totals = step_totals(stack.values for stack in stacks)
    known = [(amount, point) for amount, point in zip(totals, points, strict=False) if amount]
    if not known:
        return "No cost is known in this period."
    hourly = isinstance(points[0], datetime)
    whole = sum((amount for amount, _ in known), Decimal(0))
    observed = sum(amount is not None for amount in totals)
    most, when = max(known, key=lambda pair: pair[0])
    said = (
        f"{words.money(whole, currency)} in all, {words.money(whole / observed, currency)} "
        f"{'an hour' if hourly else 'a day'} on average; most on {_point_said(when)} "
        f"with {words.money(most, currency)}."
    )
    if len(stacks) > 1:
        top = max(stacks, key=_known_sum)
        part = words.percent(_known_sum(top) / whole)
        said += f" The largest part, {part}, stands under {top.label}."
    if observed < len(points):
        said += f" Nothing is known of {len(points) - observed} of {len(points)} "
        said += "hours." if hourly else "days."
    return said


def step_totals(lines: Iterable[Sequence[Decimal | None]]) -> list[Decimal | None]:
    """The sum per step; None where no line knows anything."""
    return [
        sum((value for value in values if value is not None), Decimal(0))
        if any(value is not None for value in values)
        else None
        for values in zip(*lines, strict=True)
    ]


def _known_sum(stack: Stack) -> Decimal:
    return sum((value for value in stack.values if value is not None), Decimal(0))


def _point_said(point: date | datetime) -> str:
    return words.when_text(point) if isinstance(point, datetime) else words.short_day(point)


def _plain(text: str) -> str:
    """plotly.js reads a little HTML in its labels; a model's name is never that."""
    return escape(text, quote=False)
