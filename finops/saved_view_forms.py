"""The form of a saved view. Refuses saving and judging."""

from __future__ import annotations

from typing import Any

from django import forms

from finops.actions.saved_views import ViewDraft
from finops.models.saved_views import LONGEST_NAME, LONGEST_QUERY


class SavedViewForm(forms.Form):
    name = forms.CharField(max_length=LONGEST_NAME)
    is_shared = forms.BooleanField(
        label="Share it with everybody who may see it",
        required=False,
        help_text="Others read the name and open the view with their own projects. Whoever may not"
        " see a project or a team that it is narrowed to does not see the view.",
    )
    is_default = forms.BooleanField(
        label="Open the page with it",
        required=False,
        help_text="For you alone, where no other period or filter is asked for.",
    )
    query = forms.CharField(required=False, max_length=LONGEST_QUERY, widget=forms.HiddenInput)

    def draft(self, page: str) -> ViewDraft:
        return ViewDraft(page=page, **self.cleaned_data)

    def refuse(self, field: str, message: str) -> None:
        self.add_error(field if field in self.fields and field != "query" else None, message)


def initial_of(draft: ViewDraft) -> dict[str, Any]:
    return {name: getattr(draft, name) for name in ("name", "is_shared", "is_default", "query")}
