"""The forms by which people put alerts off, resolve them, change rules and plan silences.

Refuses saving.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone

from finops.access import visible_projects
from finops.actions import alerting
from finops.actions.alerting import Plan, RuleChange
from finops.event_forms import aware, local_now, moment_field
from finops.models import AlertRule, User
from finops.models.alerts import LONGEST_KEY, SEVERITIES
from finops.queries.alerts import KIND_WORDS, channel_names
from ingest.models import Project

SNOOZES = (("1h", "1 hour", 1), ("8h", "8 hours", 8), ("1d", "1 day", 24))
REMIND = (
    ("", "Never"), ("3600", "Every hour"), ("14400", "Every 4 hours"), ("28800", "Every 8 hours"),
    ("86400", "Every day"), ("604800", "Every week"),
)  # fmt: skip
ESCALATE = (
    ("", "Never"), ("900", "After 15 minutes"), ("1800", "After 30 minutes"),
    ("3600", "After an hour"), ("14400", "After 4 hours"), ("86400", "After a day"),
)  # fmt: skip
QUIET = (
    ("", "A new alert each time"), ("300", "Within 5 minutes"), ("900", "Within 15 minutes"),
    ("1800", "Within 30 minutes"), ("3600", "Within an hour"), ("14400", "Within 4 hours"),
)  # fmt: skip


class SnoozeForm(forms.Form):
    """Either `length`, from a button, or `until`."""

    until = moment_field("Until")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.hours = {name: hours for name, _, hours in SNOOZES}.get(self.data.get("length", ""))
        self.fields["until"].required = not self.hours
        self.fields["until"].help_text = f"Clock time in {settings.ACCOUNTING_TIME_ZONE}."

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if self.hours:
            given["until"] = timezone.now() + timedelta(hours=self.hours)
        elif given.get("until"):
            given["until"] = aware(given["until"])
        return given


class ResolveForm(forms.Form):
    why = forms.CharField(
        label="Why",
        max_length=1000,
        help_text="It stays resolved while the same goes on, and opens anew when it comes again.",
        widget=forms.Textarea({"rows": 2}),
    )


def seconds_field(label: str, choices: Any, help: str = "") -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        label=label, choices=choices, coerce=int, empty_value=None, required=False, help_text=help
    )


def channels_field(label: str, help: str = "") -> forms.TypedMultipleChoiceField:
    return forms.TypedMultipleChoiceField(
        label=label,
        coerce=int,
        required=False,
        help_text=help,
        widget=forms.SelectMultiple({"size": 4}),
    )


class RuleForm(forms.Form):
    enabled = forms.BooleanField(label="Tell channels", required=False)
    severity = forms.ChoiceField(
        choices=[(name, name.capitalize()) for name in SEVERITIES],
        help_text="Where what finds it has no grades of its own.",
    )
    channel_ids = channels_field("Channels", "Several with Ctrl or ⌘; a budget may name its own.")
    remind_every_s = seconds_field("Remind", REMIND, "While nobody acknowledges it.")
    escalate_after_s = seconds_field("Escalate", ESCALATE, "If nobody acknowledges it by then.")
    escalation_channel_ids = channels_field("Channels to escalate to")
    quiet_s = seconds_field(
        "The same alert",
        QUIET,
        "When it is over and comes again so soon; channels are told once that it flaps.",
    )

    def __init__(self, rule: AlertRule, *args: Any, **kwargs: Any):
        initial = {name: getattr(rule, name) for name in self.base_fields}
        super().__init__(*args, initial=initial, prefix=rule.kind, **kwargs)
        names = list(channel_names().items())
        for name in ("channel_ids", "escalation_channel_ids"):
            self.fields[name].choices = names
        for name in ("remind_every_s", "escalate_after_s", "quiet_s"):
            self._offer(name, getattr(rule, name))

    def _offer(self, name: str, seconds: int | None) -> None:
        """A time that the API set stays what it is when the page saves another field."""
        choices = list(self.fields[name].choices)
        if seconds is not None and str(seconds) not in dict(choices):
            self.fields[name].choices = [*choices, (str(seconds), f"{seconds:,} seconds")]

    def wanted(self) -> RuleChange:
        given = dict(self.cleaned_data)
        for name in ("channel_ids", "escalation_channel_ids"):
            given[name] = tuple(given[name])
        return RuleChange(**given)


class SilenceForm(forms.Form):
    why = forms.CharField(label="What is planned", max_length=500)
    kind = forms.ChoiceField(
        required=False, choices=[("", "Every kind"), *KIND_WORDS.items()], label="Alerts of"
    )
    project = forms.ChoiceField(required=False)
    key_pattern = forms.CharField(
        label="Key",
        max_length=LONGEST_KEY,
        required=False,
        help_text="Only alerts whose key is like this, as in `source:7` or `project:*`.",
    )
    starts_at = moment_field("From")
    ends_at = moment_field("To")

    def __init__(self, user: User, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.projects = {
            project.slug: project
            for project in visible_projects(user).all
            if alerting.may_manage(user, project)
        }
        whole = [("", "Every project")] if alerting.may_manage(user, None) else []
        named = [(slug, project.name) for slug, project in self.projects.items()]
        self.fields["project"].choices = [*whole, *named]
        self.fields["project"].required = not whole
        self.fields["starts_at"].initial = local_now
        self.fields["ends_at"].initial = lambda: local_now() + timedelta(hours=2)
        self.fields["starts_at"].help_text = f"Clock time in {settings.ACCOUNTING_TIME_ZONE}."

    def clean_starts_at(self) -> datetime | None:
        return aware(self.cleaned_data["starts_at"])

    def clean_ends_at(self) -> datetime | None:
        return aware(self.cleaned_data["ends_at"])

    def owner(self) -> Project | None:
        return self.projects.get(self.cleaned_data["project"])

    def plan(self) -> Plan:
        return Plan(
            **{
                name: self.cleaned_data[name]
                for name in ("why", "kind", "key_pattern", "starts_at", "ends_at")
            }
        )
