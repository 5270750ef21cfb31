"""The forms by which people set budgets and their thresholds. Refuses saving and judging."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.conf import settings

from finops.access import visible_projects
from finops.actions.budgets import MOST_THRESHOLDS, Draft, Threshold
from finops.costing.budget_periods import ROLLING, UNTIL
from finops.models import User
from finops.models.budgets import ADJUSTING, FIXED, PLANNED
from finops.queries.budgets import channels
from finops.queries.filters import FIELDS, MAX_LENGTH, today

PERIODS = [
    ("monthly", "Every month"),
    ("weekly", "Every week, from Monday"),
    ("daily", "Every day"),
    ("quarterly", "Every quarter"),
    ("until", "In total until a date"),
    ("rolling", "The last N days, every day anew"),
]
AMOUNTS = [
    ("fixed", "The same for every period"),
    ("planned", "Planned by month"),
    ("adjusting", "Adjusts itself to the periods before"),
]
BASES = [
    ("", "As fits the scope"),
    ("usage", "Usage at its prices"),
    ("book", "Bills where complete, usage elsewhere"),
    ("bill", "Bills alone"),
]
SIGNALS = [
    ("none", "No signal"),
    ("soft", "Soft: fall back to something cheaper"),
    ("hard", "Hard: stop"),
]
SEVERITIES = [("info", "Info"), ("warning", "Warning"), ("critical", "Critical")]
MONTH_NAMES = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
SHOWN_THRESHOLDS = 3
PARTS = {"scope": "projects", "months": "month_1", "thresholds": ""}
"""Where a refusal about a part of a draft stands in this form."""


def money_field(label: str, help: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        help_text=help,
        max_digits=38,
        decimal_places=20,
        widget=forms.TextInput({"inputmode": "decimal"}),
    )


def day_field(label: str, help: str = "", *, required: bool = False) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=required,
        help_text=help,
        widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"),
    )


def names_field(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=False,
        help_text="One a line, as its requests name it. Empty: every one.",
        widget=forms.Textarea({"rows": 2}),
    )


def several_field(label: str, help: str = "") -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=label, required=False, help_text=help, widget=forms.SelectMultiple({"size": 4})
    )


class BudgetForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="As in: Support chat, monthly.")
    owner = forms.ChoiceField(help_text="Who answers for it, and is named in its alerts.")
    projects = several_field("Projects", "Every one, if you choose none.")
    teams = several_field("Teams", "Every one, if you choose none.")
    providers = names_field("Providers")
    models = names_field("Models")
    services = names_field("Services")
    basis = forms.ChoiceField(
        label="Counted from",
        required=False,
        choices=BASES,
        help_text="With a project or a team it is usage, which is without shared hardware. "
        "The book has what rules of allocation land on them.",
    )
    currency = forms.CharField(max_length=20)
    period = forms.ChoiceField(label="Begins anew", choices=PERIODS)
    starts_on = day_field("First day", "Days that are over make its history.", required=True)
    last_day = day_field("Last day", "Of a total until a date.")
    rolling_days = forms.IntegerField(
        label="Days", required=False, min_value=1, help_text="Of the last N days."
    )
    amount_kind = forms.ChoiceField(label="Amount", choices=AMOUNTS)
    amount = money_field("Amount of a period", "When it is the same for every period.")
    average_of = forms.IntegerField(
        label="Average of how many complete periods", required=False, min_value=1
    )
    cap = money_field("At most", "Also the budget until a period is complete.")
    limit_signal = forms.ChoiceField(
        label="When it is used up",
        choices=SIGNALS,
        help_text="Published at `/api/v1/limits` for a gateway; Breakeven itself stops nothing.",
    )
    revision = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, user: User, *args: Any, draft: Draft | None = None, **kwargs: Any):
        if draft is not None:
            kwargs["initial"] = {**initial_of(draft), **kwargs.get("initial", {})}
        super().__init__(*args, **kwargs)
        for at, name in enumerate(MONTH_NAMES, 1):
            self.fields[f"month_{at}"] = money_field(name)
        visible = visible_projects(user).all
        people = User.objects.filter(is_active=True).order_by("username")
        self.fields["owner"].choices = [(one.username, one.username) for one in people]
        self.fields["projects"].choices = [(one.slug, one.name) for one in visible]
        teams = sorted({one.team.name for one in visible if one.team})
        self.fields["teams"].choices = [(name, name) for name in teams]
        for name, value in (
            ("owner", user.get_username()),
            ("currency", settings.REPORTING_CURRENCY),
            ("starts_on", today().replace(day=1)),
            ("period", "monthly"),
        ):
            self.fields[name].initial = value
        told = draft.thresholds if draft else ()
        names = [(one.username, one.username) for one in people]
        chosen = [(str(one.pk), one.name) for one in channels()]
        self.thresholds = [
            ThresholdForm(
                names,
                chosen,
                self.data if self.is_bound else None,
                prefix=f"threshold-{at}",
                initial=threshold_initial(told[at]) if at < len(told) else {},
                label=f"Threshold {at + 1}",
            )
            for at in range(MOST_THRESHOLDS)
        ]

    # What the template asks for, in its order.

    def main(self) -> Iterable[Any]:
        return [self[name] for name in ("name", "owner")]

    def scope(self) -> Iterable[Any]:
        names = ("projects", "teams", "providers", "models", "services", "basis", "currency")
        return [self[name] for name in names]

    def times(self) -> Iterable[Any]:
        return [self[name] for name in ("period", "starts_on", "last_day", "rolling_days")]

    def money(self) -> Iterable[Any]:
        return [self[name] for name in ("amount_kind", "amount")]

    def months(self) -> Iterable[Any]:
        return [self[f"month_{at}"] for at in range(1, 13)]

    def adjusting(self) -> Iterable[Any]:
        return [self[name] for name in ("average_of", "cap")]

    def signal(self) -> Iterable[Any]:
        return [self["limit_signal"]]

    def shown_thresholds(self) -> list[ThresholdForm]:
        return self.thresholds[: self._shown]

    def more_thresholds(self) -> list[ThresholdForm]:
        return self.thresholds[self._shown :]

    @property
    def _shown(self) -> int:
        filled = [at for at, one in enumerate(self.thresholds, 1) if one["percent"].value()]
        return max(SHOWN_THRESHOLDS, *filled, 0)

    @property
    def kind(self) -> str:
        return self["amount_kind"].value() or FIXED

    def is_valid(self) -> bool:
        # Every row says what is wrong with it at once, so all of them are asked.
        rows = [one.is_valid() for one in self.thresholds]
        return super().is_valid() and all(rows)

    def refuse(self, field: str, message: str) -> None:
        """What the actions refused, at the field it is about."""
        name = PARTS.get(field, field)
        self.add_error(name if name in self.fields else None, message)

    def draft(self) -> Draft:
        """What is of another kind of period or amount than the chosen one is left out."""
        given = self.cleaned_data
        kind, period = given["amount_kind"], given["period"]
        scope = {
            "project": tuple(given["projects"]),
            "team": tuple(given["teams"]),
            **{name: lines(given[f"{name}s"]) for name in ("provider", "model", "service")},
        }
        narrowed = scope["project"] or scope["team"]
        months = tuple(given[f"month_{at}"] for at in range(1, 13))
        return Draft(
            name=given["name"],
            owner=given["owner"],
            scope={name: scope[name] for name in FIELDS if scope[name]},
            basis=given["basis"] or ("usage" if narrowed else "book"),
            currency=given["currency"],
            period=period,
            starts_on=given["starts_on"],
            last_day=given["last_day"] if period == UNTIL else None,
            rolling_days=given["rolling_days"] if period == ROLLING else None,
            amount_kind=kind,
            amount=given["amount"] if kind == FIXED else None,
            months=tuple(one for one in months if one is not None) if kind == PLANNED else (),
            cap=given["cap"] if kind == ADJUSTING else None,
            average_of=given["average_of"] if kind == ADJUSTING else None,
            limit_signal=given["limit_signal"],
            thresholds=tuple(one.threshold() for one in self.thresholds if one.is_given),
        )


class ThresholdForm(forms.Form):
    """One line; without a percentage it is none."""

    percent = forms.DecimalField(
        label="Percent",
        required=False,
        max_digits=7,
        decimal_places=2,
        widget=forms.TextInput({"inputmode": "decimal"}),
    )
    basis = forms.ChoiceField(
        label="Of", choices=[("actual", "what is spent"), ("forecast", "what is expected")]
    )
    severity = forms.ChoiceField(choices=SEVERITIES, initial="warning")
    owner = forms.ChoiceField(required=False)
    channel_ids = several_field("Channels")

    def __init__(
        self,
        people: list[tuple[str, str]],
        named: list[tuple[str, str]],
        *args: Any,
        label: str,
        **kwargs: Any,
    ):
        # Scripts and older pages send fewer lines: what is missing of a line is as by default.
        super().__init__(*args, **kwargs)
        self.label = label
        self.fields["basis"].required = False
        self.fields["severity"].required = False
        self.fields["owner"].choices = [("", "The budget's"), *people]
        self.fields["channel_ids"].choices = named
        self.fields["channel_ids"].widget.attrs["size"] = min(len(named), 3)
        if not named:
            del self.fields["channel_ids"]

    @property
    def is_given(self) -> bool:
        return self.cleaned_data.get("percent") is not None

    def threshold(self) -> Threshold:
        given = self.cleaned_data
        return Threshold(
            percent=given["percent"],
            basis=given["basis"] or "actual",
            severity=given["severity"] or "warning",
            owner=given["owner"],
            channel_ids=tuple(int(pk) for pk in given.get("channel_ids", ())),
        )


def initial_of(draft: Draft) -> dict[str, Any]:
    told = {
        name: getattr(draft, name)
        for name in Draft.__dataclass_fields__
        if name not in ("scope", "months", "thresholds")
    }
    several = {
        "projects": list(draft.scope.get("project", ())),
        "teams": list(draft.scope.get("team", ())),
    }
    typed = {
        f"{name}s": "\n".join(draft.scope.get(name, ()))
        for name in ("provider", "model", "service")
    }
    months = {f"month_{at}": money_said(amount) for at, amount in enumerate(draft.months, 1)}
    amounts = {name: money_said(told[name]) for name in ("amount", "cap")}
    return {**told, **several, **typed, **months, **amounts}


def threshold_initial(told: Threshold) -> dict[str, Any]:
    return {
        "percent": f"{told.percent.normalize():f}",
        "basis": told.basis,
        "severity": told.severity,
        "owner": told.owner,
        "channel_ids": [str(pk) for pk in told.channel_ids],
    }


def money_said(amount: Any) -> str:
    """Twenty decimals are exact, and nothing that anybody wants to read in a field."""
    return "" if amount is None else f"{amount.normalize():f}"


def lines(text: str) -> tuple[str, ...]:
    found = (line.strip()[:MAX_LENGTH] for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in found if line))
