"""What answers about unit costs look like. Knows names and types; computes nothing.

A unit cost stands beside what it is made of; where it is unknown there is a reason, never 0.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    Field,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
    SerializerMethodField,
)

from finops.queries.unit_costs import UNITS

from .shapes import (
    CONVERSION,
    ConversionShape,
    Instant,
    MaybeMoney,
    Money,
    PerCurrency,
    StampedShape,
)
from .traffic_shapes import PercentilesShape


class UnitCostShape(Serializer):
    unit = ChoiceField(choices=tuple(UNITS))
    value = MaybeMoney(help_text="cost × scale ÷ count; null is unknown, and `reason` says why.")
    cost = MaybeMoney()
    count = MaybeMoney(help_text="What the cost is divided by: tokens, requests, hours and so on.")
    scale = IntegerField()
    reason = CharField(help_text="Empty when the value is known.")
    coverage = CharField(help_text="How much of the traffic it speaks of; empty when of all.")
    named = CharField(help_text="The label that the unit `label` is of; empty for others.")
    before = MaybeMoney(help_text="In the period before; null unless compared and known.")


@extend_schema_field(UnitCostShape(many=True))
class Units(Field):
    """The units of a row as a list, in the order of the page."""

    def to_representation(self, value: Any) -> Any:
        return UnitCostShape(value.values(), many=True).data


class UnitRowShape(Serializer):
    keys = ListField(child=CharField())
    labels = ListField(child=CharField())
    cost = Money(help_text="Spend, as in /api/v1/spend/by.")
    usage_cost = Money(help_text="Priced usage and hardware, which unit costs rest on.")
    requests = IntegerField(allow_null=True)
    unpriced = IntegerField(allow_null=True, help_text="Requests that are in no amount.")
    units = Units()


class PoolUnitsShape(Serializer):
    pool = CharField()
    currency = CharField()
    paid = UnitCostShape()
    used = UnitCostShape()
    utilization = FloatField(allow_null=True)
    coverage = FloatField(allow_null=True, help_text="Observed share of the time.")
    unpriced_hours = MaybeMoney(help_text="GPU-hours without a price; null is unknown.")


class CountedShape(Serializer):
    """Days of which conversations and answers are counted, one request at a time."""

    start = DateField()
    end = DateField(help_text="The day after the last one.")
    asked_days = IntegerField()
    why = CharField(help_text="Why not all; empty when all are counted.")


class UnitTableShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    group_by = ListField(child=CharField())
    spend = Money(source="spend.cost", help_text="As in /api/v1/spend.")
    others = PerCurrency(source="spend.others", help_text="Other currencies, never added.")
    total = UnitRowShape()
    data = UnitRowShape(many=True, source="rows")
    pools = PoolUnitsShape(many=True)
    counted = CountedShape()
    scores = ListField(child=CharField(), help_text="Names to choose `score` from.")


class UnitSeriesShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    unit = ChoiceField(choices=tuple(UNITS))
    currency = CharField()
    points = ListField(child=DateField())
    values = UnitCostShape(many=True)
    before_points = ListField(child=DateField())
    before = UnitCostShape(many=True)


class HardwarePriceShape(Serializer):
    """Of all that our pools answered with the model while observed, of whatever kind and size."""

    used = UnitCostShape(help_text="What the model kept busy ÷ the requests it answered.")
    allocated = UnitCostShape(
        help_text="With idle time: what its pools were paid, by the share it used ÷ the same."
    )


class ComparedShape(Serializer):
    kind = CharField()
    input_band = IntegerField(help_text="Prompts of more tokens than this.")
    provider = CharField()
    model = CharField()
    requests = IntegerField()
    is_few = BooleanField(help_text="Too few to say much.")
    price = UnitCostShape(help_text="Of requests that have a price of their own.")
    hardware = HardwarePriceShape(
        allow_null=True, help_text="null unless a pool of ours serves the model."
    )
    latency = PercentilesShape()
    error_rate = FloatField(allow_null=True)
    quality = FloatField(allow_null=True, help_text="Mean score of the scored answers.")
    scored = IntegerField()


class ComparisonShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    data = ComparedShape(many=True, source="rows")
    counted = CountedShape()


class FallbackShape(Serializer):
    token_class = CharField()
    billed_as = CharField()


class OutcomeShape(Serializer):
    provider = CharField(source="candidate.provider")
    model = CharField(source="candidate.model")
    requests = IntegerField(help_text="Priced on both sides.")
    tokens = IntegerField()
    cost_now = MaybeMoney()
    cost_then = MaybeMoney()
    difference = MaybeMoney()
    change = FloatField(allow_null=True)
    left_out = IntegerField(help_text="Requests that this model has no price for.")
    left_out_cost = Money(help_text="What those cost now; in neither cost.")
    fallbacks = FallbackShape(many=True)
    reason = CharField(help_text="Why nothing could be priced; empty when something was.")


class WhatIfShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    price_book = IntegerField(source="book.version", allow_null=True, default=None)
    prices_on = Instant()
    requests = IntegerField(help_text="Chat requests that are priced as a whole.")
    cost_now = Money()
    unpriced = IntegerField(help_text="Chat requests in neither cost.")
    price_only = SerializerMethodField()
    data = OutcomeShape(many=True, source="outcomes")

    def get_price_only(self, found: Any) -> str:
        return "Another model writes other answers: tokens and quality will differ."
