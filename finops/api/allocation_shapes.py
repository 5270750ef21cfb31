"""What answers about allocation look like, and what may be sent. Knows names and types."""

from __future__ import annotations

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DecimalField,
    DictField,
    FloatField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.costing.allocating import ONE, OPERATORS, ORIGINS, SPLITS
from finops.models.allocation import PARTS, STATEMENTS

from .budget_shapes import Known
from .shapes import CONVERSION, ConversionShape, Instant, Money, PerCurrency

FIELD = "provider, service, sku, account, sub_account, region, resource, charge_category or"
FIELD += " tag:KEY of a bill; pool, model, hardware or provider of hardware; project, service,"
FIELD += " provider, model, user, key or label:KEY of requests."


class AllocationConditionShape(Known):
    field = CharField(max_length=310, help_text=FIELD)
    operator = ChoiceField(choices=OPERATORS, default="is")
    values = ListField(
        child=CharField(max_length=300), default=list, help_text="One of them; case is ignored."
    )


class AllocationTargetShape(Known):
    project = CharField(max_length=60, help_text="Its slug.")
    percent = DecimalField(
        max_digits=9, decimal_places=6, default=None, allow_null=True,
        help_text="Of a fixed share; all of them add up to 100.",
    )  # fmt: skip


class AllocationRuleShape(Serializer):
    id = IntegerField()
    position = IntegerField(help_text="From 1; the first that holds takes a charge.")
    name = CharField()
    origin = ChoiceField(choices=ORIGINS)
    conditions = AllocationConditionShape(many=True)
    split = ChoiceField(choices=SPLITS)
    targets = AllocationTargetShape(many=True)
    valid_from = DateField(allow_null=True)
    last_day = DateField(allow_null=True)
    note = CharField()
    is_on = BooleanField()
    revision = IntegerField(help_text="What a change names in If-Match.")


class AllocationRuleListShape(Serializer):
    data = AllocationRuleShape(many=True)
    next = CharField(allow_null=True)
    waiting = IntegerField(
        help_text="Bills, and days of pools and of requests, that the rules are yet applied to."
    )


class AllocationRuleRequest(Serializer):
    name = CharField(max_length=100)
    origin = ChoiceField(choices=ORIGINS, default="bill")
    conditions = AllocationConditionShape(many=True)
    split = ChoiceField(choices=SPLITS, default=ONE)
    targets = AllocationTargetShape(many=True, default=list)
    valid_from = DateField(default=None, allow_null=True)
    last_day = DateField(default=None, allow_null=True)
    note = CharField(max_length=300, default="", allow_blank=True)


class AllocationPreviewRequest(AllocationRuleRequest):
    id = IntegerField(default=None, allow_null=True, help_text="The rule it would replace.")
    days = IntegerField(default=30, min_value=1, max_value=366, help_text="Up to yesterday.")


class AllocationRuleChangeRequest(Serializer):
    """What is left out stays as it is; null takes a value away."""

    name = CharField(max_length=100, required=False)
    origin = ChoiceField(choices=ORIGINS, required=False)
    conditions = AllocationConditionShape(many=True, required=False)
    split = ChoiceField(choices=SPLITS, required=False)
    targets = AllocationTargetShape(many=True, required=False)
    valid_from = DateField(required=False, allow_null=True)
    last_day = DateField(required=False, allow_null=True)
    note = CharField(max_length=300, required=False, allow_blank=True)
    is_on = BooleanField(required=False)
    position = IntegerField(required=False, min_value=1, help_text="Where it shall stand, from 1.")
    revision = IntegerField(required=False, help_text="The one you have read, or If-Match.")


class AllocationMovedShape(Serializer):
    project = CharField(source="project.slug")
    currency = CharField()
    before = Money(help_text="Effective cost of the charges that would move.")
    after = Money()
    difference = Money()


class AllocationMetShape(Serializer):
    provider = CharField()
    service = CharField(help_text="Of hardware: the pool; of requests: the project that sent them.")
    sku = CharField(help_text="Of hardware and requests: the model.")
    taken_from = CharField(help_text="The rule that takes it now; empty: none does.")
    lines = IntegerField()
    cost = Money()
    currency = CharField()
    why = CharField(help_text="Why it would stay Unallocated; empty when it lands.")


class AllocationPreviewShape(Serializer):
    start = DateField()
    end = DateField(help_text="The day after the last one.")
    sentences = ListField(child=CharField())
    lines = IntegerField(help_text="Lines of bills, quarter hours of hardware, or requests.")
    gone = IntegerField(help_text="Days of which requests are not kept any more; none is moved.")
    unread = IntegerField(help_text="Days, the oldest, with too many requests for a test.")
    moved = AllocationMovedShape(many=True)
    met = AllocationMetShape(many=True)


class UnallocatedRowShape(Serializer):
    origin = CharField(help_text="bill, hardware or usage")
    provider = CharField()
    service = CharField()
    sku = CharField()
    cost = Money()
    share = FloatField(allow_null=True)


class AllocationHeldShape(Serializer):
    origin = CharField()
    rule = IntegerField(source="rule_id")
    why = CharField()
    currency = CharField()
    amount = Money()


class UnallocatedShape(Serializer):
    start = DateField()
    end = DateField()
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    currency = CharField()
    others = PerCurrency()
    as_of = Instant(allow_null=True)
    total = Money(help_text="All spend of the period.")
    unallocated = Money()
    allocated_share = FloatField(allow_null=True)
    rows = UnallocatedRowShape(many=True)
    held = AllocationHeldShape(many=True, help_text="What a rule met and could not split.")


class ShowbackRowShape(Serializer):
    project = CharField(source="project.slug")
    team = CharField()
    currency = CharField()
    parts = DictField(child=Money(), help_text="usage, requests, bill, hardware and shared.")
    total = Money()
    reconciled = Money(help_text="The part of it from complete bills.")
    provisional = BooleanField()
    unpriced = IntegerField(help_text="Requests without a price: in no amount.")


class ShowbackLineShape(Serializer):
    project = CharField(source="project.slug")
    team = CharField()
    part = ChoiceField(choices=PARTS)
    rule = CharField(help_text="Empty: own usage, or what no rule takes.")
    amount = Money()
    reconciled = Money()
    currency = CharField()


class ShowbackShape(Serializer):
    month = DateField()
    conversion = ConversionShape(allow_null=True, help_text=CONVERSION)
    as_of = Instant(allow_null=True)
    rows = ShowbackRowShape(many=True)
    lines = ShowbackLineShape(many=True)


class ChargebackShape(Serializer):
    id = IntegerField(source="pk")
    month = DateField()
    number = IntegerField()
    kind = ChoiceField(choices=STATEMENTS)
    as_of = Instant(allow_null=True)
    rules_digest = CharField()
    rules = ListField(child=DictField(), help_text="Those in force: id, name, revision.")
    book_version = IntegerField(allow_null=True)
    note = CharField()
    closed_at = Instant()
    closed_by = CharField()


class ChargebackListShape(Serializer):
    data = ChargebackShape(many=True)
    next = CharField(allow_null=True)


class ConvertedLineShape(Serializer):
    """An amount of a statement in another currency; the statement keeps its own."""

    currency = CharField()
    amount = Money()
    rate = Money()
    rate_day = DateField(help_text="The month's last day, or the last before it with a rate.")


class ChargebackLineShape(ShowbackLineShape):
    converted = ConvertedLineShape(
        allow_null=True, help_text="null unless `convert` is given and there is a rate."
    )


class ChargebackTeamShape(Serializer):
    """What the lines of one team come to, in one currency."""

    team = CharField(help_text="Empty: projects without one.")
    amount = Money()
    reconciled = Money()
    currency = CharField()
    converted = ConvertedLineShape(
        allow_null=True, help_text="null unless `convert` is given and there is a rate."
    )


class ChargebackProjectShape(ChargebackTeamShape):
    project = CharField(source="project.slug")


class OneChargebackShape(ChargebackShape):
    lines = ChargebackLineShape(many=True)
    totals = PerCurrency(help_text="Of these lines; never added across currencies.")
    by_project = ChargebackProjectShape(many=True)
    by_team = ChargebackTeamShape(many=True, help_text="Of the projects one may see.")


class ChargebackRequest(Serializer):
    month = CharField(max_length=7, help_text="As in 2026-05; it must be over.")
    note = CharField(max_length=300, default="", allow_blank=True)
