"""Budgets as tables, figures and a chart. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from django.urls import reverse

from finops import charts
from finops.costing.budget_states import share
from finops.models import Budget, BudgetCrossing, BudgetPeriod, BudgetThreshold
from finops.models.budgets import ADJUSTING, FIXED, PLANNED
from finops.queries.budget_conversion import Converted
from finops.queries.budget_figures import Course, Figures, Told
from finops.queries.budgets import BudgetRow
from finops.templatetags import words

from .figures import Chart, Figure, money_figure, provisional_badge, unknown_figure
from .page import GROUP_LABELS
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    day_cell,
    money_cell,
    share_cell,
    time_cell,
    unknown_cell,
    words_cell,
)

STATE_LABELS = {
    "on_track": "On track",
    "at_risk": "At risk",
    "over": "Over",
    "unknown": "Unknown",
    "paused": "Paused",
}
STATE_TONES = {"on_track": "good", "at_risk": "warn", "over": "bad", "unknown": "", "paused": ""}
PERIOD_LABELS = {
    "daily": "Daily",
    "weekly": "Weekly",
    "monthly": "Monthly",
    "quarterly": "Quarterly",
}
SIGNAL_LABELS = {"none": "None", "soft": "Soft: fall back", "hard": "Hard: stop"}
BASIS_LABELS = {"actual": "Spent", "forecast": "Expected"}
COLUMNS = (
    Column("Budget", "name"),
    Column("State", "state"),
    Column("Used", "used", number=True, help="The small line is an even pace"),
    Column("Spent", "spent", number=True),
    Column("Amount", "amount", number=True),
    Column("Expected", "expected", number=True, help="By the end of the period"),
    Column("Currency"),
    Column("Scope"),
    Column("Period"),
    Column("Owner", "owner"),
    Column("Counted"),
    Column("As of"),
)


def state_cell(state: str) -> Cell:
    return Cell(STATE_LABELS[state], state, state, tone=STATE_TONES[state] or "quiet")


def scope_said(scope: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> str:
    """`Project Support chat; Model gpt-4o, gpt-4o-mini`."""
    parts = []
    for field, values in scope.items():
        shown = [names.get(one, one) if field == "project" else one or "none given"
                 for one in values]  # fmt: skip
        if shown:
            parts.append(f"{GROUP_LABELS[field]} {', '.join(shown)}")
    return "; ".join(parts) or "Everything"


def period_said(budget: Budget) -> str:
    if budget.period == "until":
        return f"In total until {words.day(budget.last_day)}"
    if budget.period == "rolling":
        return f"The last {budget.rolling_days} days"
    return PERIOD_LABELS[budget.period]


def budget_table(
    rows: Sequence[BudgetRow],
    names: Mapping[str, str],
    sort: str = "",
    to: str = "",
    converted: Mapping[int, Converted] = MappingProxyType({}),
) -> Table:
    """With `to`, what was spent of how much stands in that currency as well."""
    extra = (Column(f"Spent, {to}", number=True), Column(f"Amount, {to}", number=True))
    made = [
        _beside(
            _budget_cells(row, names),
            _converted_cells(converted.get(row.budget.pk), to) if to else (),
        )
        for row in rows
    ]
    table = Table(
        "budgets",
        "Budgets",
        _beside(COLUMNS, extra if to else ()),
        tuple(Row(cells) for cells in made),
        empty="No budget like this. Drop a filter.",
    )
    return table.sorted_by(sort)


def _beside(own: tuple[Any, ...], others: tuple[Any, ...]) -> tuple[Any, ...]:
    """Other currencies stand behind the column that names the budget's own."""
    at = [column.label for column in COLUMNS].index("Currency") + 1
    return (*own[:at], *others, *own[at:])


def _converted_cells(found: Converted | None, to: str) -> tuple[Cell, ...]:
    return (
        money_cell(found.spent if found else None, to),
        money_cell(found.amount if found else None, to),
    )


def _budget_cells(row: BudgetRow, names: Mapping[str, str]) -> tuple[Cell, ...]:
    budget, now = row.budget, None if row.budget.is_paused else row.current
    href = reverse("finops:budget", args=[budget.pk])
    return (
        words_cell(budget.name, href=href),
        state_cell(row.state),
        used_cell(now),
        money_cell(now.spent if now else None, budget.currency),
        money_cell(now.amount if now else None, budget.currency),
        money_cell(now.expected if now else None, budget.currency),
        words_cell(budget.currency),
        words_cell(scope_said(budget.scope, names)),
        Cell(period_said(budget), budget.period, budget.period),
        words_cell(budget.owner.username),
        counted_cell(now),
        time_cell(now.evaluated_at) if now else NONE,
    )


def used_cell(now: BudgetPeriod | Figures | None) -> Cell:
    part = share(now.spent, now.amount) if now else None
    if now is None or part is None:
        return unknown_cell()
    even = share(now.pace, now.amount)
    return share_cell(float(part), meter=float(part), mark=None if even is None else float(even))


def counted_cell(now: BudgetPeriod | Figures | None) -> Cell:
    said = badge_of(now)[0] if now else ""
    return words_cell(said) if said else NONE


def badge_of(now: BudgetPeriod | Figures) -> tuple[str, str]:
    """Of nothing spent there is nothing to agree with a bill."""
    if not now.spent:
        return "", ""
    return provisional_badge(float((now.spent - now.reconciled) / now.spent))


# One budget


def figures(now: Figures, costs_href: str) -> list[Figure]:
    badge, tone = badge_of(now)
    part = share(now.spent, now.amount)
    days = words.days_text(now.since, now.until)
    used = f"{words.percent(part)} of the budget, {days}." if part is not None else f"{days}."
    return [
        Figure(
            "state",
            "State",
            STATE_LABELS[now.state],
            note=now.why,
            definition="Over: more is spent than the budget holds. At risk: it is expected to end "
            "above it. On track: neither. Unknown: too little has a price to say.",
        ),
        money_figure(
            "spent",
            "Spent so far",
            now.spent,
            now.currency,
            reason=now.missing or "Nothing is known of these days yet.",
            note=used,
            href=costs_href,
            definition="The total of the costs page for the same scope and days.",
            badge=badge,
            tone=tone,
            as_of=now.as_of,
        ),
        money_figure(
            "amount",
            "Budget",
            now.amount,
            now.currency,
            reason="This period has no amount.",
            note=" ".join(filter(None, (now.amount_said, pace_said(now)))),
            definition="What may be spent in this period.",
        ),
        expected_figure(now),
    ]


def pace_said(now: Figures) -> str:
    if now.pace is None:
        return ""
    return f"An even pace would have spent {words.money(now.pace, now.currency)} by now."


def expected_figure(now: Figures) -> Figure:
    label = f"Expected by {words.short_day(now.ends_before)}"
    if now.expected is None or now.expected_low is None or now.expected_high is None:
        return unknown_figure("expected", label, now.method_said, definition=METHODS_SAID)
    low, high = (words.money(one, now.currency) for one in (now.expected_low, now.expected_high))
    return money_figure(
        "expected",
        label,
        now.expected,
        now.currency,
        note=f"{low} to {high}. {now.method_said}",
        definition=METHODS_SAID,
    )


METHODS_SAID = (
    "From the stored forecast of the whole book or of one project where there is one that reaches "
    "the end of the period; else each day left at the mean of the last known days."
)


def course_chart(told: Told) -> Chart:
    now = told.figures
    points = [one.day for one in told.course]
    lines = [
        _curve("Spent", [one.actual for one in told.course], now.currency),
        _curve("Budget", [now.amount] * len(points), now.currency),
    ]
    if now.pace is not None:
        lines.append(_curve("Even pace", [one.pace for one in told.course], now.currency))
    expects = any(one.mean is not None for one in told.course)
    if expects:
        lines.append(_curve("Expected", [one.mean for one in told.course], now.currency))
    drawing = charts.curves(points, lines, _said(now), currency=now.currency)
    data = drawing.figure["data"]
    for one in data[1:]:
        one["line"] = {**one["line"], "dash": "dot" if one["name"] == "Even pace" else "dash"}
    if expects:
        ahead = [one for one in told.course if one.mean is not None]
        drawing = replace(
            drawing,
            figure={**drawing.figure, "data": [*_band(ahead), *data]},
            legend=(*drawing.legend, charts.Legend("band", "80% of such days fall in here")),
        )
    return Chart("course", "Added up over the period", drawing, course_table(told))


def _curve(label: str, values: Sequence[Decimal | None], currency: str) -> charts.Curve:
    return charts.Curve(
        label,
        [None if one is None else float(one) for one in values],
        [words.money(one, currency) for one in values],
    )


def _band(ahead: Sequence[Course]) -> list[dict[str, Any]]:
    edge = {
        "type": "scatter",
        "mode": "lines",
        "x": [charts.axis_value(one.day) for one in ahead],
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    return [
        {**edge, "name": "High", "y": [_number(one.high) for one in ahead]},
        {
            **edge,
            "name": "Low",
            "y": [_number(one.low) for one in ahead],
            "fill": "tonexty",
            "fillcolor": "var(--chart-band)",
        },
    ]


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)


def _said(now: Figures) -> str:
    spent, amount = words.money(now.spent, now.currency), words.money(now.amount, now.currency)
    said = f"{spent} of {amount} is spent."
    if now.expected is not None:
        said += f" {words.money(now.expected, now.currency)} is expected by the end."
    return said


def course_table(told: Told) -> Table:
    money = told.figures.currency
    columns = (
        Column("Day"),
        Column("Spent so far", number=True),
        Column("Even pace", number=True),
        Column("Budget", number=True),
        Column("Expected so far", number=True),
        Column("Low", number=True),
        Column("High", number=True),
    )

    def cell(amount: Decimal | None) -> Cell:
        return NONE if amount is None else money_cell(amount, money)

    rows = tuple(
        Row(
            (
                day_cell(one.day),
                *(cell(v) for v in (one.actual, one.pace, told.figures.amount)),
                *(cell(v) for v in (one.mean, one.low, one.high)),
            )
        )
        for one in told.course
    )
    return Table("course", "Spent, pace and forecast, added up by day", columns, rows)


def threshold_table(
    thresholds: Iterable[BudgetThreshold], owner: str, channels: Mapping[int, str]
) -> Table:
    columns = (
        Column("Threshold"),
        Column("Of"),
        Column("Severity"),
        Column("Owner"),
        Column("Told to"),
    )
    rows = tuple(
        Row(
            (
                percent_cell(one.percent),
                words_cell("what is spent" if one.basis == "actual" else "what is expected"),
                severity_cell(one.severity),
                words_cell(one.owner.username if one.owner else owner),
                words_cell(channels_said(one.channel_ids, channels)),
            )
        )
        for one in sorted(thresholds, key=lambda one: (one.percent, one.basis))
    )
    return Table(
        "thresholds", "Thresholds", columns, rows, empty="No thresholds: nobody is told of it."
    )


def channels_said(ids: Sequence[int], channels: Mapping[int, str]) -> str:
    if not ids:
        return "As the rule for budgets says"
    return ", ".join(channels.get(pk, f"removed channel {pk}") for pk in ids)


def percent_cell(percent: Decimal) -> Cell:
    text = f"{percent.normalize():f}"
    return Cell(f"{text}%", text, percent)


def severity_cell(severity: str) -> Cell:
    tone = {"critical": "bad", "warning": "warn"}.get(severity, "quiet")
    return Cell(severity.capitalize(), severity, severity, tone=tone)


def crossing_table(crossings: Sequence[BudgetCrossing]) -> Table:
    columns = (
        Column("Crossed"),
        Column("Threshold", number=True),
        Column("Of"),
        Column("Severity"),
        Column("Figure", number=True),
        Column("Budget", number=True),
        Column("Period from"),
        Column("Resolved"),
    )
    rows = tuple(
        Row(
            (
                time_cell(one.crossed_at),
                percent_cell(one.percent),
                Cell(BASIS_LABELS[one.basis], one.basis),
                severity_cell(one.severity),
                money_cell(one.figure, one.currency),
                money_cell(one.amount, one.currency),
                day_cell(one.starts_on),
                time_cell(one.resolved_at) if one.resolved_at else Cell("not yet", "", tone="warn"),
            )
        )
        for one in crossings
    )
    return Table(
        "crossings", "Thresholds crossed", columns, rows, empty="No threshold was crossed yet."
    )


def history_table(periods: Sequence[BudgetPeriod]) -> Table:
    columns = (
        Column("Period"),
        Column("To"),
        Column("Currency"),
        Column("Budget", number=True),
        Column("Spent", number=True),
        Column("Used", number=True),
        Column("State"),
        Column("Counted"),
        Column("As of"),
    )
    rows = []
    for one in periods:
        part = share(one.spent, one.amount)
        rows.append(
            Row(
                (
                    day_cell(one.starts_on),
                    day_cell(one.ends_before - timedelta(days=1)),
                    words_cell(one.currency),
                    money_cell(one.amount, one.currency),
                    money_cell(one.spent, one.currency),
                    share_cell(None if part is None else float(part)),
                    state_cell(one.state),
                    counted_cell(one),
                    time_cell(one.evaluated_at),
                )
            )
        )
    return Table(
        "history", "Periods that are over", columns, tuple(rows), empty="No period is over yet."
    )


def facts(budget: Budget, names: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        ("Scope", scope_said(budget.scope, names)),
        ("Period", f"{period_said(budget)}, from {words.day(budget.starts_on)}"),
        ("Amount", amount_said(budget)),
        ("Owner", budget.owner.username),
        ("When it is used up", SIGNAL_LABELS[budget.limit_signal]),
    ]


def amount_said(budget: Budget) -> str:
    if budget.amount_kind == FIXED:
        return words.money(budget.amount, budget.currency)
    if budget.amount_kind == PLANNED:
        year = sum((one.amount for one in budget.months.all()), Decimal(0))
        return f"Planned by month, {words.money(year, budget.currency)} a year"
    assert budget.amount_kind == ADJUSTING
    return (
        f"The average of the last {budget.average_of} complete periods, at most"
        f" {words.money(budget.cap, budget.currency)}"
    )
