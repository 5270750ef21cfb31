"""The form of one watch rule. Refuses saving and judging."""

from __future__ import annotations

from typing import Any

from django import forms

from finops.access import visible_projects
from finops.actions.alerting import may_manage
from finops.actions.watch_rules import WatchDraft
from finops.budget_forms import lines, money_said, names_field
from finops.models import User
from finops.models.watch_rules import URGENCIES, WINDOW_MINUTES
from finops.queries.watch_rules import METRIC_WORDS


class WatchForm(forms.Form):
    name = forms.CharField(max_length=100)
    metric = forms.ChoiceField(label="Measure", choices=list(METRIC_WORDS.items()))
    comparison = forms.ChoiceField(
        label="Wrong when it is", choices=[("above", "above"), ("below", "below")]
    )
    threshold = forms.DecimalField(
        required=False,
        max_digits=20,
        decimal_places=6,
        help_text="Percent, milliseconds or an amount, as the measure has it.",
        widget=forms.TextInput({"inputmode": "decimal"}),
    )
    currency = forms.CharField(
        max_length=20, required=False, help_text="Of a cost per request alone."
    )
    window_minutes = forms.TypedChoiceField(
        label="Measured over",
        choices=[(str(one), f"{one} minutes") for one in WINDOW_MINUTES],
        coerce=int,
    )
    needed = forms.IntegerField(
        label="Wrong in", min_value=1, initial=2, help_text="Of the windows looked at."
    )
    of_last = forms.IntegerField(
        label="Of the last",
        min_value=1,
        initial=3,
        help_text="One window ends with each quarter hour; unknown ones are skipped.",
    )
    least_requests = forms.IntegerField(
        label="Least requests",
        min_value=1,
        initial=50,
        help_text="A window with fewer says nothing. Not of GPUs.",
    )
    project = forms.ChoiceField(required=False)
    only_models = names_field("Models")
    urgency = forms.ChoiceField(
        choices=[(name, name.capitalize()) for name in URGENCIES],
        initial="medium",
        help_text="Low is told as info, medium as warning, high and critical as critical.",
    )
    action = forms.CharField(
        label="What to do",
        max_length=1000,
        help_text="Told with the alert.",
        widget=forms.Textarea({"rows": 2}),
    )
    path = forms.CharField(
        label="Page", max_length=200, required=False, help_text="Where to do it, as in `/requests`."
    )
    is_on = forms.BooleanField(label="Switched on", required=False, initial=True)
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: User, *args: Any, draft: WatchDraft | None = None, **kwargs: Any):
        if draft is not None:
            kwargs["initial"] = {**initial_of(draft), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        mine = [one for one in visible_projects(user).all if may_manage(user, one)]
        whole = [("", "Each project by itself")] if may_manage(user, None) else []
        self.fields["project"].choices = [*whole, *((one.slug, one.name) for one in mine)]
        self.fields["project"].required = not whole

    def what(self) -> list[Any]:
        names = ("name", "metric", "comparison", "threshold", "currency")
        return [self[name] for name in names]

    def when(self) -> list[Any]:
        return [self[name] for name in ("window_minutes", "needed", "of_last", "least_requests")]

    def scope(self) -> list[Any]:
        return [self[name] for name in ("project", "only_models")]

    def told(self) -> list[Any]:
        return [self[name] for name in ("urgency", "action", "path", "is_on")]

    def refuse(self, field: str, message: str) -> None:
        self.add_error(field if field in self.fields else None, message)

    def draft(self) -> WatchDraft:
        given = {name: self.cleaned_data[name] for name in WatchDraft.__dataclass_fields__}
        given["only_models"] = lines(given["only_models"])
        given["name"], given["action"] = given["name"].strip(), given["action"].strip()
        if given["metric"] != "cost_per_request":
            given["currency"] = ""
        return WatchDraft(**given)


def initial_of(draft: WatchDraft) -> dict[str, Any]:
    told = {name: getattr(draft, name) for name in WatchDraft.__dataclass_fields__}
    told["threshold"] = money_said(draft.threshold)
    told["only_models"] = "\n".join(draft.only_models)
    return told
