"""The forms by which people tell events and end incidents. Refuses saving."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.utils import timezone

from finops.access import visible_projects
from finops.actions import events as actions
from finops.models import User
from ingest.events import LONGEST, EventRecord
from ingest.models import Project

WHOLE = ""
KIND_CHOICES = [
    ("release", "Release"),
    ("config_change", "Config change"),
    ("incident", "Incident"),
]
MINUTES = "%Y-%m-%dT%H:%M"


def moment_field(label: str, help: str = "", *, required: bool = True) -> forms.DateTimeField:
    """Clock time of the accounting zone, as every time on a page is."""
    return forms.DateTimeField(
        label=label,
        required=required,
        help_text=help,
        input_formats=[MINUTES, f"{MINUTES}:%S", "%Y-%m-%d %H:%M"],
        widget=forms.DateTimeInput({"type": "datetime-local"}, format=MINUTES),
    )


def text_field(name: str, label: str, help: str = "", *, required: bool = False) -> forms.CharField:
    return forms.CharField(label=label, max_length=LONGEST[name], required=required, help_text=help)


def local_now() -> datetime:
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    return timezone.now().astimezone(zone).replace(second=0, microsecond=0, tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """What was typed, as an instant; the form itself knows no zone."""
    if moment is None:
        return None
    return moment.replace(tzinfo=ZoneInfo(settings.ACCOUNTING_TIME_ZONE))


class EventForm(forms.Form):
    kind = forms.ChoiceField(choices=KIND_CHOICES)
    title = text_field("title", "Title", "Service and version if left out.")
    service = text_field("service", "Service", "As its requests name it.")
    version = text_field("version", "Version", "As in 1.4.2.")
    project = forms.ChoiceField(required=False, help_text="Whose charts it is marked in.")
    environment = text_field("environment", "Environment", "As in production.")
    happened_at = moment_field("When")
    ended_at = moment_field("Ended", "An incident that goes on has no end yet.", required=False)
    link = text_field("link", "Link", "To the release notes, the ticket or the run.")

    def __init__(self, user: User, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.projects = {
            project.slug: project
            for project in visible_projects(user).all
            if not project.is_unallocated and actions.may_manage(user, project)
        }
        whole = [(WHOLE, "The whole estate")] if actions.may_manage(user, None) else []
        named = [(slug, project.name) for slug, project in self.projects.items()]
        self.fields["project"].choices = [*whole, *named]
        self.fields["project"].required = not whole
        self.fields["happened_at"].initial = local_now
        zone = settings.ACCOUNTING_TIME_ZONE
        self.fields["happened_at"].help_text = f"Clock time in {zone}."

    def clean_happened_at(self) -> datetime | None:
        return aware(self.cleaned_data["happened_at"])

    def clean_ended_at(self) -> datetime | None:
        return aware(self.cleaned_data["ended_at"])

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if "happened_at" in given and not self.errors:
            problem = self.record().problem(timezone.now())
            if problem is not None:
                self.add_error(problem.field if problem.field in self.fields else None,
                               problem.detail)  # fmt: skip
        return given

    def owner(self) -> Project | None:
        return self.projects.get(self.cleaned_data["project"])

    def record(self) -> EventRecord:
        told = {name: value for name, value in self.cleaned_data.items() if name != "project"}
        return EventRecord(**told, origin="page")


class EndForm(forms.Form):
    ended_at = moment_field("Ended", "Empty: just now.", required=False)

    def clean_ended_at(self) -> datetime | None:
        return aware(self.cleaned_data["ended_at"])
