"""Showback and statements as tables. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from django.urls import reverse

from finops.models import Chargeback, ChargebackLine
from finops.queries.allocation.chargebacks import Difference, Subtotal, by_project, by_team
from finops.queries.allocation.showback import PARTS, Line, Showback
from finops.queries.allocation.showback import Row as ShowbackRow
from finops.queries.allocation.statement_conversion import InOne, subtotal

from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    money_cell,
    time_cell,
    words_cell,
)

PART_LABELS = {
    "usage": "Own usage",
    "requests": "Moved requests",
    "bill": "Bills",
    "hardware": "Hardware",
    "shared": "Shared costs",
}


NOTHING_OF_YOURS = "Nothing of your projects is in it."


def showback_table(found: Showback, href: Callable[[ShowbackRow], str]) -> Table:
    rows = [Row(_showback_cells(row, href(row))) for row in found.rows]
    return Table(
        "showback",
        "What each project cost",
        (
            Column("Project", "project"),
            Column("Team", "team"),
            *(Column(PART_LABELS[part], part, number=True) for part in PARTS),
            Column("Total", "total", number=True),
            Column("Currency"),
            Column("Counted"),
            Column("Without a price", number=True, help="Requests that are in no amount"),
        ),
        tuple(rows),
        empty="Nothing is known of this month.",
    )


def _showback_cells(row: ShowbackRow, href: str) -> tuple[Cell, ...]:
    return (
        words_cell(row.project.name, href=href),
        _team_cell(row.team),
        *(money_cell(row.parts[part], row.currency) for part in PARTS),
        money_cell(row.total, row.currency),
        words_cell(row.currency),
        counted_cell(row.total, row.reconciled),
        count_cell(row.unpriced),
    )


def counted_cell(amount: Decimal, reconciled: Decimal) -> Cell:
    is_whole = amount == reconciled
    said = "reconciled" if is_whole else "provisional"
    return Cell(said, said, said, tone="good" if is_whole else "warn")


def line_table(lines: Iterable[Line], caption: str = "By rule") -> Table:
    return _lines(
        caption,
        (
            (one.project.name, one.team, one.part, one.rule.name if one.rule else "",
             one.amount, one.currency, counted_cell(one.amount, one.reconciled))
            for one in lines
        ),
    )  # fmt: skip


def statement_table(lines: Iterable[ChargebackLine], found: InOne | None = None) -> Table:
    """With `found`, each amount stands in that currency as well."""
    held = list(lines)
    table = _lines(
        "What it says",
        (
            (one.project_name, one.team, one.part, one.rule_name, one.amount, one.currency,
             counted_cell(one.amount, one.reconciled))
            for one in held
        ),
    )  # fmt: skip
    if found is None:
        return table
    more = [found.lines.get(one.pk) for one in held]
    return replace(
        table,
        columns=(*table.columns, Column(f"Amount, {found.currency}", number=True)),
        rows=tuple(
            replace(
                row, cells=(*row.cells, money_cell(one.amount if one else None, found.currency))
            )
            for row, one in zip(table.rows, more, strict=True)
        ),
    )


def subtotal_tables(lines: Sequence[ChargebackLine], found: InOne | None = None) -> list[Table]:
    """By project and by team; currencies are never added."""
    projects = Table(
        "projects",
        "By project",
        (Column("Project"), Column("Team"), *_subtotal_columns(found)),
        tuple(
            Row((words_cell(one.project_name), _team_cell(one.team), *_subtotal_cells(one, found)))
            for one in by_project(lines)
        ),
        empty=NOTHING_OF_YOURS,
    )
    teams = Table(
        "teams",
        "By team",
        (Column("Team"), *_subtotal_columns(found)),
        tuple(Row((_team_cell(one.team), *_subtotal_cells(one, found))) for one in by_team(lines)),
        empty=NOTHING_OF_YOURS,
    )
    return [projects, teams]


def _subtotal_columns(found: InOne | None) -> tuple[Column, ...]:
    more = (Column(f"Total, {found.currency}", number=True),) if found else ()
    return (Column("Total", number=True), Column("Currency"), Column("Counted"), *more)


def _subtotal_cells(one: Subtotal, found: InOne | None) -> tuple[Cell, ...]:
    cells = (
        money_cell(one.amount, one.currency),
        words_cell(one.currency),
        counted_cell(one.amount, one.reconciled),
    )
    if found is None:
        return cells
    converted = subtotal(found, one.lines)
    return (*cells, money_cell(converted.amount if converted else None, found.currency))


def _team_cell(team: str) -> Cell:
    return words_cell(team) if team else Cell("No team", "", "")


def _lines(caption: str, lines: Iterable[tuple[str, str, str, str, Decimal, str, Cell]]) -> Table:
    return Table(
        "lines",
        caption,
        (
            Column("Project", "project"),
            Column("Team", "team"),
            Column("Part", "part"),
            Column("Rule", "rule"),
            Column("Amount", "amount", number=True),
            Column("Currency"),
            Column("Counted"),
        ),
        tuple(
            Row(
                (
                    words_cell(project),
                    _team_cell(team),
                    Cell(PART_LABELS[part], part, PARTS.index(part)),
                    words_cell(rule) if rule else NONE,
                    money_cell(amount, currency),
                    words_cell(currency),
                    counted,
                )
            )
            for project, team, part, rule, amount, currency, counted in lines
        ),
        empty=NOTHING_OF_YOURS,
    )


def difference_table(found: Iterable[Difference]) -> Table:
    return Table(
        "differences",
        "What has changed since",
        (
            Column("Project"),
            Column("Part"),
            Column("Rule"),
            Column("Stated", number=True),
            Column("Now", number=True),
            Column("Difference", number=True),
            Column("Currency"),
        ),
        tuple(
            Row(
                (
                    words_cell(one.project.name),
                    Cell(PART_LABELS[one.part], one.part, one.part),
                    words_cell(one.rule.name) if one.rule else NONE,
                    money_cell(one.stated, one.currency),
                    money_cell(one.now, one.currency),
                    money_cell(one.amount, one.currency),
                    words_cell(one.currency),
                )
            )
            for one in found
        ),
        empty="Nothing: the month is as its statements say.",
    )


def chargeback_table(found: Sequence[Chargeback]) -> Table:
    return Table(
        "statements",
        "Statements",
        (
            Column("Month"),
            Column("Kind"),
            Column("Closed"),
            Column("By"),
            Column("As of"),
            Column("Note"),
        ),
        tuple(
            Row(
                (
                    Cell(
                        month_name(one.month), f"{one.month:%Y-%m}", one.month,
                        href=reverse("finops:chargeback", args=[one.pk]), fixed=True,
                    ),
                    Cell(kind_said(one), f"{one.kind} {one.number}", one.number),
                    time_cell(one.closed_at),
                    words_cell(one.closed_by.get_username()),
                    time_cell(one.as_of) if one.as_of else NONE,
                    words_cell(one.note, prose=True) if one.note else NONE,
                )
            )
            for one in found
        ),
        empty="No month is closed yet.",
    )  # fmt: skip


def month_name(month: date) -> str:
    return f"{month:%B %Y}"


def kind_said(one: Chargeback) -> str:
    return "Statement" if one.number == 1 else f"Adjustment {one.number - 1}"


def sorted_table(table: Table, sort: str, url: Callable[[str], str]) -> Table:
    return replace(table, sort="").sorted_by(sort).linked(lambda wanted: url(wanted))
