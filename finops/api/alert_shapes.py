"""What answers about alerts look like. Knows names and types; computes nothing."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework.serializers import (
    BooleanField,
    CharField,
    ChoiceField,
    DateTimeField,
    DictField,
    IntegerField,
    ListField,
    Serializer,
)

from finops.models.alerts import ALERT_ACTS, ALERT_KINDS, ALERT_STATES, SEVERITIES

from .shapes import Instant

CHANNELS = "Ids, as /api/v1/channels lists them."


def person(source: str, help: str = "") -> CharField:
    return CharField(source=f"{source}.username", default=None, allow_null=True, help_text=help)


def of_project() -> CharField:
    return CharField(
        source="project.slug",
        default=None,
        allow_null=True,
        help_text="Null: for members of the organisation.",
    )


class AlertShape(Serializer):
    id = IntegerField(source="pk")
    alert_id = CharField(source="ref", help_text="As people and channels know it.")
    kind = ChoiceField(choices=ALERT_KINDS)
    key = CharField()
    severity = ChoiceField(choices=SEVERITIES)
    state = ChoiceField(choices=ALERT_STATES)
    title = CharField()
    text = CharField()
    path = CharField(help_text="The page where it is seen.")
    project = of_project()
    figures = DictField(child=CharField())
    owner = person("owner")
    opened_at = Instant()
    last_seen_at = Instant()
    times_seen = IntegerField()
    swings = IntegerField(help_text="How often it was over and came again within the quiet time.")
    is_flapping = BooleanField(help_text="Channels hear of it again when it holds still.")
    is_silenced = BooleanField(help_text="A planned silence keeps it from channels now.")
    acknowledged_by = person("acknowledged_by")
    acknowledged_at = Instant(allow_null=True)
    snoozed_until = Instant(allow_null=True)
    resolved_by = person("resolved_by", "Null of a resolved one: it ended by itself.")
    resolved_at = Instant(allow_null=True)
    why = CharField(allow_blank=True, help_text="Why it is resolved.")


class AlertPageShape(Serializer):
    data = AlertShape(many=True, source="rows")
    next = CharField(allow_null=True)


class HistoryShape(Serializer):
    act = ChoiceField(choices=ALERT_ACTS)
    severity = ChoiceField(choices=SEVERITIES, help_text="As it was then.")
    at = Instant()
    by = CharField(source="by_name", allow_blank=True, help_text="Empty: by itself.")
    note = CharField(allow_blank=True)
    channels = ListField(source="told", child=IntegerField(), help_text=CHANNELS)


class ToldShape(Serializer):
    channel = CharField()
    event = CharField()
    at = Instant()
    state = CharField()
    attempts = IntegerField()
    problem = CharField(allow_blank=True)


class WholeAlertShape(AlertShape):
    history = HistoryShape(many=True, help_text="Newest first.")
    deliveries = ToldShape(many=True, help_text="Newest first.")


class BriefAlertShape(Serializer):
    """The alert of an event, as it is now."""

    id = IntegerField(source="pk")
    alert_id = CharField(source="ref")
    kind = ChoiceField(choices=ALERT_KINDS)
    key = CharField()
    state = ChoiceField(choices=ALERT_STATES)
    title = CharField()
    text = CharField()
    path = CharField()
    project = of_project()
    figures = DictField(child=CharField())


class AlertEventShape(HistoryShape):
    id = IntegerField(source="pk", help_text="Grows; an event comes once.")
    alert = BriefAlertShape()


class AlertEventPageShape(Serializer):
    data = AlertEventShape(many=True, source="rows")
    next = CharField(help_text="Ask again with this as `after`.")


class SnoozeRequest(Serializer):
    until = DateTimeField(default_timezone=UTC)


class ResolveRequest(Serializer):
    why = CharField(max_length=1000)


def seconds(help: str) -> IntegerField:
    return IntegerField(min_value=300, max_value=30 * 86_400, allow_null=True, help_text=help)


def channels(help: str) -> ListField:
    return ListField(child=IntegerField(min_value=1, max_value=2**31 - 1), max_length=50,
                     help_text=help)  # fmt: skip


class RuleRequest(Serializer):
    """A whole rule; what is left out is an error, so that nothing is switched off unsaid."""

    enabled = BooleanField(help_text="False: alerts are kept and shown, and nobody is told.")
    severity = ChoiceField(choices=SEVERITIES)
    channel_ids = channels(CHANNELS)
    remind_every_s = seconds("Null: never.")
    escalate_after_s = seconds("Null: never.")
    escalation_channel_ids = channels(CHANNELS)
    quiet_s = IntegerField(
        min_value=60,
        max_value=86_400,
        allow_null=True,
        help_text="Over and back within this time: the same alert. Null: a new one each time.",
    )


class RuleShape(RuleRequest):
    kind = ChoiceField(choices=ALERT_KINDS)
    changed_at = Instant(allow_null=True)
    changed_by = person("changed_by")


class RuleListShape(Serializer):
    data = RuleShape(many=True)
    next = CharField(allow_null=True)


@extend_schema_field({"type": ["string", "null"]})
class KindOrNull(CharField):
    """The model keeps an empty text for every kind."""

    def to_representation(self, value: Any) -> str | None:
        return value or None


class SilenceShape(Serializer):
    id = IntegerField(source="pk")
    why = CharField()
    kind = KindOrNull(help_text="Null: every kind.")
    project = CharField(
        source="project.slug", default=None, allow_null=True, help_text="Null: every project."
    )
    key_pattern = CharField(help_text="Empty: every key.")
    starts_at = Instant()
    ends_at = Instant()
    created_by = person("created_by")
    ended_at = Instant(allow_null=True, help_text="When somebody ended it early.")
    ended_by = person("ended_by")


class SilenceListShape(Serializer):
    data = SilenceShape(many=True)
    next = CharField(allow_null=True)


class SilenceRequest(Serializer):
    why = CharField(max_length=500)
    ends_at = DateTimeField(default_timezone=UTC)
    starts_at = DateTimeField(
        default=None, allow_null=True, default_timezone=UTC, help_text="Now if left out."
    )
    kind = ChoiceField(choices=ALERT_KINDS, default="", allow_blank=True)
    project = CharField(
        max_length=60,
        default=None,
        allow_null=True,
        allow_blank=True,
        help_text="Slug; left out: every project.",
    )
    key_pattern = CharField(
        max_length=300, default="", allow_blank=True, help_text="As in `source:7` or `project:*`."
    )
