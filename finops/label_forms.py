"""The form by which people choose a label that costs are split by. Refuses saving."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

from django import forms

from finops.actions import labels as actions
from finops.models import User
from finops.queries.filters import today
from ingest.labels import MOST_ATTRIBUTES
from ingest.models import Project
from ingest.models.labels import LONGEST_NAME

EVERY = ""
USUAL_DAYS = 30
SEPARATORS = re.compile(r"[,\n]")


class LabelForm(forms.Form):
    name = forms.CharField(
        max_length=LONGEST_NAME,
        label="Name",
        help_text="What pages and addresses call it, as in customer: small letters and digits.",
    )
    attributes = forms.CharField(
        label="Read from",
        help_text=f"Keys of your requests' attributes, at most {MOST_ATTRIBUTES}, separated by"
        " commas; the first one that a request has is its value.",
    )
    project = forms.ChoiceField(
        required=False,
        label="Of",
        help_text="A project's own label stands before that of every project.",
    )
    since = forms.DateField(
        label="From which day on",
        help_text="Days before today are summed in the background, while their requests are kept.",
        widget=forms.DateInput({"type": "date"}),
    )

    def __init__(self, user: User, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.projects = actions.managed(user)
        every = [(EVERY, "Every project")] if actions.may_manage(user, None) else []
        named = [(slug, project.name) for slug, project in self.projects.items()]
        self.fields["project"].choices = [*every, *named]
        self.fields["project"].required = not every
        self.fields["since"].initial = lambda: today() - timedelta(days=USUAL_DAYS)

    def owner(self) -> Project | None:
        return self.projects.get(self.cleaned_data["project"])

    def keys(self) -> list[str]:
        return SEPARATORS.split(self.cleaned_data["attributes"])

    def first_day(self) -> date:
        day: date = self.cleaned_data["since"]
        return day

    def refuse(self, field: str, message: str) -> None:
        self.add_error(field if field in self.fields else None, message)
