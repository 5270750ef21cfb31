"""Exchange rates: read them, see what a conversion uses, bring some in."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import (
    BooleanField,
    CharField,
    DateField,
    DecimalField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.actions import exchange as actions
from finops.costing.exchange import PIVOT
from finops.costing.exchange_files import CODE, BadRates, Wrong
from finops.problems import Problem
from finops.queries import exchange as queries
from finops.queries.filters import FilterError, Filters

from .base import Api, told
from .parameters import (
    FILTERS,
    PAGE,
    choice_of,
    limit_of,
    only,
    refuse,
    text_of,
    text_parameter,
)
from .people import body_of
from .shapes import Instant, Money

READ = "finops.view_spend"
DAYS = [one for one in FILTERS if one.name in ("range", "from", "to")]
DAY_NAMES = ("range", "from", "to")


class ExchangeRateShape(Serializer):
    """One unit of `base` is `rate` units of `quote`."""

    day = DateField()
    base = CharField()
    quote = CharField()
    rate = Money()
    version = IntegerField()
    in_force = BooleanField()
    replaced_at = Instant(allow_null=True)
    source = CharField(source="brought_by.source")
    brought_at = Instant(source="brought_by.created_at")
    brought_by = CharField(source="brought_by.created_by.username", default=None, allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        instance.in_force = instance.replaced_at is None
        return super().to_representation(instance)


class ExchangeRatePageShape(Serializer):
    data = ExchangeRateShape(many=True, source="rows")
    next = CharField(allow_null=True)


class UsedRateShape(Serializer):
    """What amounts of a day are multiplied by; null where no rate holds."""

    day = DateField()
    rate = Money(source="used.rate", default=None, allow_null=True)
    rate_day = DateField(
        source="used.rate_day", default=None, allow_null=True, help_text="The day the rate is of."
    )
    sources = ListField(source="used.sources", child=CharField(), default=[])


class UsedRatesShape(Serializer):
    currency = CharField()
    to = CharField()
    data = UsedRateShape(many=True)


class NewRate(Serializer):
    day = DateField()
    base = CharField(max_length=20)
    quote = CharField(max_length=20)
    rate = DecimalField(max_digits=31, decimal_places=20, min_value=0)


class ExchangeRatesRequest(Serializer):
    """Either `rates`, or `content`: the text of one of the ECB's files, or of a plain table."""

    source = CharField(max_length=50, default="", allow_blank=True, help_text="Of rates not ECB's.")
    rates = ListField(child=NewRate(), default=list, max_length=actions.MOST_IN_A_REQUEST)
    content = CharField(default="", allow_blank=True, trim_whitespace=False)


class ExchangeOutcomeShape(Serializer):
    rates = IntegerField()
    added = IntegerField()
    replaced = IntegerField(help_text="Different from what was known; the old ones are kept.")
    unchanged = IntegerField()
    first_day = DateField()
    last_day = DateField()


class ExchangeRates(Api):
    permissions = {"GET": READ, "POST": actions.MANAGE}

    @told(
        "Exchange rates by day, newest first",
        ExchangeRatePageShape,
        parameters=[
            *DAYS,
            text_parameter("currency", "Only rates of this currency, on either side."),
            text_parameter("versions", "Those in force, or all.", enum=queries.VERSIONS),
            *PAGE,
        ],
        name="exchange_rates",
        group="Exchange rates",
    )
    def get(self, request: Request) -> Response:
        first, before = days_of(request, "currency", "versions", "limit", "cursor")
        found = queries.rates(
            first,
            before,
            currency=code_of(request, "currency"),
            versions=choice_of(request, "versions", queries.VERSIONS),
        )
        page = queries.rate_page(
            found, limit=limit_of(request), cursor=text_of(request, "cursor") or None
        )
        return self.answer(ExchangeRatePageShape, page)

    @told(
        "Bring in exchange rates: all or, when one is wrong, none",
        ExchangeOutcomeShape,
        body=ExchangeRatesRequest,
        name="exchange_rates_import",
        group="Exchange rates",
    )
    def post(self, request: Request) -> Response:
        if not request.user.has_perm(actions.MANAGE):
            raise Problem(403, "Your role does not allow this: it must be over the organisation.")
        wanted = body_of(ExchangeRatesRequest, request)
        if bool(wanted["rates"]) == bool(wanted["content"]):
            refuse([FilterError("rates", "Send either rates or content, not both or neither.")])
        given = {"by": request.user, "via": "api"}
        try:
            if wanted["content"]:
                outcome = actions.import_file(
                    wanted["content"].encode(), source=wanted["source"], **given
                )
            else:
                outcome = actions.keep(
                    actions.from_parts(wanted["rates"], wanted["source"]), **given
                )
        except BadRates as error:
            field = "content" if wanted["content"] else "rates"
            raise Problem(
                400, "Nothing was taken.", [told_of(field, one) for one in error.wrong]
            ) from error
        return self.answer(ExchangeOutcomeShape, outcome)


class UsedRates(Api):
    permissions = {"GET": READ}

    @told(
        "The rate that amounts of each day are multiplied by, and the day it is of",
        UsedRatesShape,
        parameters=[
            *DAYS,
            text_parameter("currency", "What is converted; the reporting currency if left out."),
            text_parameter("convert", "What it is converted to; EUR if left out."),
        ],
        name="exchange_rates_used",
        group="Exchange rates",
    )
    def get(self, request: Request) -> Response:
        first, before = days_of(request, "currency", "convert")
        currency = code_of(request, "currency") or settings.REPORTING_CURRENCY
        to = code_of(request, "convert") or PIVOT
        data = queries.used_by_day(currency, to, first, before)
        return self.answer(UsedRatesShape, {"currency": currency, "to": to, "data": data})


def days_of(request: Request, *more: str) -> tuple[date, date]:
    """`[from, to)` as everywhere else."""
    only(request, *DAY_NAMES, *more)
    found, errors = Filters.parse(request.query_params, request.user)
    refuse([error for error in errors if error.field in DAY_NAMES])
    return found.start, found.end


def code_of(request: Request, name: str) -> str:
    code = text_of(request, name)
    if code and not CODE.fullmatch(code):
        refuse([FilterError(name, "Use a currency code such as USD.")])
    return code


def told_of(field: str, one: Wrong) -> FilterError:
    place = f"{field}.{one.line - 1}.{one.field}" if field == "rates" and one.line else field
    return FilterError(place, one.message if field == "rates" else str(one))
