"""What a month cost each project: its own usage, what rules landed on it, and by which rule.

The figures are those of the book, split by project and rule in one pass, so a project's total is
the total of the costs page with the same filters. Refuses projects the reader may not see: of
those one sees, what landed on them is shown, never how much a shared charge was as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial, reduce
from typing import Any

from django.conf import settings

from finops import access
from finops.costing.allocating import ONE
from finops.costing.exchange import Conversion
from finops.models import AllocationRule
from finops.models.allocation import PARTS
from finops.queries import book, conversion
from finops.queries.amounts import ZERO, plus
from finops.queries.book import Split, Sum
from finops.queries.filters import Filters, today
from finops.queries.stamp import newest, notes
from ingest.models import Project

OWN, REQUESTS, BILL, HARDWARE, SHARED = PARTS
KEYS = ("project", "origin", "rule")


@dataclass(frozen=True, slots=True)
class Line:
    """One amount of one project. Without a rule it is the project's own usage, or nobody's.

    Below zero: what a rule took of the requests that the project sent.
    """

    project: Project
    part: str
    rule: AllocationRule | None
    currency: str
    amount: Decimal
    reconciled: Decimal

    @property
    def team(self) -> str:
        return self.project.team.name if self.project.team else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One project in one currency: its parts add up to its total, to the last digit."""

    project: Project
    currency: str
    parts: dict[str, Decimal]
    total: Decimal
    reconciled: Decimal
    unpriced: int
    """Requests without a price: in no amount."""

    @property
    def team(self) -> str:
        return self.project.team.name if self.project.team else ""

    @property
    def provisional(self) -> bool:
        return self.total != self.reconciled


@dataclass(frozen=True, slots=True)
class Showback:
    month: date
    filters: Filters
    rows: tuple[Row, ...]
    lines: tuple[Line, ...]
    as_of: datetime | None
    sees_everything: bool
    conversion: Conversion | None = None
    """How amounts came to be in one currency; one without a rate stands in its own."""

    @property
    def currencies(self) -> list[str]:
        return sorted({row.currency for row in self.rows})


MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])", re.ASCII)


def month_of(text: str) -> date | None:
    return date.fromisoformat(f"{text}-01") if MONTH.fullmatch(text) else None


def months(count: int = 13) -> list[date]:
    """The current month and those before it, newest first."""
    found = [today().replace(day=1)]
    while len(found) < count:
        found.append((found[-1] - timedelta(days=1)).replace(day=1))
    return found


def showback(
    user: Any, month: date, team: str = "", project: str = "", convert: str = ""
) -> Showback:
    """The month of everything this reader may see; narrowed to a team or a project."""
    visible = access.visible_projects(user)
    chosen = [
        one
        for one in visible.all
        if (not team or (one.team is not None and one.team.name == team))
        and (not project or one.slug == project)
    ]
    whole = visible.everything and not team and not project
    return of_projects(
        month, chosen, whole=whole, sees_everything=visible.everything, convert=convert
    )


def of_projects(
    month: date,
    chosen: Sequence[Project],
    *,
    whole: bool,
    sees_everything: bool = True,
    convert: str = "",
) -> Showback:
    """In the currencies as recorded; with `convert` each day in that one, at the day's rate."""
    filters = month_filters(month, None if whole else tuple(one.pk for one in chosen))
    told = None
    if convert:
        filters = replace(filters, convert=convert)
        read = partial(book.sums, filters)
        [found], converter = conversion.sums(filters, [Split(KEYS)], read)
        told = converter.told()
    else:
        [found] = book.sums(filters, [Split(KEYS)])
    projects = {one.pk: one for one in chosen}
    rules = AllocationRule.objects.in_bulk({int(one.keys[2]) for one in found if one.keys[2]})
    lines = _lines(found, projects, rules)
    used = notes(filters, usage=True, hardware=sees_everything, bills=sees_everything)
    return Showback(
        month, filters, tuple(_rows(found, lines, projects)), tuple(lines),
        newest(filters, used), sees_everything, told,
    )  # fmt: skip


def month_filters(month: date, project_ids: tuple[int, ...] | None) -> Filters:
    """The book of a month. What landed on the projects is theirs, whoever reads it.

    Raw bills and hardware stand under Unallocated, which only members of the organisation see.
    """
    return Filters(
        zone=settings.ACCOUNTING_TIME_ZONE,
        start=month,
        end=(month + timedelta(days=32)).replace(day=1),
        basis="book",
        currency=settings.REPORTING_CURRENCY,
        project_ids=project_ids,
        bills=True,
    )


def _lines(
    found: Iterable[Sum], projects: dict[int, Project], rules: dict[int, AllocationRule]
) -> list[Line]:
    lines = []
    for one in found:
        project, origin, rule_id = one.keys
        amount = one.measures["cost"] or ZERO
        if not amount or not one.currency:
            continue
        rule = rules[int(rule_id)] if rule_id else None
        part = OWN if origin == "usage" else origin
        if rule is not None and origin == "usage":
            # What a sender loses and what the others are given is one part, and adds up to nothing.
            part = REQUESTS
        elif rule is not None and rule.split != ONE:
            part = SHARED
        reconciled = one.measures["reconciled"] or ZERO
        lines.append(Line(projects[int(project)], part, rule, one.currency, amount, reconciled))
    lines.sort(key=lambda one: (*_place(one.project), PARTS.index(one.part), -one.amount))
    return _merged(lines)


def _merged(lines: list[Line]) -> list[Line]:
    """A shared rule's line once, whether a bill or hardware brought it."""
    made: dict[tuple[Any, ...], Line] = {}
    for line in lines:
        key = (line.project.pk, line.part, line.rule and line.rule.pk, line.currency)
        held = made.get(key)
        made[key] = (
            line
            if held is None
            else replace(
                held,
                amount=plus(held.amount, line.amount),
                reconciled=plus(held.reconciled, line.reconciled),
            )
        )
    return list(made.values())


def _rows(found: Iterable[Sum], lines: Iterable[Line], projects: dict[int, Project]) -> list[Row]:
    unpriced: dict[int, int] = {}
    for one in found:
        pk = int(one.keys[0])
        unpriced[pk] = unpriced.get(pk, 0) + int(one.measures["unpriced_spans"] or 0)
    own: dict[tuple[int, str], list[Line]] = {}
    for line in lines:
        own.setdefault((line.project.pk, line.currency), []).append(line)
    rows = [
        Row(
            project=projects[pk],
            currency=currency,
            parts={part: _sum(one.amount for one in held if one.part == part) for part in PARTS},
            total=_sum(one.amount for one in held),
            reconciled=_sum(one.reconciled for one in held),
            unpriced=unpriced.get(pk, 0),
        )
        for (pk, currency), held in own.items()
    ]
    return sorted(rows, key=lambda row: (*_place(row.project), row.currency))


def _place(project: Project) -> tuple[Any, ...]:
    """By team and name; what is nobody's comes last."""
    return project.is_unallocated, project.team.name if project.team else "", project.name


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(plus, amounts, ZERO)
