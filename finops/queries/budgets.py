"""Budgets: which there are, who may see them, and what a gateway is told of their limits.

Knows scopes as stored filter values. Refuses to show a budget to whoever may not see every project
in it, and to sum anything: figures are those of `budget_figures`, stored or computed there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from finops import access
from finops.costing.budget_periods import Rhythm
from finops.costing.budget_states import HARD, NO_SIGNAL, OK, SOFT, signal
from finops.models import Budget, BudgetCrossing, BudgetPeriod, Channel
from finops.models.channels import REMOVED
from finops.templatetags import words
from ingest.models import Project

from . import cursors
from .filters import FIELDS, Filters, today

FRESH_FOR = timedelta(minutes=15)
"""Beats and the longest wait between evaluations fit in; older figures are told as old."""
STATES_SHOWN = ("on_track", "at_risk", "over", "unknown", "paused")
MOST_CROSSINGS = 100
MOST_PERIODS = 100


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget with the figures of its newest evaluation."""

    budget: Budget
    current: BudgetPeriod | None
    """None before it starts, after it ends, and until it was first evaluated."""
    project_ids: tuple[int, ...] | None

    @property
    def state(self) -> str:
        if self.budget.is_paused:
            return "paused"
        return self.current.state if self.current else "unknown"

    @property
    def why(self) -> str:
        if self.budget.is_paused:
            return "It is paused: nothing is computed and nobody is told."
        if self.current:
            return self.current.why
        return idle_said(self.budget, today())


@dataclass(frozen=True, slots=True)
class BudgetPage:
    rows: tuple[BudgetRow, ...]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Limit:
    """What a gateway should do about one scope; `since` is None while nothing is to be done."""

    budget_id: int
    name: str
    scope: Mapping[str, Sequence[str]]
    state: str
    since: datetime | None
    why: str
    period_from: date | None
    period_to: date | None
    fresh: bool
    """False: the figures are older than a quarter of an hour, or there are none."""


def rhythm_of(budget: Budget) -> Rhythm:
    return Rhythm(budget.period, budget.starts_on, budget.last_day, budget.rolling_days or 0)


def idle_said(budget: Budget, day: date) -> str:
    """Why a budget has no current period, or no figures of it."""
    if day < budget.starts_on:
        return f"It starts on {words.day(budget.starts_on)}."
    if budget.last_day is not None and day > budget.last_day:
        return f"It ended on {words.day(budget.last_day)}."
    return "Not computed yet: that takes about a minute."


def filters_of(
    budget: Budget, start: date, end: date, projects: Iterable[Project] | None = None
) -> Filters:
    """The filters that the costs page would have for this scope and these days."""
    scope: dict[str, Any] = {f"{name}s": tuple(budget.scope.get(name, ())) for name in FIELDS}
    everything = Project.objects.select_related("team") if projects is None else projects
    return Filters(
        zone=settings.ACCOUNTING_TIME_ZONE,
        start=start,
        end=end,
        basis=budget.basis,
        currency=budget.currency,
        project_ids=project_ids(budget.scope, everything),
        bills=True,
        **scope,
    )


def project_ids(
    scope: Mapping[str, Sequence[str]], projects: Iterable[Project]
) -> tuple[int, ...] | None:
    """The projects that a scope names, by itself or by their team; None: it names none."""
    slugs, teams = scope.get("project", ()), scope.get("team", ())
    if not slugs and not teams:
        return None
    return tuple(
        sorted(
            project.pk
            for project in projects
            if (not slugs or project.slug in slugs)
            and (not teams or (project.team is not None and project.team.name in teams))
        )
    )


def may_see(visible: access.Projects, ids: tuple[int, ...] | None) -> bool:
    """Every project of it; a budget of the whole estate is for members of the organisation."""
    return visible.everything or bool(ids and set(ids) <= visible.ids)


def budgets(user: Any) -> list[BudgetRow]:
    """Every budget this reader may see, by name."""
    return _rows(user, _kept())


def every() -> list[BudgetRow]:
    """For whoever runs the installation."""
    projects = list(Project.objects.select_related("team"))
    found = [(budget, project_ids(budget.scope, projects)) for budget in _kept()]
    return _with_figures(found)


def one(user: Any, pk: int) -> BudgetRow | None:
    return next(iter(_rows(user, _kept().filter(pk=pk))), None)


def budget_page(
    rows: Sequence[BudgetRow],
    *,
    state: str = "",
    owner: str = "",
    project: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> BudgetPage:
    """Of these, by name: those that are asked for."""
    found = [
        row
        for row in rows
        if (not state or row.state == state)
        and (not owner or row.budget.owner.username == owner)
        and (not project or project in row.budget.scope.get("project", ()))
    ]
    rest = found
    if cursor:
        name, pk = cursors.decode(cursor, str, cursors.identity)
        rest = [row for row in found if (row.budget.name, row.budget.pk) > (name, pk)]
    page = tuple(rest[:limit])
    more = len(rest) > limit
    last = cursors.encode(page[-1].budget.name, page[-1].budget.pk) if more else None
    return BudgetPage(page, last, len(found))


def history(budget: Budget) -> list[BudgetPeriod]:
    """Periods that are over, newest first, each as it was planned then."""
    found = budget.periods.filter(ends_before__lte=today()).order_by("-starts_on", "-plan")
    return list(found[:MOST_PERIODS])


def crossings(budget: Budget) -> list[BudgetCrossing]:
    return list(budget.crossings.order_by("-crossed_at", "-pk")[:MOST_CROSSINGS])


def channels() -> list[Channel]:
    """What a threshold can be told to."""
    return list(Channel.objects.exclude(state=REMOVED).order_by("name"))


def limits(user: Any) -> list[Limit]:
    """The signal of every active budget that publishes one, those that stop something first."""
    now = timezone.now()
    found = [
        _limit(row, now)
        for row in budgets(user)
        if row.budget.limit_signal != NO_SIGNAL and not row.budget.is_paused
    ]
    order = {HARD: 0, SOFT: 1, OK: 2}
    return sorted(found, key=lambda limit: (order[limit.state], limit.name, limit.budget_id))


def _limit(row: BudgetRow, now: datetime) -> Limit:
    budget, current = row.budget, row.current
    scope = {name: tuple(budget.scope.get(name, ())) for name in FIELDS}
    if current is None:
        said = idle_said(budget, today())
        return Limit(budget.pk, budget.name, scope, OK, None, said, None, None, False)
    state = signal(budget.limit_signal, current.amount, current.spent)
    if state != OK:
        amount = words.money(current.amount, current.currency)
        why = f"The budget of {amount} is used up until {words.day(current.ends_before)}."
    elif current.spent is None or current.amount is None:
        why = f"Nothing is stopped on what is not known: {current.why}"
    else:
        why = "There is budget left."
    return Limit(
        budget.pk,
        budget.name,
        scope,
        state,
        None if state == OK else current.limit_since,
        why,
        current.starts_on,
        current.ends_before,
        now - current.evaluated_at <= FRESH_FOR,
    )


def _kept() -> QuerySet[Budget]:
    found = Budget.objects.filter(removed_at=None).select_related("owner")
    return found.prefetch_related("thresholds__owner", "months").order_by("name", "pk")


def _rows(user: Any, found: QuerySet[Budget]) -> list[BudgetRow]:
    visible = access.visible_projects(user)
    if not visible.all and not visible.everything:
        return []
    # A scope is judged by all projects: one that the reader may not see must not fall out of it.
    projects = list(Project.objects.select_related("team"))
    shown = []
    for budget in found:
        ids = project_ids(budget.scope, projects)
        if may_see(visible, ids):
            shown.append((budget, ids))
    return _with_figures(shown)


def _with_figures(found: Sequence[tuple[Budget, tuple[int, ...] | None]]) -> list[BudgetRow]:
    current = _current([budget for budget, _ in found])
    return [BudgetRow(budget, current.get(budget.pk), ids) for budget, ids in found]


def _current(found: Sequence[Budget]) -> dict[int, BudgetPeriod]:
    day = today()
    rows = BudgetPeriod.objects.filter(
        budget__in=found, starts_on__lte=day, ends_before__gt=day
    ).order_by("starts_on")
    plans = {budget.pk: budget.plan for budget in found}
    return {row.budget_id: row for row in rows if row.plan == plans[row.budget_id]}
