"""What changed between two deliveries of a bill."""

from __future__ import annotations

import re
from datetime import date

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateField,
    IntegerField,
    Serializer,
)

from finops.problems import Problem
from finops.queries import bill_changes
from finops.queries.filters import FilterError

from .base import Api, told
from .parameters import number_of, only, refuse, text_of, text_parameter
from .shapes import Instant, MaybeMoney

PARAMETERS = [
    text_parameter("account", "The billing account; the delivery's first if left out."),
    text_parameter("month", "The billing month as YYYY-MM; the delivery's first if left out."),
    OpenApiParameter(
        "against",
        OpenApiTypes.INT,
        description="Id of the delivery to compare with; what it superseded if left out.",
    ),
]
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])", re.ASCII)


class CostChangeShape(Serializer):
    old = MaybeMoney()
    new = MaybeMoney()
    difference = MaybeMoney(help_text="null where either side is unknown.")


class CostChangesShape(Serializer):
    billed = CostChangeShape()
    effective = CostChangeShape()
    list = CostChangeShape()
    contracted = CostChangeShape()


class BillChangeShape(Serializer):
    service = CharField()
    sku = CharField()
    charge_category = CharField()
    currency = CharField()
    costs = CostChangesShape()
    lines_old = IntegerField()
    lines_new = IntegerField()
    added = IntegerField()
    removed = IntegerField()
    changed = IntegerField(help_text="The same charge with another content.")


class BillVersionShape(Serializer):
    delivery_id = IntegerField()
    name = CharField()
    complete = BooleanField()
    known_from = Instant()
    is_current = BooleanField()


class DeliveryChangesShape(Serializer):
    billing_account_id = CharField()
    billing_month = DateField()
    new = BillVersionShape()
    old = BillVersionShape(allow_null=True, help_text="null: there is nothing earlier.")
    versions = BillVersionShape(many=True)
    rows = BillChangeShape(many=True, help_text="What changed, the largest difference first.")
    totals = BillChangeShape(many=True, help_text="Over everything, one per currency.")
    unchanged_groups = IntegerField()


class DeliveryChanges(Api):
    permissions = {"GET": "finops.view_bills"}
    over_everything = True

    @told(
        "What a billing file says differently than the one before it",
        DeliveryChangesShape,
        parameters=PARAMETERS,
        name="delivery_changes",
        group="Sources",
    )
    def get(self, request: Request, pk: int) -> Response:
        only(request, "account", "month", "against")
        month = text_of(request, "month")
        if month and not _MONTH.fullmatch(month):
            refuse([FilterError("month", "Use YYYY-MM, such as 2026-05.")])
        found = bill_changes.delivery_changes(
            request.user,
            pk,
            text_of(request, "account"),
            date.fromisoformat(f"{month}-01") if month else None,
            number_of(request, "against"),
        )
        if found is None:
            raise Problem(404, "There is no such delivery that you may see.")
        return self.answer(DeliveryChangesShape, found)
