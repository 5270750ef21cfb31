"""Where marks stand on a chart, how they are grouped, and what is said of them."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import plotly.graph_objects as go
import pytest
from django.conf import settings

from finops import chart_marks, charts
from finops.chart_marks import Mark

CSS = Path(settings.BASE_DIR) / "static" / "css"
DAYS = [date(2026, 11, 1) + timedelta(days=at) for at in range(30)]
HOURS = [datetime(2026, 11, 3, tzinfo=UTC) + timedelta(hours=at) for at in range(24)]


def at(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


RELEASE = Mark("release", "release search 1.4.2", at(3, 15, 40))
CONFIG = Mark("config_change", "config change batch size", at(3, 16))
OUTAGE = Mark("incident", "incident GPU host down", at(10), at(12, 8))


def drawn(points, *marks) -> charts.Drawing:
    cost = charts.Stack("Cost", tuple(Decimal(1) for _ in points))
    drawing = charts.stacked_costs(points, [cost], "USD")
    return chart_marks.marked(drawing, points, marks)


def heads(drawing: charts.Drawing) -> dict:
    return drawing.figure["data"][-1]


def lines(drawing: charts.Drawing) -> list[dict]:
    return [shape for shape in drawing.figure["layout"]["shapes"] if shape["type"] == "line"]


def test_mark_stands_on_the_day_that_holds_it():
    drawing = drawn(DAYS, RELEASE)
    assert heads(drawing)["x"] == ["2026-11-03"]
    assert heads(drawing)["hovertext"] == ["Release search 1.4.2"]
    assert [(line["x0"], line["x1"]) for line in lines(drawing)] == [("2026-11-03", "2026-11-03")]


def test_mark_stands_on_the_hour_that_holds_it():
    assert heads(drawn(HOURS, RELEASE))["x"] == ["2026-11-03T15:00:00"]


def test_day_is_one_of_the_accounting_zone(settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    late = Mark("release", "release x", at(3, 20))
    assert heads(drawn(DAYS, late))["x"] == ["2026-11-04"]


def test_legend_and_sentence_and_list_say_what_is_marked():
    drawing = drawn(DAYS, RELEASE, OUTAGE)
    assert [(item.swatch, item.label) for item in drawing.legend[1:]] == [
        ("incident", "Incident"), ("release", "Release"),
    ]  # fmt: skip
    assert drawing.summary.endswith(
        "Marked: release search 1.4.2 on 3 Nov, incident GPU host down on 10 Nov."
    )
    assert drawing.marks == (
        "Release search 1.4.2, 3 Nov 2026, 15:40 UTC",
        "Incident GPU host down, 10 Nov 2026, 12:00 UTC, ended 12 Nov 2026, 08:00 UTC",
    )


def test_events_of_one_day_share_a_mark_in_the_colour_of_the_gravest():
    drawing = drawn(DAYS, CONFIG, RELEASE)
    assert heads(drawing)["hovertext"] == ["Release search 1.4.2, Config change batch size"]
    assert [line["line"]["dash"] for line in lines(drawing)] == ["solid"]


def test_more_than_twelve_marks_are_grouped_and_all_still_listed():
    marks = [Mark("release", f"release {day}", at(day)) for day in range(1, 31)]
    drawing = drawn(DAYS, *marks)
    assert len(lines(drawing)) == 10
    assert heads(drawing)["hovertext"][0] == "Release 1, Release 2, Release 3"
    assert len(drawing.marks) == 30
    assert drawing.summary.endswith(
        "Marked: release 1 on 1 Nov, release 2 on 2 Nov, release 3 on 3 Nov and 27 more."
    )


def test_twelve_marks_stay_apart():
    marks = [Mark("release", f"release {day}", at(day)) for day in range(1, 13)]
    assert len(lines(drawn(DAYS, *marks))) == 12


def test_incident_is_shaded_for_as_long_as_it_lasted():
    def bands(mark):
        shapes = drawn(DAYS, mark).figure["layout"]["shapes"]
        return [(one["x0"], one["x1"]) for one in shapes if one["type"] == "rect"]

    assert bands(OUTAGE) == [("2026-11-10", "2026-11-12")]
    assert bands(Mark("incident", "incident x", at(10), goes_on=True)) == [
        ("2026-11-10", "2026-11-30")
    ]
    assert bands(Mark("incident", "incident x", at(10), at(10, 13))) == []
    assert bands(RELEASE) == []
    assert bands(Mark("release", "release x", at(10), at(12))) == []


def test_what_was_still_going_on_at_the_first_point_is_marked_there():
    before = datetime(2026, 10, 30, tzinfo=UTC)
    assert heads(drawn(DAYS, Mark("incident", "incident x", before, goes_on=True)))["x"] == [
        "2026-11-01"
    ]


@pytest.mark.parametrize(
    "mark",
    [Mark("release", "release x", datetime(2026, 10, 31, tzinfo=UTC)),
     Mark("release", "release x", datetime(2026, 12, 1, tzinfo=UTC))],
)  # fmt: skip
def test_event_outside_of_the_points_changes_nothing(mark):
    assert drawn(DAYS, mark) == drawn(DAYS)


def test_nothing_to_mark_and_nothing_to_mark_it_on_change_nothing():
    assert drawn(DAYS).marks == ()
    assert drawn([], RELEASE) == drawn([])


def test_title_of_an_event_is_never_markup():
    drawing = drawn(DAYS, Mark("release", "release <b>x</b>", at(3)))
    assert heads(drawing)["hovertext"] == ["Release &lt;b&gt;x&lt;/b&gt;"]


def test_marked_figure_is_one_that_plotly_knows_in_our_own_colours():
    drawing = drawn(DAYS, RELEASE, CONFIG, OUTAGE)
    text = json.dumps(drawing.figure)
    go.Figure(json.loads(re.sub(r'"var\(--[\w-]+\)"', '"black"', text)))
    tokens, css = (CSS / "tokens.css").read_text(), (CSS / "charts.css").read_text()
    for name in re.findall(r'"var\((--[\w-]+)\)"', text):
        assert f"{name}:" in tokens
    for item in drawing.legend[1:]:
        assert re.search(rf"\.swatch-{item.swatch}[ ,]", css)


def test_unexpected_day_names_what_was_near_it():
    mark = charts.Unexpected(
        DAYS[2], Decimal(3), Decimal(1), Decimal(2), "2 h after release <search> 1.4.2"
    )
    drawing = charts.expected_costs(DAYS[:3], [Decimal(1)] * 3, "USD", [], [mark])
    assert drawing.summary.endswith("Not expected: 3 Nov (2 h after release <search> 1.4.2).")
    assert drawing.figure["data"][-1]["hovertext"] == [
        "Not expected: $1.00 to $2.00 would have been usual"
        "<br>2 h after release &lt;search&gt; 1.4.2."
    ]
