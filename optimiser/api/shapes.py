"""What the optimiser's answers look like. Knows names and types; computes nothing.

Shares are fractions of 1, durations carry their unit, unknown is null. A config is always whole.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DictField,
    FloatField,
    IntegerField,
    JSONField,
    ListField,
    Serializer,
)

from finops.api.shapes import Instant, MaybeMoney, ProblemShape
from optimiser.models import (
    APPROVAL_DECISIONS,
    CHANGE_STATES,
    FINDING_OUTCOMES,
    LIVE_STATES,
    RECOMMENDATION_STATES,
    ROLLOUT_STATES,
    TARGET_KINDS,
    VERDICT_OUTCOMES,
)

MOST_TEXT = 2000


@extend_schema_field({"type": "object", "additionalProperties": True})
class Config(JSONField):
    """A whole config as Triton reports it."""


@extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
class MaybeConfig(JSONField):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)


@extend_schema_field({})
class Anything(JSONField):
    """Any JSON value; null where the field is not there."""


class MovedShape(Serializer):
    path = CharField()
    old = Anything(allow_null=True)
    new = Anything(allow_null=True)


class ConflictShape(ProblemShape):
    moved = ListField(child=CharField(), help_text="Which fields of the plan moved since, if any.")


class PersonField(CharField):
    """A user name; null is Breakeven itself."""

    def to_representation(self, value: Any) -> str:
        return value.get_username()


# Targets


class ServerShape(Serializer):
    id = IntegerField()
    name = CharField()
    url = CharField()
    has_admin_key = serializers.SerializerMethodField()
    timeout_s = FloatField()
    statistics_source = IntegerField(source="statistics_source_id", allow_null=True)

    def get_has_admin_key(self, server: Any) -> bool:
        return bool(server.admin_key)


class ServerListShape(Serializer):
    data = ServerShape(many=True)
    next = CharField(allow_null=True)


class ServerRequest(Serializer):
    name = CharField(max_length=100)
    url = CharField(max_length=300)
    admin_key = CharField(
        max_length=500, default="", allow_blank=True, help_text="Written only, never answered."
    )
    timeout_s = FloatField(default=10, min_value=0.1, max_value=60)
    statistics_source = IntegerField(default=None, allow_null=True)


class ChangeNoteShape(Serializer):
    id = IntegerField()
    title = CharField()
    state = ChoiceField(choices=CHANGE_STATES)


class TargetShape(Serializer):
    id = IntegerField(source="target.pk")
    server = CharField(source="target.server.name")
    model = CharField(source="target.model")
    kind = ChoiceField(source="target.kind", choices=TARGET_KINDS)
    project = CharField(source="target.project.slug")
    pool = CharField(source="target.pool.name")
    request_model = CharField(source="target.request_model")
    shadow_model = CharField(source="target.shadow_model")
    live_state = ChoiceField(source="target.live_state", choices=LIVE_STATES)
    live_state_since = Instant(source="target.live_state_since", allow_null=True)
    live_detail = CharField(source="target.live_detail")
    checked_at = Instant(source="target.checked_at", allow_null=True)
    desired_since = Instant(source="target.desired_since", allow_null=True)
    open_change = ChangeNoteShape(allow_null=True)


class TargetListShape(Serializer):
    data = TargetShape(many=True)
    next = CharField(allow_null=True)


class OneTargetShape(TargetShape):
    desired_config = MaybeConfig(source="target.desired_config")
    live_config = MaybeConfig(source="target.live_config")
    moved = MovedShape(
        many=True, allow_null=True, help_text="Desired → live; null while either is unknown."
    )


class TargetRequest(Serializer):
    server = IntegerField()
    model = CharField(max_length=200)
    kind = ChoiceField(choices=TARGET_KINDS, default="model")
    project = CharField(max_length=60, help_text="Its slug.")
    pool = CharField(max_length=100, help_text="Its name.")
    request_model = CharField(max_length=200, default="", allow_blank=True)
    shadow_model = CharField(max_length=200, default="", allow_blank=True)


class CalibrationShape(Serializer):
    id = IntegerField()
    target = IntegerField(source="target_id")
    state = CharField()
    requested_by = PersonField(allow_null=True)
    requested_at = Instant()
    started_at = Instant(allow_null=True)
    finished_at = Instant(allow_null=True)
    curve = Anything(allow_null=True)
    error = CharField()


class CalibrationPageShape(Serializer):
    data = CalibrationShape(many=True, source="rows")
    next = CharField(allow_null=True)


class CalibrationRequest(Serializer):
    target = IntegerField()


# Recommendations


class PotentialHoursShape(Serializer):
    value = FloatField()
    low = FloatField()
    high = FloatField()


class PotentialCashShape(Serializer):
    amount = MaybeMoney()
    low = MaybeMoney()
    high = MaybeMoney()
    currency = CharField()


class PotentialShape(Serializer):
    """In 30 days of the same traffic. Freed capacity and saved cash are never added."""

    gpu_hours = PotentialHoursShape()
    cash = PotentialCashShape(allow_null=True)
    cash_note = CharField()


class EvidenceShape(Serializer):
    id = IntegerField()
    kind = CharField()
    versions = DictField()
    calibration = IntegerField(source="calibration_id", allow_null=True)
    window_from = Instant()
    window_to = Instant()
    requests = IntegerField()
    seed = IntegerField()
    input_hash = CharField()


class OneEvidenceShape(EvidenceShape):
    results = Anything()


class RecommendationShape(Serializer):
    id = IntegerField(source="advice.pk")
    target = IntegerField(source="advice.target_id")
    model = CharField(source="advice.target.model")
    server = CharField(source="advice.target.server.name")
    project = CharField(source="advice.target.project.slug")
    lever = CharField(source="advice.lever")
    outcome = ChoiceField(source="advice.outcome", choices=FINDING_OUTCOMES)
    reason = CharField(source="advice.reason")
    title = CharField(source="advice.title")
    state = ChoiceField(source="advice.state", choices=RECOMMENDATION_STATES)
    effect = Anything(source="advice.effect", allow_null=True)
    potential = PotentialShape(allow_null=True)
    risk = CharField(source="advice.risk")
    rollback = CharField(source="advice.rollback")
    created_at = Instant(source="advice.created_at")
    closed_at = Instant(source="advice.closed_at", allow_null=True)
    closed_by = PersonField(source="advice.closed_by", allow_null=True)
    closed_reason = CharField(source="advice.closed_reason")
    evidence = EvidenceShape(source="advice.evidence", allow_null=True)
    change = ChangeNoteShape(allow_null=True)


class RecommendationPageShape(Serializer):
    data = RecommendationShape(many=True, source="rows")
    next = CharField(allow_null=True)


class OneRecommendationShape(RecommendationShape):
    current_config = Config(source="advice.current_config")
    candidate_config = MaybeConfig(source="advice.candidate_config")
    moved = MovedShape(many=True)
    evidence = OneEvidenceShape(source="advice.evidence", allow_null=True)


class DismissRequest(Serializer):
    reason = CharField(max_length=MOST_TEXT)


# Changes


class PolicyField(DictField):
    """Terms to set; those left out stay as they are. Margins are inside `judge`."""


class ProposeRequest(Serializer):
    why = CharField(max_length=MOST_TEXT, default="", allow_blank=True)
    policy = PolicyField(default=dict)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class EditRequest(Serializer):
    plan_hash = CharField(max_length=64, default="", help_text="Instead of If-Match.")
    title = CharField(max_length=200, default=None, allow_null=True)
    why = CharField(max_length=MOST_TEXT, default=None, allow_null=True, allow_blank=True)
    policy = PolicyField(default=None, allow_null=True)
    desired_config = MaybeConfig(default=None)
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class DecisionRequest(Serializer):
    plan_hash = CharField(max_length=64, default="", help_text="Instead of If-Match.")
    comment = CharField(max_length=MOST_TEXT, default="", allow_blank=True)


class WithdrawRequest(Serializer):
    reason = CharField(max_length=MOST_TEXT, default="", allow_blank=True)


class ChangeShape(Serializer):
    id = IntegerField(source="change.pk")
    title = CharField(source="change.title")
    state = ChoiceField(source="change.state", choices=CHANGE_STATES)
    target = IntegerField(source="change.target_id")
    model = CharField(source="change.target.model")
    server = CharField(source="change.target.server.name")
    project = CharField(source="change.target.project.slug")
    lever = CharField(source="change.lever")
    recommendation = IntegerField(source="change.recommendation_id", allow_null=True)
    proposer = PersonField(source="change.proposer")
    effect = Anything(source="change.effect", allow_null=True)
    revision = IntegerField(source="change.revision")
    plan_hash = CharField(source="change.plan_hash")
    agreed = IntegerField(help_text="Valid approvals of this plan.")
    needed = IntegerField()
    created_at = Instant(source="change.created_at")
    expires_at = Instant(source="change.expires_at")
    closed_at = Instant(source="change.closed_at", allow_null=True)


class ChangePageShape(Serializer):
    data = ChangeShape(many=True, source="rows")
    next = CharField(allow_null=True)


class ApprovalShape(Serializer):
    approver = PersonField()
    decision = ChoiceField(choices=APPROVAL_DECISIONS)
    comment = CharField()
    plan_hash = CharField()
    via = CharField()
    at = Instant()
    voided_at = Instant(allow_null=True)
    void_reason = CharField()


class EventShape(Serializer):
    at = Instant()
    actor = PersonField(allow_null=True)
    kind = CharField()
    text = CharField()


class BlockShape(Serializer):
    index = IntegerField()
    arm = CharField(help_text="Empty for a split: both at once.")
    weight = FloatField(allow_null=True)
    applied_at = Instant(allow_null=True)
    measured_from = Instant(allow_null=True)
    measured_to = Instant(allow_null=True)
    dropped_reason = CharField()


class MetricShape(Serializer):
    """`effect`, `low` and `high` are positive when the new one is better."""

    name = CharField()
    question = CharField()
    outcome = ChoiceField(choices=VERDICT_OUTCOMES)
    before = FloatField(allow_null=True)
    after = FloatField(allow_null=True)
    effect = FloatField(allow_null=True)
    low = FloatField(allow_null=True)
    high = FloatField(allow_null=True)
    margin = FloatField()
    seen = IntegerField()
    needed = IntegerField(allow_null=True)
    unit = CharField()
    reason = CharField()


class VerdictShape(Serializer):
    look = IntegerField()
    looks = IntegerField()
    outcome = ChoiceField(choices=VERDICT_OUTCOMES)
    reason = CharField()
    metrics = MetricShape(many=True)
    stops = BooleanField()
    judge_version = CharField()
    input_hash = CharField()
    at = Instant()


class RolloutShape(Serializer):
    id = IntegerField(source="rollout.pk")
    plan_hash = CharField(source="rollout.plan_hash")
    state = ChoiceField(source="rollout.state", choices=ROLLOUT_STATES)
    reason = CharField(source="rollout.reason")
    error = CharField(source="rollout.error")
    is_running = BooleanField()
    seed = IntegerField(source="rollout.seed")
    arms = ListField(source="rollout.arms", child=CharField())
    stop_asked_at = Instant(source="rollout.stop_asked_at", allow_null=True)
    stop_asked_by = PersonField(source="rollout.stop_asked_by", allow_null=True)
    started_at = Instant(source="rollout.started_at", allow_null=True)
    finished_at = Instant(source="rollout.finished_at", allow_null=True)
    blocks = BlockShape(many=True)
    verdicts = VerdictShape(many=True)


class MayShape(Serializer):
    """Empty where the reader may; otherwise why not."""

    decide = CharField()
    edit = CharField()
    withdraw = CharField()
    roll_back = CharField()


class OneChangeShape(ChangeShape):
    why = CharField(source="change.why")
    risk = CharField(source="change.risk")
    rollback = CharField(source="change.rollback")
    live_config = Config(source="change.live_config")
    desired_config = Config(source="change.desired_config")
    moved = MovedShape(many=True, help_text="Live → desired.")
    policy = DictField(source="change.policy")
    evidence = EvidenceShape(source="change.evidence", allow_null=True)
    editors = ListField(child=PersonField())
    approvals = ApprovalShape(many=True)
    events = EventShape(many=True)
    rollouts = RolloutShape(many=True, help_text="Newest first.")
    may = MayShape()
