"""The lines behind a figure of the costs page: what it consists of, day by day, and as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from finops.money import plain
from finops.queries.cost_lines import EVERY_LINE, NARROWED, CostLine, CostLines, cost_lines
from finops.queries.filters import FIELDS, Filters
from finops.templatetags import words

from .currencies import currency_context
from .figures import Figure, money_figure, stamped
from .page import GROUP_LABELS, Choice, View, csv_action, needs, page
from .tables import (
    Cell,
    Column,
    Row,
    Table,
    cost_cell,
    count_cell,
    csv_response,
    day_cell,
    words_cell,
)

READ = "finops.view_spend"
SHOWN = ("origin", "project", "provider", "service", "model", "sku", "kind", "tier")


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NARROWED, "cursor")
    filters = replace(view.filters, group_by=())
    cursor = view.extra.get("cursor")
    found = cost_lines(filters, narrowed(view), cursor=cursor)
    return page(
        view,
        "finops/costs_lines.html",
        "Lines",
        lead="What the figure consists of: one line per day and all that is kept of it.",
        crumbs=[("Costs", view.to("costs"))],
        actions=[csv_action(view, "cost-lines-csv", cursor="")] if found.rows else [],
        as_of=found.as_of,
        is_sample=found.is_sample,
        **currency_context(view, found.others, found.conversion),
        figures=figures(found),
        table=lines_table(found, view),
        chosen=chosen(view),
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=shown(found),
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NARROWED)
    filters = replace(view.filters, group_by=())
    found = cost_lines(filters, narrowed(view), limit=EVERY_LINE)
    name = f"cost-lines-{filters.start}-{filters.end}.csv"
    return csv_response(lines_table(found, view), name, filters, found)


def shown(found: CostLines) -> str:
    if not found.rows:
        return ""
    last, first = found.rows[0].day, found.rows[-1].day
    return f"{len(found.rows):,} lines of {words.days_text(first, last + timedelta(days=1))}"


def narrowed(view: View) -> dict[str, str]:
    return {name: view.extra[name] for name in NARROWED if name in view.extra}


def chosen(view: View) -> list[Choice]:
    """What the lines are narrowed by beside the filters, each with the way to drop it."""
    return [
        Choice(GROUP_LABELS[name], value, view.url(None, **{name: "", "cursor": ""}))
        for name, value in narrowed(view).items()
    ]


def figures(found: CostLines) -> list[Figure]:
    others = ", ".join(words.money(amount, code) for code, amount in found.others)
    return [
        money_figure(
            "total",
            "Total of the lines",
            found.total,
            found.currency,
            note=f"Beside it, not added: {others}." if others else "",
            definition="The figure that these lines belong to: all of them added up.",
            **stamped(found),
        ),
    ]


def lines_table(found: CostLines, view: View) -> Table:
    columns = (
        Column("Day"),
        Column(f"Cost, {found.currency}", number=True),
        *(Column(GROUP_LABELS[name]) for name in SHOWN),
        Column("Requests", number=True),
        Column("Tokens", number=True),
        Column("Without a price", number=True, help="Requests that are in no cost"),
        Column("Usage unknown", number=True, help="Requests that named no usage"),
    )
    return Table(
        "cost-lines",
        "Lines",
        columns,
        tuple(Row(line_cells(line, found, view)) for line in found.rows),
        empty="No cost in this period. Choose a longer one, or drop a filter.",
    )


def line_cells(line: CostLine, found: CostLines, view: View) -> tuple[Cell, ...]:
    return (
        day_cell(line.day),
        cost_of(line, found.currency),
        *(words_cell(line.labels[name]) for name in SHOWN),
        count_cell(line.requests, href=requests_href(line, view)),
        count_cell(line.tokens),
        count_cell(line.unpriced_spans),
        count_cell(line.unknown_spans),
    )


def cost_of(line: CostLine, currency: str) -> Cell:
    if line.by_the_hour and line.cost is not None:
        return Cell("by the hour", plain(line.cost), line.cost)
    return cost_cell(line.cost, currency)


def lines_href(view: View, filters: Filters, groups: Sequence[str], keys: Sequence[str]) -> str:
    """The lines behind one row of a table; nothing for what they cannot be narrowed by."""
    extra: dict[str, str] = {}
    if filters.labels:
        return ""
    for group, key in zip(groups, keys, strict=True):
        if group in FIELDS and (key or group == "model"):
            filters = filters.drill(group, key)
        elif group in NARROWED and key:
            extra[group] = key
        else:
            return ""
    return view.to("cost-lines", replace(filters, group_by=(), compare=False), **extra)


def requests_href(line: CostLine, view: View) -> str:
    """The requests of a line of usage, one by one."""
    if line.keys["origin"] != "usage" or not line.requests:
        return ""
    filters: Filters = replace(
        view.filters, start=line.day, end=line.day + timedelta(days=1), preset="", group_by=()
    )
    for name in ("project", "provider", "service", "model"):
        if line.keys[name] or name == "model":
            filters = filters.drill(name, line.keys[name])
    return view.to("requests", filters, tab="recent")
