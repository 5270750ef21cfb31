"""The form that matches usage with the bill for it. Choices come from what was seen; saves none."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from finops.queries.bill_matches import Choices


class BillMatchForm(forms.Form):
    usage_provider = forms.ChoiceField(
        label="Usage of", help_text="As requests name the provider, or a pool its hardware."
    )
    service = forms.ChoiceField(
        label="Is charged by",
        help_text="Where a complete bill covers it, the bill is the book and usage is not added.",
    )

    def __init__(self, choices: Choices, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["usage_provider"].choices = [(name, name) for name in choices.providers]
        self.fields["service"].choices = [
            (json.dumps(pair), f"{pair[1]} of {pair[0]}") for pair in choices.services
        ]

    def match(self) -> tuple[str, str, str]:
        """Usage provider, bill provider and bill service."""
        provider, service = json.loads(self.cleaned_data["service"])
        return self.cleaned_data["usage_provider"], provider, service
