"""Where the money goes: one total, split by up to two things, over time, and as CSV."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops import access, charts
from finops.queries import kept_labels
from finops.queries.amounts import Spend, SpendTable
from finops.queries.course import month_course
from finops.queries.filters import BASES, GROUPS, LABEL, METRICS, Filters
from finops.queries.spend import (
    OTHER,
    Series,
    spend_by,
    spend_groups,
    spend_page,
)
from finops.templatetags import words

from .costs_days import bars_href, provisional_from, series_table, unpriced
from .costs_month import month_chart, month_table, with_days_ahead
from .costs_table import Part, cost_table
from .currencies import currency_context
from .event_marks import marked, marks_of
from .figures import (
    Chart,
    Figure,
    count_figure,
    known_total,
    late_said,
    money_figure,
    point_label,
    provisional_badge,
    stamped,
    unit_figure,
    why_no_total,
)
from .page import (
    Action,
    Choice,
    View,
    csv_action,
    group_label,
    group_said,
    needs,
    page,
)
from .saved_views import menu, opened_with
from .tables import (
    csv_response,
)

BASIS_LABELS = {"book": "Book", "usage": "Usage", "bill": "Bills"}
BASIS_HELP = {
    "book": "Complete bills where there are any, priced usage everywhere else.",
    "usage": "All usage at the prices that held at its time, whether billed or not.",
    "bill": "Only what bills say.",
}
METRIC_LABELS = {
    "effective": "Effective",
    "billed": "Billed",
    "list": "List price",
    "contracted": "Contracted",
}
TOP = 7
"""Groups drawn by name; with the rest they fill the eight colours."""

HOURLY_UP_TO_DAYS = 2
MONTH = "month"
DAYS = "days"
CHARTS = (("", "Over time"), (MONTH, "Month added up"))
"""Value of `chart` in the URL and its name."""

BEYOND_BILLS = frozenset({"user", "kind", "tier"})


@needs("finops.view_spend")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    if (saved := opened_with(request, "costs")) is not None:
        return saved
    # What a month comes to is not known by label.
    is_month = request.GET.get("chart") == MONTH
    view = View.of(request, "sort", "chart", "cursor", by_label=not is_month)
    filters = grouped(view.filters)
    groups = groups_for(filters, request.user)
    course = month_course(filters, request.user) if is_month else None
    if course:
        total, table = spend_groups(filters)
        chart = month_chart(course)
    else:
        total, table, series = spend_page(filters, step(filters), TOP)
        drawn = cost_chart(series, table, view, filters)
        chart = marked(drawn, series.points, marks_of(filters))
    part = Part.of(table, view)
    return page(
        view,
        "finops/costs.html",
        "Costs",
        lead=BASIS_HELP[filters.basis],
        actions=[
            Action("Compare with bills", view.to("reconciliation"), "reconciliation")
            if filters.bills
            else None,
            csv_action(view, "costs-csv", cursor=""),
            chart_file(view),
        ],
        as_of=total.as_of,
        is_sample=total.is_sample,
        can_compare=True,
        **currency_context(view, total.others, with_days_ahead(total.conversion, course)),
        views=menu(view, "costs"),
        has_charts=True,
        can_look_back=filters.bills and filters.basis != "usage",
        figures=figures(total, table, filters),
        chart=chart,
        chart_choices=chart_choices(view),
        table=cost_table(table, view, filters, part.rows),
        **part.links(view),
        unknown_to_bills=unknown_to_bills(filters),
        usage_href=view.url(replace(filters, basis="usage"), cursor=""),
        groups=group_choices(filters, groups),
        second_groups=second_choices(filters, groups),
        kept=view.pairs(filters, "group_by", "cursor"),
        bases=basis_choices(view) if filters.bills and not filters.labels else (),
        metrics=metric_choices(view),
    )


@needs("finops.view_spend")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """The groups; with `what=days` or `what=month` the table behind the chart."""
    view = View.of(request, "sort", "what", by_label=request.GET.get("what") != MONTH)
    filters = grouped(view.filters)
    if view.extra.get("what") == MONTH:
        course = month_course(filters, request.user)
        name = f"costs-{course.month:%Y-%m}-added-up.csv"
        return csv_response(month_table(course), name, filters, course)
    if view.extra.get("what") == DAYS:
        _, table, series = spend_page(filters, step(filters), TOP)
        name = f"costs-over-time-{filters.start}-{filters.end}.csv"
        return csv_response(series_table(series, unpriced(table, series)), name, filters, series)
    found = spend_by(filters)
    name = f"costs-{filters.start}-{filters.end}.csv"
    return csv_response(cost_table(found, view, filters), name, filters, found)


def chart_choices(view: View) -> list[Choice]:
    chosen = view.extra.get("chart", "")
    if view.filters.labels:
        return []
    return [
        Choice(label, href=view.url(chart=value, cursor=""), current=value == chosen)
        for value, label in CHARTS
    ]


def chart_file(view: View) -> Action:
    """The table behind the chart that is shown."""
    what = MONTH if view.extra.get("chart") == MONTH else DAYS
    said = "Month added up, CSV" if what == MONTH else "Over time, CSV"
    return Action(said, view.to("costs-csv", what=what), "download", download=True)


def unknown_to_bills(filters: Filters) -> str:
    """What the rows are split by and no bill tells, so that billed cost stands in one row."""
    untold = [name for name in filters.group_by if name in BEYOND_BILLS]
    return " or ".join(map(group_said, untold)) if filters.basis != "usage" else ""


def grouped(filters: Filters) -> Filters:
    return filters if filters.group_by else replace(filters, group_by=("project",))


def step(filters: Filters) -> str:
    """A day or two is drawn by the hour, which only priced usage has, and users have not."""
    by_day = "user" in filters.group_by or filters.split_label
    hourly = filters.basis == "usage" and not by_day
    return "hour" if filters.days <= HOURLY_UP_TO_DAYS and hourly else "day"


def figures(total: Spend, table: SpendTable, filters: Filters) -> list[Figure]:
    # Nothing at all was recorded: that is no agreement with any bill.
    badge, tone = provisional_badge(total.provisional_share) if table.rows else ("", "")
    previous = filters.previous()
    before = words.days_text(previous.start, previous.end)
    others = [words.money(amount, currency) for currency, amount in total.others]
    change = words.compared(table.total.change, before)
    note = words.sentence(change) if filters.compare else ""
    if others:
        note += f" Beside it, not added: {', '.join(others)}."
    if filters.metric == "list" and total.unknown_bill_lines:
        rows = words.count(total.unknown_bill_lines)
        note += f" {rows} rows have an amount but no list price, and are not in it."
    note += late_said(total.late_requests)
    return [
        money_figure(
            "total",
            "Total",
            known_total(total),
            total.currency,
            reason=why_no_total(total),
            note=note.strip(),
            definition=BASIS_HELP[filters.basis],
            badge=badge if filters.basis == "book" else "",
            tone=tone,
            **stamped(total),
        ),
        unit_figure(
            "per-million",
            "Per 1M tokens",
            total.per_million_tokens,
            total.currency,
            reason="No priced tokens here.",
            note=f"Of {words.compact(total.tokens_counted)} tokens with a price.",
            definition="Priced usage divided by the tokens it was priced for.",
            **stamped(total),
        ),
        unit_figure(
            "per-thousand",
            "Per 1,000 requests",
            total.per_thousand_requests,
            total.currency,
            reason="No priced requests here.",
            note=f"Of {words.compact(total.requests_counted)} requests with a price.",
            definition="Priced usage and hardware divided by the requests they were paid for. "
            "Hardware counts its requests itself: traces may tell of a part of them only.",
            **stamped(total),
        ),
        count_figure(
            "unpriced",
            "Requests without a price",
            total.unpriced_spans,
            reason="Bills do not say; choose the basis Usage.",
            note=f"{words.count(total.unknown_spans)} more did not say what they used."
            if total.unknown_spans
            else "",
            definition="Usage is known but the price book has no price; they are in no total.",
            badge="Not in the total" if total.unpriced_spans else "",
            tone="warn" if total.unpriced_spans else "",
            **stamped(total),
        ),
    ]


def cost_chart(series: Series, table: SpendTable, view: View, filters: Filters) -> Chart:
    """Groups without any price are in the table beside it, and not drawn as nothing."""
    without = unpriced(table, series)
    stacks = [
        charts.Stack(
            line.label,
            line.values,
            bars_href(series, line.keys, view, filters),
            is_rest=line.keys == (OTHER,),
        )
        for line in series.lines
        if line.keys not in without
    ]
    since = provisional_from(series) if filters.basis == "book" else None
    drawing = charts.stacked_costs(series.points, stacks, series.currency, since)
    badge = f"Provisional from {point_label(since)}" if since else ""
    title = "Cost per hour" if series.step == "hour" else "Cost per day"
    return Chart("cost", title, drawing, series_table(series, without), badge)


def group_choices(filters: Filters, names: tuple[str, ...]) -> list[Choice]:
    first = filters.group_by[0]
    return [Choice(group_label(name), name, current=name == first) for name in names]


def second_choices(filters: Filters, names: tuple[str, ...]) -> list[Choice]:
    first, second = (*filters.group_by, "")[:2]
    return [
        Choice(group_label(name), name, current=name == second) for name in names if name != first
    ]


def groups_for(filters: Filters, user: Any) -> tuple[str, ...]:
    """Bill columns only for who may see bills; labels that are kept of the reader's projects."""
    usual = (name for name in GROUPS if filters.bills or name not in ("sku", "origin"))
    labels = kept_labels.names(access.visible_projects(user))
    return (*usual, *(f"{LABEL}{name}" for name in labels))


def basis_choices(view: View) -> list[Choice]:
    return [
        Choice(
            BASIS_LABELS[name],
            href=view.url(replace(view.filters, basis=name), cursor=""),
            current=name == view.filters.basis,
        )
        for name in BASES
    ]


def metric_choices(view: View) -> list[Choice]:
    """Usage knows what is paid and what the list asks; a bill may tell four amounts."""
    has_bills = view.filters.bills and view.filters.basis != "usage"
    return [
        Choice(
            METRIC_LABELS[name],
            href=view.url(replace(view.filters, metric=name), cursor=""),
            current=name == view.filters.metric,
        )
        for name in (METRICS if has_bills else ("effective", "list"))
    ]
