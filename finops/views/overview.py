"""The first page: what was spent, where the month ends, what a unit costs, what is wasted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops import charts
from finops.queries.amounts import SpendTable
from finops.queries.filters import Filters
from finops.queries.overview import MonthEnd, Overview, added, overview
from finops.templatetags import words
from ingest.models.owners import UNALLOCATED

from .connecting import push_snippet
from .currencies import currency_context
from .event_marks import marked, marks_of
from .figures import (
    Chart,
    Figure,
    count_figure,
    known_cost,
    known_total,
    money_figure,
    provisional_badge,
    stamped,
    unit_figure,
    unknown_figure,
    why_no_total,
)
from .page import GROUP_LABELS, View, needs, page
from .sources import health_table, is_well
from .tables import (
    NONE,
    Column,
    Row,
    Table,
    cost_cell,
    day_cell,
    money_cell,
    share_cell,
    words_cell,
)

TOP = 5
LEAST_AHEAD = timedelta(days=7)
"""The forecast is drawn to the end of the month, and at least this far."""


@needs("finops.view_spend")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    result = overview(view.filters)
    is_empty = result.as_of is None
    return page(
        view,
        "finops/overview.html",
        "Overview",
        lead="" if is_empty else lead(result, view.filters),
        as_of=result.as_of,
        is_sample=result.is_sample,
        can_compare=False,
        **currency_context(view, result.spend.others, result.conversion),
        has_charts=not is_empty,
        is_empty=is_empty,
        snippet=push_snippet(request, "YOUR-PUSH-TOKEN") if is_empty else "",
        may_connect=request.user.has_perm("finops.manage_sources"),
        figures=figures(result, view),
        chart=marked(daily_chart(result, view), result.series.points, marks_of(view.filters)),
        tops=[
            top_table(result.by_model, view, "model", "Most expensive models"),
            top_table(result.by_project, view, "project", "Most expensive projects"),
        ],
        health=health_table(sorted(result.health, key=is_well), view),
    )


def lead(result: Overview, filters: Filters) -> str:
    spend = result.spend
    said = f"{words.money(spend.cost, spend.currency)} from {words.days(filters)}"
    return f"{said}; {words.compared(result.change, before(filters))}."


def before(filters: Filters) -> str:
    previous = filters.previous()
    return f"{words.days_text(previous.start, previous.end)}"


def figures(result: Overview, view: View) -> list[Figure]:
    whole = [
        spend_figure(result, view),
        month_end_figure(result.month_end, result.spend.currency),
        unit_cost_figure(result, view),
        unpriced_figure(result, view),
    ]
    if view.filters.bills:
        whole += [idle_figure(result, view), unallocated_figure(result, view)]
    return whole


def spend_figure(result: Overview, view: View) -> Figure:
    spend = result.spend
    is_known = bool(result.by_project.rows)
    badge, tone = provisional_badge(spend.provisional_share) if is_known else ("", "")
    others = [words.money(amount, currency) for currency, amount in spend.others]
    note = words.sentence(words.compared(result.change, before(view.filters)))
    if others:
        note += f" Beside it, not added: {', '.join(others)}."
    return money_figure(
        "spend",
        "Spend",
        known_total(spend),
        spend.currency,
        reason=why_no_total(spend),
        note=note,
        href=view.to("costs"),
        definition="Complete bills where there are any; elsewhere requests times the prices that "
        "held at their time, which is provisional until a bill covers them.",
        badge=badge,
        tone=tone,
        **stamped(spend),
    )


def month_end_figure(month_end: MonthEnd, currency: str) -> Figure:
    label = f"Expected for {month_end.month:%B}"
    definition = (
        "What the month has cost so far plus the forecast of the days left. The range holds in "
        "four of five cases, as measured on days held back."
    )
    so_far = f"{words.money(month_end.spent, currency)} so far"
    if month_end.expected is None:
        reason = f"{month_end.reason} {so_far}.".strip()
        return unknown_figure("month-end", label, reason, definition=definition)
    low, high = (words.card_money(edge, currency) for edge in (month_end.low80, month_end.high80))
    return money_figure(
        "month-end",
        label,
        month_end.expected,
        currency,
        note=f"{low} to {high} in four of five cases; {so_far}.",
        definition=definition,
    )


def unit_cost_figure(result: Overview, view: View) -> Figure:
    spend = result.spend
    per_thousand = words.rate(spend.per_thousand_requests, spend.currency)
    counted = words.compact(spend.requests_counted)
    return unit_figure(
        "unit-cost",
        "Per 1M tokens",
        spend.per_million_tokens,
        spend.currency,
        reason="No priced tokens in this period.",
        note=f"{per_thousand} per 1,000 requests, of {counted} that have a price.",
        href=view.to("costs", replace(view.filters, group_by=("model",))),
        definition="Priced usage divided by the tokens it was priced for, of every class: input, "
        "cache and output.",
        **stamped(spend),
    )


def unpriced_figure(result: Overview, view: View) -> Figure:
    spend = result.spend
    parts = []
    if spend.unknown_spans:
        parts.append(f"{words.count(spend.unknown_spans)} did not say what they used")
    if spend.unpriced_gpu_hours:
        parts.append(f"{spend.unpriced_gpu_hours:,.1f} GPU-hours have no price")
    if spend.unknown_bill_lines:
        parts.append(f"{words.count(spend.unknown_bill_lines)} bill lines carry no cost")
    missing = bool(spend.unpriced_spans or parts)
    note = words.sentence("; ".join(parts)) if missing else "Every request has a price."
    return count_figure(
        "unpriced",
        "Requests without a price",
        spend.unpriced_spans,
        note=note,
        href=view.to("prices") if spend.unpriced_spans else "",
        definition="Their usage is known but the price book has no price for their model, so they "
        "are in no total. Enter a price and they are costed.",
        badge="Not in the spend" if missing else "",
        tone="warn" if missing else "",
        **stamped(spend),
    )


def idle_figure(result: Overview, view: View) -> Figure:
    definition = "Hardware that was paid for and observed, but not busy. Time without telemetry is "
    definition += "not counted as idle. Hours are at their own price, also those a bill covers: "
    definition += "the spend has the bill instead."
    currency = view.filters.shown
    pools = [pool for pool in result.pools.pools if pool.currency == currency]
    known = [pool.idle for pool in pools if pool.idle is not None]
    if not known:
        reason = "No pool has both a price and GPU telemetry in this period."
        return unknown_figure("idle", "Idle hardware", reason, definition=definition)
    used = added(pool.used or Decimal(0) for pool in pools)
    idle = added(known)
    unobserved = added(pool.unobserved or Decimal(0) for pool in pools)
    note = f"{words.percent(used / (used + idle))} of observed time was busy" if used + idle else ""
    if unobserved:
        note += f"; {words.money(unobserved, currency)} was paid unobserved"
    others: dict[str, Decimal] = {}
    for pool in result.pools.pools:
        if pool.idle is not None and pool.currency != currency:
            others[pool.currency] = added([others.get(pool.currency, Decimal(0)), pool.idle])
    if others:
        beside = ", ".join(words.money(amount, code) for code, amount in sorted(others.items()))
        note += f"{'; ' if note else ''}beside it, not added: {beside}"
    return money_figure(
        "idle",
        "Idle hardware",
        idle,
        currency,
        note=f"{note}." if note else "",
        href=view.to("gpus"),
        definition=definition,
        **stamped(result.pools),
    )


def unallocated_figure(result: Overview, view: View) -> Figure:
    spend = result.spend
    share = result.unallocated / spend.cost if spend.cost else None
    note = f"{words.percent(share)} of the spend." if share is not None else ""
    return money_figure(
        "unallocated",
        "Unallocated",
        result.unallocated,
        spend.currency,
        note=note,
        href=view.to("costs", replace(view.filters, projects=(UNALLOCATED,))),
        definition="Spend that is no project's: bills and shared hardware that no rule of "
        "allocation lands on one, and usage that came without a project.",
        **stamped(spend),
    )


def daily_chart(result: Overview, view: View) -> Chart:
    series, currency = result.series, result.series.currency
    totals = charts.step_totals(line.values for line in series.lines)
    totals = totals or [None] * len(series.points)
    expected = expected_days(result)
    unexpected = [
        charts.Unexpected(mark.day, mark.actual, mark.low, mark.high, near_said(result, mark.pk))
        for mark in sorted(result.anomalies, key=lambda mark: mark.day)
    ]
    drawing = charts.expected_costs(
        series.points, totals, currency, expected, unexpected, view.to("costs")
    )
    return Chart("daily", "Cost per day", drawing, daily_table(series, totals, expected, currency))


def near_said(result: Overview, pk: int) -> str:
    """What is known to have happened near an unexpected day; not that it is the cause."""
    said = [near.said for near in result.near.get(pk, ())]
    if pk in result.recorded_in:
        said.insert(0, f"of what was recorded in {result.recorded_in[pk]}")
    return "; ".join(said)


def expected_days(result: Overview) -> list[charts.Expected]:
    """The forecast, where it goes on from the days shown."""
    forecast, points = result.forecast, result.series.points
    if forecast is None or not (points and forecast.points):
        return []
    if forecast.as_of < points[-1] - timedelta(days=2):
        return []
    month_end = (forecast.as_of.replace(day=28) + timedelta(days=4)).replace(day=1)
    horizon = max(month_end - timedelta(days=1), forecast.as_of + LEAST_AHEAD)
    return [
        charts.Expected(
            date.fromisoformat(point["day"]),
            Decimal(point["mean"]),
            Decimal(point["low80"]),
            Decimal(point["high80"]),
        )
        for point in forecast.points
        if date.fromisoformat(point["day"]) <= horizon
    ]


def daily_table(series, totals, expected, currency: str) -> Table:
    columns = (
        Column("Day"),
        Column("Cost", number=True),
        Column("Covered by bills", number=True),
        Column("Expected", number=True),
        Column("Low", number=True),
        Column("High", number=True),
    )
    forecast = {point.day: point for point in expected}
    rows = []
    for at, day in enumerate(series.points):
        known = (money_cell(totals[at], currency), money_cell(series.reconciled[at], currency))
        rows.append(
            Row((day_cell(day), *known, *expected_cells(forecast.pop(day, None), currency)))
        )
    for day, point in sorted(forecast.items()):
        rows.append(Row((day_cell(day), NONE, NONE, *expected_cells(point, currency))))
    return Table("daily-table", "Cost per day and forecast", columns, tuple(rows))


def expected_cells(point, currency: str):
    if point is None:
        return NONE, NONE, NONE
    return tuple(money_cell(amount, currency) for amount in (point.mean, point.low, point.high))


def top_table(table: SpendTable, view: View, group: str, caption: str) -> Table:
    columns = (
        Column(GROUP_LABELS[group]),
        Column("Cost", number=True),
        Column("Share", number=True),
    )
    rows = []
    for row in table.rows[:TOP]:
        drill = view.filters.drill(group, row.keys[0])
        href = view.to("costs", replace(drill, group_by=(group,)))
        rows.append(
            Row(
                (
                    words_cell(row.labels[0], href=href),
                    cost_cell(known_cost(row, table.total), table.currency),
                    share_cell(row.share, meter=row.share),
                )
            )
        )
    return Table(f"top-{group}", caption, columns, tuple(rows))
