"""Where the money goes: one total, split by up to two things, over time, and as CSV."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops import charts
from finops.queries.amounts import Spend, SpendTable
from finops.queries.course import month_course
from finops.queries.filters import BASES, FIELDS, GROUPS, METRICS, Filters
from finops.queries.spend import (
    OTHER,
    Series,
    spend_by,
    spend_page,
)
from finops.templatetags import words

from .costs_days import day_hrefs, provisional_from, series_table, unpriced
from .costs_lines import lines_href
from .costs_month import month_chart, month_table
from .currencies import currency_context
from .event_marks import marked, marks_of
from .figures import (
    Chart,
    Figure,
    count_figure,
    known_cost,
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
    GROUP_LABELS,
    Action,
    Choice,
    View,
    csv_action,
    group_said,
    needs,
    page,
)
from .tables import (
    NONE,
    Column,
    Row,
    Table,
    change_cell,
    cost_cell,
    count_cell,
    csv_response,
    money_cell,
    share_cell,
    unit_cell,
    words_cell,
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
NEXT_GROUP = {
    "team": "project",
    "project": "model",
    "provider": "model",
    "model": "service",
    "service": "model",
}
"""What a row opens into."""

TOP = 7
"""Groups drawn by name; with the rest they fill the eight colours."""

HOURLY_UP_TO_DAYS = 2
MONTH = "month"
DAYS = "days"
CHARTS = (("", "Per day"), (MONTH, "Month added up"))
"""Value of `chart` in the URL and its name."""


@needs("finops.view_spend")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort", "chart")
    filters = grouped(view.filters)
    total, table, series = spend_page(filters, step(filters), TOP)
    return page(
        view,
        "finops/costs.html",
        "Costs",
        lead=BASIS_HELP[filters.basis],
        actions=[
            Action("Compare with bills", view.to("reconciliation"), "reconciliation")
            if filters.bills
            else None,
            csv_action(view, "costs-csv"),
            chart_file(view),
        ],
        as_of=total.as_of,
        is_sample=total.is_sample,
        can_compare=True,
        **currency_context(view, total.others, total.conversion),
        has_charts=True,
        can_look_back=filters.bills and filters.basis != "usage",
        figures=figures(total, table, filters),
        chart=month_chart(month_course(filters, request.user))
        if view.extra.get("chart") == MONTH
        else marked(cost_chart(series, table, view, filters), series.points, marks_of(filters)),
        chart_choices=chart_choices(view),
        table=cost_table(table, view, filters),
        groups=group_choices(filters, groups_for(filters)),
        second_groups=second_choices(filters, groups_for(filters)),
        kept=view.pairs(filters, "group_by"),
        bases=basis_choices(view) if filters.bills else (),
        metrics=metric_choices(view),
    )


@needs("finops.view_spend")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """The groups; with `what=days` or `what=month` the table behind the chart."""
    view = View.of(request, "sort", "what")
    filters = grouped(view.filters)
    if view.extra.get("what") == MONTH:
        course = month_course(filters, request.user)
        name = f"costs-{course.month:%Y-%m}-added-up.csv"
        return csv_response(month_table(course), name, filters, course)
    if view.extra.get("what") == DAYS:
        _, table, series = spend_page(filters, step(filters), TOP)
        name = f"costs-over-time-{filters.start}-{filters.end}.csv"
        return csv_response(series_table(series, unpriced(table)), name, filters, series)
    found = spend_by(filters)
    name = f"costs-{filters.start}-{filters.end}.csv"
    return csv_response(cost_table(found, view, filters), name, filters, found)


def chart_choices(view: View) -> list[Choice]:
    chosen = view.extra.get("chart", "")
    return [
        Choice(label, href=view.url(chart=value), current=value == chosen)
        for value, label in CHARTS
    ]


def chart_file(view: View) -> Action:
    """The table behind the chart that is shown."""
    what = MONTH if view.extra.get("chart") == MONTH else DAYS
    said = "Month added up, CSV" if what == MONTH else "Over time, CSV"
    return Action(said, view.to("costs-csv", what=what), "download", download=True)


def grouped(filters: Filters) -> Filters:
    return filters if filters.group_by else replace(filters, group_by=("project",))


def step(filters: Filters) -> str:
    """A day or two is drawn by the hour, which only priced usage has, and users have not."""
    hourly = filters.basis == "usage" and "user" not in filters.group_by
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
            note=f"{words.compact(total.tokens)} tokens.",
            definition="Priced usage divided by the tokens it was priced for.",
            **stamped(total),
        ),
        unit_figure(
            "per-thousand",
            "Per 1,000 requests",
            total.per_thousand_requests,
            total.currency,
            reason="No priced requests here.",
            note=f"{words.compact(total.requests)} requests.",
            definition="Priced usage divided by the requests it was priced for.",
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
    without = unpriced(table)
    stacks = [
        charts.Stack(
            line.label,
            line.values,
            "" if line.keys == (OTHER,) else row_href(view, filters, line.keys),
            is_rest=line.keys == (OTHER,),
            hrefs=day_hrefs(series, line.keys, view, filters),
        )
        for line in series.lines
        if line.keys not in without
    ]
    since = provisional_from(series) if filters.basis == "book" else None
    drawing = charts.stacked_costs(series.points, stacks, series.currency, since)
    badge = f"Provisional from {point_label(since)}" if since else ""
    title = "Cost per hour" if series.step == "hour" else "Cost per day"
    return Chart("cost", title, drawing, series_table(series, without), badge)


def cost_table(table: SpendTable, view: View, filters: Filters) -> Table:
    rows = tuple(cost_row(row, table, view, filters) for row in table.rows)
    columns = (
        *(Column(GROUP_LABELS[group], group) for group in table.group_by),
        Column(f"Cost, {table.currency}", "cost", number=True),
        *(compare_columns() if filters.compare else ()),
        Column("Share", "share", number=True),
        Column("Requests", "requests", number=True),
        Column("Tokens", "tokens", number=True),
        Column("Per 1M tokens", "per-million", number=True),
        Column("Per 1,000 requests", "per-thousand", number=True),
        Column("Without a price", "unpriced", number=True, help="Requests that are in no cost"),
        Column("Usage unknown", "unknown", number=True, help="Requests that named no usage"),
    )
    labels = (words_cell("Total"), *(words_cell("") for _ in table.group_by[1:]))
    total = (*labels, *measure_cells(table.total, table, filters))
    name = " and ".join(group_said(group) for group in table.group_by)
    made = Table(
        "costs",
        f"Cost by {name}",
        columns,
        rows,
        total if rows else (),
        empty="No cost in this period. Choose a longer one, or drop a filter.",
    )
    sort = view.extra.get("sort", "")
    return made.sorted_by(sort).linked(lambda wanted: view.url(sort=wanted), "-cost")


def compare_columns() -> tuple[Column, ...]:
    return Column("Before", "before", number=True), Column("Change", "change", number=True)


def cost_row(row, table: SpendTable, view: View, filters: Filters) -> Row:
    labels = [words_cell(label or "none given") for label in row.labels]
    labels[0] = replace(labels[0], href=row_href(view, filters, row.keys))
    return Row((*labels, *measure_cells(row, table, filters, view)))


def measure_cells(row, table: SpendTable, filters: Filters, view: View | None = None):
    currency, cost = table.currency, known_cost(row, table.total)
    href = requests_href(view, filters, row.keys) if view and row.requests else ""
    lines = lines_href(view, filters, filters.group_by, row.keys) if view else ""
    compared = (money_cell(row.previous, currency), change_cell(row.change, row.previous))
    return (
        cost_cell(cost, currency, href=lines),
        *(compared if filters.compare else ()),
        NONE if cost is None else share_cell(row.share, meter=row.share if view else None),
        count_cell(row.requests, href=href),
        count_cell(row.tokens),
        NONE if row.tokens == 0 else unit_cell(row.per_million_tokens, currency),
        NONE if row.requests == 0 else unit_cell(row.per_thousand_requests, currency),
        count_cell(row.unpriced_spans),
        count_cell(row.unknown_spans),
    )


def row_href(view: View, filters: Filters, keys: tuple[str, ...]) -> str:
    """The same page, one step down; nothing for what cannot be filtered by."""
    group = filters.group_by[0]
    if not can_filter(group, keys[0]):
        return ""
    down = filters.drill(group, keys[0])
    if not down.group_by:
        down = replace(down, group_by=(NEXT_GROUP[group],))
    return view.url(down, sort="", cursor="")


def requests_href(view: View, filters: Filters, keys: tuple[str, ...]) -> str:
    for group, key in zip(filters.group_by, keys, strict=True):
        if not can_filter(group, key):
            return ""
        filters = filters.drill(group, key)
    return view.to("requests", replace(filters, group_by=()))


def can_filter(group: str, key: str) -> bool:
    """An empty value is no filter, but for models, where it is a group of its own."""
    return group in FIELDS and (bool(key) or group == "model")


def group_choices(filters: Filters, names: tuple[str, ...]) -> list[Choice]:
    first = filters.group_by[0]
    return [Choice(GROUP_LABELS[name], name, current=name == first) for name in names]


def second_choices(filters: Filters, names: tuple[str, ...]) -> list[Choice]:
    first, second = (*filters.group_by, "")[:2]
    return [
        Choice(GROUP_LABELS[name], name, current=name == second) for name in names if name != first
    ]


def groups_for(filters: Filters) -> tuple[str, ...]:
    """Bill columns only for who may see bills."""
    return tuple(name for name in GROUPS if filters.bills or name not in ("sku", "origin"))


def basis_choices(view: View) -> list[Choice]:
    return [
        Choice(
            BASIS_LABELS[name],
            href=view.url(replace(view.filters, basis=name)),
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
            href=view.url(replace(view.filters, metric=name)),
            current=name == view.filters.metric,
        )
        for name in (METRICS if has_bills else ("effective", "list"))
    ]
