"""The table of models side by side on the page of unit costs; the CSV writes the same.

Knows how it is worded. Refuses queries, and to put a price per token and one of hardware into one
column: the first is asked for each request, the second is what an hour came to.
"""

from __future__ import annotations

from finops.queries.unit_costs import FEW, Asked, ComparedRow, Comparison, HardwarePrice

from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    duration_cell,
    share_cell,
    unit_cell,
    unknown_cell,
    words_cell,
)
from .unit_costs_tables import number_cell


def comparison_table(found: Comparison, asked: Asked) -> Table:
    quality = f"Quality: {asked.score}" if asked.score else "Quality"
    columns = (
        Column("Kind and prompt size"),
        Column("Model"),
        Column("Provider"),
        Column("Requests", number=True),
        Column("Sample"),
        Column(f"Per 1,000 requests, {found.currency}", number=True),
        *(_hardware_columns(found.currency) if _has_hardware(found) else ()),
        Column("P50", number=True),
        Column("P95", number=True),
        Column("Errors", number=True),
        Column(quality, number=True, help="Mean score of the scored answers"),
        Column("Scored answers", number=True),
    )
    return Table(
        "comparison",
        "Models on the same kind of request",
        columns,
        tuple(_compared_row(row, found) for row in found.rows),
        empty="No requests in this period. Choose a longer one, or drop a filter.",
    )


def _has_hardware(found: Comparison) -> bool:
    return any(row.hardware for row in found.rows)


def _hardware_columns(currency: str) -> tuple[Column, ...]:
    used = "What the model kept busy ÷ all that it answered, of any kind and size"
    allocated = "The same with idle hours, shared by what each model used"
    return (
        Column(f"Hardware used per 1,000 requests, {currency}", number=True, help=used),
        Column(f"Hardware allocated per 1,000 requests, {currency}", number=True, help=allocated),
        Column("Hardware: requests answered", number=True, help="By the server's own count"),
        Column("Hardware: what is unknown, and why"),
    )


def _hardware_cells(price: HardwarePrice | None, currency: str) -> tuple[Cell, ...]:
    if price is None:
        return NONE, NONE, NONE, NONE
    why = price.used.reason or price.used.coverage or "Nothing."
    return (
        unit_cell(price.used.value, currency),
        unit_cell(price.allocated.value, currency),
        number_cell(price.used.count),
        words_cell(why, prose=True),
    )


def _compared_row(row: ComparedRow, found: Comparison) -> Row:
    hardware = _hardware_cells(row.hardware, found.currency) if _has_hardware(found) else ()
    sample = words_cell(f"few: under {FEW}", tone="quiet") if row.is_few else words_cell("enough")
    return Row(
        (
            words_cell(f"{row.kind}, {row.band}"),
            words_cell(row.model or "none given", fixed=True),
            words_cell(row.provider or "none given"),
            count_cell(row.requests),
            sample,
            _price_cell(row, found.currency),
            *hardware,
            duration_cell(row.latency.p50_ms),
            duration_cell(row.latency.p95_ms),
            share_cell(row.error_rate),
            _quality_cell(row.quality),
            count_cell(row.scored),
        )
    )


def _price_cell(row: ComparedRow, currency: str) -> Cell:
    """Our own hardware is paid by the hour, so that its requests are never priced one by one."""
    if row.hardware is not None and row.price.value is None:
        return Cell("by the hour", "")
    return unit_cell(row.price.value, currency)


def _quality_cell(quality: float | None) -> Cell:
    if quality is None:
        return unknown_cell()
    return Cell(f"{quality:.3g}", f"{quality:.6f}", quality)
