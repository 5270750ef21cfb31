"""Showback and statements as tables. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from django.urls import reverse

from finops.models import Chargeback, ChargebackLine
from finops.queries.allocation.chargebacks import Difference
from finops.queries.allocation.showback import PARTS, Line, Showback
from finops.queries.allocation.showback import Row as ShowbackRow

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
    "bill": "Bills",
    "hardware": "Hardware",
    "shared": "Shared costs",
}


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
        words_cell(row.team) if row.team else Cell("No team", "", ""),
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


def statement_table(lines: Iterable[ChargebackLine]) -> Table:
    return _lines(
        "What it says",
        (
            (one.project_name, one.team, one.part, one.rule_name, one.amount, one.currency,
             counted_cell(one.amount, one.reconciled))
            for one in lines
        ),
    )  # fmt: skip


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
                    words_cell(team) if team else Cell("No team", "", ""),
                    Cell(PART_LABELS[part], part, PARTS.index(part)),
                    words_cell(rule) if rule else NONE,
                    money_cell(amount, currency),
                    words_cell(currency),
                    counted,
                )
            )
            for project, team, part, rule, amount, currency, counted in lines
        ),
        empty="Nothing of your projects is in it.",
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
