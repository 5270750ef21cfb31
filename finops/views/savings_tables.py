"""The tables of the savings page and what their cells say; the CSV holds the same.

Knows claims and entries. Refuses to add an estimate to what was realised: they are rows of their
own.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from types import MappingProxyType

from django.urls import NoReverseMatch, reverse

from finops.models import LedgerEntry
from finops.models.ledger import ESTIMATE, PROGRAMME_COST, REALISED
from finops.models.prices import BILLED_BY
from finops.money import MINUS
from finops.queries.savings import Capacity, CashSum, ChangeRow, Claim, Savings
from finops.queries.savings_conversion import ConvertedEntry
from finops.templatetags import words

from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    money_cell,
    time_cell,
    unknown_cell,
    words_cell,
)

SORTS = {ESTIMATE: "Estimated", REALISED: "Realised", PROGRAMME_COST: "Programme cost"}


def change_table(found: Savings) -> Table:
    """Two rows for a change: what was promised, and what was measured. They are never added."""
    columns = (
        Column("Change"),
        Column("What"),
        Column("GPU-seconds freed", number=True),
        Column("90% interval of capacity"),
        Column(f"Cash saved, {found.currency}", number=True),
        Column("90% interval of cash"),
        Column("State"),
        Column("GPU-seconds a request, before", number=True),
        Column("GPU-seconds a request, with it", number=True),
        Column("Requests", number=True),
        Column("Measured", number=True),
        Column("From"),
        Column("To"),
    )
    rows = tuple(
        Row(claim_cells(row, claim, found.currency))
        for row in found.changes
        for claim in (row.estimated, row.realised)
        if claim is not None
    )
    return Table(
        "savings",
        "Changes, promised and realised",
        columns,
        rows,
        empty="No change promised or saved anything in this period.",
    )


def claim_cells(row: ChangeRow, claim: Claim, currency: str) -> tuple[Cell, ...]:
    where = ", ".join(filter(None, (row.project, row.pool)))
    return (
        words_cell(row.title, href=change_href(row.change_ref), note=where),
        words_cell(SORTS[claim.counts_as]),
        capacity_cell(claim.capacity),
        interval_cell(claim.capacity and capacity_interval(claim.capacity)),
        money_cell(claim.cash.amount if claim.cash else None, currency, note=paid_note(claim)),
        interval_cell(claim.cash and cash_interval(claim.cash, currency)),
        state_cell(claim),
        ratio_cell(claim.gpu_seconds_before),
        ratio_cell(claim.gpu_seconds_now),
        count_cell(claim.requests),
        measured_cell(claim),
        time_cell(claim.start),
        time_cell(claim.end),
    )


def paid_note(claim: Claim) -> str:
    told = [others_said(claim.others)]
    if claim.unknown_cash and claim.cash is not None:
        told.append(f"Unknown for {claim.unknown_cash} of {claim.entries} entries.")
    if claim.billed_by:
        told.append(f"Paid by {BILLED_BY[claim.billed_by]}.")
    return " ".join(filter(None, told))


def capacity_cell(capacity: Capacity | None) -> Cell:
    if capacity is None:
        return unknown_cell()
    seconds = capacity.gpu_seconds
    return Cell(gpu_time(seconds), f"{seconds:.3f}", seconds)


def interval_cell(told: str | None) -> Cell:
    return words_cell(told, fixed=True) if told else unknown_cell()


def ratio_cell(seconds: float | None) -> Cell:
    if seconds is None:
        return unknown_cell()
    return Cell(f"{seconds:.4g}", f"{seconds:.9f}", seconds)


def measured_cell(claim: Claim) -> Cell:
    if claim.measured_s is None:
        return NONE
    return Cell(words.seconds(claim.measured_s), f"{claim.measured_s:.1f}", claim.measured_s)


def state_cell(claim: Claim) -> Cell:
    if claim.counts_as == ESTIMATE:
        return words_cell("a promise")
    if claim.provisional:
        return words_cell("provisional", tone="warn")
    return words_cell("final", tone="good")


def entry_table(
    rows: tuple[LedgerEntry, ...],
    to: str = "",
    converted: Mapping[int, ConvertedEntry] = MappingProxyType({}),
) -> Table:
    """With `to`, cash stands in that currency as well."""
    columns = (
        Column("Entry"),
        Column("Of"),
        Column("From"),
        Column("To"),
        Column("GPU-seconds freed", number=True),
        Column("Cash", number=True, help="Saved; of a programme cost, spent"),
        Column("Currency"),
        *([Column(f"Cash, {to}", number=True, help="At the rate of its own day")] if to else []),
        Column("State"),
        Column("Rests on"),
        Column("Booked"),
    )
    made = tuple(
        Row(entry_cells(row, (_converted_cell(converted.get(row.pk), to),) if to else ()))
        for row in rows
    )
    return Table("ledger", "The ledger, newest period first", columns, made, empty="No entries.")


def _converted_cell(found: ConvertedEntry | None, to: str) -> Cell:
    return money_cell(found.cash if found else None, to)


def entry_cells(row: LedgerEntry, beside: tuple[Cell, ...] = ()) -> tuple[Cell, ...]:
    kind = SORTS[row.counts_as]
    if row.supersedes_id:
        kind = f"Adjustment of #{row.supersedes_id}, {kind.lower()}"
    href = change_href(row.change_ref) if row.change_ref else ""
    by = row.created_by.get_username() if row.created_by else "system"
    freed = row.capacity_gpu_seconds
    return (
        words_cell(f"#{row.pk}", note=kind),
        words_cell(row.title, href=href, note=row.project.name),
        time_cell(row.period_from),
        time_cell(row.period_to),
        NONE
        if row.counts_as == PROGRAMME_COST
        else capacity_cell(
            None
            if freed is None
            else Capacity(freed, row.capacity_gpu_seconds_low, row.capacity_gpu_seconds_high)
        ),
        money_cell(row.cash, row.currency),
        words_cell(row.currency or "–"),
        *beside,
        entry_state(row),
        words_cell(row.basis, prose=True),
        time_cell(row.created_at, note=by),
    )


def entry_state(row: LedgerEntry) -> Cell:
    later = getattr(row, "superseded_by", None)
    if later is not None:
        return words_cell(f"superseded by #{later.pk}", tone="quiet")
    if row.provisional:
        return words_cell("provisional", tone="warn")
    return words_cell("counts", tone="good")


def others_said(others: tuple[tuple[str, Decimal], ...]) -> str:
    told = ", ".join(words.money(amount, code) for code, amount in others)
    return f"Beside it {told}." if told else ""


def gpu_time(seconds: float) -> str:
    """GPU-hours, or seconds where hours would be a long fraction."""
    sign, size = (MINUS if seconds < 0 else ""), abs(seconds)
    if size < 360:
        return f"{sign}{size:,.3g} GPU-s"
    return f"{sign}{size / 3600:,.{0 if size >= 360_000 else 2}f} GPU-h"


def capacity_interval(capacity: Capacity) -> str:
    return f"{gpu_time(capacity.low)} to {gpu_time(capacity.high)}"


def cash_interval(cash: CashSum, currency: str) -> str:
    return f"{words.money(cash.low, currency)} to {words.money(cash.high, currency)}"


def change_href(change_ref: str) -> str:
    """By name: nobody here knows what a change is, or whether anybody does."""
    try:
        return reverse("optimiser:change", args=[change_ref])
    except NoReverseMatch:
        return ""
