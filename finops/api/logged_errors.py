"""Errors that services logged, by type."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField, FloatField, IntegerField, ListField, Serializer

from finops.problems import Problem
from finops.queries import logged_errors
from finops.queries.filters import FilterError
from finops.queries.logged_errors import MAX_HOURLY_DAYS

from .base import Api, told
from .parameters import FILTERS, choice_of, number_of, read_filters, text_parameter
from .shapes import Instant, Points, StampedShape

STEPS = ("day", "hour")
PARAMETERS = [
    *FILTERS,
    text_parameter("step", f"Day, or hour for at most {MAX_HOURLY_DAYS} days.", enum=STEPS),
    text_parameter("source", "Only what this source tells, by its id."),
]


class ErrorTypeShape(Serializer):
    project = CharField(help_text="Its slug.")
    service = CharField()
    type = CharField(help_text="`exception.type`, `error.type`, or the shape of the message.")
    source = IntegerField(source="source_id")
    count = IntegerField(help_text="Lines logged, not requests.")
    requests = IntegerField(
        allow_null=True, help_text="Of this service in the same time; null where no span names it."
    )
    per_request = FloatField(
        allow_null=True, help_text="count / requests; above 1 where a request logs several."
    )
    last_at = Instant(help_text="Start of the newest quarter hour that has one.")
    exemplar = CharField(allow_blank=True, help_text="The newest message kept, masked and cut.")
    trace_id = CharField(allow_blank=True, help_text="Of the exemplar.")
    series = ListField(child=IntegerField(), help_text="Errors per step, as `points`.")


class ErrorTypesShape(StampedShape):
    step = CharField()
    points = Points()
    count = IntegerField(
        allow_null=True, help_text="Null where two sources tell of one service: they are not added."
    )
    left_out = IntegerField(help_text="Rarer types that are not in `data`.")
    data = ErrorTypeShape(many=True, source="rows")


class ErrorTypes(Api):
    permissions = {"GET": "finops.view_requests"}

    @told(
        "Errors that services logged, by service and type",
        ErrorTypesShape,
        parameters=PARAMETERS,
        name="errors",
        group="Requests",
    )
    def get(self, request: Request) -> Response:
        filters = read_filters(request, "step", "source")
        step = choice_of(request, "step", STEPS)
        if step == "hour" and filters.days > MAX_HOURLY_DAYS:
            said = f"Ask for hours of at most {MAX_HOURLY_DAYS} days, or use step=day."
            raise Problem(400, said, [FilterError("step", said)])
        source = number_of(request, "source")
        return self.answer(
            ErrorTypesShape, logged_errors.error_types(filters, step=step, source=source)
        )
