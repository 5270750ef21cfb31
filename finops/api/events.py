"""Releases, config changes and incidents: read, tell, end and remove them."""

from __future__ import annotations

from datetime import UTC

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    IntegerField,
    Serializer,
)

from finops import access
from finops.actions import events as actions
from finops.problems import Problem
from finops.queries import events as queries
from finops.queries.filters import FilterError
from ingest.events import KINDS, LONGEST, ORIGINS, EventRecord
from ingest.models import Event, Project
from ingest.store.events import INSERTED

from .base import Api, told
from .parameters import FILTERS, PAGE, limit_of, only, read_filters, refuse, text_of, text_parameter
from .people import body_of
from .shapes import Instant


class EstateEventShape(Serializer):
    id = IntegerField(source="pk")
    kind = ChoiceField(choices=KINDS)
    title = CharField()
    version = CharField(allow_blank=True)
    service = CharField(allow_blank=True)
    project = CharField(
        source="project.slug", default=None, allow_null=True, help_text="Null: the whole estate."
    )
    environment = CharField(allow_blank=True)
    happened_at = Instant()
    ended_at = Instant(allow_null=True)
    is_open = BooleanField(help_text="An incident that nobody has ended yet.")
    link = CharField(allow_blank=True)
    origin = ChoiceField(choices=ORIGINS, help_text="The door it came by.")
    source = CharField(
        source="source.name", default=None, allow_null=True, help_text="Of what was pushed."
    )
    external_id = CharField(help_text="Tell it again under this id to correct it.")
    created_by = CharField(allow_blank=True)


class EstateEventPageShape(Serializer):
    data = EstateEventShape(many=True, source="rows")
    next = CharField(allow_null=True)


def _text(name: str, help: str) -> CharField:
    return CharField(max_length=LONGEST[name], default="", allow_blank=True, help_text=help)


class EstateEventRequest(Serializer):
    kind = ChoiceField(choices=KINDS)
    title = _text("title", "Service and version if left out.")
    version = _text("version", "As in 1.4.2.")
    service = _text("service", "As spans name it.")
    project = CharField(
        max_length=60,
        default=None,
        allow_null=True,
        allow_blank=True,
        help_text="Slug; left out: the whole estate.",
    )
    environment = _text("environment", "As in production.")
    happened_at = DateTimeField(
        default=None, allow_null=True, default_timezone=UTC, help_text="Now if left out."
    )
    ended_at = DateTimeField(default=None, allow_null=True, default_timezone=UTC)
    link = _text("link", "Begins with https:// or http://.")
    external_id = _text("external_id", "One's own, such as the id of a CI run: sending it again "
                        "corrects the event instead of making another.")  # fmt: skip


class EndIncidentRequest(Serializer):
    ended_at = DateTimeField(
        default=None, allow_null=True, default_timezone=UTC, help_text="Now if left out."
    )


class Events(Api):
    permissions = {"GET": "finops.view_spend", "POST": actions.MANAGE}

    @told(
        "What happened in a period, newest first",
        EstateEventPageShape,
        parameters=[
            *FILTERS,
            text_parameter("kind", "Only this kind.", enum=KINDS),
            text_parameter("environment", "Only of this environment."),
            *PAGE,
        ],
        name="events",
        group="Events",
    )
    def get(self, request: Request) -> Response:
        kind = text_of(request, "kind")
        if kind and kind not in KINDS:
            refuse([FilterError("kind", f"Use one of {', '.join(KINDS)}.")])
        found = queries.events(
            read_filters(request, "kind", "environment", "limit", "cursor"),
            kind=kind,
            environment=text_of(request, "environment"),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(EstateEventPageShape, found)

    @told(
        "Tell of a release, a config change or an incident; telling it again changes nothing",
        EstateEventShape,
        body=EstateEventRequest,
        status=201,
        name="events_create",
        group="Events",
        also={200: (EstateEventShape, "It was known; answered as it now stands.")},
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(EstateEventRequest, request)
        project = project_of(request, wanted.pop("project"))
        demand(request, project)
        try:
            kept = actions.add(EventRecord(**wanted), project, by=request.user, via="api")
        except actions.Refused as refused:
            raise wrong(refused) from refused
        return self.answer(
            EstateEventShape, kept.event, status=201 if kept.outcome == INSERTED else 200
        )


class OneEvent(Api):
    permissions = {"GET": "finops.view_spend", "DELETE": actions.MANAGE}

    @told("One event", EstateEventShape, name="event", group="Events")
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return self.answer(EstateEventShape, visible(request, pk))

    @told("Remove an event told in error", None, status=204, name="event_remove", group="Events")
    def delete(self, request: Request, pk: str) -> Response:
        event = visible(request, pk)
        demand(request, event.project)
        actions.remove(event, by=request.user, via="api")
        return Response(status=204)


class EndEvent(Api):
    permissions = {"POST": actions.MANAGE}

    @told(
        "End an incident",
        EstateEventShape,
        body=EndIncidentRequest,
        name="event_end",
        group="Events",
    )
    def post(self, request: Request, pk: str) -> Response:
        wanted = body_of(EndIncidentRequest, request)
        event = visible(request, pk)
        demand(request, event.project)
        try:
            actions.end(event, wanted["ended_at"], by=request.user, via="api")
        except actions.Refused as refused:
            raise wrong(refused) from refused
        return self.answer(EstateEventShape, event)


def visible(request: Request, pk: str) -> Event:
    event = queries.one(request.user, int(pk))
    if event is None:
        raise Problem(404, "There is no such event that you may see.")
    return event


def project_of(request: Request, slug: str | None) -> Project | None:
    if not slug:
        return None
    for project in access.visible_projects(request.user).all:
        if project.slug == slug and not project.is_unallocated:
            return project
    message = f"There is no project “{slug}” that you may see; leave it out for the whole estate."
    raise Problem(400, "Some fields are wrong.", [FilterError("project", message)])


def demand(request: Request, project: Project | None) -> None:
    if actions.may_manage(request.user, project):
        return
    if project is None:
        raise Problem(403, "An event of the whole estate needs a role over the whole organisation;"
                      " name one of your projects in `project`.")  # fmt: skip
    raise Problem(403, f"Your role over {project.name} does not allow telling its events.")


def wrong(refused: actions.Refused) -> Problem:
    if not refused.field:
        return Problem(409, str(refused))
    return Problem(400, "Some fields are wrong.", [FilterError(refused.field, str(refused))])
