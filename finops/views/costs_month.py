"""The chart of a month added up: this one against the last, its budgets, and what is expected.

Knows how the course of a month is drawn, said and tabled. Refuses queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from finops import charts
from finops.costing.exchange import Conversion
from finops.queries.course import BudgetLine, Course, CourseDay
from finops.templatetags import words

from .currencies import rate_said
from .figures import Chart
from .tables import NONE, Cell, Column, Row, Table, money_cell

BAND = charts.Legend("band", "80% of such months come to something in here")


def month_chart(course: Course) -> Chart:
    """Lines over the days of the month: the 5th of this month stands above the 5th of the last."""
    lines = [
        _curve(words.month(course.month), [day.cost for day in course.days], course),
        _curve(words.month(course.previous_month), [day.previous for day in course.days], course),
    ]
    styles = ["solid", "dot"]
    for budget in drawn(course):
        lines.append(_curve(f"Budget {budget.name}", [budget.amount] * len(course.days), course))
        styles.append("dashdot")
    ahead = [day for day in course.days if day.expected is not None]
    if ahead:
        lines.append(_curve("Expected", [day.expected for day in course.days], course))
        styles.append("dash")
    points = [day.number for day in course.days]
    drawing = charts.curves_by_number(points, lines, said(course), currency=course.currency)
    data: list[dict[str, Any]] = drawing.figure["data"]
    for one, dash in zip(data, styles, strict=True):
        one["line"] = {**one["line"], "dash": dash}
    if ahead:
        drawing = replace(
            drawing,
            figure={**drawing.figure, "data": [*_band(ahead), *data]},
            legend=(*drawing.legend, BAND),
        )
    return Chart("month", "The month added up", drawing, month_table(course))


def said(course: Course) -> str:
    """The chart in a sentence or four."""
    month, before = words.month(course.month), words.month(course.previous_month)
    known = [day for day in course.days if day.cost is not None]
    if not known:
        return f"Nothing is known of {month} yet."
    last = known[-1]
    text = f"{words.money(last.cost, course.currency)} in {month} up to day {last.number}"
    if last.previous is None:
        text += f"; nothing is known of {before} up to that day."
    else:
        text += f", {words.money(last.previous, course.currency)} in {before} by then."
    if course.end is not None and course.end.expected is not None:
        low, mean, high = (
            words.money(amount, course.currency)
            for amount in (course.end.low80, course.end.expected, course.end.high80)
        )
        text += f" {mean} is expected by its end, {low} to {high} in four of five cases."
    elif course.end is not None:
        text += f" {course.end.reason}"
    for budget in course.budgets:
        text += f" {_budget_said(budget, course.currency)}"
    if course.unknown_days:
        noun = "day that is" if course.unknown_days == 1 else "days that are"
        text += f" Nothing is known of {course.unknown_days} {noun} over."
    return text


def drawn(course: Course) -> list[BudgetLine]:
    """Those whose amount is known in the currency of the chart."""
    return [budget for budget in course.budgets if budget.amount is not None]


def _budget_said(budget: BudgetLine, currency: str) -> str:
    if budget.currency == currency:
        return f"The budget {budget.name} is {words.money(budget.recorded, currency)}."
    recorded = words.money(budget.recorded, budget.currency)
    alone = f"it counts what was recorded in {budget.currency} alone"
    if budget.amount is None or budget.rate is None:
        return (
            f"The budget {budget.name} of {recorded} is not drawn: there is no rate for the day it "
            f"was computed, and {alone}."
        )
    amount = words.money(budget.amount, currency)
    at = f"at {rate_said(budget.rate)}, the rate of the day it was computed"
    return f"The budget {budget.name} is {amount}: {recorded} {at}; {alone}."


def with_days_ahead(conversion: Conversion | None, course: Course | None) -> Conversion | None:
    """Also the rates of what the chart expects, where it shows the month."""
    if conversion is None or course is None or course.conversion is None:
        return conversion
    return replace(conversion, ahead=course.conversion.ahead)


def month_table(course: Course) -> Table:
    columns = (
        Column("Day", number=True),
        Column(words.month(course.month), number=True),
        Column(words.month(course.previous_month), number=True),
        Column("Expected", number=True),
        Column("Low", number=True),
        Column("High", number=True),
        *(Column(f"Budget {budget.name}", number=True) for budget in drawn(course)),
    )
    rows = tuple(
        Row(
            (
                Cell(str(day.number), str(day.number), day.number),
                *(_money(amount, course.currency) for amount in _amounts(day)),
                *(money_cell(budget.amount, course.currency) for budget in drawn(course)),
            )
        )
        for day in course.days
    )
    caption = f"{words.month(course.month)} added up, {course.currency}"
    return Table("month-table", caption, columns, rows)


def _amounts(day: CourseDay) -> tuple[Decimal | None, ...]:
    return day.cost, day.previous, day.expected, day.low, day.high


def _money(amount: Decimal | None, currency: str) -> Cell:
    """A day to come has no cost, and one that is over is not expected: nothing is missing there."""
    return NONE if amount is None else money_cell(amount, currency)


def _curve(label: str, values: Sequence[Decimal | None], course: Course) -> charts.Curve:
    return charts.Curve(
        label,
        [None if value is None else float(value) for value in values],
        [words.money(value, course.currency) for value in values],
    )


def _band(ahead: Sequence[CourseDay]) -> list[dict[str, Any]]:
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": [day.number for day in ahead],
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    high = [None if day.high is None else float(day.high) for day in ahead]
    low = [None if day.low is None else float(day.low) for day in ahead]
    return [
        {**edge, "name": "High", "y": high},
        {**edge, "name": "Low", "y": low, "fill": "tonexty", "fillcolor": "var(--chart-band)"},
    ]
