"""How the requests went: percentiles by group, latency over time, and single requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops import charts
from finops.actions.span_costs import BY_THE_HOUR
from finops.queries import traffic
from finops.queries.filters import Filters
from finops.queries.model_servers import model_servers
from finops.queries.traffic import LatencySeries, RequestTable, SpanPage, SpanRow
from finops.templatetags import words

from . import requests_measures, requests_servers
from .costs import group_choices
from .costs_table import row_href
from .event_marks import marked, marks_of
from .figures import (
    Chart,
    Figure,
    count_figure,
    late_said,
    point_label,
    stamped,
    unknown_figure,
)
from .page import GROUP_LABELS, Action, Choice, View, csv_action, group_said, needs, page
from .price_explained import explained_action
from .saved_views import menu, opened_with
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    duration_cell,
    share_cell,
    time_cell,
    unit_cell,
    words_cell,
)

TABS = {"slowest": "Slowest", "errors": "Failed", "recent": "Newest"}
PAGE_SIZE = 50
KIND_LABELS = {
    "llm": "Request to a language model",
    "embedding": "Embedding",
    "rerank": "Reranking",
    "inference": "Inference",
    "tool": "Call of a tool",
    "retriever": "Retrieval",
    "agent": "Run of an agent",
    "chain": "Chain",
    "guardrail": "Guardrail",
    "evaluator": "Evaluation",
    "span": "Step",
}
HOURLY_UP_TO_DAYS = 2
EACH_FURTHER = "Time for each output token after the first"
ABANDONED = "Of the requests that say how they ended: the caller did not wait for the end"


@needs("finops.view_requests")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    if (saved := opened_with(request, "requests")) is not None:
        return saved
    view = View.of(request, "sort", "tab", "cursor")
    filters = grouped(view.filters)
    table = traffic.request_summary(filters)
    series = traffic.latency_series(filters, step(filters), ("latency",))
    at_once = traffic.concurrency(filters, step=step(filters))
    marks = marks_of(filters)
    tab = current_tab(view)
    spans = span_page(tab, filters, view)
    return page(
        view,
        "finops/requests.html",
        "Requests",
        lead="What models answered: how many, how fast, how often they failed.",
        actions=[
            Action("Errors by type", view.to("logged-errors"), "warning"),
            csv_action(view, "requests-csv"),
        ],
        as_of=table.as_of,
        is_sample=table.is_sample,
        views=menu(view, "requests"),
        has_charts=True,
        figures=figures(table),
        measures=requests_measures.figures(table, at_once),
        at_once_charts=[
            marked(chart, at_once.points, marks, is_told=True)
            for chart in requests_measures.charts_of(at_once)
        ],
        at_once_csv=csv_action(view, "requests-concurrency-csv"),
        servers=requests_servers.panel(view),
        latency_chart=marked(latency_chart(series), series.points, marks),
        traffic_chart=marked(traffic_chart(series), series.points, marks, is_told=True),
        table=request_table(table, view, filters),
        groups=group_choices(filters, traffic.GROUPS),
        kept=view.pairs(filters, "group_by", "cursor"),
        tabs=[
            Choice(label, href=view.url(tab=name, cursor=""), current=name == tab)
            for name, label in TABS.items()
        ],
        spans=span_table(spans, tab),
        next_href=view.url(cursor=spans.next) if spans.next else "",
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        shown=f"{len(spans.rows)} requests on this page",
    )


@needs("finops.view_requests")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort")
    filters = grouped(view.filters)
    found = traffic.request_summary(filters)
    name = f"requests-{filters.start}-{filters.end}.csv"
    return csv_response(request_table(found, view, filters), name, filters, found)


@needs("finops.view_requests")
@require_safe
def at_once_csv(request: HttpRequest) -> HttpResponse:
    """How much was at once, hour by hour where that is drawn, else day by day."""
    filters = View.of(request).filters
    found = traffic.concurrency(filters, step=step(filters))
    name = f"concurrency-{filters.start}-{filters.end}.csv"
    return csv_response(requests_measures.at_once_table(found), name, filters)


@needs("finops.view_bills")
@require_safe
def servers_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    name = f"model-servers-{view.filters.start}-{view.filters.end}.csv"
    table = requests_servers.table(model_servers(view.filters))
    return csv_response(table, name, view.filters)


@needs("finops.view_requests")
@require_safe
def one(request: HttpRequest, project: str, day: str, key: str) -> HttpResponse:
    """A single request with everything known of it."""
    view = View.of(request)
    row = span_of(request, project, day, key)
    if row is None:
        raise Http404("There is no such request that you may see.")
    return page(
        view,
        "finops/span.html",
        row.name or "Request",
        lead=f"{KIND_LABELS.get(row.kind, row.kind)} of {row.project}, "
        f"{words.when_text(row.started_at)}.",
        crumbs=(("Requests", view.to("requests")),),
        actions=[explained_action(request, row)],
        with_bar=False,
        row=row,
        groups=span_facts(row),
    )


def span_of(request: HttpRequest, project: str, day: str, key: str) -> SpanRow | None:
    """None as well for a day that no calendar has."""
    try:
        when = date.fromisoformat(day)
    except ValueError:
        return None
    return traffic.span_detail(request.user, int(project), when, key)


def grouped(filters: Filters) -> Filters:
    """Requests have no bill lines; they are counted by what a span says of itself."""
    groups = tuple(name for name in filters.group_by if name in traffic.GROUPS)[:1]
    return replace(filters, group_by=groups or ("model",))


def step(filters: Filters) -> str:
    return "hour" if filters.days <= HOURLY_UP_TO_DAYS else "day"


def current_tab(view: View) -> str:
    tab = view.extra.get("tab", "")
    return tab if tab in TABS else "slowest"


def span_page(tab: str, filters: Filters, view: View) -> SpanPage:
    read = {"slowest": traffic.slowest, "errors": traffic.errors, "recent": traffic.recent}[tab]
    return read(filters, PAGE_SIZE, view.extra.get("cursor"))


def figures(table: RequestTable) -> list[Figure]:
    total = table.total
    origin = stamped(table)
    return [
        count_figure(
            "requests",
            "Requests",
            total.requests,
            note=f"{words.compact(sum(total.tokens.values()))} tokens."
            + late_said(table.late_requests),
            definition="Answers of models: chat, embeddings, reranking and other inference. Tools, "
            "agents and chains are not requests of their own.",
            **origin,
        ),
        share_figure(
            "errors",
            "Failed",
            total.error_rate,
            note=f"{words.count(total.errors)} requests.",
            **origin,
        ),
        latency_figure("p50", "Half are faster than", total.latency.p50_ms, total, origin),
        latency_figure("p95", "95% are faster than", total.latency.p95_ms, total, origin),
        duration_figure(
            "ttft",
            "First token, 95% within",
            total.ttft.p95_ms,
            reason="No request said when its first token came.",
            note=f"Known for {words.compact(total.ttft.count)} requests.",
            **origin,
        ),
    ]


def latency_figure(id: str, label: str, value: float | None, total, origin) -> Figure:
    return duration_figure(
        id,
        label,
        value,
        reason="No request said how long it took.",
        note=f"Measured on {words.compact(total.latency.count)} requests.",
        definition="From mergeable sketches of every request, right to 1%.",
        **origin,
    )


def duration_figure(id: str, label: str, value: float | None, *, reason: str, **more) -> Figure:
    if value is None:
        return unknown_figure(id, label, reason, **more)
    return Figure(id, label, words.duration(value), exact=f"{value:,.1f} ms", **more)


def share_figure(id: str, label: str, share: float | None, **more) -> Figure:
    if share is None:
        return unknown_figure(id, label, "No requests in this period.", **more)
    return Figure(id, label, words.percent(share), **more)


def latency_chart(series: LatencySeries) -> Chart:
    parts = {"Half faster than": "p50_ms", "95% faster than": "p95_ms", "99% faster than": "p99_ms"}
    lines = []
    for label, name in parts.items():
        values = [getattr(point, name) for point in series.latency]
        lines.append(charts.Curve(label, values, [words.duration(value) for value in values]))
    drawing = charts.curves(series.points, lines, latency_said(series))
    columns = (Column("When"), *(Column(label, number=True) for label in parts))
    rows = tuple(
        Row((words_cell(point_label(point)), *(duration_cell(line.values[at]) for line in lines)))
        for at, point in enumerate(series.points if any(series.requests) else ())
    )
    table = Table("latency-series", "Latency over time", columns, rows)
    return Chart("latency", "Latency", drawing, table, small=True)


def latency_said(series: LatencySeries) -> str:
    known = [
        (point.p95_ms, series.points[at])
        for at, point in enumerate(series.latency)
        if point.p95_ms is not None
    ]
    if not known:
        return "No latency was measured in this period."
    worst, when = max(known, key=lambda pair: pair[0])
    best = min(value for value, _ in known)
    return (
        f"95% of requests took less than {words.duration(best)} at best and "
        f"{words.duration(worst)} at worst, on {point_label(when)}."
    )


def traffic_chart(series: LatencySeries) -> Chart:
    answered = [
        total - failed for total, failed in zip(series.requests, series.errors, strict=True)
    ]
    drawing = charts.traffic(series.points, answered, series.errors)
    columns = (Column("When"), Column("Answered", number=True), Column("Failed", number=True))
    rows = tuple(
        Row((words_cell(point_label(point)), count_cell(answered[at]), count_cell(failed)))
        for at, (point, failed) in enumerate(zip(series.points, series.errors, strict=True))
        if any(series.requests)
    )
    table = Table("traffic-series", "Requests over time", columns, rows)
    return Chart("traffic", "Requests", drawing, table, small=True)


def request_table(table: RequestTable, view: View, filters: Filters) -> Table:
    columns = (
        Column(GROUP_LABELS[table.group_by[0]], "name"),
        Column("Requests", "requests", number=True),
        Column("Failed", "failed", number=True),
        Column("p50", "p50", number=True, help="Half of the requests are faster"),
        Column("p95", "p95", number=True, help="95% of the requests are faster"),
        Column("p99", "p99", number=True, help="99% of the requests are faster"),
        Column("First token p95", "ttft", number=True),
        Column("Per token p50", "tpot50", number=True, help=EACH_FURTHER),
        Column("Per token p95", "tpot", number=True, help=EACH_FURTHER),
        Column("Per token p99", "tpot99", number=True, help=EACH_FURTHER),
        Column("Abandoned", "abandoned", number=True, help=ABANDONED),
        Column("Tokens in", "input", number=True),
        Column("From cache", "cache", number=True),
        Column("Tokens out", "output", number=True),
        Column("Usage unknown", "unknown", number=True, help="Requests that named no usage"),
    )
    rows = tuple(
        Row(
            (
                words_cell(row.labels[0], href=row_href(view, filters, row.keys)),
                *request_cells(row),
            )
        )
        for row in table.rows
    )
    total = (words_cell("Total"), *request_cells(table.total)) if rows else ()
    name = group_said(table.group_by[0])
    made = Table(
        "requests",
        f"Requests by {name}",
        columns,
        rows,
        total,
        empty="No requests in this period. Choose a longer one, or drop a filter.",
    )
    sort = view.extra.get("sort", "")
    return made.sorted_by(sort).linked(lambda wanted: view.url(sort=wanted), "-requests")


INPUT_CLASSES = ("input", "cache_write_5m", "cache_write_1h", "audio_input", "image_input")
OUTPUT_CLASSES = ("output", "reasoning", "audio_output")


def request_cells(row) -> tuple[Cell, ...]:
    return (
        count_cell(row.requests),
        share_cell(row.error_rate),
        duration_cell(row.latency.p50_ms),
        duration_cell(row.latency.p95_ms),
        duration_cell(row.latency.p99_ms),
        duration_cell(row.ttft.p95_ms),
        duration_cell(row.tpot.p50_ms),
        duration_cell(row.tpot.p95_ms),
        duration_cell(row.tpot.p99_ms),
        share_cell(row.abandonment_rate),
        count_cell(sum(row.tokens.get(name, 0) for name in INPUT_CLASSES)),
        count_cell(row.tokens.get("cache_read", 0)),
        count_cell(sum(row.tokens.get(name, 0) for name in OUTPUT_CLASSES)),
        count_cell(row.usage_unknown),
    )


def span_table(spans: SpanPage, tab: str) -> Table:
    columns = (
        Column("Request"),
        Column("When"),
        Column("Service"),
        Column("Model"),
        Column("Took", number=True),
        Column("First token", number=True),
        Column("Tokens in", number=True),
        Column("Tokens out", number=True),
        Column("Cost", number=True),
        Column("Outcome"),
    )
    empty = {
        "slowest": "No request in this period said how long it took.",
        "errors": "No request failed in this period.",
        "recent": "No requests in this period.",
    }
    rows = tuple(Row(span_cells(row)) for row in spans.rows)
    return Table("spans", f"{TABS[tab]} requests", columns, rows, empty=empty[tab])


def span_cells(row: SpanRow) -> tuple[Cell, ...]:
    if row.cost is None:
        cost = replace(NONE, note=row.cost_note)
    else:
        cost = unit_cell(row.cost, row.currency)
    failed = row.status == "error"
    return (
        words_cell(row.name or row.kind, href=span_href(row), note=row.project),
        time_cell(row.started_at),
        words_cell(row.service or "none given"),
        words_cell(row.model or "none given", note=row.provider),
        duration_cell(row.latency_ms),
        duration_cell(row.ttft_ms),
        count_cell(known_sum(row, (*INPUT_CLASSES, "cache_read"))),
        count_cell(known_sum(row, OUTPUT_CLASSES)),
        cost,
        words_cell(row.error_type or "failed", tone="bad") if failed else words_cell(row.status),
    )


def span_href(row: SpanRow) -> str:
    return reverse("finops:span", args=[row.project_id, row.day.isoformat(), row.key])


def known_sum(row: SpanRow, names: tuple[str, ...]) -> int | None:
    known = [row.tokens[name] for name in names if row.tokens.get(name) is not None]
    return sum(known) if known else None


TOKEN_LABELS = {
    "input": "Input",
    "cache_read": "Read from cache",
    "cache_write_5m": "Written to cache for 5 min",
    "cache_write_1h": "Written to cache for 1 h",
    "output": "Output",
    "reasoning": "Reasoning",
    "audio_input": "Audio in",
    "audio_output": "Audio out",
    "image_input": "Images in",
}
ALWAYS_SHOWN = ("input", "output")


def span_facts(row: SpanRow) -> list[tuple[str, list[tuple[str, str]]]]:
    """Heading → (name, value); what nobody told is said to be unknown."""
    cost = words.unit_price(row.cost, row.currency)
    if row.cost is None and row.cost_note == BY_THE_HOUR:
        cost = "in the hours of its hardware"
    return [
        (
            "What it was",
            [
                ("Project", row.project),
                ("Service", row.service or "none given"),
                ("Provider", row.provider or "none given"),
                ("Model", row.model or "none given"),
                ("Tier", row.tier),
                ("Outcome", f"{row.status} {row.error_type}".strip()),
            ],
        ),
        (
            "How long it took",
            [
                ("Started", words.when_text(row.started_at)),
                ("Took", words.duration(row.latency_ms)),
                ("First token after", words.duration(row.ttft_ms)),
                ("Each further token", words.duration(row.tpot_ms)),
            ],
        ),
        (
            "What it used, in tokens",
            [*token_facts(row.tokens), ("Could go unmissed", words.count(row.removable_tokens))],
        ),
        (
            "What it cost",
            [
                ("Cost", cost),
                ("At list prices", words.unit_price(row.list_cost, row.currency)),
                ("How that is known", row.cost_note or "Usage × price at its time"),
            ],
        ),
        ("Where to find it", [("Trace", row.trace_id), ("Span", row.span_id)]),
    ]


def token_facts(tokens: Mapping[str, int | None]) -> list[tuple[str, str]]:
    """Every class that was told; the rest are named together, so that none looks like zero."""
    told = [
        (TOKEN_LABELS[name], words.count(number))
        for name, number in tokens.items()
        if number is not None or name in ALWAYS_SHOWN
    ]
    untold = [
        TOKEN_LABELS[name].lower()
        for name, number in tokens.items()
        if number is None and name not in ALWAYS_SHOWN
    ]
    return [*told, ("Not told by the sender", ", ".join(untold))] if untold else told
