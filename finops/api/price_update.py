"""A newer price list, and usage without a price, through the API."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DictField,
    FloatField,
    IntegerField,
    Serializer,
)

from finops.actions import price_update as actions
from finops.models import PriceList
from finops.problems import Problem
from finops.queries import price_update as queries
from finops.queries.unpriced import unpriced_usage

from .base import Api, told
from .parameters import FILTERS, number_of, only, read_filters, text_parameter
from .people import body_of
from .shapes import BookShape, Instant, MaybeMoney

LIST = text_parameter(
    "list", "Number of a list that was handed in on the page; left out: the installed release."
)


class PriceChangeShape(Serializer):
    """Per million tokens, or per thousand requests for the unit `request`."""

    kind = ChoiceField(choices=(queries.ADDED, queries.REMOVED, queries.CHANGED))
    provider = CharField()
    model = CharField()
    unit = CharField(source="rate.unit")
    tier = CharField(source="rate.tier")
    input_over = IntegerField(source="rate.input_over")
    valid_from = Instant(source="rate.valid_from", allow_null=True)
    currency = CharField(source="rate.currency")
    old = MaybeMoney(source="old.amount", default=None)
    new = MaybeMoney(source="new.amount", default=None)
    share = FloatField(allow_null=True, help_text="New over old, less one.")
    is_covered = BooleanField(help_text="A price of one's own stays in force above it.")


class PriceDiffShape(Serializer):
    source = CharField()
    book = BookShape(allow_null=True)
    said = CharField()
    same = IntegerField()
    own = IntegerField(help_text="Prices of one's own, which are kept.")
    left_out = DictField(child=IntegerField())
    changes = PriceChangeShape(many=True)
    review = CharField(source="digest", help_text="Send it back to take the list.")


class TakeRequest(Serializer):
    review = CharField(max_length=64, help_text="`review` of the differences one has looked at.")


class UnpricedShape(Serializer):
    provider = CharField(allow_blank=True)
    model = CharField(allow_blank=True)
    token_class = CharField(help_text="Or request, where that is what is paid for.")
    amount = IntegerField(help_text="Tokens, or requests.")
    first_seen = Instant()
    last_seen = Instant()
    since = DateField(help_text="The first day this model had usage without a price.")


class UnpricedListShape(Serializer):
    data = UnpricedShape(many=True)
    next = CharField(allow_null=True)


class Update(Api):
    permissions = {"GET": "finops.view_spend", "POST": actions.MANAGE}

    @told(
        "What a newer price list would change in the newest book",
        PriceDiffShape,
        parameters=[LIST],
        name="price_update",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        return self.answer(PriceDiffShape, queries.price_diff(_list(request)))

    @told(
        "Take a reviewed price list as the next version; 409 when the review is of another",
        BookShape,
        parameters=[LIST],
        body=TakeRequest,
        status=201,
        name="price_update_take",
        group="Prices",
    )
    def post(self, request: Request) -> Response:
        wanted, chosen = body_of(TakeRequest, request), _list(request)
        if not request.user.has_perm(actions.MANAGE):
            raise Problem(403, "Your role does not allow this: it must be over the organisation.")
        try:
            seeded = actions.take(chosen, wanted["review"], by=request.user, via="api")
        except actions.Refused as refused:
            raise Problem(409, str(refused)) from refused
        return self.answer(BookShape, seeded.book, status=201)


class Unpriced(Api):
    permissions = {"GET": "finops.view_spend"}

    @told(
        "What was used without a price, by model and token class",
        UnpricedListShape,
        parameters=FILTERS,
        name="unpriced",
        group="Prices",
    )
    def get(self, request: Request) -> Response:
        found = {"data": unpriced_usage(read_filters(request)), "next": None}
        return self.answer(UnpricedListShape, found)


def _list(request: Request) -> PriceList | None:
    only(request, "list")
    number = number_of(request, "list")
    if number is None:
        return None
    found = queries.price_list(number)
    if found is None:
        raise Problem(404, f"There is no price list {number}.")
    return found
