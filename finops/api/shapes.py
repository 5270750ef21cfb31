"""What answers look like: one serializer per result. Knows names and types; computes nothing.

Money is a decimal string beside a currency. Unknown is null, never 0. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DictField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.models.people import ACCESS_SCOPES
from finops.money import plain


@extend_schema_field({"type": "string", "format": "decimal", "examples": ["12.345"]})
class Money(serializers.Field):
    """Every digit, no exponent."""

    def to_representation(self, value: Decimal) -> str:
        return plain(value)


@extend_schema_field(
    {"type": ["string", "null"], "format": "decimal", "examples": ["12.345", None]}
)
class MaybeMoney(Money):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)


class Instant(serializers.DateTimeField):
    """RFC 3339 in UTC, whatever zone it was computed in."""

    def __init__(self, **options: Any) -> None:
        super().__init__(default_timezone=UTC, **options)


@extend_schema_field({"type": "string"})
class PointField(serializers.Field):
    """A day as YYYY-MM-DD, or an hour as an instant."""

    def to_representation(self, value: Any) -> str:
        if hasattr(value, "hour"):
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return value.isoformat()


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class Points(ListField):
    child = PointField()


class ErrorShape(Serializer):
    field = CharField()
    message = CharField()


class ProblemShape(Serializer):
    """RFC 9457."""

    type = CharField()
    title = CharField()
    status = IntegerField()
    detail = CharField()
    instance = CharField()
    request_id = CharField()
    errors = ErrorShape(many=True, required=False)


class SourceNoteShape(Serializer):
    id = IntegerField()
    name = CharField()
    kind = CharField()
    last_fact_at = Instant(allow_null=True)
    is_sample = BooleanField()


class StampedShape(Serializer):
    as_of = Instant(allow_null=True, help_text="Time of the newest fact in it.")
    provisional = BooleanField(help_text="True while a part is not covered by a complete bill.")
    sources = SourceNoteShape(many=True)


class AmountShape(Serializer):
    """A total in some currency; null is unknown."""

    currency = CharField()
    cost = MaybeMoney()


@extend_schema_field(AmountShape(many=True))
class PerCurrency(serializers.Field):
    """(currency, cost) pairs as objects; they are never added."""

    def to_representation(self, value: Any) -> list[dict[str, str | None]]:
        return [
            {"currency": currency, "cost": None if cost is None else plain(cost)}
            for currency, cost in value
        ]


class ConvertedPartShape(Serializer):
    """What was converted of one currency."""

    currency = CharField()
    days = IntegerField(help_text="Days with an amount in it.")
    carried_days = IntegerField(help_text="Of them, at the rate of an earlier day.")
    lowest = Money()
    highest = Money()
    sources = ListField(child=CharField())


class NotConvertedShape(Serializer):
    """What has no rate: its amounts stand in `others`, in their own currency."""

    currency = CharField()
    days = IntegerField()
    first = DateField()
    last = DateField()


class RateAheadShape(Serializer):
    """Days to come have no rate: what is expected of them takes the newest one."""

    currency = CharField()
    rate = Money()
    rate_day = DateField(help_text="The day that it is of.")
    sources = ListField(child=CharField())


class ConversionShape(Serializer):
    """Each day's amounts were multiplied by that day's rate."""

    to = CharField()
    parts = ConvertedPartShape(many=True)
    missing = NotConvertedShape(many=True)
    ahead = RateAheadShape(many=True, help_text="Of forecasts; empty where there is none.")


CONVERSION = "null: amounts are as they were recorded, see the parameter `convert`."


class AmountsShape(Serializer):
    cost = Money()
    reconciled = Money(help_text="The part from complete bills; the rest is provisional.")
    usage_cost = Money(help_text="All priced usage of the scope, covered by a bill or not.")
    requests = IntegerField(allow_null=True, help_text="null where only bills speak.")
    tokens = IntegerField(allow_null=True)
    unpriced_spans = IntegerField(allow_null=True, help_text="Usage without a price: in no amount.")
    unpriced_tokens = IntegerField(allow_null=True)
    unknown_spans = IntegerField(allow_null=True, help_text="Did not say what they used.")
    unknown_bill_lines = IntegerField()
    unpriced_gpu_hours = FloatField()
    per_million_tokens = MaybeMoney()
    per_thousand_requests = MaybeMoney()


LATE = "Of them, requests that came after their day was closed; they have no details."


class SpendShape(StampedShape, AmountsShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    others = PerCurrency()
    late_requests = IntegerField(help_text=LATE)


class SpendRowShape(AmountsShape):
    keys = ListField(child=CharField(), help_text="One per `group_by`; filter by it to drill.")
    labels = ListField(child=CharField())
    share = FloatField(allow_null=True)
    previous = MaybeMoney()
    provisional = BooleanField()


class SpendTableShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    group_by = ListField(child=CharField())
    currency = CharField()
    data = SpendRowShape(many=True, source="rows")
    total = SpendRowShape()
    others = PerCurrency()


class LineShape(Serializer):
    keys = ListField(child=CharField())
    label = CharField()
    values = ListField(child=MaybeMoney(), help_text="null where nothing is known.")


class SeriesShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    step = CharField()
    currency = CharField()
    points = Points()
    lines = LineShape(many=True)
    reconciled = ListField(child=MaybeMoney())


class CostLineShape(Serializer):
    day = DateField()
    origin = CharField(source="keys.origin", help_text="bill, usage or hardware.")
    project = CharField(source="keys.project")
    provider = CharField(source="keys.provider")
    service = CharField(source="keys.service")
    model = CharField(source="keys.model")
    sku = CharField(source="keys.sku")
    kind = CharField(source="keys.kind")
    tier = CharField(source="keys.tier")
    cost = MaybeMoney(help_text="null when all there is has no price.")
    by_the_hour = BooleanField(help_text="Of our own hardware, which has lines of its own.")
    requests = IntegerField(allow_null=True, help_text="null for bills, which know of none.")
    tokens = IntegerField(allow_null=True)
    unpriced_spans = IntegerField(allow_null=True)
    unknown_spans = IntegerField(allow_null=True)


class CostLinesShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    total = Money(help_text="Of all lines, not of this page.")
    others = PerCurrency(help_text="Lines in other currencies, which are not listed.")
    data = CostLineShape(many=True, source="rows")
    next = CharField(allow_null=True)


class CourseDayShape(Serializer):
    """Everything up to the end of this day."""

    number = IntegerField(help_text="Of the day in its month.")
    day = DateField(allow_null=True, help_text="null: only the month before had it.")
    cost = MaybeMoney(help_text="null before anything is known, and on days to come.")
    previous = MaybeMoney(help_text="In the month before, up to its day of this number.")
    expected = MaybeMoney(help_text="On days to come; null without a forecast.")
    low = MaybeMoney(help_text="Four in five such days end above this.")
    high = MaybeMoney()


class MonthEndShape(Serializer):
    spent = Money()
    expected = MaybeMoney(help_text="Spent so far, plus the forecast of each day left.")
    low = MaybeMoney(source="low80")
    high = MaybeMoney(source="high80")
    reason = CharField(help_text="Why there is no forecast.")
    as_of = DateField(allow_null=True, help_text="The last day that the forecast had seen.")


class CourseBudgetShape(Serializer):
    id = IntegerField()
    name = CharField()
    amount = MaybeMoney(help_text="As drawn; null when `convert` asks for what has no rate.")
    currency = CharField(help_text="The budget's own: it counts what was recorded in it alone.")
    recorded = Money(help_text="Its amount in that.")
    rate = MaybeMoney(help_text="Of the day it was computed; null unless `convert` is given.")


class CourseShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    month = DateField()
    previous_month = DateField()
    currency = CharField()
    days = CourseDayShape(many=True)
    unknown_days = IntegerField(help_text="Days that are over of which nothing is known.")
    end = MonthEndShape(allow_null=True, help_text="null for a month that is over.")
    budgets = CourseBudgetShape(many=True, help_text="Monthly budgets of exactly this scope.")


class ProjectShape(Serializer):
    slug = CharField()
    name = CharField()
    team = CharField(source="team.name", allow_null=True, default=None)
    environment = CharField()
    keeps_text = BooleanField()


class ProjectListShape(Serializer):
    data = ProjectShape(many=True)
    next = CharField(allow_null=True)


class MembershipShape(Serializer):
    role = CharField(source="role.name")
    team = CharField(source="team.name", allow_null=True, default=None)
    project = CharField(source="project.slug", allow_null=True, default=None)


class MeShape(Serializer):
    username = CharField()
    memberships = MembershipShape(many=True)
    permissions = ListField(child=CharField(), help_text="Over the whole organisation.")
    accounting_time_zone = CharField()
    currency = CharField()


class BookShape(Serializer):
    version = IntegerField()
    source = CharField()
    note = CharField()
    created_at = Instant()


class BookListShape(Serializer):
    data = BookShape(many=True)
    next = CharField(allow_null=True)


class PriceShape(Serializer):
    """Per million tokens, or per thousand requests for the unit `request`."""

    provider = CharField()
    model = CharField()
    unit = CharField()
    tier = CharField()
    input_over = IntegerField()
    valid_from = Instant(allow_null=True)
    time_from = serializers.TimeField(allow_null=True)
    time_to = serializers.TimeField(allow_null=True)
    amount = Money()
    currency = CharField()
    is_own = BooleanField()
    is_list_price = BooleanField(help_text="Of an own price: discounts come off it.")
    region = CharField(help_text="Empty: everywhere.")


class PricePageShape(Serializer):
    book = BookShape(allow_null=True)
    data = PriceShape(many=True, source="rows")
    next = CharField(allow_null=True)


class ForecastPointShape(Serializer):
    day = DateField()
    mean = CharField()
    low80 = CharField()
    high80 = CharField()
    low95 = CharField()
    high95 = CharField()


class ForecastShape(Serializer):
    scope = CharField(help_text="`all`, or `project:` and its slug.")
    currency = CharField()
    as_of = DateField(
        allow_null=True, help_text="The last day it had seen; of several, the earliest."
    )
    method = CharField()
    method_version = IntegerField()
    points = ForecastPointShape(many=True)
    backtest = DictField(
        help_text="Error and coverage on days held back; empty where forecasts were added."
    )
    reason = CharField(help_text="Why there is none.")
    made_at = Instant(allow_null=True, help_text="null where those of currencies were added.")


class ForecastListShape(Serializer):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    data = ForecastShape(many=True)
    next = CharField(allow_null=True)


class NearEventShape(Serializer):
    """An event near a day that was not expected; nobody says that it is the cause."""

    id = IntegerField(source="event.pk")
    kind = CharField(source="event.kind")
    title = CharField(source="event.title")
    happened_at = Instant(source="event.happened_at")
    said = CharField(help_text="As in: 2 h after release search 1.4.2.")


class AnomalyShape(Serializer):
    scope = CharField()
    currency = CharField()
    day = DateField()
    actual = Money()
    expected = Money()
    low = Money()
    high = Money()
    score = FloatField()
    converted = CharField(
        allow_null=True,
        help_text="The currency it was recorded in, and speaks of alone; null: that it is told in.",
    )
    events = NearEventShape(many=True, help_text="Nearest first, at most three.")


class AnomalyListShape(Serializer):
    data = AnomalyShape(many=True)
    next = CharField(allow_null=True)


class TokenShape(Serializer):
    id = CharField(source="pk")
    name = CharField()
    scope = CharField()
    state = CharField(help_text="active, expired or revoked")
    created_at = Instant()
    expires_at = Instant(allow_null=True)
    last_used_at = Instant(allow_null=True)
    revoked_at = Instant(allow_null=True)


class TokenListShape(Serializer):
    data = TokenShape(many=True)
    next = CharField(allow_null=True)


class NewTokenShape(TokenShape):
    token = CharField(help_text="Shown this once.")


class TokenRequest(Serializer):
    name = CharField(max_length=100)
    scope = ChoiceField(choices=ACCESS_SCOPES, default="read")
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class PushTokenShape(TokenShape):
    source = CharField(source="source.name")


class PushTokenListShape(Serializer):
    data = PushTokenShape(many=True)
    next = CharField(allow_null=True)


class NewPushTokenShape(PushTokenShape):
    token = CharField(help_text="Shown this once.")


class PushTokenRequest(Serializer):
    name = CharField(max_length=100)


class AuditShape(Serializer):
    id = IntegerField()
    at = Instant()
    actor = CharField(source="actor_name")
    via = CharField()
    action = CharField()
    object_type = CharField()
    object_id = CharField()
    detail = DictField()
    request_id = CharField()
    hash = serializers.SerializerMethodField()

    def get_hash(self, entry: Any) -> str:
        return bytes(entry.hash).hex()


class AuditPageShape(Serializer):
    data = AuditShape(many=True, source="rows")
    next = CharField(allow_null=True)
