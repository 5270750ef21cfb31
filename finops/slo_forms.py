"""The forms by which people propose objectives and decide on them. Refuses saving and judging."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings

from finops.access import visible_projects
from finops.budget_forms import lines, money_said, names_field
from finops.costing.objectives import (
    COST,
    INDICATORS,
    QUALITY,
    USUAL_EVENTS,
    USUAL_QUARTERS,
    WINDOWS,
    Definition,
    usual_events,
)
from finops.models import User
from finops.queries.slos import PROPOSE
from ingest.models import Project

INDICATOR_CHOICES = (
    ("latency", "Latency: answered within a time"),
    ("ttft", "Time to first token within a time"),
    ("availability", "Availability: requests that did not fail"),
    ("error_rate", "Error rate: quarter hours with few failures"),
    ("quality", "Quality: scores that are good enough"),
    ("cost", "Cost per request within a target"),
)
assert {name for name, _ in INDICATOR_CHOICES} == set(INDICATORS)


def number_field(label: str, help: str = "", **more: Any) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        help_text=help,
        max_digits=38,
        decimal_places=12,
        widget=forms.TextInput({"inputmode": "decimal"}),
        **more,
    )


class SloForm(forms.Form):
    project = forms.ChoiceField()
    name = forms.CharField(max_length=100, help_text="As in: Swift answers.")
    indicator = forms.ChoiceField(choices=INDICATOR_CHOICES)
    threshold = number_field(
        "Threshold",
        "Milliseconds, a percentage of failed requests, a score, or an amount; none for "
        "availability.",
        required=False,
    )
    score = forms.CharField(
        label="Name of the score", max_length=300, required=False, help_text="Of quality alone."
    )
    currency = forms.CharField(
        max_length=20, required=False, help_text="Of a cost per request alone."
    )
    objective = number_field(
        "Objective, %",
        "So much must be good. `P95 within 2 s` is 95 with a threshold of 2000.",
    )
    window_days = forms.TypedChoiceField(
        label="Window",
        choices=[(str(days), f"The last {days} days") for days in WINDOWS],
        coerce=int,
        initial="28",
    )
    least_events = forms.IntegerField(
        label="Least events for an alert",
        required=False,
        min_value=1,
        help_text=f"In the window of the alert. Empty: {USUAL_EVENTS} requests or scores,"
        f" {USUAL_QUARTERS} quarter hours.",
    )
    services = names_field("Services")
    providers = names_field("Providers")
    models = names_field("Models")
    why = forms.CharField(
        label="Why",
        required=False,
        max_length=2000,
        help_text="Read by whoever decides.",
        widget=forms.Textarea({"rows": 2}),
    )
    read = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)

    def __init__(
        self,
        user: User,
        *args: Any,
        project: Project | None = None,
        definition: Definition | None = None,
        **kwargs: Any,
    ):
        if definition is not None:
            kwargs["initial"] = {**initial_of(definition), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.projects = {
            one.slug: one for one in visible_projects(user).all if user.has_perm(PROPOSE, one)
        }
        if project is not None:
            # An objective stays with its project.
            del self.fields["project"]
            self.project = project
        else:
            self.fields["project"].choices = [
                (one.slug, one.name) for one in self.projects.values()
            ]

    def main(self) -> list[Any]:
        names = ("project", "name", "indicator", "threshold", "score", "currency")
        return [self[name] for name in names if name in self.fields]

    def wanted(self) -> list[Any]:
        return [self[name] for name in ("objective", "window_days", "least_events")]

    def scope(self) -> list[Any]:
        return [self[name] for name in ("services", "providers", "models")]

    def owner(self) -> Project:
        chosen = self.cleaned_data.get("project")
        return self.projects[chosen] if chosen else self.project

    def refuse(self, field: str, message: str) -> None:
        """What the actions refused, at the field it is about."""
        self.add_error(field if field in self.fields else None, message)

    def definition(self) -> Definition:
        given = self.cleaned_data
        indicator = given["indicator"]
        currency = given["currency"].strip() or settings.REPORTING_CURRENCY
        return Definition(
            name=given["name"].strip(),
            indicator=indicator,
            threshold=given["threshold"],
            score=given["score"].strip() if indicator == QUALITY else "",
            currency=currency if indicator == COST else "",
            objective=given["objective"],
            window_days=given["window_days"],
            least_events=given["least_events"] or usual_events(indicator),
            services=lines(given["services"]),
            providers=lines(given["providers"]),
            models=lines(given["models"]),
        )


class DecisionForm(forms.Form):
    plan_hash = forms.CharField(max_length=64, widget=forms.HiddenInput)
    decision = forms.ChoiceField(
        choices=[("approve", "Approve"), ("ask", "Ask for changes"), ("reject", "Reject")]
    )
    comment = forms.CharField(
        required=False,
        max_length=2000,
        help_text="Needed to ask for changes and to reject.",
        widget=forms.Textarea({"rows": 2}),
    )


def initial_of(definition: Definition) -> dict[str, Any]:
    told = {
        name: getattr(definition, name)
        for name in ("name", "indicator", "score", "currency", "window_days", "least_events")
    }
    several = {
        name: "\n".join(getattr(definition, name)) for name in ("services", "providers", "models")
    }
    amounts: dict[str, Decimal | None] = {
        "threshold": definition.threshold,
        "objective": definition.objective,
    }
    return {**told, **several, **{name: money_said(value) for name, value in amounts.items()}}
