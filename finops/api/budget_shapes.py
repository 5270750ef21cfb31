"""What answers about budgets look like, and what may be sent. Knows names and types."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DecimalField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.costing.budget_periods import KINDS
from finops.costing.budget_states import BASES, METHODS, NO_SIGNAL, OK, SIGNALS, STATES
from finops.models.budgets import AMOUNT_KINDS, SEVERITIES, SPEND_BASES
from finops.queries.budgets import STATES_SHOWN
from finops.queries.filters import FIELDS

from .shapes import Instant, MaybeMoney, Money

SIGNALS_GIVEN = (OK, *(name for name in SIGNALS if name != NO_SIGNAL))
AVERAGED = "Of an adjusting budget: over so many complete periods before."
TWELVE = "Of a planned budget: twelve amounts, January first."


class Known(Serializer):
    """A part of a body: a name in it that nobody knows is an error, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        is_object = isinstance(data, dict)
        unknown = [name for name in data if name not in self.fields] if is_object else []
        if unknown:
            allowed = ", ".join(self.fields)
            raise serializers.ValidationError(
                {str(name)[:40]: [f"Not known here; there are: {allowed}."] for name in unknown}
            )
        return super().to_internal_value(data)


class SpendScopeShape(Known):
    """The same filters as `f.project` and the others of the costs; empty: not narrowed."""

    project = ListField(child=CharField(max_length=300), required=False)
    team = ListField(child=CharField(max_length=300), required=False)
    provider = ListField(child=CharField(max_length=300), required=False)
    model = ListField(child=CharField(max_length=300, allow_blank=True), required=False)
    service = ListField(child=CharField(max_length=300), required=False)

    def to_representation(self, scope: Any) -> dict[str, list[str]]:
        return {name: list(scope.get(name, ())) for name in FIELDS}


class BudgetThresholdShape(Known):
    percent = DecimalField(max_digits=7, decimal_places=2)
    on = ChoiceField(choices=BASES, source="basis")
    severity = ChoiceField(choices=SEVERITIES, default="warning")
    owner = CharField(
        max_length=150, default="", allow_blank=True, help_text="Empty: the budget's owner."
    )
    channel_ids = ListField(
        child=IntegerField(), default=list, help_text="Empty: as the rule for budgets says."
    )


class SpendBudgetShape(Serializer):
    id = IntegerField()
    name = CharField()
    owner = CharField()
    scope = SpendScopeShape()
    basis = ChoiceField(choices=SPEND_BASES)
    currency = CharField()
    period = ChoiceField(choices=KINDS)
    starts_on = DateField()
    last_day = DateField(allow_null=True)
    rolling_days = IntegerField(allow_null=True)
    amount_kind = ChoiceField(choices=AMOUNT_KINDS)
    amount = MaybeMoney(help_text="Of a fixed budget.")
    months = ListField(child=Money(), help_text=TWELVE)
    cap = MaybeMoney(help_text="The most that an adjusting budget may be.")
    average_of = IntegerField(allow_null=True, help_text=AVERAGED)
    limit_signal = ChoiceField(choices=SIGNALS)
    thresholds = BudgetThresholdShape(many=True)
    is_paused = BooleanField()
    revision = IntegerField(help_text="What a change names in If-Match.")
    state = ChoiceField(choices=STATES_SHOWN, help_text="As of the newest evaluation.")
    why = CharField()


class ConvertedBudgetShape(Serializer):
    """Its figures in another currency, to look at; it counts in its own."""

    currency = CharField()
    rate = Money(help_text="Of the day on which it was computed.")
    spent = MaybeMoney()
    amount = MaybeMoney()
    expected = MaybeMoney()


class BudgetPeriodShape(Serializer):
    starts_on = DateField()
    ends_before = DateField()
    since = DateField(help_text="The first day whose cost counts.")
    until = DateField(help_text="The day after the last one whose cost counts.")
    currency = CharField()
    amount = MaybeMoney()
    amount_said = CharField(help_text="How the amount came about.")
    spent = MaybeMoney(help_text="The total of `/spend` with this scope and these days.")
    provisional = BooleanField()
    pace = MaybeMoney(help_text="What an even pace would have spent by now; null when rolling.")
    expected = MaybeMoney(help_text="At the end of the period.")
    expected_low = MaybeMoney(help_text="Four in five such periods end above this.")
    expected_high = MaybeMoney()
    method = ChoiceField(choices=METHODS)
    method_said = CharField(help_text="The method in words, or why there is no forecast.")
    state = ChoiceField(choices=STATES)
    why = CharField()
    missing = CharField(help_text="What is in no figure, such as usage without a price.")
    as_of = Instant(allow_null=True)


class ListedBudgetShape(SpendBudgetShape):
    current = BudgetPeriodShape(
        allow_null=True, help_text="The newest evaluation, as the page of budgets shows it."
    )
    converted = ConvertedBudgetShape(
        allow_null=True, help_text="null unless `convert` is given and there is a rate."
    )


class SpendBudgetPageShape(Serializer):
    data = ListedBudgetShape(many=True)
    next = CharField(allow_null=True)


class BudgetCrossingShape(Serializer):
    percent = DecimalField(max_digits=7, decimal_places=2)
    on = CharField(source="basis")
    severity = CharField()
    period = DateField(source="starts_on", help_text="The first day of its period.")
    figure = Money(help_text="Spent, or expected, when it was crossed.")
    amount = Money()
    currency = CharField()
    crossed_at = Instant()
    resolved_at = Instant(allow_null=True)


class BudgetCourseShape(Serializer):
    """One day of the period, everything added up to its end."""

    day = DateField()
    actual = MaybeMoney()
    pace = MaybeMoney()
    mean = MaybeMoney(help_text="Expected; null on days that are over, or without a forecast.")
    low = MaybeMoney(help_text="Four in five such days end above this.")
    high = MaybeMoney()


class BudgetStatusShape(Serializer):
    budget = SpendBudgetShape()
    current = BudgetPeriodShape(allow_null=True, help_text="null before it starts, after it ends.")
    course = BudgetCourseShape(many=True, help_text="The days of the current period.")
    history = BudgetPeriodShape(many=True, help_text="Periods that are over, newest first.")
    crossings = BudgetCrossingShape(many=True)


class LimitShape(Serializer):
    """What a gateway should do about one scope."""

    budget = IntegerField(source="budget_id")
    name = CharField()
    scope = SpendScopeShape()
    state = ChoiceField(
        choices=SIGNALS_GIVEN, help_text="ok: go on; soft: fall back to a cheaper way; hard: stop."
    )
    since = Instant(allow_null=True)
    why = CharField()
    period_from = DateField(allow_null=True)
    period_to = DateField(allow_null=True, help_text="The day after its last; then it begins anew.")
    fresh = BooleanField(help_text="False: nothing was computed for a quarter of an hour.")


class LimitListShape(Serializer):
    data = LimitShape(many=True)
    next = CharField(allow_null=True)


def _amount(help: str, **more: Any) -> DecimalField:
    return DecimalField(max_digits=38, decimal_places=20, help_text=help, **more)


class BudgetChangeRequest(Serializer):
    """What is left out stays as it is; null takes a value away."""

    name = CharField(max_length=100, required=False)
    owner = CharField(max_length=150, required=False, help_text="A user name; you if left out.")
    scope = SpendScopeShape(required=False)
    basis = ChoiceField(choices=SPEND_BASES, required=False)
    currency = CharField(max_length=20, required=False)
    period = ChoiceField(choices=KINDS, required=False)
    starts_on = DateField(required=False)
    last_day = DateField(required=False, allow_null=True)
    rolling_days = IntegerField(required=False, allow_null=True)
    amount_kind = ChoiceField(choices=AMOUNT_KINDS, required=False)
    amount = _amount("Of a fixed budget.", required=False, allow_null=True)
    months = ListField(
        child=DecimalField(max_digits=38, decimal_places=20), required=False, help_text=TWELVE
    )
    cap = _amount("The most that an adjusting budget may be.", required=False, allow_null=True)
    average_of = IntegerField(required=False, allow_null=True, help_text=AVERAGED)
    limit_signal = ChoiceField(choices=SIGNALS, required=False)
    thresholds = BudgetThresholdShape(many=True, required=False)
    is_paused = BooleanField(required=False)
    revision = IntegerField(required=False, help_text="The one you have read, or If-Match.")


class BudgetRequest(Serializer):
    name = CharField(max_length=100)
    owner = CharField(max_length=150, default="", allow_blank=True, help_text="You if left out.")
    scope = SpendScopeShape(default=dict)
    basis = ChoiceField(
        choices=SPEND_BASES,
        default="",
        allow_blank=True,
        help_text="usage with a project or a team, else book, if left out.",
    )
    currency = CharField(max_length=20, default="", allow_blank=True)
    period = ChoiceField(choices=KINDS, default="monthly")
    starts_on = DateField(default=None, allow_null=True, help_text="Today if left out.")
    last_day = DateField(default=None, allow_null=True, help_text="Of a total until a date.")
    rolling_days = IntegerField(default=None, allow_null=True)
    amount_kind = ChoiceField(choices=AMOUNT_KINDS, default="fixed")
    amount = _amount("Of a fixed budget.", default=None, allow_null=True)
    months = ListField(
        child=DecimalField(max_digits=38, decimal_places=20), default=list, help_text=TWELVE
    )
    cap = _amount("The most that an adjusting budget may be.", default=None, allow_null=True)
    average_of = IntegerField(default=None, allow_null=True, help_text=AVERAGED)
    limit_signal = ChoiceField(choices=SIGNALS, default="none")
    thresholds = BudgetThresholdShape(many=True, default=list)
