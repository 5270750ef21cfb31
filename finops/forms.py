"""Forms that people fill in. Knows fields and their sentences; refuses saving."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm

from finops.access import visible_projects
from finops.actions.price_book import OwnPrice
from finops.models import LedgerEntry, User
from finops.models.price_terms import LONGEST_REGION
from finops.models.prices import BILLED_BY, BY_HOURS, PRICE_UNITS
from finops.money import Money, format_money
from finops.queries.filters import midnight
from ingest.records import INPUT_BANDS


class SignInForm(AuthenticationForm):
    """One sentence for every failure, so that nobody learns which names exist."""

    error_messages = {
        "invalid_login": "That name and password do not go together. Capital letters count.",
        "inactive": "That name and password do not go together. Capital letters count.",
    }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "User name"
        self.fields["password"].label = "Password"


class MomentField(forms.DateTimeField):
    """A moment of the accounting zone, on a quarter hour."""

    widget = forms.DateTimeInput({"type": "datetime-local", "step": "900"})

    def to_python(self, value: Any) -> datetime | None:
        moment = super().to_python(value)
        if moment is None:
            return None
        return moment.replace(tzinfo=ZoneInfo(settings.ACCOUNTING_TIME_ZONE))


class OwnPriceForm(forms.Form):
    """A price of our own; it goes before the list's."""

    provider = forms.CharField(max_length=100, help_text="As its requests name it, as in openai.")
    model = forms.CharField(max_length=200, help_text="As its requests name it.")
    unit = forms.ChoiceField(
        label="Of", choices=[(unit, unit.replace("_", " ")) for unit in PRICE_UNITS]
    )
    amount = forms.DecimalField(
        label="Price",
        min_value=0,
        help_text="Per million tokens; per thousand when it is of requests.",
        widget=forms.TextInput({"inputmode": "decimal"}),
    )
    currency = forms.CharField(max_length=3, min_length=3)
    tier = forms.CharField(max_length=40, initial="standard", help_text="As in standard or batch.")
    input_over = forms.TypedChoiceField(
        label="For prompts over",
        coerce=int,
        choices=[(band, f"{band:,} tokens") for band in INPUT_BANDS],
    )
    region = forms.CharField(
        max_length=LONGEST_REGION, required=False, help_text="Only what is bought there, as in eu."
    )
    is_list_price = forms.BooleanField(
        label="It is a list price: discounts of contracts come off it", required=False
    )
    valid_from = MomentField(required=False, help_text="Empty: it has always held.")
    note = forms.CharField(max_length=200, required=False, help_text="Why, as in: contract 2026.")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = settings.REPORTING_CURRENCY

    def clean_currency(self) -> str:
        return self.cleaned_data["currency"].upper()

    def price(self) -> OwnPrice:
        given = {name: value for name, value in self.cleaned_data.items() if name != "note"}
        return OwnPrice(**given)


class HardwarePriceForm(forms.Form):
    hardware = forms.CharField(max_length=100, help_text="As its pool names it, such as H100.")
    hourly = forms.DecimalField(
        label="Price of one per hour",
        min_value=0,
        widget=forms.TextInput({"inputmode": "decimal"}),
    )
    currency = forms.CharField(max_length=3, min_length=3)
    billed_by = forms.ChoiceField(
        label="Paid by",
        required=False,
        choices=list(BILLED_BY.items()),
        help_text="Reserved and on-demand machines by the hour, serverless GPUs by use.",
    )
    valid_from = MomentField(required=False, help_text="Empty: it has always held.")
    note = forms.CharField(max_length=200, required=False)

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["currency"].initial = settings.REPORTING_CURRENCY

    def clean_currency(self) -> str:
        return self.cleaned_data["currency"].upper()

    def clean_billed_by(self) -> str:
        return self.cleaned_data["billed_by"] or BY_HOURS


class ProgrammeCostForm(forms.Form):
    """What the work on savings took, or what an earlier entry of it should have been."""

    on = forms.DateField(label="Day", widget=forms.DateInput({"type": "date"}))
    amount = forms.DecimalField(
        label="Cost",
        min_value=0,
        max_digits=30,
        decimal_places=18,
        widget=forms.TextInput({"inputmode": "decimal"}),
    )
    currency = forms.CharField(max_length=3, min_length=3)
    note = forms.CharField(
        label="What for", max_length=200, help_text="As in: two days of load tests."
    )
    project = forms.ChoiceField(required=False, help_text="Whose it is.")
    corrects = forms.ChoiceField(
        required=False,
        help_text="The old entry stays and counts no more. A cost of 0 takes it back.",
    )

    def __init__(self, costs: Sequence[LedgerEntry], user: User, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.costs = {str(cost.pk): cost for cost in costs}
        self.projects = {project.slug: project for project in visible_projects(user).all}
        self.fields["project"].choices = [
            ("", "The whole organisation"),
            *(
                (slug, project.name)
                for slug, project in self.projects.items()
                if not project.is_unallocated
            ),
        ]
        self.fields["corrects"].choices = [
            ("", "Nothing: this is a new cost"),
            *(
                (pk, f"#{pk}: {format_money(Money(cost.cash, cost.currency))} for {cost.title}")
                for pk, cost in self.costs.items()
            ),
        ]

    def clean_currency(self) -> str:
        return self.cleaned_data["currency"].upper()

    def cost(self) -> dict[str, Any]:
        given = self.cleaned_data
        return {
            "on": given["on"],
            "cost": Money(given["amount"], given["currency"]),
            "note": given["note"],
            "project": self.projects.get(given["project"]),
            "corrects": self.costs.get(given["corrects"]),
        }


class AccessTokenForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="What it is for, as in: weekly report.")
    scope = forms.ChoiceField(
        label="Scope",
        choices=[("read", "read"), ("write", "read and write"), ("admin", "everything I may")],
    )
    expires_on = forms.DateField(
        label="Ends on",
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text="Empty: it does not end by itself.",
    )

    def expires_at(self) -> datetime | None:
        day = self.cleaned_data["expires_on"]
        return midnight(day, settings.ACCOUNTING_TIME_ZONE) if day else None
