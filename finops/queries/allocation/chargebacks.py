"""Statements as they were frozen, and what has changed since. Refuses lines of hidden projects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import Any

from finops import access
from finops.models import AllocationRule, Chargeback, ChargebackLine
from finops.queries.amounts import ZERO, minus, plus
from ingest.models import Project

from .showback import Showback, of_projects

Key = tuple[int, str, int | None, str]
"""(project, part, rule, currency) of an amount."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a month's amount is now, over what its statements say."""

    project: Project
    part: str
    rule: AllocationRule | None
    currency: str
    stated: Decimal
    now: Decimal
    reconciled: Decimal
    """The change in what complete bills cover."""

    @property
    def amount(self) -> Decimal:
        found: Decimal = minus(self.now, self.stated)
        return found


@dataclass(frozen=True, slots=True)
class Subtotal:
    """What a statement says of one project, or of a whole team, in one currency."""

    project: Project | None
    """None: the whole team."""
    project_name: str
    team: str
    currency: str
    amount: Decimal
    reconciled: Decimal
    lines: tuple[ChargebackLine, ...]


def statements(user: Any, month: date | None = None) -> list[Chargeback]:
    """Those with a line of a project that the reader may see."""
    found = Chargeback.objects.select_related("closed_by").order_by("-month", "-number")
    if month is not None:
        found = found.filter(month=month)
    visible = access.visible_projects(user)
    if visible.everything:
        return list(found)
    return list(found.filter(lines__project__in=visible.ids).distinct())


def lines_of(user: Any, chargeback: Chargeback) -> list[ChargebackLine]:
    found = chargeback.lines.select_related("project", "rule").order_by(
        "team", "project_name", "part", "rule_name", "currency"
    )
    visible = access.visible_projects(user)
    return list(found if visible.everything else found.filter(project__in=visible.ids))


def rules_of(user: Any, chargeback: Chargeback, lines: Iterable[ChargebackLine]) -> list[Any]:
    """The rules in force then; of the ones that brought nothing to a reader, no name is told."""
    if access.visible_projects(user).everything:
        return list(chargeback.rules)
    own = {line.rule_id for line in lines}
    return [rule for rule in chargeback.rules if rule["id"] in own]


def totals(lines: Iterable[ChargebackLine]) -> list[tuple[str, Decimal]]:
    """Per currency."""
    found: dict[str, Decimal] = {}
    for line in lines:
        found[line.currency] = plus(found.get(line.currency, ZERO), line.amount)
    return sorted(found.items())


def by_project(lines: Iterable[ChargebackLine]) -> list[Subtotal]:
    """Per project and currency, as it was called when the month was closed."""
    return _subtotals(lines, lambda line: (line.team, line.project_name, line.project_id))


def by_team(lines: Iterable[ChargebackLine]) -> list[Subtotal]:
    """Per team and currency, of the lines given; projects without a team stand together."""
    return _subtotals(lines, lambda line: (line.team, "", 0))


def _subtotals(
    lines: Iterable[ChargebackLine], key_of: Callable[[ChargebackLine], tuple[str, str, int]]
) -> list[Subtotal]:
    found: dict[tuple[str, str, int, str], list[ChargebackLine]] = {}
    for line in lines:
        found.setdefault((*key_of(line), line.currency), []).append(line)
    return [
        Subtotal(
            project=held[0].project if pk else None,
            project_name=name,
            team=team,
            currency=currency,
            amount=reduce(plus, (line.amount for line in held), ZERO),
            reconciled=reduce(plus, (line.reconciled for line in held), ZERO),
            lines=tuple(held),
        )
        # Who has no team comes last.
        for (team, name, pk, currency), held in sorted(
            found.items(), key=lambda one: (one[0][0] == "", one[0])
        )
    ]


def whole_month(month: date) -> Showback:
    """The month of every project, whoever asks: it is what a statement is frozen from."""
    return of_projects(month, list(Project.objects.select_related("team")), whole=True)


def differences(month: date) -> tuple[Difference, ...]:
    """Of every project; nothing while the month is as its statements say."""
    shown = whole_month(month)
    stated: dict[Key, tuple[Decimal, Decimal]] = {}
    for line in ChargebackLine.objects.filter(chargeback__month=month):
        key = (line.project_id, line.part, line.rule_id, line.currency)
        amount, reconciled = stated.get(key, (ZERO, ZERO))
        stated[key] = plus(amount, line.amount), plus(reconciled, line.reconciled)
    now = {
        (line.project.pk, line.part, line.rule.pk if line.rule else None, line.currency): line
        for line in shown.lines
    }
    keys = dict.fromkeys((*now, *stated))
    projects = Project.objects.select_related("team").in_bulk({key[0] for key in keys})
    rules = AllocationRule.objects.in_bulk({key[2] for key in keys if key[2] is not None})
    found = []
    for key in keys:
        was, was_reconciled = stated.get(key, (ZERO, ZERO))
        line = now.get(key)
        amount, reconciled = (line.amount, line.reconciled) if line else (ZERO, ZERO)
        if (amount, reconciled) == (was, was_reconciled):
            continue
        rule = rules[key[2]] if key[2] is not None else None
        found.append(
            Difference(
                projects[key[0]],
                key[1],
                rule,
                key[3],
                was,
                amount,
                minus(reconciled, was_reconciled),
            )
        )
    return tuple(found)
