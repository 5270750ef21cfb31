"""What was agreed with providers as tables. Knows their words; refuses queries."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.urls import reverse

from finops.models import BuyingRegion, PriceTerm
from finops.queries.price_effect import Effect, ModelEffect
from finops.queries.price_explained import Explained, ExplainedPrice
from finops.templatetags import words

from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    day_cell,
    money_cell,
    share_cell,
    time_cell,
    unit_price_cell,
    unknown_cell,
    words_cell,
)

REQUEST_UNIT = "1,000 requests"


def term_table(rows: Iterable[PriceTerm]) -> Table:
    columns = (
        Column("Contract"),
        Column("Provider"),
        Column("What"),
        Column("Of"),
        Column("Project"),
        Column("From"),
        Column("Last day"),
    )
    made = tuple(Row(term_cells(row)) for row in rows)
    empty = "No contract is entered: everything is priced at list prices and prices of your own."
    return Table("terms", "Contracts", columns, made, empty=empty)


def term_cells(row: PriceTerm) -> tuple[Cell, ...]:
    return (
        words_cell(row.contract, href=reverse("finops:price-term", args=[row.uid]), note=row.note),
        words_cell(row.provider),
        words_cell(effect_said(row), fixed=True),
        words_cell(scope_said(row)),
        *dates_cells(row),
    )


def dates_cells(row: PriceTerm | BuyingRegion) -> tuple[Cell, ...]:
    return (
        words_cell(row.project.name if row.project else "every project"),
        day_cell(words.local(row.valid_from).date()) if row.valid_from else words_cell("always"),
        day_cell(last_day(row)) if row.valid_to else words_cell("until further notice"),
    )


def last_day(row: PriceTerm | BuyingRegion) -> Any:
    assert row.valid_to is not None
    return words.local(row.valid_to).date() - timedelta(days=1)


def effect_said(row: PriceTerm) -> str:
    if row.percent is None:
        assert row.amount is not None
        return words.unit_price(row.amount, row.currency)
    percent = f"{abs(row.percent).normalize():f}%"
    return f"{percent} off" if row.percent >= 0 else f"{percent} on top"


def scope_said(row: PriceTerm) -> str:
    """As in `gpt-4o, output, tier batch, bought in eu`."""
    parts = [row.model, row.unit.replace("_", " ")]
    parts.append(f"tier {row.tier}" if row.tier else "")
    parts.append(f"bought in {row.region}" if row.region else "")
    return ", ".join(part for part in parts if part) or "everything"


def region_table(rows: Iterable[BuyingRegion], may_change: bool) -> Table:
    columns = (
        Column("Provider"),
        Column("Region"),
        Column("Project"),
        Column("From"),
        Column("Last day"),
    )

    def cells(row: BuyingRegion) -> tuple[Cell, ...]:
        href = reverse("finops:buying-region-edit", args=[row.uid]) if may_change else ""
        return (
            words_cell(row.provider, href=href, note=row.note),
            words_cell(row.region),
            *dates_cells(row),
        )

    empty = "No region is entered: prices and contracts of one region hold for nobody."
    made = tuple(Row(cells(row)) for row in rows)
    return Table("regions", "Where you buy", columns, made, empty=empty)


def history_table(rows: Iterable[PriceTerm]) -> Table:
    columns = (
        Column("Version"),
        Column("Made"),
        Column("Contract"),
        Column("What"),
        Column("Of"),
        Column("Project"),
        Column("From"),
        Column("Last day"),
    )

    def cells(row: PriceTerm) -> tuple[Cell, ...]:
        contract, _, *rest = term_cells(row)
        return (
            count_cell(row.since),
            time_cell(row.book.created_at),
            words_cell(contract.text, note=row.note),
            *rest,
        )

    return Table("history", "How it was", columns, tuple(Row(cells(row)) for row in rows))


# What it does


def effect_table(found: Effect) -> Table:
    columns = (
        Column("Model"),
        Column("Provider"),
        Column("Currency"),
        Column("At list prices", number=True),
        Column("Without it", number=True),
        Column("With it", number=True),
        Column("Difference", number=True),
        Column("Change", number=True),
    )
    made = tuple(Row(model_cells(one)) for one in found.models)
    return Table("effect", "Cost by model, the largest difference first", columns, made,
                 empty="It would have changed the cost of nothing that was used.")  # fmt: skip


def model_cells(one: ModelEffect) -> tuple[Cell, ...]:
    return (
        words_cell(one.model),
        words_cell(one.provider),
        words_cell(one.currency),
        unknown_cell() if one.listed is None else money_cell(one.listed, one.currency),
        money_cell(one.before, one.currency),
        money_cell(one.after, one.currency),
        money_cell(one.difference, one.currency),
        NONE if one.share is None else share_cell(one.share),
    )


def effect_sentence(found: Effect) -> str:
    """As in `In the last 30 days it would have changed $412.10 to $370.89: −$41.21.`"""
    period = words.days_text(found.first, found.last + timedelta(days=1))
    if not found.models:
        return (
            f"Had it held {period}, no cost would have changed: nothing that it fits was used, or"
            " another contract goes before it."
        )
    said = " and ".join(
        f"{words.money(one.before, one.currency)} would have been"
        f" {words.money(one.after, one.currency)}, a difference of"
        f" {words.money(one.difference, one.currency)}"
        for one in found.totals
    )
    rest = f" {found.same:,} models of the provider would cost the same." if found.same else ""
    return f"Had it held {period}, {said}.{rest}"


# One price explained


def explained_table(found: Explained) -> Table:
    columns = (
        Column("Token class"),
        Column("Billed as"),
        Column("List price", number=True),
        Column("Paid", number=True),
        Column("Where it comes from"),
    )
    made = tuple(Row(explained_cells(found, one)) for one in found.prices)
    return Table("explained", "Prices per 1M tokens", columns, made)


def explained_cells(found: Explained, one: ExplainedPrice) -> tuple[Cell, ...]:
    def price(amount: Any) -> Cell:
        return unknown_cell() if amount is None else unit_price_cell(amount, found.currency)

    href = reverse("finops:price-term", args=[one.term.uid]) if one.term else ""
    return (
        words_cell(unit_said(one.unit)),
        words_cell(unit_said(one.billed_as)) if one.billed_as else NONE,
        price(one.listed),
        price(one.paid),
        words_cell(one.source, href=href),
    )


def unit_said(unit: str) -> str:
    return REQUEST_UNIT if unit == "request" else unit.replace("_", " ")
