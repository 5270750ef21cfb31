"""Releases, config changes and incidents: list them, tell one by hand, end and remove it."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import access
from finops.actions import events as actions
from finops.event_forms import EndForm, EventForm
from finops.queries import events as queries
from finops.templatetags import words
from ingest.events import KINDS
from ingest.models import Event
from ingest.store.events import UNCHANGED

from .page import Action, Choice, View, csv_action, needs, page
from .tables import NONE, Cell, Column, Row, Table, csv_response, time_cell, words_cell

READ = "finops.view_spend"
PAGE_SIZE = 50
EVERY_EVENT = 10_000
TONES = {"release": "", "config_change": "", "incident": "warn"}
ORIGIN_WORDS = {
    "api": "through the API",
    "page": "on this page",
    "command": "by a command",
    "otlp": "by OpenTelemetry",
    "git": "from Git tags",
}
COLUMNS = (
    Column("Event"),
    Column("Kind"),
    Column("When"),
    Column("Ended"),
    Column("Service"),
    Column("Version"),
    Column("Project"),
    Column("Environment"),
    Column("Told"),
    Column("Link"),
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "kind", "environment", "cursor")
    if request.method == "POST":
        return tell(view)
    return events_page(view)


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "kind", "environment")
    found = found_of(view, limit=EVERY_EVENT)
    name = f"events-{view.filters.start}-{view.filters.end}.csv"
    return csv_response(event_table(found.rows), name, view.filters)


@needs(READ)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    return one_page(View.of(request), visible(request, pk))


@needs(actions.MANAGE)
@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    event = managed(request, pk)
    form = EndForm(request.POST)
    if form.is_valid():
        try:
            actions.end(event, form.cleaned_data["ended_at"], by=request.user, via="page")
        except actions.Refused as refused:
            form.add_error(refused.field or None, str(refused))
        else:
            messages.success(request, f"“{event.title}” has ended.")
            return HttpResponseRedirect(reverse("finops:event", args=[event.pk]))
    return one_page(View.of(request), event, form, status=422)


@needs(actions.MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    event = managed(request, pk)
    actions.remove(event, by=request.user, via="page")
    messages.success(request, f"“{event.title}” is removed.")
    return HttpResponseRedirect(reverse("finops:events"))


# The list


def found_of(view: View, limit: int = PAGE_SIZE, cursor: str | None = None) -> queries.EventPage:
    return queries.events(
        view.filters,
        kind=view.extra.get("kind", ""),
        environment=view.extra.get("environment", ""),
        limit=limit,
        cursor=cursor,
    )


def events_page(view: View, form: EventForm | None = None, status: int = 200) -> HttpResponse:
    user, cursor = view.request.user, view.extra.get("cursor")
    found = found_of(view, cursor=cursor)
    may_tell = access.anywhere(user, actions.MANAGE)
    kind = view.extra.get("kind", "")
    is_narrowed = bool(kind or view.extra.get("environment") or cursor)
    return page(
        view,
        "finops/events.html",
        "Events",
        lead="Releases, config changes and incidents. Every chart over time marks them.",
        actions=[csv_action(view, "events-csv", cursor="")] if found.rows else [],
        status=status,
        is_empty=not found.rows and not is_narrowed,
        snippet=snippet(view.request),
        table=event_table(found.rows),
        kinds=[
            Choice("All", href=view.url(kind="", cursor=""), current=kind not in KINDS),
            *(
                Choice(label, href=view.url(kind=name, cursor=""), current=kind == name)
                for name, label in LABELS.items()
            ),
        ],
        environments=queries.environments(view.filters),
        environment=view.extra.get("environment", ""),
        kept=view.pairs(view.filters, "environment", "cursor"),
        open_incidents=[
            (event, reverse("finops:event", args=[event.pk]))
            for event in queries.open_incidents(view.filters)
        ],
        may_tell=may_tell,
        form=form or (EventForm(user) if may_tell else None),
        is_form_open=form is not None,
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(found.rows)} events on this page",
    )


LABELS = {"release": "Releases", "config_change": "Config changes", "incident": "Incidents"}


def snippet(request: HttpRequest) -> str:
    address = request.build_absolute_uri("/api/v1/events")
    return (
        f"curl -X POST {address} \\\n"
        '  -H "Authorization: Bearer $BREAKEVEN_TOKEN" -H "Content-Type: application/json" \\\n'
        '  -d \'{"kind": "release", "service": "search", "version": "1.4.2",'
        ' "external_id": "build-812"}\''
    )


def event_table(rows: tuple[Event, ...]) -> Table:
    return Table(
        "events",
        "Events, newest first",
        COLUMNS,
        tuple(Row(event_cells(event)) for event in rows),
        empty="No event like this in the period. Choose a longer one, or drop a filter.",
    )


def event_cells(event: Event) -> tuple[Cell, ...]:
    project = event.project
    return (
        words_cell(event.title, href=reverse("finops:event", args=[event.pk])),
        Cell(kind_said(event), event.kind, event.kind, tone=TONES[event.kind]),
        time_cell(event.happened_at),
        ended_cell(event),
        words_cell(event.service) if event.service else NONE,
        words_cell(event.version) if event.version else NONE,
        Cell(project.name, project.slug) if project else Cell("Whole estate", ""),
        words_cell(event.environment) if event.environment else NONE,
        Cell(told_said(event), event.origin),
        Cell("Open", event.link, href=event.link) if event.link else NONE,
    )


def kind_said(event: Event) -> str:
    return queries.KIND_WORDS[event.kind].capitalize()


def ended_cell(event: Event) -> Cell:
    if event.is_open:
        return Cell("not ended", "", tone="bad")
    return time_cell(event.ended_at) if event.ended_at else NONE


def told_said(event: Event) -> str:
    by = event.source.name if event.source else event.created_by
    said = ORIGIN_WORDS[event.origin]
    return f"{said}: {by}" if by and by != "command line" else said


# Telling one


def tell(view: View) -> HttpResponse:
    user = view.request.user
    if not access.anywhere(user, actions.MANAGE):
        raise PermissionDenied
    form = EventForm(user, view.request.POST)
    if form.is_valid():
        if not actions.may_manage(user, form.owner()):
            raise PermissionDenied
        try:
            kept = actions.add(form.record(), form.owner(), by=user, via="page")
        except actions.Refused as refused:
            form.add_error(refused.field if refused.field in form.fields else None, str(refused))
        else:
            was = "was told already" if kept.outcome == UNCHANGED else "is marked in every chart"
            messages.success(view.request, f"“{kept.event.title}” {was}.")
            return HttpResponseRedirect(view.url(cursor=""))
    return events_page(view, form, status=422)


# One event


def one_page(
    view: View, event: Event, form: EndForm | None = None, status: int = 200
) -> HttpResponse:
    may_manage = actions.may_manage(view.request.user, event.project)
    return page(
        view,
        "finops/event.html",
        event.title,
        lead=f"{kind_said(event)}, {words.when_text(event.happened_at)}.",
        crumbs=(("Events", view.to("events")),),
        actions=[Action("Open the link", event.link, "link")] if event.link else [],
        with_bar=False,
        status=status,
        event=event,
        table=Table("event", "What is known of it", FACTS, facts(event)),
        may_manage=may_manage,
        form=(form or EndForm()) if may_manage and event.is_open else None,
    )


FACTS = (Column("What"), Column("Value"))


def facts(event: Event) -> tuple[Row, ...]:
    cells = dict(zip((column.label for column in COLUMNS), event_cells(event), strict=True))
    cells["Event"] = words_cell(event.title)
    cells["Its own id"] = words_cell(event.external_id)
    return tuple(Row((words_cell(label), cell)) for label, cell in cells.items())


def visible(request: HttpRequest, pk: int) -> Event:
    event = queries.one(request.user, pk)
    if event is None:
        raise Http404("There is no such event that you may see.")
    return event


def managed(request: HttpRequest, pk: int) -> Event:
    event = visible(request, pk)
    if not actions.may_manage(request.user, event.project):
        raise PermissionDenied
    return event
