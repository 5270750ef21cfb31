"""What answers about savings look like. Knows names and types; computes nothing.

An estimate and what was realised are never one number, and neither are capacity and cash.
"""

from __future__ import annotations

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DecimalField,
    Field,
    FloatField,
    IntegerField,
    Serializer,
)

from finops.models.ledger import COUNTED, KINDS
from finops.queries.savings import PAYBACKS

from .shapes import (
    CONVERSION,
    ConversionShape,
    Instant,
    MaybeMoney,
    Money,
    PerCurrency,
    StampedShape,
)


@extend_schema_field({"type": "string", "pattern": "^[0-9a-f]{64}$"})
class Sha256(Field):
    def to_representation(self, value: bytes) -> str:
        return bytes(value).hex()


class CapacityShape(Serializer):
    """GPU-seconds no longer needed, with a 90 % interval; ends of sums are added."""

    gpu_seconds = FloatField()
    low = FloatField()
    high = FloatField()


class CashShape(Serializer):
    """Money no longer paid, with a 90 % interval; ends of sums are added."""

    amount = Money()
    low = Money()
    high = Money()


class SumShape(Serializer):
    entries = IntegerField()
    capacity = CapacityShape(allow_null=True)
    cash = CashShape(allow_null=True, help_text="In the currency asked for; null is unknown.")
    unknown_cash = IntegerField(help_text="Entries whose cash is unknown: in no amount.")
    others = PerCurrency(help_text="Other currencies, never added.")
    provisional = BooleanField()


class ClaimShape(SumShape):
    start = Instant()
    end = Instant()
    requests = IntegerField()
    measured_s = FloatField(allow_null=True, help_text="Seconds with all facts; the rest is out.")
    gpu_seconds_before = FloatField(allow_null=True, help_text="Per request, without the change.")
    gpu_seconds_now = FloatField(allow_null=True, help_text="Per request, with it.")
    billed_by = CharField(help_text="hours or use; empty where it changed or is unknown.")
    basis = CharField()


class ChangeSavingShape(Serializer):
    change_ref = CharField()
    title = CharField()
    project = CharField(source="project_slug")
    pool = CharField()
    estimated = ClaimShape(allow_null=True)
    realised = ClaimShape(allow_null=True)


class PaybackShape(Serializer):
    """Of everything up to the end of the period."""

    state = ChoiceField(choices=PAYBACKS)
    cost = Money()
    cash = Money()
    months = FloatField(allow_null=True, help_text="From the first cost until it was paid back.")
    at = Instant(allow_null=True)


class SavingsShape(StampedShape):
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    data = ChangeSavingShape(many=True, source="changes")
    estimated = SumShape()
    realised = SumShape()
    programme_cost = MaybeMoney(help_text="Of the period; null when none was entered.")
    other_costs = PerCurrency()
    payback = PaybackShape()


class EntryShape(Serializer):
    """One line of the ledger, never changed; of lines that supersede each other the last counts."""

    id = IntegerField()
    kind = ChoiceField(choices=KINDS)
    counts_as = ChoiceField(choices=COUNTED)
    revision = IntegerField()
    supersedes = IntegerField(source="supersedes_id", allow_null=True)
    superseded_by = IntegerField(source="superseded_by.pk", allow_null=True, default=None)
    change_ref = CharField()
    title = CharField()
    project = CharField(source="project.slug")
    pool = CharField(source="pool.name", allow_null=True, default=None)
    period_from = Instant()
    period_to = Instant()
    measured_s = FloatField(allow_null=True)
    capacity_gpu_seconds = FloatField(allow_null=True)
    capacity_gpu_seconds_low = FloatField(allow_null=True)
    capacity_gpu_seconds_high = FloatField(allow_null=True)
    cash = MaybeMoney()
    cash_low = MaybeMoney()
    cash_high = MaybeMoney()
    currency = CharField()
    billed_by = CharField()
    requests = IntegerField(allow_null=True)
    gpu_seconds_per_request = FloatField(allow_null=True)
    counterfactual_gpu_seconds_per_request = FloatField(allow_null=True)
    provisional = BooleanField()
    price_book = IntegerField(source="book.version", allow_null=True, default=None)
    method_version = IntegerField()
    basis = CharField()
    facts_sha256 = Sha256(source="facts_hash")
    created_by = CharField(source="created_by.username", allow_null=True, default=None)
    created_at = Instant()


class ConvertedEntryShape(Serializer):
    """The cash of an entry at the rate of its own day; the entry keeps its currency."""

    currency = CharField()
    cash = Money()
    cash_low = MaybeMoney()
    cash_high = MaybeMoney()
    rate = Money()
    rate_day = DateField()


class ListedEntryShape(EntryShape):
    converted = ConvertedEntryShape(
        allow_null=True, help_text="null unless `convert` is given and there is a rate."
    )


class EntryPageShape(Serializer):
    data = ListedEntryShape(many=True, source="rows")
    next = CharField(allow_null=True)


class ProgrammeCostRequest(Serializer):
    """Send `corrects` to replace an earlier cost; an amount of 0 then takes it back."""

    on = DateField()
    amount = DecimalField(max_digits=30, decimal_places=18, min_value=0)
    currency = CharField(min_length=3, max_length=3)
    note = CharField(max_length=200)
    project = CharField(required=False, default="", allow_blank=True, help_text="Its slug.")
    corrects = IntegerField(required=False, default=None, allow_null=True, min_value=1)
