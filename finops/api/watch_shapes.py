"""What answers about watch rules look like, and what may be sent. Knows names and types."""

from __future__ import annotations

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DecimalField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.costing.watching import COMPARISONS
from finops.models.watch_rules import URGENCIES, WATCH_METRICS, WINDOW_MINUTES

from .shapes import MaybeMoney

THRESHOLD = "Percent, milliseconds or an amount; null: nobody has said, and it is off."


class WatchRuleShape(Serializer):
    id = IntegerField()
    name = CharField()
    metric = ChoiceField(choices=WATCH_METRICS)
    comparison = ChoiceField(choices=COMPARISONS)
    threshold = MaybeMoney(help_text=THRESHOLD)
    currency = CharField(help_text="Of a cost per request.")
    window_minutes = IntegerField()
    needed = IntegerField(help_text="So many of the last known windows must be wrong.")
    of_last = IntegerField()
    least_requests = IntegerField(help_text="A window with fewer says nothing.")
    project = CharField(help_text="A slug; empty: each project by itself.")
    models = ListField(child=CharField(), source="only_models")
    urgency = ChoiceField(choices=URGENCIES)
    action = CharField(help_text="What to do about it.")
    path = CharField(help_text="The page to do it on.")
    is_on = BooleanField()
    revision = IntegerField(help_text="What a change names in If-Match.")
    alerts = IntegerField(help_text="That wait now because of it.")


class WatchRuleListShape(Serializer):
    data = WatchRuleShape(many=True)
    next = CharField(allow_null=True)


class WatchRuleChangeRequest(Serializer):
    """What is left out stays as it is."""

    name = CharField(max_length=100, required=False)
    metric = ChoiceField(choices=WATCH_METRICS, required=False)
    comparison = ChoiceField(choices=COMPARISONS, required=False)
    threshold = DecimalField(
        max_digits=20, decimal_places=6, required=False, allow_null=True, help_text=THRESHOLD
    )
    currency = CharField(max_length=20, required=False, allow_blank=True)
    window_minutes = ChoiceField(choices=WINDOW_MINUTES, required=False)
    needed = IntegerField(required=False)
    of_last = IntegerField(required=False)
    least_requests = IntegerField(required=False)
    project = CharField(max_length=300, required=False, allow_blank=True)
    models = ListField(child=CharField(max_length=300), required=False)
    urgency = ChoiceField(choices=URGENCIES, required=False)
    action = CharField(max_length=1000, required=False)
    path = CharField(max_length=200, required=False, allow_blank=True)
    is_on = BooleanField(required=False)
    revision = IntegerField(required=False, help_text="The one you have read, or If-Match.")


class WatchRuleRequest(WatchRuleChangeRequest):
    name = CharField(max_length=100)
    metric = ChoiceField(choices=WATCH_METRICS)
    comparison = ChoiceField(choices=COMPARISONS)
    threshold = DecimalField(
        max_digits=20, decimal_places=6, default=None, allow_null=True, help_text=THRESHOLD
    )
    urgency = ChoiceField(choices=URGENCIES)
    action = CharField(max_length=1000)
    revision = None
