"""What a source brought, as tables: its pulls, its files, and the rows that were refused."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse

from finops.queries.sources import DeliveryRow, PullRow, RejectRow
from finops.templatetags import words

from .page import View, link
from .tables import NONE, Cell, Column, Row, Table, count_cell, time_cell, words_cell

PULL_LABELS = {
    "running": ("Running", "quiet"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
}


def pull_table(rows: Iterable[PullRow]) -> Table:
    columns = (
        Column("Window"),
        Column("State"),
        Column("Rows in", number=True),
        Column("New", number=True),
        Column("Changed", number=True),
        Column("Known", number=True),
        Column("Older", number=True),
        Column("Refused", number=True),
    )
    made = []
    for row in rows:
        label, tone = PULL_LABELS[row.state]
        window = f"{words.when_text(row.window_from)} to {words.local(row.window_to):%H:%M}"
        cells = (
            words_cell(window),
            words_cell(label, tone=tone, note=row.error),
            *counts_cells(row.counts),
        )
        made.append(Row(cells))
    return Table(
        "pulls",
        "What it brought, hour by hour",
        columns,
        tuple(made),
        empty="It has brought nothing yet.",
    )


def counts_cells(counts) -> tuple[Cell, ...]:
    names = ("rows_in", "inserted", "updated", "unchanged", "stale", "rejected")
    return tuple(count_cell(getattr(counts, name)) for name in names)


def reject_table(rows: Iterable[RejectRow], again: str = "") -> Table:
    """`again` is the address for those who may try rows again."""
    columns = (
        Column("Reason"),
        Column("Field"),
        Column("What to mend"),
        Column("Line", number=True),
        Column("Received"),
        Column("State"),
    )
    made = []
    for row in rows:
        cells = (
            words_cell(row.reason.replace("_", " "), note=row_named(row)),
            words_cell(row.field or "the whole row"),
            words_cell(row.detail),
            NONE if row.line is None else count_cell(row.line),
            time_cell(row.received_at),
            state_cell(row, again),
        )
        made.append(Row(cells))
    return Table(
        "rejects",
        "Refused rows of the last 7 days",
        columns,
        tuple(made),
        empty="Nothing was refused in the last 7 days.",
    )


def reason_table(reasons: Iterable[tuple[str, int, int]], address: str) -> Table:
    """What keeps rows out, each with the way to try them again."""
    columns = (
        Column("Reason"),
        Column("Rows", number=True),
        Column("Can be tried again", number=True, help="Enough was kept of them"),
        Column("Try again"),
    )
    made = tuple(
        Row(
            (
                words_cell(reason.replace("_", " ")),
                count_cell(rows),
                count_cell(kept),
                words_cell("Try these again", href=f"{address}?reason={reason}")
                if kept
                else words_cell("Send them again", note="Nothing of them was kept to try."),
            )
        )
        for reason, rows, kept in reasons
    )
    return Table("reasons", "Why rows were refused", columns, made)


def state_cell(row: RejectRow, again: str) -> Cell:
    """Taken by now, or the way to try it again."""
    if row.state == "taken":
        return words_cell("Taken now", tone="good", note=words.when_text(row.tried_at))
    tried = f"Tried again {words.when_text(row.tried_at)}." if row.tried_at else ""
    if again and row.can_be_tried:
        return words_cell("Try again", href=f"{again}?row={row.id}", note=tried, fixed=True)
    return words_cell("Refused", tone="quiet", note=tried)


def row_named(row: RejectRow) -> str:
    """Its own id; where that is only the line, the line has its column."""
    return "" if row.external_id == f"line {row.line}" else row.external_id


def delivery_table(rows: Iterable[DeliveryRow], view: View) -> Table:
    columns = (
        Column("File"),
        Column("State"),
        Column("Received"),
        Column("Rows in", number=True),
        Column("New", number=True),
        Column("Changed", number=True),
        Column("Known", number=True),
        Column("Older", number=True),
        Column("Refused", number=True),
        Column("What changed"),
    )
    made = []
    for row in rows:
        href = link(reverse("finops:delivery", args=[row.id]), view.filters)
        state = (
            words_cell("Complete", tone="good", note=doubts_said(row))
            if row.complete
            else words_cell(
                "Not complete", tone="warn", note=row.note or "Does not replace an earlier one."
            )
        )
        cells = (
            words_cell(row.name, href=href),
            state,
            time_cell(row.received_at),
            *counts_cells(row.counts),
            changes_cell(row, view),
        )
        made.append(Row(cells))
    return Table(
        "deliveries", "Files received", columns, tuple(made), empty="No file has arrived yet."
    )


def doubts_said(row: DeliveryRow) -> str:
    if not row.warnings:
        return ""
    return (
        "1 doubt about its figures."
        if len(row.warnings) == 1
        else (f"{len(row.warnings)} doubts about its figures.")
    )


def changes_cell(row: DeliveryRow, view: View) -> Cell:
    """What it says differently of its first month; its own page has the others."""
    if not row.periods:
        return NONE
    href = link(reverse("finops:delivery-changes", args=[row.id]), view.filters)
    replaced = any(period.superseded for period in row.periods)
    return words_cell("Compare" if replaced else "Everything is new", href=href)
