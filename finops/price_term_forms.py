"""The forms by which people enter what was agreed with providers. Refuses saving and judging."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone

from finops.access import visible_projects
from finops.actions.price_terms import Draft, RegionDraft, TermDraft
from finops.forms import MomentField
from finops.models import User
from finops.models.price_terms import LONGEST_REGION
from finops.models.prices import PRICE_UNITS
from finops.queries.prices import price_book, providers, tiers

UNIT_CHOICES = [(unit, unit.replace("_", " ")) for unit in PRICE_UNITS]
MOST_TOKENS = 10**9


def day_field(label: str, help: str) -> forms.DateField:
    widget = forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(label=label, required=False, help_text=help, widget=widget)


def number_field(label: str, help: str, *, places: int) -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        help_text=help,
        max_digits=30,
        decimal_places=places,
        widget=forms.TextInput({"inputmode": "decimal"}),
    )


def short_field(label: str, length: int, help: str = "", *, required: bool = False) -> Any:
    return forms.CharField(label=label, max_length=length, required=required, help_text=help)


class AgreedForm(forms.Form):
    """What a term and a region of purchase have in common."""

    provider = forms.ChoiceField(help_text="As the price book names it.")
    project = forms.ChoiceField(
        required=False, help_text="One of a project goes before one of everybody."
    )
    first_day = day_field("First day", "Empty: it always held.")
    last_day = day_field("Last day", "Empty: until further notice.")
    note = short_field("Note", 200)
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: User, *args: Any, draft: Draft | None = None, **kwargs: Any):
        if draft is not None:
            kwargs["initial"] = {**initial_of(draft), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        self.fields["provider"].choices = [(one, one) for one in providers(price_book())]
        self.fields["project"].choices = project_choices(user, "Every project")

    def refuse(self, field: str, message: str) -> None:
        """What the actions refused, at the field it is about."""
        self.add_error(field if field in self.fields else None, message)

    def _common(self) -> dict[str, Any]:
        names = ("provider", "project", "region", "first_day", "last_day", "note")
        return {name: self.cleaned_data[name] for name in names}


class TermForm(AgreedForm):
    contract = short_field("Contract", 100, "Its number or name.", required=True)
    percent = number_field(
        "Percent off", "Off the list price; below 0 it is a surcharge.", places=6
    )
    amount = number_field(
        "Or a fixed amount",
        "Per million tokens, or per thousand requests, of one model and one token class.",
        places=14,
    )
    currency = short_field("Its currency", 20)
    model = short_field("Model", 200, "Empty: every one of the provider.")
    unit = forms.ChoiceField(label="Token class", required=False, choices=[("", "Every one")])
    tier = forms.ChoiceField(required=False, help_text="Such as standard or batch.")
    region = short_field("Region", LONGEST_REGION, "Only what is bought there. Empty: everywhere.")
    field_order = (
        "contract", "provider", "percent", "amount", "currency", "model", "unit", "tier",
        "region", "project", "first_day", "last_day", "note",
    )  # fmt: skip

    def __init__(self, user: User, *args: Any, **kwargs: Any):
        super().__init__(user, *args, **kwargs)
        self.fields["unit"].choices = [("", "Every one"), *UNIT_CHOICES]
        known = [(one, one) for one in tiers(price_book())]
        self.fields["tier"].choices = [("", "Every one"), *known]
        self.fields["currency"].initial = settings.REPORTING_CURRENCY

    def what(self) -> Iterable[Any]:
        names = ("contract", "provider", "percent", "amount", "currency")
        return [self[name] for name in names]

    def where(self) -> Iterable[Any]:
        return [self[name] for name in ("model", "unit", "tier", "region", "project")]

    def when(self) -> Iterable[Any]:
        return [self[name] for name in ("first_day", "last_day", "note")]

    def draft(self) -> TermDraft:
        given = self.cleaned_data
        names = ("contract", "model", "tier", "unit", "percent", "amount")
        is_fixed = given["amount"] is not None
        return TermDraft(
            **self._common(),
            **{name: given[name] for name in names},
            currency=given["currency"].strip().upper() if is_fixed else "",
        )


class RegionForm(AgreedForm):
    region = short_field(
        "Region", LONGEST_REGION, "As your prices and contracts name it, as in eu.", required=True
    )
    field_order = ("provider", "region", "project", "first_day", "last_day", "note")

    def what(self) -> Iterable[Any]:
        return [self[name] for name in ("provider", "region")]

    def where(self) -> Iterable[Any]:
        return [self["project"]]

    def when(self) -> Iterable[Any]:
        return [self[name] for name in ("first_day", "last_day", "note")]

    def draft(self) -> RegionDraft:
        return RegionDraft(**self._common())


class ExplainForm(forms.Form):
    """A request whose price is to be explained; sent by GET, so it can be linked to."""

    provider = short_field("Provider", 200, required=True)
    model = short_field("Model", 300, "As its requests name it.", required=True)
    tier = short_field("Tier", 40, "As in: batch, flex, priority. Empty: standard.")
    prompt_tokens = forms.IntegerField(
        label="Prompt tokens", required=False, min_value=0, max_value=MOST_TOKENS,
        help_text="The whole prompt, for prices of long ones.",
    )  # fmt: skip
    project = forms.ChoiceField(required=False)
    at = MomentField(required=False, help_text="Empty: now.")
    version = forms.IntegerField(
        label="Price book", required=False, min_value=1, max_value=2**31 - 1,
        help_text="Its version, as in 2. Empty: the one its hour was priced with, else the newest.",
    )  # fmt: skip

    def __init__(self, user: User, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["project"].choices = project_choices(user, "Any project")

    def moment(self) -> datetime:
        return self.cleaned_data["at"] or timezone.now()


def project_choices(user: User, every: str) -> list[tuple[str, str]]:
    return [("", every), *((one.slug, one.name) for one in visible_projects(user).all)]


def initial_of(draft: Draft) -> dict[str, Any]:
    told = {name: getattr(draft, name) for name in type(draft).__dataclass_fields__}
    return {
        name: f"{value.normalize():f}" if isinstance(value, Decimal) else value
        for name, value in told.items()
    }
