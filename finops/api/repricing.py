"""Pricing a range again through the API: the difference first, then the confirmation."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    CharField,
    ChoiceField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.actions import repricing as actions
from finops.models import PriceBook
from finops.problems import Problem
from finops.queries import prices, repricing
from finops.queries.filters import FIELDS, FilterError
from finops.queries.repricing_plan import Scope

from .base import Api, told
from .parameters import FILTERS, number_of, only, read_filters, refuse, text_parameter
from .people import body_of
from .shapes import Instant, MaybeMoney, Money

PERIOD = [one for one in FILTERS if one.name in ("range", "from", "to", "f.project", "f.team")]
BOOK = text_parameter("book", "Version to price with; the latest if left out.")


class VolumeShape(Serializer):
    requests = IntegerField()
    tokens = IntegerField()
    hardware_hours = Money()


class RepricedCostShape(Serializer):
    kind = ChoiceField(choices=repricing.REPRICED_KINDS)
    provider = CharField(help_text="Of hardware, the pool.")
    model = CharField(allow_blank=True)
    currency = CharField()
    before = MaybeMoney()
    after = MaybeMoney()
    difference = Money()


class GapShape(Serializer):
    kind = ChoiceField(choices=repricing.REPRICED_KINDS)
    provider = CharField()
    model = CharField(allow_blank=True)
    newly_priced = VolumeShape()
    newly_unpriced = VolumeShape()


class CostTotalShape(Serializer):
    currency = CharField()
    before = Money()
    after = Money()
    difference = Money()


class PlanShape(Serializer):
    start = Instant(source="scope.start")
    end = Instant(source="scope.end", help_text="The hour that is still filling is left out.")
    version = IntegerField(source="book.version")
    hours = IntegerField(help_text="Hours of one owner each that would be priced again.")
    already = IntegerField(help_text="Of them, those that have this version now.")
    totals = CostTotalShape(many=True, help_text="One for each currency.")
    changes = RepricedCostShape(many=True)
    newly_priced = VolumeShape()
    newly_unpriced = VolumeShape()
    gaps = GapShape(many=True)
    plan = CharField(source="digest", help_text="Send it back to confirm.")


class RepricingShape(Serializer):
    id = IntegerField(source="repricing.pk")
    start = Instant(source="repricing.start")
    end = Instant(source="repricing.end")
    project_ids = ListField(
        source="repricing.project_ids", child=IntegerField(), allow_null=True,
        help_text="Null: every project, and all hardware.",
    )  # fmt: skip
    version = IntegerField(source="repricing.book.version")
    hours = IntegerField(source="repricing.hours")
    done = IntegerField(help_text="Of them, those that are priced again.")
    said = CharField()
    totals = CostTotalShape(many=True, help_text="As previewed.")
    note = CharField(source="repricing.note", allow_blank=True)
    created_at = Instant(source="repricing.created_at")


class RepricingListShape(Serializer):
    data = RepricingShape(many=True)
    next = CharField(allow_null=True)


class RepricingRequest(Serializer):
    plan = CharField(max_length=64, help_text="`plan` of the preview with the same parameters.")
    note = CharField(max_length=200, default="", allow_blank=True)


class Preview(Api):
    permissions = {"GET": actions.MANAGE}

    @told(
        "What pricing a range again would change; nothing is written",
        PlanShape,
        parameters=[*PERIOD, BOOK],
        name="repricing_preview",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        book, scope = _book(request), _scope(request)
        try:
            return self.answer(PlanShape, repricing.preview(scope, book))
        except repricing.TooMuch as error:
            raise Problem(400, str(error), [FilterError("from", str(error))]) from error


class Repricings(Api):
    permissions = {"GET": "finops.view_bills", "POST": actions.MANAGE}

    @told(
        "The newest confirmed re-pricings, and how far they are",
        RepricingListShape,
        name="repricings",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        only(request)
        found = {"data": repricing.progress(limit=50), "next": None}
        return self.answer(RepricingListShape, found)

    @told(
        "Price a range again as a preview showed; 409 when that has changed since",
        RepricingShape,
        parameters=[*PERIOD, BOOK],
        body=RepricingRequest,
        status=201,
        name="repricings_create",
        group="Prices",
    )
    def post(self, request: Request) -> Response:
        wanted, book, scope = body_of(RepricingRequest, request), _book(request), _scope(request)
        if not request.user.has_perm(actions.MANAGE):
            raise Problem(403, "Your role does not allow this: it must be over the organisation.")
        try:
            made = actions.confirm(
                scope, book, wanted["plan"], wanted["note"], by=request.user, via="api"
            )
        except (actions.Refused, repricing.TooMuch) as refused:
            raise Problem(409, str(refused)) from refused
        return self.answer(RepricingShape, repricing.progress_of(made), status=201)


class OneRepricing(Api):
    permissions = {"GET": "finops.view_bills"}

    @told(
        "One confirmed re-pricing, and how far it is",
        RepricingShape,
        name="repricing",
        group="Prices",
    )
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        found = repricing.repricing(int(pk))
        if found is None:
            raise Problem(404, "There is no such re-pricing.")
        return self.answer(RepricingShape, found)


def _scope(request: Request) -> Scope:
    filters = read_filters(request, "book")
    refuse(
        [
            FilterError(f"f.{name}", "Hours are priced again as a whole; name projects only.")
            for name in FIELDS
            if name not in ("project", "team") and getattr(filters, f"{name}s")
        ]
    )
    return Scope.until_now(filters.start_at, filters.end_at, filters.project_ids, timezone.now())


def _book(request: Request) -> PriceBook:
    book = prices.price_book(number_of(request, "book"))
    if book is None:
        raise Problem(404, "There is no such version of the price book.")
    return book
