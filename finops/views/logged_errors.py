"""Errors by type, as services logged them: the page and its CSV."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops import error_charts
from finops.queries import logged_errors as queries
from finops.queries.logged_errors import ErrorType, ErrorTypes
from finops.templatetags import words

from .event_marks import marked, marks_of
from .figures import Chart, Figure, count_figure, point_label, stamped, unknown_figure
from .page import Choice, View, csv_action, needs, page
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    share_cell,
    time_cell,
    words_cell,
)

READ = "finops.view_requests"
MOST_COLOURS = 5
TWO_SOURCES = "Two sources tell of one service and may tell of the same lines; choose one of them."
COLUMNS = (
    Column("Service", "service"),
    Column("Type", "type"),
    Column("Errors", "errors", number=True),
    Column(
        "Per request",
        "share",
        number=True,
        help="Errors ÷ requests of this service; over 100% where a request logs several",
    ),
    Column("Requests", "requests", number=True, help="As spans tell them, in the same time"),
    Column("Last seen", "last", help="The quarter hour"),
    Column("Project", "project"),
    Column("Source", "source"),
    Column("Example"),
    Column("Trace"),
)


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort", "source")
    found = found_of(view)
    chart = marked(chart_of(found), found.points, marks_of(view.filters))
    return page(
        view,
        "finops/logged_errors.html",
        "Errors by type",
        lead="What services logged as errors, from OpenTelemetry logs, Loki and Elasticsearch.",
        crumbs=(("Requests", view.to("requests")),),
        actions=[csv_action(view, "logged-errors-csv")] if found.rows else [],
        as_of=found.as_of,
        is_sample=found.is_sample,
        has_charts=True,
        is_empty=not found.is_connected,
        may_connect=request.user.has_perm("finops.manage_sources"),
        snippet=snippet(request),
        figures=figures(found),
        chart=chart,
        table=table_of(found, view),
        sources=source_choices(view),
        said=said_of(found, view),
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort", "source")
    name = f"errors-{view.filters.start}-{view.filters.end}.csv"
    found = found_of(view)
    return csv_response(table_of(found, view), name, view.filters, found)


def found_of(view: View) -> ErrorTypes:
    step = queries.step_for(view.filters)
    return queries.error_types(view.filters, step=step, source=source_of(view))


def source_of(view: View) -> int | None:
    """Anything that is no number counts as not given."""
    said = view.extra.get("source", "")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 10 else None


def source_choices(view: View) -> list[Choice]:
    """Empty where there is nothing to choose between."""
    known = queries.error_sources(view.filters)
    chosen = source_of(view)
    if len(known) < 2 and chosen is None:
        return []
    return [
        Choice("All sources", href=view.url(source=""), current=chosen is None),
        *(Choice(name, href=view.url(source=str(pk)), current=pk == chosen) for pk, name in known),
    ]


def said_of(found: ErrorTypes, view: View) -> str:
    """What a reader must know of this list, in sentences; often nothing."""
    said = []
    if view.filters.models or view.filters.providers:
        said.append("A logged error names no model or provider: those filters do not narrow it.")
    if found.left_out:
        said.append(f"{words.count(found.left_out)} rarer types are left out; narrow the filters.")
    return " ".join(said)


def snippet(request: HttpRequest) -> str:
    return (
        "OTEL_LOGS_EXPORTER=otlp\n"
        "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=http/protobuf\n"
        f"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT={request.build_absolute_uri('/v1/logs')}\n"
        'OTEL_EXPORTER_OTLP_LOGS_HEADERS="authorization=Bearer%20brk_…"'
    )


def figures(found: ErrorTypes) -> list[Figure]:
    origin = stamped(found)
    services = {(row.project_id, row.service) for row in found.rows}
    newest = max((row.last_at for row in found.rows), default=None)
    return [
        count_figure(
            "logged-errors",
            "Errors logged",
            found.count,
            reason=TWO_SOURCES,
            note="Lines, not requests: a request may log several.",
            **origin,
        )
        if found.count is not None
        else unknown_figure("logged-errors", "Errors logged", TWO_SOURCES, **origin),
        count_figure(
            "error-types",
            "Types",
            len({row.type for row in found.rows}),
            note=f"Of {words.count(len(services))} services.",
            **origin,
        ),
        Figure(
            "last-error",
            "Last seen",
            words.when_text(newest) if newest else "None",
            note="The quarter hour of the newest error." if newest else "None in this period.",
            **origin,
        ),
    ]


def chart_of(found: ErrorTypes) -> Chart:
    lines = queries.by_type(found.rows, MOST_COLOURS)
    columns = (Column("When"), *(Column(label, number=True) for label, _, _ in lines))
    rows = tuple(
        Row((words_cell(point_label(point)), *(count_cell(counts[at]) for _, counts, _ in lines)))
        for at, point in enumerate(found.points if lines else ())
    )
    table = Table("logged-errors-series", "Errors over time", columns, rows)
    drawing = error_charts.errors_by_type(found.points, lines)
    return Chart("logged-errors", "Errors over time", drawing, table, small=True)


def table_of(found: ErrorTypes, view: View) -> Table:
    made = Table(
        "logged-errors",
        "Errors by service and type",
        COLUMNS,
        tuple(Row(cells(row)) for row in found.rows),
        empty="No errors in this period. Choose a longer one, or drop a filter.",
    )
    sort = view.extra.get("sort", "")
    return made.sorted_by(sort).linked(lambda wanted: view.url(sort=wanted), "-errors")


def trace_cell(trace_id: str) -> Cell:
    """Its beginning on the screen, all of it in the CSV: it is looked up, not read."""
    return Cell(f"{trace_id[:8]}…", trace_id, trace_id, fixed=True) if trace_id else NONE


def cells(row: ErrorType) -> tuple[Cell, ...]:
    return (
        words_cell(row.service),
        words_cell(row.type),
        count_cell(row.count),
        share_cell(row.per_request),
        count_cell(row.requests),
        time_cell(row.last_at),
        Cell(row.project_name, row.project, row.project_name.casefold()),
        words_cell(row.source, href=reverse("finops:source", args=[row.source_id])),
        words_cell(row.exemplar, prose=True) if row.exemplar else NONE,
        trace_cell(row.trace_id),
    )
