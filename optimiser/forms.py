"""Forms that people fill in about targets, recommendations and changes.

Knows fields, their sentences and how shares are typed in per cent. Refuses saving, and to judge a
policy or a config: that is `asking`.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.utils import timezone

from finops.templatetags import words
from ingest.models import Pool, Project, Source
from optimiser.connections import STATISTICS, NewServer, NewTarget
from optimiser.models import Change, Server
from optimiser.plan import canonical
from optimiser.policy import LEAST_FOR_PEOPLE, LEAST_FOR_SAMPLES, SPLIT, Policy
from optimiser.verify import values as verify

MOST_TEXT = 2000
MARGINS = ("latency_margin", "error_margin", "quality_margin")
"""Terms of the judge that the form offers; the others stay as they are."""

NAMES = (
    "blocks", "block_s", "washout_s", "settle_s", "looks", "approvals", "book_least_minutes",
)  # fmt: skip
"""Terms that the form shows as the policy has them."""

EXPIRIES = (("24", "1 day"), ("72", "3 days"), ("168", "7 days"), ("336", "14 days"))


class ConfigField(forms.JSONField):
    """JSON that people read line by line."""

    def prepare_value(self, value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True)


class ServerForm(forms.Form):
    """One Triton server."""

    name = forms.CharField(max_length=100, help_text="As people will see it in the list.")
    url = forms.CharField(
        label="Address",
        max_length=300,
        help_text="Its HTTP address, as in `http://triton:8000`.",
        widget=forms.TextInput({"inputmode": "url", "spellcheck": "false"}),
    )
    admin_key = forms.CharField(
        max_length=500,
        required=False,
        help_text="Needed where it lets nobody load a model without one. Kept encrypted and never "
        "shown again.",
        widget=forms.PasswordInput({"autocomplete": "off"}),
    )
    timeout_s = forms.FloatField(
        label="Seconds to wait for an answer", min_value=0.1, max_value=60, initial=10
    )
    statistics_source = forms.ModelChoiceField(
        Source.objects.none(),
        label="Measured by",
        required=False,
        empty_label="Nothing yet",
        help_text="The source that reads its GPU time. Without one no change on it can be proved.",
    )

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["statistics_source"].queryset = Source.objects.filter(kind=STATISTICS)
        self.fields["statistics_source"].label_from_instance = lambda source: source.name

    def server(self) -> NewServer:
        return NewServer(**self.cleaned_data)


class TargetForm(forms.Form):
    """One model of a server."""

    server = forms.ModelChoiceField(Server.objects.all())
    model = forms.CharField(
        max_length=200,
        help_text="Its name in the model repository.",
        widget=forms.TextInput({"spellcheck": "false"}),
    )
    kind = forms.ChoiceField(
        choices=[("model", "A model"), ("router", "A router that splits traffic between models")],
    )
    project = forms.ModelChoiceField(
        Project.objects.all(), help_text="Whose engineers and approvers decide on it."
    )
    pool = forms.ModelChoiceField(Pool.objects.all(), help_text="The hardware it runs on.")
    request_model = forms.CharField(
        label="Name in requests",
        max_length=200,
        required=False,
        help_text="The model that its callers ask for; empty when it is the same name.",
        widget=forms.TextInput({"spellcheck": "false"}),
    )
    shadow_model = forms.CharField(
        label="Shadow for calibration",
        max_length=200,
        required=False,
        help_text="The same files under another name, so that measuring leaves this one alone.",
        widget=forms.TextInput({"spellcheck": "false"}),
    )

    def target(self) -> NewTarget:
        return NewTarget(**self.cleaned_data)


class TermsForm(forms.Form):
    """How a change is tried out, judged and approved."""

    blocks = forms.IntegerField(
        max_value=200,
        help_text="How many stretches of time; half of them run the new config, in random order.",
    )
    block_s = forms.FloatField(
        label="Seconds per block",
        max_value=3600,
        help_text="Longer blocks hold more requests, and the experiment takes longer.",
    )
    washout_s = forms.FloatField(
        label="Seconds left out after each switch",
        max_value=600,
        help_text="So that requests of the config before do not count.",
    )
    weight = forms.FloatField(
        label="Share of traffic for the new one, in %", min_value=1, max_value=90
    )
    settle_s = forms.FloatField(
        label="Seconds to wait for late spans",
        max_value=120,
    )
    looks = forms.IntegerField(
        label="Looks at the figures",
        min_value=1,
        max_value=10,
        help_text="How often it is judged on the way; the bounds allow for each look.",
    )
    deadline_min = forms.FloatField(
        label="Minutes until it gives up",
        min_value=1,
        max_value=7 * 1440,
        help_text="No verdict by then, and the old config comes back.",
    )
    latency_margin = forms.FloatField(
        label="P95 latency may be worse by at most, in %", min_value=0.1, max_value=100
    )
    error_margin = forms.FloatField(
        label="Error rate may rise by at most, in points of %", min_value=0.01, max_value=20
    )
    quality_margin = forms.FloatField(
        label="Quality may fall by at most, in points of %", min_value=0.01, max_value=20
    )
    needs_quality = forms.BooleanField(
        label="Without scored answers there is no PASS",
        required=False,
        help_text="For what may change the answers themselves, such as another build of a model.",
    )
    book_least_minutes = forms.FloatField(
        label="Minutes to measure before a saving is booked", min_value=0, max_value=1440
    )
    approvals = forms.IntegerField(
        label="Approvals needed",
        min_value=1,
        max_value=5,
        help_text="Each from another person; never yours.",
    )

    def __init__(self, policy: Policy, *args: Any, **kwargs: Any):
        initial = {**shown_terms(policy), **(kwargs.pop("initial", None) or {})}
        super().__init__(*args, initial=initial, **kwargs)
        if policy.experiment == SPLIT:
            del self.fields["washout_s"]
            self.fields["blocks"].help_text = "How many stretches of time are compared."
        else:
            del self.fields["weight"]
        least = LEAST_FOR_SAMPLES if settings.SAMPLE_DATA else LEAST_FOR_PEOPLE
        for name in ("blocks", "block_s", "washout_s", "settle_s", "book_least_minutes"):
            if name in self.fields:
                self.fields[name].widget.attrs["min"] = tidy(getattr(least, name))

    @property
    def words_fields(self) -> list[forms.BoundField]:
        """Those that say what and why; the terms have usual values and are folded away."""
        return [self[name] for name in self.fields if name not in TermsForm.base_fields]

    @property
    def terms_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name in TermsForm.base_fields]

    @property
    def terms_are_wrong(self) -> bool:
        return any(name in TermsForm.base_fields for name in self.errors)

    def terms(self) -> dict[str, Any]:
        """As `asking` takes them: shares as fractions, durations in seconds."""
        given = self.cleaned_data
        terms = {name: given[name] for name in NAMES if name in given}
        terms["deadline_s"] = given["deadline_min"] * 60
        terms["judge"] = {name: given[name] / 100 for name in MARGINS}
        terms["judge"]["needs_quality"] = given["needs_quality"]
        if "weight" in given:
            terms["weight"] = given["weight"] / 100
        return terms


def shown_terms(policy: Policy) -> dict[str, Any]:
    shown = {name: tidy(getattr(policy, name)) for name in NAMES}
    shown["weight"] = tidy(policy.weight * 100)
    shown["deadline_min"] = tidy(policy.deadline_s / 60)
    judge = verify.Policy.from_json(policy.judge)
    for name in MARGINS:
        shown[name] = tidy(getattr(judge, name) * 100)
    shown["needs_quality"] = judge.needs_quality
    return shown


def tidy(number: float) -> float | int:
    """`60`, not `60.0`; and 0.1 × 100 is 10, not 10.000000000000002."""
    rounded = round(number, 6)
    return int(rounded) if rounded == int(rounded) else rounded


class ProposeForm(TermsForm):
    """A change out of a recommendation."""

    why = forms.CharField(
        label="Why now",
        max_length=MOST_TEXT,
        required=False,
        widget=forms.Textarea({"rows": 3}),
        help_text="What the approver should know beside the figures.",
    )
    expires_in = forms.ChoiceField(
        label="To be decided and begun within", choices=EXPIRIES, initial="72"
    )

    field_order = ["why", "expires_in"]

    def expires_at(self) -> datetime:
        return timezone.now() + timedelta(hours=int(self.cleaned_data["expires_in"]))


class EditForm(TermsForm):
    """A proposal that is changed: its words, its config, its terms."""

    title = forms.CharField(max_length=200)
    why = forms.CharField(
        label="Why", max_length=MOST_TEXT, required=False, widget=forms.Textarea({"rows": 3})
    )
    expires_in = forms.ChoiceField(label="To be decided and begun within", required=False)
    desired_config = ConfigField(
        label="Desired config",
        help_text="The whole config as Triton takes it; a part of one would replace all of it.",
        widget=forms.Textarea({"rows": 18, "spellcheck": "false", "class": "mono"}),
    )

    field_order = ["title", "why", "expires_in", "desired_config"]

    def __init__(self, change: Change, *args: Any, **kwargs: Any):
        super().__init__(
            Policy.from_json(change.policy),
            *args,
            initial={
                "title": change.title,
                "why": change.why,
                "desired_config": change.desired_config,
            },
            **kwargs,
        )
        self.change = change
        as_it_is = ("", f"As it is: {words.when_text(change.expires_at)}")
        self.fields["expires_in"].choices = [as_it_is, *EXPIRIES]

    def clean_desired_config(self) -> dict[str, Any]:
        config = self.cleaned_data["desired_config"]
        if not isinstance(config, dict):
            raise forms.ValidationError("Give the config as a JSON object.")
        try:
            canonical(config)
        except ValueError:
            raise forms.ValidationError("NaN and infinity are no numbers in JSON.") from None
        return config

    def expires_at(self) -> datetime | None:
        hours = self.cleaned_data["expires_in"]
        return timezone.now() + timedelta(hours=int(hours)) if hours else None

    def changes(self) -> dict[str, Any]:
        """What `asking.edit` takes; what nobody touched is not given."""
        given, change = self.cleaned_data, self.change
        touched = set(self.changed_data)
        config = given["desired_config"]
        return {
            "title": given["title"] if "title" in touched else None,
            "why": given["why"] if "why" in touched else None,
            "expires_at": self.expires_at(),
            "desired_config": config if config != change.desired_config else None,
            "terms": self.terms() if touched & set(TermsForm.base_fields) else None,
        }


class DismissForm(forms.Form):
    reason = forms.CharField(
        label="Why not",
        max_length=MOST_TEXT,
        widget=forms.Textarea({"rows": 2}),
        help_text="Kept with the recommendation and in the audit chain.",
    )


class DecisionForm(forms.Form):
    """What an approver says. A no, or a question, needs its reason."""

    plan_hash = forms.CharField(max_length=64, widget=forms.HiddenInput)
    decision = forms.ChoiceField(choices=[(name, name) for name in ("approve", "reject", "ask")])
    comment = forms.CharField(
        max_length=MOST_TEXT,
        required=False,
        widget=forms.Textarea({"rows": 3}),
        help_text="Needed when you reject or ask for changes.",
    )
