"""Budgets as people and their scripts make them: added, changed, paused, resumed and removed.

Every act has its audit record in the same transaction, and its figures are computed at once.
Refuses a scope that whoever asks may not see, and whoever has no role over all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils import timezone

from finops import access, audit
from finops.costing.budget_periods import KINDS, MONTHLY, MONTHS, QUARTERLY, ROLLING, UNTIL
from finops.costing.budget_states import BASES, SIGNALS
from finops.models import Budget, BudgetMonth, BudgetThreshold, User
from finops.models.budgets import (
    ADJUSTING,
    AMOUNT_KINDS,
    FIXED,
    MOST_PERCENT,
    MOST_PERIODS_AVERAGED,
    MOST_ROLLING_DAYS,
    PLANNED,
    SEVERITIES,
    SPEND_BASES,
)
from finops.money import plain
from finops.queries.budgets import channels, project_ids
from finops.queries.filters import FIELDS, MAX_DAYS, Filters
from ingest.models import Project

from . import budget_watch

MANAGE = "finops.manage_budgets"
MOST_THRESHOLDS = 10
LARGEST = Decimal(1_000_000_000_000)
SMALLEST = Decimal("0.000001")
MEASURED = (
    "scope", "basis", "currency", "period", "starts_on", "last_day", "rolling_days",
    "amount_kind", "amount", "cap", "average_of", "months",
)  # fmt: skip
"""What a threshold is measured by: when one of them changes it may be crossed anew."""


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Threshold:
    percent: Decimal
    basis: str
    severity: str
    owner: str = ""
    """A user's name; empty: the budget's owner."""
    channel_ids: tuple[int, ...] = ()
    """Empty: the channels that the rule for budgets names."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A budget as it is wanted; see the columns of `Budget`."""

    name: str
    owner: str
    scope: Mapping[str, Sequence[str]] = field(default_factory=dict)
    basis: str
    currency: str
    period: str
    starts_on: date
    last_day: date | None = None
    rolling_days: int | None = None
    amount_kind: str
    amount: Decimal | None = None
    months: tuple[Decimal, ...] = ()
    """January first; of a planned budget."""
    cap: Decimal | None = None
    average_of: int | None = None
    limit_signal: str = "none"
    thresholds: tuple[Threshold, ...] = ()


def may_manage(user: Any, ids: Sequence[int] | None) -> bool:
    """A role over every project of it, or over the whole organisation."""
    if user.has_perm(MANAGE):
        return True
    projects = {project.pk: project for project in access.visible_projects(user).all}
    return bool(ids) and all(
        pk in projects and user.has_perm(MANAGE, projects[pk]) for pk in ids or ()
    )


def draft_of(budget: Budget) -> Draft:
    """The budget as it stands, for changing a part of it."""
    return Draft(
        name=budget.name,
        owner=budget.owner.username,
        scope={name: tuple(values) for name, values in budget.scope.items()},
        basis=budget.basis,
        currency=budget.currency,
        period=budget.period,
        starts_on=budget.starts_on,
        last_day=budget.last_day,
        rolling_days=budget.rolling_days,
        amount_kind=budget.amount_kind,
        amount=budget.amount,
        months=tuple(one.amount for one in sorted(budget.months.all(), key=lambda one: one.month)),
        cap=budget.cap,
        average_of=budget.average_of,
        limit_signal=budget.limit_signal,
        thresholds=tuple(
            Threshold(
                percent=one.percent,
                basis=one.basis,
                severity=one.severity,
                owner=one.owner.username if one.owner else "",
                channel_ids=tuple(one.channel_ids),
            )
            for one in sorted(budget.thresholds.all(), key=lambda one: (one.percent, one.basis))
        ),
    )


def add(draft: Draft, *, by: User, via: str) -> Budget:
    checked(draft, by)
    with transaction.atomic():
        _name_is_free(draft.name, None)
        budget = Budget.objects.create(**_columns(draft), created_by=by)
        _keep_parts(budget, draft)
        audit.record(by, via, "budget.add", budget, _said(draft))
    budget_watch.evaluate(budget.pk, timezone.now())
    return budget


def change(
    budget: Budget, draft: Draft, *, by: User, via: str, revision: int | None = None
) -> Budget:
    """`revision` is the one that was read: another person's change in between is not undone."""
    checked(draft, by)
    with transaction.atomic():
        held = _held(budget)
        if revision is not None and revision != held.revision:
            raise Refused("", "Somebody has changed it since you read it; read it again.")
        was = draft_of(held)
        if was == draft:
            return held
        _name_is_free(draft.name, held.pk)
        measured = any(getattr(was, name) != getattr(draft, name) for name in MEASURED)
        if measured:
            budget_watch.begin_anew(held, "The budget was changed.", timezone.now())
            held.plan += 1
        for name, value in _columns(draft).items():
            setattr(held, name, value)
        held.revision += 1
        held.save()
        _keep_parts(held, draft)
        audit.record(by, via, "budget.change", held, _changed(was, draft))
    budget_watch.evaluate(held.pk, timezone.now())
    return held


def pause(budget: Budget, *, by: User, via: str) -> Budget:
    """Nothing is computed and nobody is told, until it is resumed."""
    return _switch(budget, True, by, via)


def resume(budget: Budget, *, by: User, via: str) -> Budget:
    held = _switch(budget, False, by, via)
    budget_watch.evaluate(held.pk, timezone.now())
    return held


def remove(budget: Budget, *, by: User, via: str) -> None:
    """Its figures stay in the database, and it is nowhere shown."""
    now = timezone.now()
    with transaction.atomic():
        held = _held(budget)
        budget_watch.end_alerts(held, "The budget was removed.", now)
        held.removed_at = now
        held.save(update_fields=["removed_at"])
        audit.record(by, via, "budget.remove", held, {"name": held.name})


def _switch(budget: Budget, paused: bool, by: User, via: str) -> Budget:
    now = timezone.now()
    with transaction.atomic():
        held = _held(budget)
        if held.is_paused == paused:
            return held
        if paused:
            budget_watch.end_alerts(held, "The budget was paused.", now)
        held.is_paused = paused
        held.revision += 1
        held.save(update_fields=["is_paused", "revision"])
        act = "budget.pause" if paused else "budget.resume"
        audit.record(by, via, act, held, {"name": held.name})
    return held


def _held(budget: Budget) -> Budget:
    """The row as it is now, held until the transaction ends."""
    found = Budget.objects.select_for_update(of=("self",)).select_related("owner")
    held = found.filter(pk=budget.pk, removed_at=None).first()
    if held is None:
        raise Refused("", f"“{budget.name}” was removed.")
    return held


# What is allowed


def checked(draft: Draft, by: User) -> None:
    """Refuses the first thing that is wrong with it."""
    if not draft.name.strip() or len(draft.name) > 100 or not draft.name.isprintable():
        raise Refused("name", "Give it a name of at most 100 characters.")
    person_named(draft.owner, "owner")
    _scope_is_sound(draft, by)
    _period_is_sound(draft)
    _amount_is_sound(draft)
    _one_of("limit_signal", draft.limit_signal, SIGNALS)
    _thresholds_are_sound(draft.thresholds)


def person_named(username: str, field_name: str) -> User:
    found = User.objects.filter(username=username, is_active=True).first()
    if found is None:
        raise Refused(field_name, f"There is no user “{username}”.")
    return found


def query_of(draft: Draft) -> QueryDict:
    """The scope as the costs page's address says it."""
    query = QueryDict(mutable=True)
    for name, values in draft.scope.items():
        query.setlist(f"f.{name}", list(values))
    query["basis"], query["currency"] = draft.basis, draft.currency
    return query


def _scope_is_sound(draft: Draft, by: User) -> None:
    for name in draft.scope:
        _one_of("scope", name, FIELDS)
    _one_of("basis", draft.basis, SPEND_BASES)
    _, errors = Filters.parse(query_of(draft), by)
    for error in errors:
        at = error.field.removeprefix("f.")
        raise Refused("scope" if at in FIELDS else at, error.message)
    named = project_ids(draft.scope, Project.objects.select_related("team"))
    if named == ():
        raise Refused("scope", "No project is both among these projects and of these teams.")
    if not may_manage(by, named):
        whole = "A budget beyond your own projects needs a role over the whole organisation."
        raise Refused("scope", f"{whole} Name projects that you may set budgets for.")


def _period_is_sound(draft: Draft) -> None:
    _one_of("period", draft.period, KINDS)
    if not 2000 <= draft.starts_on.year < 2100:
        raise Refused("starts_on", "Use a date from the year 2000 to 2099.")
    if (draft.period == UNTIL) != (draft.last_day is not None):
        raise Refused("last_day", "Give the last day of a total until a date, and of no other.")
    if draft.last_day is not None and draft.last_day < draft.starts_on:
        raise Refused("last_day", "It must not be before the start date.")
    if draft.last_day is not None and (draft.last_day - draft.starts_on).days >= MAX_DAYS:
        raise Refused("last_day", f"A budget lasts at most {MAX_DAYS:,} days.")
    if (draft.period == ROLLING) != (draft.rolling_days is not None):
        raise Refused("rolling_days", "Give the days of a rolling budget, and of no other.")
    if draft.rolling_days is not None and not 1 <= draft.rolling_days <= MOST_ROLLING_DAYS:
        raise Refused("rolling_days", f"Use a number of days from 1 to {MOST_ROLLING_DAYS}.")


def _amount_is_sound(draft: Draft) -> None:
    _one_of("amount_kind", draft.amount_kind, AMOUNT_KINDS)
    kind = draft.amount_kind
    if (kind == FIXED) != (draft.amount is not None):
        raise Refused("amount", "Give the amount of a fixed budget, and of no other.")
    if (kind == PLANNED) != bool(draft.months):
        raise Refused("months", "Give twelve amounts for a planned budget, and for no other.")
    if draft.months and len(draft.months) != MONTHS:
        raise Refused("months", f"Give twelve amounts, not {len(draft.months)}.")
    if kind == PLANNED and draft.period not in (MONTHLY, QUARTERLY):
        raise Refused("amount_kind", "A plan by month needs monthly or quarterly periods.")
    if kind == ADJUSTING and draft.period == UNTIL:
        raise Refused("amount_kind", "A total until a date has no earlier periods to adjust to.")
    for name in ("cap", "average_of"):
        if (kind == ADJUSTING) != (getattr(draft, name) is not None):
            raise Refused(name, "Give it for an auto-adjusting budget, and for no other.")
    if draft.average_of is not None and not 1 <= draft.average_of <= MOST_PERIODS_AVERAGED:
        raise Refused("average_of", f"Use a number of periods from 1 to {MOST_PERIODS_AVERAGED}.")
    amounts = [("amount", draft.amount), ("cap", draft.cap), *(("months", m) for m in draft.months)]
    for name, amount in amounts:
        if amount is not None and not (amount.is_finite() and SMALLEST <= amount < LARGEST):
            raise Refused(name, "Use an amount above 0 and below 1,000,000,000,000.")


def _thresholds_are_sound(thresholds: Sequence[Threshold]) -> None:
    if len(thresholds) > MOST_THRESHOLDS:
        raise Refused("thresholds", f"Give at most {MOST_THRESHOLDS} thresholds.")
    if len({(one.basis, one.percent) for one in thresholds}) < len(thresholds):
        raise Refused("thresholds", "Two thresholds are the same; change or drop one.")
    known = {channel.pk for channel in channels()} if thresholds else set()
    for one in thresholds:
        if not one.percent.is_finite() or not Decimal("0.01") <= one.percent <= MOST_PERCENT:
            raise Refused("thresholds", f"Use a percentage above 0, at most {MOST_PERCENT:,}.")
        if one.percent != round(one.percent, 2):
            raise Refused("thresholds", "Use at most two decimals for a percentage.")
        _one_of("thresholds", one.basis, BASES)
        _one_of("thresholds", one.severity, SEVERITIES)
        if one.owner:
            person_named(one.owner, "thresholds")
        for pk in one.channel_ids:
            if pk not in known:
                raise Refused("thresholds", f"There is no channel {pk}.")


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise Refused(name, f"Use one of {', '.join(allowed)}.")


def _name_is_free(name: str, own: int | None) -> None:
    if Budget.objects.filter(name=name, removed_at=None).exclude(pk=own).exists():
        raise Refused("name", f"There is a budget “{name}” already; choose another name.")


# What is written


def _columns(draft: Draft) -> dict[str, Any]:
    named = asdict(draft)
    for name in ("thresholds", "months"):
        del named[name]
    named["owner"] = person_named(draft.owner, "owner")
    named["scope"] = {name: list(values) for name, values in draft.scope.items() if values}
    return named


def _keep_parts(budget: Budget, draft: Draft) -> None:
    budget.months.all().delete()
    BudgetMonth.objects.bulk_create(
        BudgetMonth(budget=budget, month=at, amount=amount)
        for at, amount in enumerate(draft.months, 1)
    )
    budget.thresholds.all().delete()
    BudgetThreshold.objects.bulk_create(
        BudgetThreshold(
            budget=budget,
            percent=one.percent,
            basis=one.basis,
            severity=one.severity,
            owner=person_named(one.owner, "thresholds") if one.owner else None,
            channel_ids=list(one.channel_ids),
        )
        for one in draft.thresholds
    )


def _said(draft: Draft) -> dict[str, Any]:
    """The draft as plain JSON, for the audit record."""
    return {name: _plain(value) for name, value in asdict(draft).items()}


def _changed(was: Draft, now: Draft) -> dict[str, Any]:
    before, after = _said(was), _said(now)
    changed = [name for name in after if before[name] != after[name]]
    return {
        "name": now.name,
        "before": {name: before[name] for name in changed},
        "after": {name: after[name] for name in changed},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
