"""What answers about sources look like. Knows names and types; computes nothing."""

from __future__ import annotations

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

from finops.queries.sources import STATES
from ingest.models.sources import REJECT_STATES

from .shapes import Instant, PerCurrency


class CountsShape(Serializer):
    """rows_in = inserted + updated + unchanged + stale + rejected."""

    rows_in = IntegerField()
    inserted = IntegerField()
    updated = IntegerField()
    unchanged = IntegerField()
    stale = IntegerField()
    rejected = IntegerField()


class BudgetShape(Serializer):
    """The requests that a source allows itself in a window of time, by UTC."""

    window_s = IntegerField()
    spent = IntegerField()
    most = IntegerField()


class SourceShape(Serializer):
    id = IntegerField(source="source.pk")
    name = CharField(source="source.name")
    kind = CharField(source="source.kind")
    project = CharField(source="source.project.slug", allow_null=True, default=None)
    pool = CharField(source="source.pool.name", allow_null=True, default=None)
    enabled = BooleanField(source="source.enabled")
    is_sample = BooleanField(source="source.is_sample")
    interval_s = IntegerField(source="source.interval_s", allow_null=True)
    last_success_at = Instant(source="source.last_success_at", allow_null=True)
    last_fact_at = Instant(source="source.last_fact_at", allow_null=True)
    state = ChoiceField(choices=STATES)
    state_note = CharField()
    lag_s = FloatField(allow_null=True)
    delayed_until = Instant(source="source.delayed_until", allow_null=True)
    completeness = FloatField(
        allow_null=True, help_text="Share of the pulls due in the last 24 hours that came."
    )
    budgets = BudgetShape(many=True)
    last_24h = CountsShape()
    quarantined = IntegerField(help_text="Rejected rows kept now, of the last 7 days.")
    late = IntegerField(help_text="Spans taken for days whose details were gone already.")


class SourceListShape(Serializer):
    data = SourceShape(many=True)
    next = CharField(allow_null=True)


class PeriodShape(Serializer):
    billing_account_id = CharField()
    billing_month = DateField()
    line_count = IntegerField()
    last_charge_at = Instant()
    known_from = Instant()
    known_to = Instant(allow_null=True, help_text="null while it is believed.")
    superseded_by = IntegerField(allow_null=True)
    superseded = IntegerField(allow_null=True)
    costs = PerCurrency()


class DeliveryShape(Serializer):
    id = IntegerField()
    source_id = IntegerField()
    name = CharField()
    sha256 = CharField()
    received_at = Instant()
    complete = BooleanField()
    note = CharField(help_text="Why it is not complete.")
    warnings = ListField(child=CharField(), help_text="What is doubtful about its figures.")
    counts = CountsShape()
    periods = PeriodShape(many=True)


class DeliveryPageShape(Serializer):
    data = DeliveryShape(many=True, source="rows")
    next = CharField(allow_null=True)


class PullShape(Serializer):
    window_from = Instant()
    window_to = Instant()
    state = CharField()
    started_at = Instant()
    finished_at = Instant(allow_null=True)
    error = CharField()
    counts = CountsShape()


class PullPageShape(Serializer):
    data = PullShape(many=True, source="rows")
    next = CharField(allow_null=True)


class RejectShape(Serializer):
    """Why a row was not taken; the row itself is never shown."""

    id = IntegerField()
    received_at = Instant()
    reason = CharField()
    field = CharField()
    detail = CharField()
    external_id = CharField()
    line = IntegerField(allow_null=True)
    delivery_id = IntegerField(allow_null=True)
    state = ChoiceField(choices=REJECT_STATES, help_text="`taken`: tried again, and a fact now.")
    can_be_tried = BooleanField(help_text="Whether enough was kept of it to try it again.")
    tries = IntegerField(help_text="How often it was tried again.")
    tried_at = Instant(allow_null=True)


class RejectPageShape(Serializer):
    data = RejectShape(many=True, source="rows")
    next = CharField(allow_null=True)
