"""Forms of a source: its settings, a file for it, which of its days to read.

Knows fields and their sentences; refuses saving.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.forms.forms import NON_FIELD_ERRORS
from django.utils import timezone

from finops.actions import connections
from finops.queries.filters import midnight, today
from ingest import models
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, PullSource, Setting, Source

MAX_UPLOAD_BYTES = 200 * 1024 * 1024

SETTING = "config."
"""Before the name of a field that is a setting of the source's kind."""


class SettingsForm(forms.Form):
    """What every source is told: its name, how often, and what its kind needs."""

    name = forms.CharField(max_length=100, help_text="As people will see it in the list.")

    def __init__(self, adapter: Source, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.adapter = adapter
        self._owner_fields()
        if isinstance(adapter, PullSource):
            self.fields["interval_s"] = forms.IntegerField(
                label="Seconds between pulls",
                min_value=adapter.least_interval_s,
                max_value=adapter.most_interval_s,
                initial=adapter.usual_interval_s,
            )
        for setting in adapter.settings:
            self.fields[f"{SETTING}{setting.name}"] = setting_field(setting)

    @property
    def limits(self) -> list[forms.BoundField]:
        """Numbers with a usual value, such as a time limit: seldom anybody's first concern."""
        return [
            self[f"{SETTING}{setting.name}"]
            for setting in self.adapter.settings
            if isinstance(setting.default, int) and not setting.required
        ]

    @property
    def others(self) -> list[forms.BoundField]:
        limits = {field.name for field in self.limits}
        return [field for field in self.visible_fields() if field.name not in limits]

    @property
    def limits_are_wrong(self) -> bool:
        return any(field.errors for field in self.limits)

    def _owner_fields(self) -> None:
        """None: whose facts they are stays as it is."""

    def kept(self) -> dict[str, Any]:
        """Settings that hold where nothing was typed."""
        return {}

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"].strip()
        try:
            connections.check_name(name, self.source_pk)
        except connections.Refused as refused:
            raise forms.ValidationError(refused.message) from refused
        return name

    source_pk: int | None = None

    def clean(self) -> dict[str, Any]:
        """The kind's own settings, checked by the kind itself."""
        given = super().clean() or {}
        typed = {
            setting.name: given[f"{SETTING}{setting.name}"]
            for setting in self.adapter.settings
            if given.get(f"{SETTING}{setting.name}") not in (None, "")
        }
        if any(name.startswith(SETTING) for name in self.errors):
            return given
        try:
            given["config"] = self.adapter.check_entered({**self.kept(), **typed})
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


class ConnectForm(SettingsForm):
    """A new source, and whose facts it brings."""

    def _owner_fields(self) -> None:
        if self.adapter.owner == "project":
            self._project_fields()
        elif self.adapter.owner == "pool":
            self._pool_fields()

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


class ChangeForm(SettingsForm):
    """A connected source. A secret is never shown; left empty, the one there stays."""

    def __init__(self, adapter: Source, source: models.Source, kept: Mapping[str, Any],
                 *args: Any, **kwargs: Any):  # fmt: skip
        secrets = {setting.name for setting in adapter.settings if setting.secret}
        self.kept_secrets = {name: kept[name] for name in secrets if name in kept}
        self.source_pk = source.pk
        shown = {f"{SETTING}{name}": value for name, value in source.config.items()}
        initial = {"name": source.name, "interval_s": source.interval_s, **shown}
        super().__init__(adapter, *args, initial=initial, **kwargs)
        for name in self.kept_secrets:
            field = self.fields[f"{SETTING}{name}"]
            field.required = False
            field.help_text = "Kept and never shown. Leave it empty to keep it."

    def kept(self) -> dict[str, Any]:
        return self.kept_secrets


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
