"""What answers about objectives look like, and what may be sent. Knows names and types."""

from __future__ import annotations

from typing import Any

from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateField,
    DecimalField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
    SerializerMethodField,
)

from finops.costing.objectives import ACTS, INDICATORS, WINDOWS, Definition
from finops.models.slos import PROPOSAL_STATES
from finops.queries.slos import STATES_SHOWN

from .shapes import Instant, MaybeMoney, Money, PointField

THRESHOLD = "Milliseconds, percent, a score or an amount; null of availability."
LEAST = "Fewer in the window of an alert say too little."


def _names(**more: Any) -> ListField:
    return ListField(child=CharField(max_length=300, allow_blank=True), **more)


class DefinitionShape(Serializer):
    name = CharField()
    indicator = ChoiceField(choices=INDICATORS)
    threshold = MaybeMoney(help_text=THRESHOLD)
    score = CharField(help_text="Name of the score; of quality alone.")
    currency = CharField(help_text="Of the target; of cost alone.")
    objective = Money(help_text="Percent of the events that must be good.")
    window_days = IntegerField()
    least_events = IntegerField(help_text=LEAST)
    services = _names()
    providers = _names()
    models = _names()


class SloStatusShape(Serializer):
    good = IntegerField()
    total = IntegerField(help_text="Events that were measured.")
    unknown = IntegerField(help_text="Events that could not be measured; they spend no budget.")
    budget_left = MaybeMoney(help_text="1 is all of the error budget, below 0 it is overdrawn.")
    burn_1h = MaybeMoney(help_text="1 uses the budget up at the end of its window.")
    severity = CharField(help_text="Of its alert; empty: nothing burns too fast.")
    as_of = Instant(allow_null=True)
    evaluated_at = Instant()


class SloShape(Serializer):
    id = IntegerField(source="slo.pk")
    project = CharField(source="slo.project.slug")
    version = IntegerField(help_text="What a proposal to change it names in If-Match.")
    definition = DefinitionShape()
    state = ChoiceField(choices=STATES_SHOWN, help_text="As of the newest evaluation.")
    why = CharField()
    status = SloStatusShape(allow_null=True, help_text="null until evaluated, and when retired.")


class SloPageShape(Serializer):
    data = SloShape(many=True)
    next = CharField(allow_null=True)


class BurnShape(Serializer):
    window = CharField(source="pace.name")
    severity = CharField(source="pace.severity")
    at_least = Money(help_text="Both windows must reach this burn rate.")
    long = MaybeMoney()
    short = MaybeMoney()
    events = IntegerField(help_text="In the long window.")
    is_burning = BooleanField()


class CoursePointShape(Serializer):
    at = PointField()
    good = IntegerField(source="counts.good")
    total = IntegerField(source="counts.total")
    unknown = IntegerField(source="counts.unknown")
    share = FloatField(source="counts.share", allow_null=True, help_text="null: no events.")
    budget_left = MaybeMoney(source="left", help_text="Only by day.")


class SloCourseShape(Serializer):
    slo = IntegerField()
    since = DateField(help_text="The first day of its window.")
    until = DateField(help_text="The day after the last one of its window.")
    state = ChoiceField(choices=STATES_SHOWN, help_text="As of now.")
    why = CharField()
    good = IntegerField()
    total = IntegerField()
    unknown = IntegerField()
    budget_left = MaybeMoney()
    burns = BurnShape(many=True)
    step = CharField()
    points = CoursePointShape(many=True)


class SloVersionShape(Serializer):
    number = IntegerField()
    definition = SerializerMethodField()
    retires = BooleanField(help_text="From here on it holds no more.")
    at = Instant()
    proposal = IntegerField(source="proposal_id")
    proposer = CharField(source="proposal.proposer.username")
    approver = SerializerMethodField()

    def get_definition(self, version: Any) -> DefinitionShape:
        return plain(version.definition)  # type: ignore[return-value]

    def get_approver(self, version: Any) -> str:
        agreed = [one for one in version.proposal.decisions.all() if one.decision == "approve"]
        return agreed[-1].approver.username if agreed else ""


class SloVersionListShape(Serializer):
    data = SloVersionShape(many=True)
    next = CharField(allow_null=True)


class SloDecisionShape(Serializer):
    approver = CharField(source="approver.username")
    decision = CharField(help_text="approve, reject or ask")
    comment = CharField()
    plan_hash = CharField()
    via = CharField()
    at = Instant()


class DiffersShape(Serializer):
    field = CharField()
    old = JSONField(allow_null=True)
    new = JSONField(allow_null=True)


class SloProposalShape(Serializer):
    id = IntegerField(source="pk")
    slo = IntegerField(source="slo_id", allow_null=True)
    project = CharField(source="project.slug")
    act = ChoiceField(choices=ACTS)
    definition = SerializerMethodField()
    based_on = IntegerField(help_text="The version that was live; 0: there was none.")
    why = CharField()
    proposer = CharField(source="proposer.username")
    state = ChoiceField(choices=PROPOSAL_STATES)
    why_closed = CharField()
    revision = IntegerField()
    plan_hash = CharField(help_text="Its seal: what a decision names. Also the ETag.")
    expires_at = Instant()
    created_at = Instant()
    closed_at = Instant(allow_null=True)

    def get_definition(self, found: Any) -> DefinitionShape:
        return plain(found.definition)  # type: ignore[return-value]


class OneSloProposalShape(Serializer):
    proposal = SloProposalShape()
    differs = DiffersShape(many=True, help_text="From the version it is based on.")
    decisions = SloDecisionShape(many=True)
    editors = SerializerMethodField(help_text="May not decide on it.")
    may_decide = SerializerMethodField()
    why_not_decide = CharField(help_text="Empty: you may.")

    def get_editors(self, row: Any) -> list[str]:
        return [one.username for one in row.editors]

    def get_may_decide(self, row: Any) -> bool:
        return not row.why_not_decide


class SloProposalListShape(Serializer):
    data = SloProposalShape(many=True)
    next = CharField(allow_null=True)


class SloChangeRequest(Serializer):
    """What is left out stays as it is."""

    name = CharField(max_length=100, required=False)
    indicator = ChoiceField(choices=INDICATORS, required=False)
    threshold = DecimalField(
        max_digits=38, decimal_places=12, required=False, allow_null=True, help_text=THRESHOLD
    )
    score = CharField(max_length=300, required=False, allow_blank=True)
    currency = CharField(max_length=20, required=False, allow_blank=True)
    objective = DecimalField(max_digits=20, decimal_places=12, required=False)
    window_days = ChoiceField(choices=WINDOWS, required=False)
    least_events = IntegerField(required=False, help_text=LEAST)
    services = _names(required=False)
    providers = _names(required=False)
    models = _names(required=False)
    why = CharField(max_length=2000, required=False, allow_blank=True)


class SloProposalRequest(SloChangeRequest):
    project = CharField(max_length=300, help_text="A slug.")
    name = CharField(max_length=100)
    indicator = ChoiceField(choices=INDICATORS)
    objective = DecimalField(max_digits=20, decimal_places=12)
    window_days = ChoiceField(choices=WINDOWS, default=28)


class SloNextRequest(SloChangeRequest):
    """A change of an objective, or its end."""

    retire = BooleanField(default=False)
    version = IntegerField(required=False, help_text="The one you have read, or If-Match.")


class SloEditRequest(SloChangeRequest):
    plan_hash = CharField(max_length=64, required=False, help_text="Or If-Match with the ETag.")


class SloDecisionRequest(Serializer):
    plan_hash = CharField(
        max_length=64, default="", allow_blank=True, help_text="Or If-Match with the ETag."
    )
    comment = CharField(
        max_length=2000, default="", allow_blank=True, help_text="Needed to ask and to reject."
    )


def plain(definition: Any) -> dict[str, Any]:
    """As `DefinitionShape` says it, of what is stored."""
    return dict(DefinitionShape(Definition.from_json(definition)).data)
