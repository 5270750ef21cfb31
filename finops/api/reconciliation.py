"""Bills beside priced usage, sources' own costs, and which bill is the book for which usage."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.actions import bill_matches as actions
from finops.costing.reconciling import CLASSES, Item
from finops.money import plain
from finops.problems import Problem
from finops.queries import bill_matches
from finops.queries.filters import METRICS, FilterError, Filters
from finops.queries.reconciliation import (
    MAX_MONTHS,
    STATES,
    Reconciliation,
    reconciliation,
    source_costs,
)

from .base import Api, told
from .parameters import only, refuse, text_of, text_parameter
from .people import body_of
from .shapes import Instant, MaybeMoney, Money, StampedShape

MONTHS = text_parameter(
    "month",
    f"A billing month as YYYY-MM; repeatable up to {MAX_MONTHS} times. The last three if left out.",
    many=True,
)
PROVIDER = text_parameter("provider", "Only what is matched with the usage of this provider.")
BILLS = [
    MONTHS,
    PROVIDER,
    text_parameter("metric", "Which cost of a bill.", enum=METRICS),
    OpenApiParameter("known_on", OpenApiTypes.DATE, description="Bills as known on this day."),
]
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])", re.ASCII)
AMOUNT = {"type": ["string", "null"], "format": "decimal"}


@extend_schema_field({"type": "object", "properties": dict.fromkeys(CLASSES, AMOUNT)})
class Classes(serializers.Field):
    """The amount of every class; null without a bill."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            source="*",
            read_only=True,
            help_text="What each class adds to the difference. With `unexplained` they are exactly"
            " bill − usage; null without a bill.",
            **options,
        )

    def to_representation(self, value: Item | Reconciliation) -> dict[str, str | None]:
        amounts = {name: value.amount(name) for name in CLASSES}
        return {name: None if one is None else plain(one) for name, one in amounts.items()}


class ReconciledItemShape(Serializer):
    kind = CharField(help_text="model, sku, not_billed, unnamed, credits or other_charges.")
    name = CharField(allow_blank=True)
    skus = ListField(child=CharField(allow_blank=True))
    models = ListField(child=CharField(allow_blank=True))
    bill = Money()
    usage = Money()
    gap = Money()
    classes = Classes()
    unexplained = Money()
    unpriced = IntegerField(help_text="Requests without a price or without known usage.")


class ReconciledDayShape(Serializer):
    day = DateField(help_text="In the accounting zone.")
    bill = MaybeMoney(help_text="null where no line of the bill begins.")
    usage = Money()
    gap = MaybeMoney()


class ReconciliationShape(Serializer):
    """One bill service, billing month and currency."""

    month = DateField(help_text="Its first day. Billing months begin at midnight UTC.")
    bill_provider = CharField()
    bill_service = CharField()
    providers = ListField(child=CharField(), help_text="Whose usage is compared with the bill.")
    currency = CharField()
    bill = MaybeMoney(help_text="null: no complete bill speaks of it in this currency.")
    usage = Money(help_text="Our priced usage; what is unpriced is in no amount.")
    gap = MaybeMoney(help_text="The bill less our usage.")
    classes = Classes()
    explained = MaybeMoney()
    unexplained = MaybeMoney()
    state = ChoiceField(choices=STATES)
    provisional = BooleanField(help_text="True while the bill does not cover a part of the usage.")
    provisional_share = FloatField(help_text="Of what the book takes for this month.")
    not_covered = Money(help_text="Usage of the time that the bill does not cover.")
    covered_until = Instant(allow_null=True)
    unpriced_requests = IntegerField()
    unpriced_tokens = IntegerField()
    unpriced_gpu_hours = FloatField()
    unknown_bill_lines = IntegerField(help_text="Lines without the chosen cost, in no amount.")
    long_lines = IntegerField(help_text="Lines of more than a day; they stand on their first.")
    late_requests = IntegerField(help_text="Came after the details of their day were gone.")
    items = ReconciledItemShape(many=True, help_text="The largest difference first.")
    days = ReconciledDayShape(many=True)


class ReconciliationsShape(StampedShape):
    months = ListField(child=DateField())
    metric = ChoiceField(choices=METRICS)
    data = ReconciliationShape(many=True, source="rows", help_text="Newest month first.")


class SourceCostShape(Serializer):
    provider = CharField(allow_blank=True)
    model = CharField(allow_blank=True)
    requests = IntegerField(help_text="Of daily sums in which a source told any cost.")
    told = IntegerField(help_text="Of these, the ones whose source told it.")
    source_cost = Money(help_text="All that sources told.")
    compared = IntegerField(help_text="Of daily sums in which each request has both costs.")
    compared_source_cost = Money()
    compared_cost = Money(help_text="Ours, of the compared.")
    difference = MaybeMoney(help_text="Ours less the source's; null where nothing is compared.")


class SourceCostsShape(StampedShape):
    months = ListField(child=DateField())
    currency = CharField()
    data = SourceCostShape(many=True, source="rows", help_text="The largest difference first.")


class BillMatchShape(Serializer):
    id = IntegerField(source="pk")
    usage_provider = CharField()
    bill_provider = CharField()
    bill_service = CharField()


class BillServiceShape(Serializer):
    bill_provider = CharField()
    bill_service = CharField()


class BillMatchesShape(Serializer):
    data = BillMatchShape(many=True)
    next = CharField(allow_null=True)
    unmatched_providers = ListField(child=CharField(), help_text="Of usage and hardware.")
    unmatched_services = BillServiceShape(many=True, help_text="Of complete bills.")


class BillMatchRequest(Serializer):
    usage_provider = CharField(max_length=100, help_text="As requests name it.")
    bill_provider = CharField(max_length=100, help_text="As the bill writes it.")
    bill_service = CharField(max_length=200, help_text="As the bill writes it.")


class Reconciled(Api):
    permissions = {"GET": "finops.view_bills"}
    over_everything = True

    @told(
        "Bills beside our priced usage, with the difference by class",
        ReconciliationsShape,
        parameters=BILLS,
        name="reconciliation",
        group="Reconciliation",
    )
    def get(self, request: Request) -> Response:
        query = only(request, "month", "provider", "metric", "known_on")
        filters, errors = Filters.parse(query, request.user)
        refuse(errors)
        found = reconciliation(filters, months_of(request), text_of(request, "provider"))
        return self.answer(ReconciliationsShape, found)


class SourceCosts(Api):
    permissions = {"GET": "finops.view_spend"}

    @told(
        "What sources say requests cost, beside what they cost by our prices",
        SourceCostsShape,
        parameters=[MONTHS, PROVIDER],
        name="source_costs",
        group="Reconciliation",
    )
    def get(self, request: Request) -> Response:
        query = only(request, "month", "provider")
        filters, errors = Filters.parse(query, request.user)
        refuse(errors)
        found = source_costs(filters, months_of(request), text_of(request, "provider"))
        return self.answer(SourceCostsShape, found)


class BillMatches(Api):
    permissions = {"GET": "finops.view_bills", "POST": actions.MANAGE}
    over_everything = True

    @told(
        "Which bill service is the book for which usage, and what is not matched",
        BillMatchesShape,
        name="bill_matches",
        group="Reconciliation",
    )
    def get(self, request: Request) -> Response:
        only(request)
        choices = bill_matches.choices()
        services = [
            {"bill_provider": provider, "bill_service": service}
            for provider, service in choices.unmatched_services
        ]
        return self.answer(
            BillMatchesShape,
            {
                "data": bill_matches.matches(),
                "next": None,
                "unmatched_providers": choices.providers,
                "unmatched_services": services,
            },
        )

    @told(
        "Match usage of a provider with the bill service that charges for it",
        BillMatchShape,
        body=BillMatchRequest,
        status=201,
        name="bill_matches_create",
        group="Reconciliation",
    )
    def post(self, request: Request) -> Response:
        wanted = body_of(BillMatchRequest, request)
        try:
            match = actions.add(**wanted, by=request.user, via="api")
        except actions.Refused as refused:
            raise wrong(refused) from refused
        return self.answer(BillMatchShape, match, status=201)


class OneBillMatch(Api):
    permissions = {"DELETE": actions.MANAGE}
    over_everything = True

    @told(
        "Take a match back",
        None,
        status=204,
        name="bill_match_remove",
        group="Reconciliation",
    )
    def delete(self, request: Request, pk: str) -> Response:
        if not actions.remove(int(pk), by=request.user, via="api"):
            raise Problem(404, "There is no such match.")
        return Response(status=204)


def wrong(refused: actions.Refused) -> Problem:
    if not refused.field:
        return Problem(409, str(refused))
    return Problem(400, "Some fields are wrong.", [FilterError(refused.field, str(refused))])


def months_of(request: Request) -> tuple[date, ...]:
    said = list(dict.fromkeys(request.query_params.getlist("month")))
    if len(said) > MAX_MONTHS or not all(MONTH.fullmatch(one) for one in said):
        message = f"Use YYYY-MM, such as 2026-05, at most {MAX_MONTHS} times."
        refuse([FilterError("month", message)])
    return tuple(date.fromisoformat(f"{one}-01") for one in said)
