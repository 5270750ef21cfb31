"""Requests, GPUs and the health of sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from finops.problems import Problem
from finops.queries import gpus, model_servers, sources, traffic
from finops.queries.filters import FilterError
from ingest.models import Source

from . import source_shapes, traffic_shapes
from .base import Api, told
from .parameters import (
    CONVERT,
    FILTERS,
    GROUP_BY,
    PAGE,
    choice_of,
    limit_of,
    number_of,
    only,
    read_filters,
    refuse,
    text_of,
    text_parameter,
)

STEPS = ("day", "hour")
STEP = text_parameter("step", "Day, or hour for at most 14 days.", enum=STEPS)
REQUESTS = {"GET": "finops.view_requests"}
SOURCES = {"GET": "finops.view_sources"}
BILLS = {"GET": "finops.view_bills"}


class RequestSummary(Api):
    permissions = REQUESTS

    @told(
        "Requests, errors, tokens and latency by group",
        traffic_shapes.RequestTableShape,
        parameters=[*FILTERS, GROUP_BY],
        name="requests",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request)
        if not set(filters.group_by) <= set(traffic.GROUPS):
            refuse([FilterError("group_by", f"Use one or two of {', '.join(traffic.GROUPS)}.")])
        return self.answer(traffic_shapes.RequestTableShape, traffic.request_summary(filters))


class RequestSeries(Api):
    permissions = REQUESTS

    @told(
        "Requests, errors and latency over time",
        traffic_shapes.LatencySeriesShape,
        parameters=[*FILTERS, STEP],
        name="requests_series",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        return self.answer(
            traffic_shapes.LatencySeriesShape, _over_time(request, traffic.latency_series)
        )


class RequestConcurrency(Api):
    permissions = REQUESTS

    @told(
        "Requests in flight, users and sessions at once",
        traffic_shapes.ConcurrencyShape,
        parameters=[*FILTERS, STEP],
        name="requests_concurrency",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        return self.answer(
            traffic_shapes.ConcurrencyShape, _over_time(request, traffic.concurrency)
        )


class ModelServers(Api):
    permissions = BILLS
    over_everything = True

    @told(
        "Self-hosted models: bandwidth utilisation and requests given up",
        traffic_shapes.ModelServersShape,
        parameters=FILTERS,
        name="requests_servers",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        found = model_servers.model_servers(read_filters(request))
        return self.answer(traffic_shapes.ModelServersShape, found)


class SpanList(Api):
    """Single requests; which ones, the subclass says."""

    permissions = REQUESTS
    read: Callable[..., traffic.SpanPage]

    def page(self, request: Request) -> Response:
        filters = read_filters(request, "limit", "cursor")
        cursor = text_of(request, "cursor") or None
        found = type(self).read(filters, limit_of(request), cursor)
        return self.answer(traffic_shapes.SpanPageShape, found)


class Recent(SpanList):
    read = staticmethod(traffic.recent)

    @told(
        "The newest requests",
        traffic_shapes.SpanPageShape,
        parameters=[*FILTERS, *PAGE],
        name="requests_recent",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        return self.page(request)


class Slowest(SpanList):
    read = staticmethod(traffic.slowest)

    @told(
        "The slowest requests, up to 250",
        traffic_shapes.SpanPageShape,
        parameters=[*FILTERS, *PAGE],
        name="requests_slowest",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        return self.page(request)


class Errors(SpanList):
    read = staticmethod(traffic.errors)

    @told(
        "The failed requests, newest first",
        traffic_shapes.SpanPageShape,
        parameters=[*FILTERS, *PAGE],
        name="requests_errors",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        return self.page(request)


class Gpus(Api):
    permissions = BILLS
    over_everything = True

    @told(
        "Pools with their GPUs and models: used, idle and unobserved cost",
        traffic_shapes.PoolTableShape,
        parameters=[*FILTERS, CONVERT],
        name="gpus",
        group="GPUs",
    )
    def get(self, request: Request) -> Response:
        found = gpus.pools(read_filters(request, "convert"))
        return self.answer(traffic_shapes.PoolTableShape, found)


class GpuSeries(Api):
    permissions = BILLS
    over_everything = True

    @told(
        "Utilisation of each GPU over time",
        traffic_shapes.UtilizationShape,
        parameters=FILTERS,
        name="gpus_series",
        group="GPUs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(
            traffic_shapes.UtilizationShape, gpus.utilization_series(read_filters(request))
        )


class Deliveries(Api):
    permissions = BILLS
    over_everything = True

    @told(
        "The billing files of a source, newest first",
        source_shapes.DeliveryPageShape,
        parameters=PAGE,
        name="source_deliveries",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.answer(source_shapes.DeliveryPageShape, _page(request, pk, sources.deliveries))


class OneDelivery(Api):
    permissions = BILLS
    over_everything = True

    @told(
        "One billing file, what it supersedes and what superseded it",
        source_shapes.DeliveryShape,
        name="delivery",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request)
        found = sources.delivery_detail(request.user, pk)
        if found is None:
            raise Problem(404, "There is no such delivery that you may see.")
        return self.answer(source_shapes.DeliveryShape, found)


class Pulls(Api):
    permissions = SOURCES

    @told(
        "The pulls of a source, or its pushes by the hour, newest first",
        source_shapes.PullPageShape,
        parameters=PAGE,
        name="source_pulls",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        return self.answer(source_shapes.PullPageShape, _page(request, pk, sources.pulls))


class Rejects(Api):
    permissions = SOURCES

    @told(
        "Rows that could not be taken, newest first",
        source_shapes.RejectPageShape,
        parameters=[text_parameter("delivery", "Only of this delivery."), *PAGE],
        name="source_rejects",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        delivery = number_of(request, "delivery")
        found = _page(request, pk, sources.rejects, "delivery", delivery_id=delivery)
        return self.answer(source_shapes.RejectPageShape, found)


def _over_time(request: Request, read: Callable[..., Any]) -> Any:
    filters = read_filters(request, "step")
    try:
        return read(filters, choice_of(request, "step", STEPS))
    except traffic.NoSuchSeries as error:
        raise Problem(400, str(error), [FilterError("step", str(error))]) from error


def source_row(request: Request, pk: int) -> sources.SourceRow:
    found = sources.source_detail(request.user, pk)
    if found is None:
        raise Problem(404, "There is no such source that you may see.")
    return found


def _page(
    request: Request, pk: int, read: Callable[..., Any], *names: str, **more: Any
) -> sources.Page:
    only(request, "limit", "cursor", *names)
    source: Source = visible_source(request, pk)
    return read(source, limit_of(request), text_of(request, "cursor") or None, **more)


def visible_source(request: Request, pk: int) -> Source:
    found = sources.visible_source(request.user, pk)
    if found is None:
        raise Problem(404, "There is no such source that you may see.")
    return found
