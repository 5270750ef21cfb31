"""Unit costs, models side by side, and the same traffic on another model."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from finops import access
from finops.queries import kept_labels
from finops.queries import unit_costs as queries
from finops.queries.filters import Filters
from finops.queries.unit_costs import GROUPS, NAMES, UNITS, Asked

from . import unit_costs_shapes as shapes
from .base import Api, told
from .parameters import CONVERT, FILTERS, read_filters, refuse, text_parameter

SPEND = {"GET": "finops.view_spend"}
SCORE = [
    text_parameter("score", "Name of the score that tells a successful answer."),
    text_parameter("at_least", "From which value on an answer succeeds; 0.5 if left out."),
]
LABEL = text_parameter("label", "A label that is kept: adds the unit `label`, per its value.")
GROUP_BY = text_parameter(
    "group_by", f"One or two of {', '.join(GROUPS)}, separated by a comma; model if left out."
)


def asked_of(request: Request, *more: str) -> tuple[Filters, Asked]:
    filters = read_filters(request, *NAMES, *more)
    labels = kept_labels.names(access.visible_projects(request.user))
    asked, errors = queries.parse(request.query_params, labels)
    refuse(errors)
    return filters, asked


class UnitCosts(Api):
    permissions = SPEND

    @told(
        "What one unit of use costs, in total and by group, with both of its numbers",
        shapes.UnitTableShape,
        parameters=[*FILTERS, CONVERT, GROUP_BY, *SCORE, LABEL],
        name="unit_costs",
        group="Unit costs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(shapes.UnitTableShape, queries.unit_costs(*asked_of(request, "convert")))


class Series(Api):
    permissions = SPEND

    @told(
        "One unit cost day by day",
        shapes.UnitSeriesShape,
        parameters=[
            *FILTERS,
            CONVERT,
            text_parameter("unit", "Which one; requests if left out.", enum=tuple(UNITS)),
            *SCORE,
            LABEL,
        ],
        name="unit_costs_series",
        group="Unit costs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(
            shapes.UnitSeriesShape, queries.unit_series(*asked_of(request, "convert"))
        )


class Compared(Api):
    permissions = SPEND

    @told(
        "Models side by side on the same kind of request",
        shapes.ComparisonShape,
        parameters=[*FILTERS, CONVERT, *SCORE],
        name="unit_costs_comparison",
        group="Unit costs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(
            shapes.ComparisonShape, queries.comparison(*asked_of(request, "convert"))
        )


class OtherModels(Api):
    permissions = SPEND

    @told(
        "The same traffic at the prices of other models: price only, for answers will differ",
        shapes.WhatIfShape,
        parameters=[
            *FILTERS,
            CONVERT,
            *(
                text_parameter(name, "A model of the price book, as provider:model.")
                for name in queries.CANDIDATES
            ),
        ],
        name="unit_costs_what_if",
        group="Unit costs",
    )
    def get(self, request: Request) -> Response:
        return self.answer(shapes.WhatIfShape, queries.what_if(*asked_of(request, "convert")))
