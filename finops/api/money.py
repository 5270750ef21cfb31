"""Spend, prices, forecasts and anomalies."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from finops import access
from finops.problems import Problem
from finops.queries import course, events, expectations, overview, prices, spend
from finops.queries.cost_lines import NARROWED, cost_lines
from finops.queries.filters import FilterError
from finops.queries.forecast_conversion import marks_in_one

from . import shapes
from .base import Api, told
from .parameters import (
    BY_LABEL,
    CONVERT,
    FILTERS,
    GROUP_BY_OR_LABEL,
    PAGE,
    choice_of,
    limit_of,
    number_of,
    only,
    read_filters,
    text_of,
    text_parameter,
)

STEPS = ("day", "hour")
STEP = text_parameter("step", "Day, or hour for basis=usage and at most 8 days.", enum=STEPS)
SPEND = {"GET": "finops.view_spend"}


class SpendTotal(Api):
    permissions = SPEND

    @told(
        "What was spent, in one total",
        shapes.SpendShape,
        parameters=[*FILTERS, BY_LABEL, CONVERT],
        name="spend",
        group="Spend",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "convert", by_label=True)
        return self.answer(shapes.SpendShape, spend.spend_total(filters))


class SpendBy(Api):
    permissions = SPEND

    @told(
        "The total split by one or two groups",
        shapes.SpendTableShape,
        parameters=[*FILTERS, BY_LABEL, CONVERT, GROUP_BY_OR_LABEL],
        name="spend_by",
        group="Spend",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "convert", by_label=True)
        return self.answer(shapes.SpendTableShape, spend.spend_by(filters))


class SpendSeries(Api):
    permissions = SPEND

    @told(
        "The total over time",
        shapes.SeriesShape,
        parameters=[*FILTERS, BY_LABEL, CONVERT, GROUP_BY_OR_LABEL, STEP],
        name="spend_series",
        group="Spend",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "convert", "step", by_label=True)
        try:
            series = spend.spend_series(filters, choice_of(request, "step", STEPS))
        except spend.NoSuchSeries as error:
            raise Problem(400, str(error), [FilterError("step", str(error))]) from error
        return self.answer(shapes.SeriesShape, series)


class SpendLines(Api):
    permissions = SPEND

    @told(
        "The lines that the total consists of, newest day first",
        shapes.CostLinesShape,
        parameters=[
            *FILTERS,
            CONVERT,
            *(text_parameter(name, f"Only lines of this {name}.") for name in NARROWED),
            *PAGE,
        ],
        name="spend_lines",
        group="Spend",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "convert", *NARROWED, "limit", "cursor")
        found = cost_lines(
            filters,
            {name: text_of(request, name) for name in NARROWED},
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(shapes.CostLinesShape, found)


class SpendMonth(Api):
    permissions = SPEND

    @told(
        "The month that the last day falls in, added up, beside the month before",
        shapes.CourseShape,
        parameters=[*FILTERS, CONVERT],
        name="spend_month",
        group="Spend",
    )
    def get(self, request: Request) -> Response:
        found = course.month_course(read_filters(request, "convert"), request.user)
        return self.answer(shapes.CourseShape, found)


class Prices(Api):
    permissions = SPEND

    @told(
        "The prices of one version of the price book",
        shapes.PricePageShape,
        parameters=[
            text_parameter("book", "Version; the latest if left out."),
            text_parameter("provider", "Exactly this provider."),
            text_parameter("model", "Exactly this model."),
            text_parameter("q", "Part of the provider's or the model's name."),
            *PAGE,
        ],
        name="prices",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request, "book", "provider", "model", "q", "limit", "cursor")
        version = number_of(request, "book")
        book = prices.price_book(version)
        if book is None and version is not None:
            raise Problem(404, f"There is no version {version} of the price book.")
        page = prices.price_page(
            book,
            search=text_of(request, "q"),
            provider=text_of(request, "provider"),
            model=text_of(request, "model"),
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        return self.answer(shapes.PricePageShape, page)


class Books(Api):
    permissions = SPEND

    @told(
        "The versions of the price book, newest first",
        shapes.BookListShape,
        name="price_books",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request)
        return self.answer(shapes.BookListShape, {"data": prices.books(), "next": None})


class Forecasts(Api):
    permissions = SPEND

    @told(
        "The newest daily forecast of everything and of each project",
        shapes.ForecastListShape,
        parameters=[
            *FILTERS,
            text_parameter(
                "convert",
                "Forecasts of all currencies in this one, days to come at the newest rate; then of"
                " exactly the scope of these filters alone.",
            ),
        ],
        name="forecasts",
        group="Forecasts",
    )
    def get(self, request: Request) -> Response:
        filters, projects = read_filters(request, "convert"), _projects(request)
        conversion = None
        if filters.convert:
            found, conversion = overview.forecast_in_one(filters)
        else:
            found = expectations.forecasts(filters, _reach(filters, projects))
        data = [_scoped(one, projects) for one in found]
        answer = {"data": data, "next": None, "conversion": conversion}
        return self.answer(shapes.ForecastListShape, answer)


class Anomalies(Api):
    permissions = SPEND

    @told(
        "Days that cost more or less than expected, newest first",
        shapes.AnomalyListShape,
        parameters=[*FILTERS, CONVERT],
        name="anomalies",
        group="Forecasts",
    )
    def get(self, request: Request) -> Response:
        filters, projects = read_filters(request, "convert"), _projects(request)
        found = expectations.all_anomalies(filters, _reach(filters, projects))
        recorded: dict[int, str] = {}
        if filters.convert:
            found, recorded = marks_in_one(filters, found)
        near = events.near(found, filters.zone)
        data = [_scoped(one, projects) for one in found]
        for row in data:
            row.events = near[row.id]
            row.converted = recorded.get(row.id)
        return self.answer(shapes.AnomalyListShape, {"data": data, "next": None})


def _projects(request: Request) -> dict[int, str]:
    return {project.pk: project.slug for project in access.visible_projects(request.user).all}


def _reach(filters: Any, projects: dict[int, str]) -> list[int]:
    return list(projects if filters.project_ids is None else filters.project_ids)


def _scoped(row: Any, projects: dict[int, str]) -> SimpleNamespace:
    """The same row with the project's slug for its number, as filters name it."""
    kind, _, pk = row.scope.partition(":")
    scope = f"project:{projects[int(pk)]}" if pk else kind
    names = [field.attname for field in row._meta.concrete_fields]
    return SimpleNamespace(**{name: getattr(row, name) for name in names} | {"scope": scope})
