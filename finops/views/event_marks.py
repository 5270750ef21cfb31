"""What happened in a period, as marks on the charts of a page. Knows both; refuses to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from finops import chart_marks
from finops.chart_marks import Mark
from finops.queries import events as queries
from finops.queries.filters import Filters

from .figures import Chart


def marks_of(filters: Filters) -> list[Mark]:
    """Read once for all charts of a page."""
    return [
        Mark(event.kind, queries.said(event), event.happened_at, event.ended_at, event.is_open)
        for event in queries.marked(filters)
    ]


def marked(
    chart: Chart,
    points: Sequence[date | datetime],
    marks: Sequence[Mark],
    *,
    is_told: bool = False,
) -> Chart:
    drawing = chart_marks.marked(chart.drawing, points, marks, is_told=is_told)
    return replace(chart, drawing=drawing)
