"""The form by which people write a rule of allocation. Refuses saving and judging."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.forms import BoundField

from finops.actions.allocation.rules import MOST_CONDITIONS, Draft
from finops.budget_forms import day_field, several_field
from finops.costing.allocating import FIELDS, KEYED, LABEL, SHARE, TAG, Condition
from ingest.models import Project
from ingest.models.owners import UNALLOCATED

ORIGINS = [
    ("bill", "Lines of bills"),
    ("hardware", "Hardware by the hour"),
    ("requests", "Requests, from the project that sent them"),
]
SPLITS = [
    ("one", "All to one project"),
    ("even", "Evenly over projects"),
    ("share", "By fixed shares"),
    ("usage", "By the priced usage of its days"),
    ("telemetry", "By requests that hardware answered"),
]
FIELD_LABELS = {
    "provider": "Provider",
    "service": "Service",
    "sku": "SKU",
    "account": "Billing account",
    "sub_account": "Sub-account",
    "region": "Region",
    "resource": "Resource",
    "charge_category": "Charge category",
    "pool": "Pool",
    "model": "Model",
    "hardware": "Hardware",
    "project": "Project that sent it",
    "user": "User",
    "key": "API key's name",
}
OPERATORS = [
    ("is", "is one of"),
    ("is_not", "is none of"),
    ("starts_with", "starts with"),
    ("contains", "contains"),
    ("present", "is there"),
    ("missing", "is missing"),
]
DAYS = [(days, f"Last {days} days") for days in (7, 30, 90)]
SHOWN_CONDITIONS = 3
SHARE_LINE = re.compile(r"(?P<slug>[-a-zA-Z0-9_]+)\s*[=: ]\s*(?P<percent>[0-9.]+)\s*%?", re.ASCII)
PARTS = {"targets": "projects", "conditions": ""}
"""Where a refusal about a part of a draft stands in this form."""


def field_choices() -> list[tuple[str, Any]]:
    def labelled(origin: str) -> list[tuple[str, str]]:
        return [(name, FIELD_LABELS[name]) for name in FIELDS[origin]]

    own = [one for one in labelled("hardware") if one[0] not in FIELDS["bill"]]
    known = {*FIELDS["bill"], *FIELDS["hardware"]}
    sent = [one for one in labelled("requests") if one[0] not in known]
    return [
        ("", "–"),
        ("Bill lines", [*labelled("bill"), (TAG, "Tag")]),
        ("Hardware (and its provider)", own),
        ("Requests (and their provider, service and model)", [*sent, (LABEL, "Label")]),
    ]


class AllocationForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="As in: Search by its tag.")
    origin = forms.ChoiceField(label="Takes", choices=ORIGINS)
    split = forms.ChoiceField(
        label="Lands",
        choices=SPLITS,
        help_text="Without usage or requests nothing is split. Requests themselves land on one"
        " project, evenly or by fixed shares.",
    )
    projects = several_field(
        "Projects", "Whose it is. By usage or requests: every one, if you choose none."
    )
    shares = forms.CharField(
        label="Fixed shares",
        required=False,
        help_text="One a line, as in: search = 60. They add up to 100.",
        widget=forms.Textarea({"rows": 3}),
    )
    valid_from = day_field("First day", "Of the charges. Empty: since ever.")
    last_day = day_field("Last day", "Empty: until further notice.")
    note = forms.CharField(max_length=300, required=False, help_text="Why it is so.")
    days = forms.TypedChoiceField(label="Test it on", choices=DAYS, coerce=int, initial=30)
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, draft: Draft | None = None, **kwargs: Any):
        if draft is not None:
            kwargs["initial"] = {**initial_of(draft), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        projects = Project.objects.exclude(slug=UNALLOCATED)
        self.fields["projects"].choices = [(one.slug, one.name) for one in projects]  # type: ignore[attr-defined]
        for at in range(MOST_CONDITIONS):
            self._add_condition(at)
        for name, field in self.fields.items():
            if not isinstance(field.widget, forms.HiddenInput):
                field.widget.attrs.setdefault("class", "input")
                if field.help_text:
                    field.widget.attrs.setdefault("aria-describedby", f"id_{name}_helptext")

    def _add_condition(self, at: int) -> None:
        self.fields[f"condition-{at}-field"] = forms.ChoiceField(
            label="What", required=False, choices=field_choices()
        )
        self.fields[f"condition-{at}-key"] = forms.CharField(
            label="Tag or label",
            required=False,
            max_length=200,
            help_text="Its key, for a tag of a bill or a label of a request.",
        )
        self.fields[f"condition-{at}-operator"] = forms.ChoiceField(
            label="How", required=False, choices=OPERATORS
        )
        self.fields[f"condition-{at}-values"] = forms.CharField(
            label="Values", required=False, help_text="One a line.",
            widget=forms.Textarea({"rows": 1}),
        )  # fmt: skip

    def clean_shares(self) -> tuple[tuple[str, Decimal], ...]:
        found = []
        for line in self.cleaned_data["shares"].splitlines():
            if not line.strip():
                continue
            match = SHARE_LINE.fullmatch(line.strip())
            if match is None:
                raise forms.ValidationError(f"Write “{line.strip()}” as: project = percent.")
            try:
                found.append((match["slug"], Decimal(match["percent"])))
            except InvalidOperation as error:
                raise forms.ValidationError(f"“{match['percent']}” is no percentage.") from error
        return tuple(found)

    def draft(self) -> Draft:
        said = self.cleaned_data
        is_share = said["split"] == SHARE
        targets = said["shares"] if is_share else tuple((one, None) for one in said["projects"])
        return Draft(
            name=said["name"],
            origin=said["origin"],
            conditions=tuple(self._conditions()),
            split=said["split"],
            targets=tuple(sorted(targets)),
            valid_from=said["valid_from"],
            last_day=said["last_day"],
            note=said["note"],
        )

    def _conditions(self) -> Iterable[Condition]:
        for at in range(MOST_CONDITIONS):
            name, key, operator, values = (
                self.cleaned_data[f"condition-{at}-{part}"]
                for part in ("field", "key", "operator", "values")
            )
            if name:
                lines = tuple(dict.fromkeys(v.strip() for v in values.splitlines() if v.strip()))
                field = f"{name}{key}" if name in (TAG, LABEL) else name
                yield Condition(field, operator or "is", lines)

    def refuse(self, field: str, message: str) -> None:
        at = PARTS.get(field, field)
        if field == "targets" and self.cleaned_data.get("split") == SHARE:
            at = "shares"
        self.add_error(at if at in self.fields else None, message)

    @property
    def main(self) -> list[BoundField]:
        return [self[name] for name in ("name", "origin", "note")]

    @property
    def landing(self) -> list[BoundField]:
        return [self[name] for name in ("split", "projects", "shares")]

    @property
    def times(self) -> list[BoundField]:
        return [self[name] for name in ("valid_from", "last_day")]

    @property
    def shown_conditions(self) -> list[list[BoundField]]:
        return self._lines(0, SHOWN_CONDITIONS)

    @property
    def more_conditions(self) -> list[list[BoundField]]:
        return self._lines(SHOWN_CONDITIONS, MOST_CONDITIONS)

    def _lines(self, first: int, end: int) -> list[list[BoundField]]:
        return [
            [self[f"condition-{at}-{part}"] for part in ("field", "key", "operator", "values")]
            for at in range(first, end)
        ]


def initial_of(draft: Draft) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": draft.name,
        "origin": draft.origin,
        "split": draft.split,
        "valid_from": draft.valid_from,
        "last_day": draft.last_day,
        "note": draft.note,
        "projects": [slug for slug, _ in draft.targets],
        "shares": "\n".join(
            f"{slug} = {percent.normalize():f}" for slug, percent in draft.targets if percent
        ),
    }
    for at, one in enumerate(draft.conditions):
        prefix = next((known for known in KEYED.values() if one.field.startswith(known)), "")
        found |= {
            f"condition-{at}-field": prefix or one.field,
            f"condition-{at}-key": one.field.removeprefix(prefix) if prefix else "",
            f"condition-{at}-operator": one.operator,
            f"condition-{at}-values": "\n".join(one.values),
        }
    return found
