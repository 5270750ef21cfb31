"""Figures are valid for Plotly, name only colour tokens, and say in words what they draw."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from django.conf import settings

from finops import charts

DAYS = [date(2026, 11, 1) + timedelta(days=at) for at in range(3)]
SEARCH = charts.Stack("Search", (Decimal(1), Decimal(2), Decimal(3)), "/costs?f.project=search")
CHAT = charts.Stack("Chat", (Decimal(9), Decimal(0), None))
CSS = Path(settings.BASE_DIR) / "static" / "css"


def every_drawing() -> Iterator[charts.Drawing]:
    yield charts.stacked_costs(DAYS, [CHAT, SEARCH], "USD", DAYS[1])
    yield charts.expected_costs(
        DAYS,
        SEARCH.values,
        "EUR",
        [charts.Expected(date(2026, 11, 4), Decimal(4), Decimal(3), Decimal(6))],
        [charts.Unexpected(DAYS[2], Decimal(3), Decimal(1), Decimal(2))],
    )
    yield charts.curves(
        DAYS, [charts.Curve("p95", [1.0, None, 2.0], ["1 ms", "unknown", "2 ms"])], ""
    )
    yield charts.traffic(DAYS, [5, 0, 7], [1, 0, 0])


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings(item)


@pytest.mark.parametrize("drawing", list(every_drawing()))
def test_figure_is_one_that_plotly_knows(drawing):
    """Colours are tokens, which only the browser can look up; black stands in for them."""
    text = re.sub(r'"var\(--[\w-]+\)"', '"black"', json.dumps(drawing.figure))
    go.Figure(json.loads(text))


@pytest.mark.parametrize("drawing", list(every_drawing()))
def test_figure_names_no_colour_but_our_tokens(drawing):
    tokens = (CSS / "tokens.css").read_text()
    named = [text for text in strings(drawing.figure) if text.startswith(("var(", "#", "rgb("))]
    assert named
    for text in named:
        name = re.fullmatch(r"var\((--[\w-]+)\)", text)
        assert name, text
        assert f"{name[1]}:" in tokens, text


@pytest.mark.parametrize("drawing", list(every_drawing()))
def test_legend_uses_swatches_that_exist(drawing):
    css = (CSS / "charts.css").read_text()
    for item in drawing.legend:
        assert f".swatch-{item.swatch} " in css, item


def test_unknown_is_not_drawn_and_counted_as_unknown():
    drawing = charts.stacked_costs(DAYS, [CHAT], "USD")
    assert drawing.figure["data"][0]["y"] == [9.0, None, None]
    assert drawing.summary == (
        "$9.00 in all, $4.50 a day on average; most on 1 Nov with $9.00. "
        "Nothing is known of 1 of 3 days."
    )


def test_summary_names_the_largest_group_and_its_share():
    drawing = charts.stacked_costs(DAYS, [CHAT, SEARCH], "USD")
    assert drawing.summary.endswith("The largest part, 60%, stands under Chat.")


def test_nothing_known_is_said():
    drawing = charts.stacked_costs(DAYS, [], "USD")
    assert drawing.summary == "No cost is known in this period."


def test_provisional_days_are_shaded_from_their_first_midnight_on():
    (shape,) = charts.stacked_costs(DAYS, [SEARCH], "USD", DAYS[1]).figure["layout"]["shapes"]
    assert (shape["x0"], shape["x1"]) == ("2026-11-01T12:00:00", "2026-11-03T12:00:00")


def test_bars_carry_the_address_of_their_rows():
    drawing = charts.stacked_costs(DAYS, [SEARCH], "USD")
    assert drawing.figure["data"][0]["meta"] == "/costs?f.project=search"


def test_name_of_a_model_is_never_markup():
    stack = charts.Stack('<a href="https://evil.example">x</a>', (Decimal(1),))
    data = charts.stacked_costs(DAYS[:1], [stack], "USD").figure["data"][0]
    assert data["name"] == '&lt;a href="https://evil.example"&gt;x&lt;/a&gt;'
    assert data["hovertext"] == ["$1.00"]


def test_band_is_filled_between_the_forecast_edges():
    expected = [charts.Expected(date(2026, 11, 4), Decimal(4), Decimal(3), Decimal(6))]
    data = charts.expected_costs(DAYS, SEARCH.values, "USD", expected, []).figure["data"]
    assert [(trace["name"], trace["y"], trace.get("fill")) for trace in data[1:]] == [
        ("High", [6.0], None),
        ("Low", [3.0], "tonexty"),
        ("Expected", [4.0], None),
    ]


def test_unexpected_days_are_named_in_the_sentence():
    marks = [charts.Unexpected(day, Decimal(3), Decimal(1), Decimal(2)) for day in DAYS]
    said = charts.expected_costs(DAYS, SEARCH.values, "USD", [], marks).summary
    assert said.endswith("Not expected: 1 Nov, 2 Nov, 3 Nov.")


def test_gap_in_telemetry_breaks_the_line():
    curve = charts.Curve("GPU 0", [50.0, None, 70.0], ["50%", "unknown", "70%"])
    trace = charts.curves(DAYS, [curve], "", percent=True).figure["data"][0]
    assert (trace["y"], trace["connectgaps"]) == ([50.0, None, 70.0], False)


def test_traffic_says_the_share_that_failed():
    said = charts.traffic(DAYS, [5, 0, 4], [1, 0, 0]).summary
    assert said == "10 requests, of which 1 failed (10%)."


def test_instants_stand_in_the_accounting_zone(settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    assert charts.axis_value(datetime(2026, 11, 1, 20, 0, tzinfo=UTC)) == "2026-11-02T01:30:00"


@pytest.mark.parametrize(
    ("most", "form"), [("0.4", "~g"), ("7", ",.2~f"), ("9999", ",.2~f"), ("12000", "~s")]
)
def test_marks_of_the_money_axis_fit_its_size(most, form):
    stack = charts.Stack("All", (Decimal(0), None, Decimal(most)))
    assert (
        charts.stacked_costs(DAYS, [stack], "USD").figure["layout"]["yaxis"]["tickformat"] == form
    )
