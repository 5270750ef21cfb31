"""Forms that people fill in. Knows fields and their sentences; refuses saving."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm
from django.forms.forms import NON_FIELD_ERRORS
from django.utils import timezone

from finops.access import visible_projects
from finops.actions.price_book import OwnPrice
from finops.models import LedgerEntry, User
from finops.models.prices import BILLED_BY, BY_HOURS, PRICE_UNITS
from finops.money import Money, format_money
from finops.queries.filters import midnight, today
from ingest import models
from ingest.records import INPUT_BANDS
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, PullSource, Setting, Source

MAX_UPLOAD_BYTES = 200 * 1024 * 1024


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


SETTING = "config."
"""Before the name of a field that is a setting of the source's kind."""


class ConnectForm(forms.Form):
    """Settings of a new source: its name, whose facts it brings, and what its kind needs."""

    name = forms.CharField(max_length=100, help_text="As people will see it in the list.")

    def __init__(self, adapter: Source, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.adapter = adapter
        if adapter.owner == "project":
            self._project_fields()
        elif adapter.owner == "pool":
            self._pool_fields()
        if isinstance(adapter, PullSource):
            self.fields["interval_s"] = forms.IntegerField(
                label="Seconds between pulls",
                min_value=adapter.least_interval_s,
                max_value=adapter.most_interval_s,
                initial=adapter.usual_interval_s,
            )
        for setting in adapter.settings:
            self.fields[f"{SETTING}{setting.name}"] = setting_field(setting)

    def _project_fields(self) -> None:
        self.fields["project"] = forms.CharField(
            max_length=100,
            help_text="The application whose requests these are. A new name makes a new project.",
            widget=forms.TextInput({"list": "known-projects", "autocomplete": "off"}),
        )
        self.fields["team"] = forms.CharField(
            max_length=100,
            required=False,
            help_text="Who owns a new project.",
            widget=forms.TextInput({"list": "known-teams", "autocomplete": "off"}),
        )

    def _pool_fields(self) -> None:
        self.fields["pool"] = forms.CharField(
            max_length=100,
            help_text="Hardware that is paid for together. A new name makes a new pool.",
            widget=forms.TextInput({"list": "known-pools", "autocomplete": "off"}),
        )
        self.fields["provider"] = forms.CharField(
            max_length=100,
            required=False,
            help_text="For a new pool: the provider name its spans carry, such as triton.",
        )
        self.fields["hardware"] = forms.CharField(
            max_length=100,
            required=False,
            help_text="For a new pool: the price book's name of it, such as H100.",
        )
        self.fields["gpu_count"] = forms.IntegerField(
            label="GPUs paid for",
            required=False,
            min_value=1,
            max_value=100_000,
            help_text="For a new pool; without it, what is paid is unknown.",
        )

    def clean_name(self) -> str:
        name = self.cleaned_data["name"].strip()
        if models.Source.objects.filter(name=name).exists():
            raise forms.ValidationError("There is a source of this name; choose another one.")
        return name

    def clean(self) -> dict[str, Any]:
        """The kind's own settings, checked by the kind itself."""
        given = super().clean() or {}
        config = {
            setting.name: given[f"{SETTING}{setting.name}"]
            for setting in self.adapter.settings
            if given.get(f"{SETTING}{setting.name}") not in (None, "")
        }
        if any(name.startswith(SETTING) for name in self.errors):
            return given
        try:
            given["config"] = self.adapter.check_config(config)
        except BadConfig as bad:
            name = f"{SETTING}{bad.field}"
            message = bad.message[:1].upper() + bad.message[1:]
            self.add_error(name if name in self.fields else None, message)
        return given

    def settings_are_sound(self) -> bool:
        """For a test of the connection: what else is missing may be filled in later."""
        for name in list(self.errors):
            if not name.startswith(SETTING) and name != NON_FIELD_ERRORS:
                del self.errors[name]
        return not self.errors


def setting_field(setting: Setting) -> forms.Field:
    """The form field that fits a setting's default."""
    common = {
        "label": setting.label,
        "help_text": setting.help,
        "required": setting.required,
        "initial": setting.default,
    }
    if isinstance(setting.default, dict | list):
        return forms.JSONField(widget=forms.Textarea({"rows": 3, "spellcheck": "false"}), **common)
    if isinstance(setting.default, int):
        return forms.IntegerField(min_value=1, **common)
    if setting.secret:
        # Never sent back, not even with a form that was wrong.
        widget = forms.PasswordInput({"autocomplete": "off", "spellcheck": "false"})
        # A service account's bearer token may have thousands of characters.
        return forms.CharField(max_length=4096, strip=False, widget=widget, **common)
    return forms.CharField(max_length=500, strip=False, **common)


class UploadForm(forms.Form):
    file = forms.FileField(help_text="Plain or gzipped, at most 200 MB.")

    def __init__(self, kind: str, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if REGISTRY[kind].brings_bills:
            self.fields["complete"] = forms.BooleanField(
                required=False,
                initial=True,
                label="This file is the whole of its accounts and months",
                help_text="Only then does it replace what an earlier file said of them.",
            )

    def clean_file(self):
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(
                "The file is over 200 MB. Load it on the server instead: manage.py load."
            )
        return file


class PastForm(forms.Form):
    """Which days of a source's past to read."""

    first = forms.DateField(label="From", widget=forms.DateInput({"type": "date"}))
    last = forms.DateField(label="Up to and including", widget=forms.DateInput({"type": "date"}))

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        first, last = given.get("first"), given.get("last")
        if first and last and last < first:
            self.add_error("last", "It is before the first day; choose that day or a later one.")
        if first and first > today():
            self.add_error("first", "There is nothing to read of days to come.")
        return given

    def range(self) -> tuple[datetime, datetime]:
        """In the accounting zone; of today, what is over."""
        zone = settings.ACCOUNTING_TIME_ZONE
        last = min(self.cleaned_data["last"], today())
        end = midnight(last + timedelta(days=1), zone)
        now = timezone.now().replace(second=0, microsecond=0)
        return midnight(self.cleaned_data["first"], zone), min(end, now)


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
