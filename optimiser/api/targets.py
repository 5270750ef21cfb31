"""Servers, targets and calibrations."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from finops.api.base import Api, told
from finops.api.parameters import PAGE, limit_of, number_of, only, text_of, text_parameter
from finops.problems import Problem
from finops.queries.filters import FilterError
from ingest.models import Pool, Project, Source
from optimiser import asking, connections
from optimiser.connections import MANAGE, NewServer, NewTarget
from optimiser.models import Calibration, Server
from optimiser.queries import targets as queries
from optimiser.queries.paging import newest_first

from . import shapes
from .asked import CONFLICT, body_of, refused

LARGEST_ID = 2**63


class Servers(Api):
    permissions = {"GET": MANAGE, "POST": MANAGE}
    over_everything = True
    write_scope = "admin"

    @told("The Triton servers", shapes.ServerListShape, name="servers", group="Targets")
    def get(self, request: Request) -> Response:
        only(request)
        return self.answer(shapes.ServerListShape, {"data": Server.objects.all(), "next": None})

    @told(
        "Add a Triton server",
        shapes.ServerShape,
        body=shapes.ServerRequest,
        status=201,
        name="servers_create",
        group="Targets",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.ServerRequest, request)
        source = wanted.pop("statistics_source")
        with refused():
            server = connections.add_server(
                NewServer(
                    **wanted,
                    statistics_source=None
                    if source is None
                    else named(Source.objects, "statistics_source", pk=source),
                ),
                by=request.user,
                via="api",
            )
        return self.answer(shapes.ServerShape, server, status=201)


class Targets(Api):
    permissions = {"GET": queries.SEE, "POST": MANAGE}
    write_scope = "admin"

    @told("The targets and how they stand", shapes.TargetListShape, name="targets", group="Targets")
    def get(self, request: Request) -> Response:
        only(request)
        found = {"data": queries.target_list(request.user), "next": None}
        return self.answer(shapes.TargetListShape, found)

    @told(
        "Add a model that changes may be applied to",
        shapes.OneTargetShape,
        body=shapes.TargetRequest,
        status=201,
        name="targets_create",
        group="Targets",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.TargetRequest, request)
        with refused():
            target = connections.add_target(
                NewTarget(
                    server=named(Server.objects, "server", pk=wanted.pop("server")),
                    project=named(Project.objects, "project", slug=wanted.pop("project")),
                    pool=named(Pool.objects, "pool", name=wanted.pop("pool")),
                    **wanted,
                ),
                by=request.user,
                via="api",
            )
        return self.answer(shapes.OneTargetShape, _detail(request, target.pk), status=201)


def named(rows: Any, field: str, **by: Any) -> Any:
    """The row that a body names, or a problem at its field."""
    if isinstance(by.get("pk"), int) and not 0 <= by["pk"] < LARGEST_ID:
        by = {"pk__in": ()}
    row = rows.filter(**by).first()
    if row is None:
        wrong = FilterError(field, "There is none of this name.")
        raise Problem(400, "Some fields are wrong.", [wrong])
    return row


class OneTarget(Api):
    permissions = {"GET": queries.SEE}

    @told(
        "One target: its desired and live config, and what differs",
        shapes.OneTargetShape,
        name="target",
        group="Targets",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        return self.answer(shapes.OneTargetShape, _detail(request, int(pk)))


def _detail(request: Request, pk: int) -> queries.TargetDetail:
    found = queries.target_detail(request.user, pk)
    if found is None:
        raise Problem(404, "There is no such target that you may see.")
    return found


class Calibrations(Api):
    permissions = {"GET": queries.SEE, "POST": queries.SEE}

    @told(
        "Calibrations, newest first",
        shapes.CalibrationPageShape,
        parameters=[text_parameter("target", "Only of the target with this id."), *PAGE],
        name="calibrations",
        group="Targets",
    )
    def get(self, request: Request) -> Response:
        only(request, "target", "limit", "cursor")
        found = queries.visible_calibrations(request.user)
        target = number_of(request, "target")
        if target is not None:
            found = found.filter(target=target)
        cursor = text_of(request, "cursor") or None
        page = newest_first(found, limit_of(request), cursor, "requested_at")
        return self.answer(shapes.CalibrationPageShape, page)

    @told(
        "Ask for a calibration on a shadow of the target's model",
        shapes.CalibrationShape,
        body=shapes.CalibrationRequest,
        status=202,
        name="calibrations_create",
        group="Targets",
        more=CONFLICT,
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(shapes.CalibrationRequest, request)
        target = named(queries.visible(request.user), "target", pk=wanted["target"])
        with refused():
            made = asking.calibration(target, request.user, via="api")
        answer = self.answer(shapes.CalibrationShape, made, status=202)
        answer["Location"] = f"/api/v1/calibrations/{made.pk}"
        return answer


class OneCalibration(Api):
    permissions = {"GET": queries.SEE}

    @told("One calibration", shapes.CalibrationShape, name="calibration", group="Targets")
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        found: Calibration | None = (
            queries.visible_calibrations(request.user).filter(pk=int(pk)).first()
        )
        if found is None:
            raise Problem(404, "There is no such calibration that you may see.")
        return self.answer(shapes.CalibrationShape, found)
