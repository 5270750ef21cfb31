"""Labels that costs are split by: read, keep and remove them."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateField,
    IntegerField,
    ListField,
    Serializer,
)

from finops import access
from finops.actions import labels as actions
from finops.problems import Problem
from finops.queries import kept_labels
from finops.queries import labels as queries
from finops.queries.filters import FilterError, today
from finops.queries.labels import LabelRow
from ingest.models import Project

from .base import Api, told
from .parameters import only, refuse, text_of, text_parameter
from .people import body_of

GROUP = "Labels"


class LabelShape(Serializer):
    id = IntegerField(source="label.pk")
    name = CharField(source="label.name", help_text="As in group_by=label:customer.")
    project = CharField(
        source="label.project.slug",
        default=None,
        allow_null=True,
        help_text="Null: every project that has no label of this name itself.",
    )
    attributes = ListField(
        child=CharField(),
        source="label.attributes",
        help_text="Keys of requests' attributes; the first one that a request has is its value.",
    )
    since = DateField(source="label.since")
    first_day = DateField(allow_null=True, help_text="The first day summed; null: none yet.")
    summed_days = IntegerField(help_text="Of all its projects.")
    waiting_days = IntegerField(help_text="To be summed or priced yet.")
    most_values = IntegerField(help_text="Different values on the day that had the most.")
    folded_days = IntegerField(help_text="Days with more values than are kept apart.")
    created_by = CharField(source="label.created_by")


class KeySeenShape(Serializer):
    key = CharField()
    requests = IntegerField(help_text="That have it, of those that were looked at.")
    values = IntegerField(help_text="Different ones.")
    example = CharField()
    looked_at = IntegerField(help_text="Newest requests that were looked at.")
    has_many = BooleanField(help_text="So many values that it names requests, not customers.")
    may_be_personal = BooleanField(help_text="The example looks like an address of a person.")


class KeyListShape(Serializer):
    data = KeySeenShape(many=True)
    next = CharField(allow_null=True)


class LabelListShape(Serializer):
    data = LabelShape(many=True)
    next = CharField(allow_null=True)


class LabelRequest(Serializer):
    name = CharField(max_length=100, help_text="Small letters, digits, dots and dashes.")
    attributes = ListField(child=CharField(max_length=300), help_text="One to five keys.")
    since = DateField(help_text="The first accounting day that is summed by it.")
    project = CharField(
        max_length=60,
        default=None,
        allow_null=True,
        allow_blank=True,
        help_text="Slug; left out: every project.",
    )


class Labels(Api):
    permissions = {"GET": "finops.view_spend", "POST": actions.MANAGE}

    @told("The labels that costs are split by", LabelListShape, name="labels", group=GROUP)
    def get(self, request: Request) -> Response:
        only(request)
        found = queries.of_user(request.user)
        return self.answer(LabelListShape, {"data": found, "next": None})

    @told(
        "Sum costs by a label, from a day on",
        LabelShape,
        body=LabelRequest,
        status=201,
        name="label_create",
        group=GROUP,
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(LabelRequest, request)
        project = project_of(request, wanted["project"])
        demand(request, project)
        try:
            label = actions.keep(
                project,
                wanted["name"],
                wanted["attributes"],
                wanted["since"],
                by=request.user,
                via="api",
            )
        except actions.BadLabel as bad:
            wrong = FilterError(bad.field, str(bad))
            raise Problem(400, "Some fields are wrong.", [wrong]) from bad
        return self.answer(LabelShape, row_of(request, label.pk), status=201)


class LabelKeys(Api):
    permissions = {"GET": actions.MANAGE}

    @told(
        "Keys that the newest requests have, to choose labels from",
        KeyListShape,
        parameters=[text_parameter("project", "Slug; all that one may choose for if left out.")],
        name="label_keys",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "project")
        projects = actions.managed(request.user)
        slug = text_of(request, "project")
        if slug and slug not in projects:
            message = f"There is no project “{slug}” whose labels you may choose."
            refuse([FilterError("project", message)])
        asked = [projects[slug]] if slug else projects.values()
        found = queries.keys_seen(asked, today())
        return self.answer(KeyListShape, {"data": found, "next": None})


class OneLabel(Api):
    permissions = {"GET": "finops.view_spend", "DELETE": actions.MANAGE}

    @told("One label", LabelShape, name="label", group=GROUP)
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return self.answer(LabelShape, row_of(request, int(pk)))

    @told("Remove a label, with all that was summed by it", None, status=204, name="label_remove",
          group=GROUP)  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        label = kept_labels.one(request.user, int(pk))
        if label is None:
            raise nothing()
        demand(request, label.project)
        actions.remove(label, by=request.user, via="api")
        return Response(status=204)


def row_of(request: Request, pk: int) -> LabelRow:
    for row in queries.of_user(request.user):
        if row.label.pk == pk:
            return row
    raise nothing()


def nothing() -> Problem:
    return Problem(404, "There is no such label that you may see.")


def project_of(request: Request, slug: str | None) -> Project | None:
    if not slug:
        return None
    for project in access.visible_projects(request.user).all:
        if project.slug == slug:
            return project
    message = f"There is no project “{slug}” that you may see; leave it out for every project."
    raise Problem(400, "Some fields are wrong.", [FilterError("project", message)])


def demand(request: Request, project: Project | None) -> None:
    if not actions.may_manage(request.user, project):
        where = f"over {project.name}" if project else "over the whole organisation"
        raise Problem(403, f"Choosing this label asks for the role analyst or admin {where}.")
