"""The rules of alerts and planned silences: read and change them."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from finops import access
from finops.actions import alerting
from finops.models import Silence
from finops.models.alerts import ALERT_KINDS
from finops.problems import Problem
from finops.queries import alerts as queries
from finops.queries.filters import FilterError
from ingest.models import Project

from .alert_shapes import (
    RuleListShape,
    RuleRequest,
    RuleShape,
    SilenceListShape,
    SilenceRequest,
    SilenceShape,
)
from .alerts import GROUP, READ, wrong
from .base import Api, told
from .parameters import choice_of, only, text_parameter
from .people import body_of

WHICH = ("current", "over")


class Rules(Api):
    permissions = {"GET": READ}

    @told("The rule of each kind of alert", RuleListShape, name="alert_rules", group=GROUP)
    def get(self, request: Request) -> Response:
        only(request)
        return self.answer(RuleListShape, {"data": alerting.rules(), "next": None})


class OneRule(Api):
    permissions = {"PUT": alerting.MANAGE}
    over_everything = True

    @told("Change the rule of a kind, whole", RuleShape, body=RuleRequest,
          name="alert_rule_change", group=GROUP)  # fmt: skip
    def put(self, request: Request, kind: str) -> Response:
        if kind not in ALERT_KINDS:
            raise Problem(404, f"There is no such kind; there are {', '.join(ALERT_KINDS)}.")
        given = body_of(RuleRequest, request)
        for name in ("channel_ids", "escalation_channel_ids"):
            given[name] = tuple(given[name])
        try:
            rule = alerting.change_rule(
                kind, alerting.RuleChange(**given), by=request.user, via="api"
            )
        except alerting.Refused as refused:
            raise wrong(refused) from refused
        return self.answer(RuleShape, rule)


class Silences(Api):
    permissions = {"GET": READ, "POST": alerting.MANAGE}

    @told(
        "Planned silences that are on or to come, or those that are over",
        SilenceListShape,
        parameters=[text_parameter("which", "`current` if left out.", enum=WHICH)],
        name="silences",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "which")
        is_over = choice_of(request, "which", WHICH) == "over"
        found = queries.silences(request.user, timezone.now(), over=is_over)
        return self.answer(SilenceListShape, {"data": found, "next": None})

    @told("Plan a silence", SilenceShape, body=SilenceRequest, status=201,
          name="silence_create", group=GROUP)  # fmt: skip
    def post(self, request: Request) -> Response:
        given = body_of(SilenceRequest, request)
        project = project_of(request, given.pop("project"))
        demand(request, project)
        try:
            made = alerting.silence(alerting.Plan(**given), project, by=request.user, via="api")
        except alerting.Refused as refused:
            raise wrong(refused) from refused
        return self.answer(SilenceShape, made, status=201)


class OneSilence(Api):
    permissions = {"DELETE": alerting.MANAGE}

    @told("End a silence now; it stays listed", None, status=204, name="silence_end",
          group=GROUP)  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        held = _silence(request, int(pk))
        demand(request, held.project)
        alerting.end_silence(held, by=request.user, via="api")
        return Response(status=204)


def _silence(request: Request, pk: int) -> Silence:
    held = queries.one_silence(request.user, pk)
    if held is None:
        raise Problem(404, "There is no such silence that you may see.")
    return held


def project_of(request: Request, slug: str | None) -> Project | None:
    if not slug:
        return None
    for project in access.visible_projects(request.user).all:
        if project.slug == slug:
            return project
    message = f"There is no project “{slug}” that you may see; leave it out for every project."
    raise Problem(400, "Some fields are wrong.", [FilterError("project", message)])


def demand(request: Request, project: Project | None) -> None:
    if alerting.may_manage(request.user, project):
        return
    if project is None:
        raise Problem(403, "A silence over every project needs a role over the whole organisation;"
                      " name one of your projects in `project`.")  # fmt: skip
    raise Problem(403, f"Your role over {project.name} does not allow planning silences.")
