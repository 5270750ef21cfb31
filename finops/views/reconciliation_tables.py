"""Tables of the reconciliation: months, the way from usage to bill, models, days, source costs.

Knows words and columns. Refuses queries and sums: every amount comes ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from finops.costing.reconciling import (
    CLASSES,
    CREDITS,
    LATE,
    MODEL,
    NOT_BILLED,
    OTHER,
    PRICE,
    ROUNDING,
    SKU,
    UNNAMED,
    UNPRICED,
    UNTRACKED,
    Item,
)
from finops.models import BillMatch
from finops.money import CONTEXT
from finops.queries.reconciliation import NO_BILL, Reconciliation, SourceCosts

from .figures import provisional_badge
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    cost_cell,
    count_cell,
    day_cell,
    money_cell,
    share_cell,
    words_cell,
)

CLASS_LABELS = {
    UNPRICED: "No price",
    LATE: "Late",
    CREDITS: "Credits",
    OTHER: "Other charges",
    ROUNDING: "Rounding",
    UNTRACKED: "Untracked",
    PRICE: "Price",
}
CLASS_HELP = {
    UNPRICED: "What the bill charges for usage that was seen and has no price in the price book.",
    LATE: "Usage of the time that the bill does not cover yet; it is in our usage alone.",
    CREDITS: "Credits, refunds and corrections on the bill.",
    OTHER: "Taxes, purchases and other charges that are not for usage.",
    ROUNDING: "Differences no larger than the rounding of the bill's own lines.",
    UNTRACKED: "What the bill charges for usage that was never seen here.",
    PRICE: "The same tokens at another price than ours.",
}
UNEXPLAINED_HELP = "What no class can claim from what is known. It is never spread over the others."
KIND_LABELS = {
    MODEL: "Matched by name",
    SKU: "On the bill alone",
    NOT_BILLED: "Not on the bill",
    UNNAMED: "Not matched by name",
    CREDITS: "Credits and corrections",
    OTHER: "Other charges",
}
SHOWN_NAMES = 3


def month_said(row: Reconciliation) -> str:
    return f"{row.month:%B %Y}"


def service_said(row: Reconciliation) -> str:
    return f"{row.bill_service} of {row.bill_provider}"


def overview_table(
    rows: Sequence[Reconciliation], href: Callable[[Reconciliation], str] | None = None
) -> Table:
    columns = (
        Column("Month", "month"),
        Column("Usage of", "provider"),
        Column("Bill", "service"),
        Column("Currency", "currency"),
        Column("On the bill", "bill", number=True),
        Column("Our usage", "usage", number=True, help="Usage at the prices of the price book"),
        Column("Difference", "gap", number=True, help="The bill less our usage"),
        Column("Of the bill", "share", number=True),
        Column("Explained", "explained", number=True),
        Column("Unexplained", "unexplained", number=True),
        Column("Without a price", "unpriced", number=True, help="Requests that are in no amount"),
        Column("State", "state"),
    )
    return Table(
        "reconciliation",
        "Bills beside our usage",
        columns,
        tuple(Row(overview_cells(row, href(row) if href else "")) for row in rows),
        empty="Neither a complete bill nor usage of what is matched in these months.",
    )


def overview_cells(row: Reconciliation, href: str) -> tuple[Cell, ...]:
    money = row.currency
    return (
        Cell(month_said(row), f"{row.month:%Y-%m}", row.month, href=href, fixed=True),
        words_cell(", ".join(row.providers)),
        words_cell(service_said(row)),
        words_cell(money),
        money_cell(row.bill, money),
        cost_cell(usage_of(row), money),
        money_cell(row.gap, money),
        share_cell(gap_share(row)) if row.bill else NONE,
        money_cell(row.explained, money),
        money_cell(row.unexplained, money),
        count_cell(row.unpriced_requests),
        state_cell(row),
    )


def usage_of(row: Reconciliation) -> Decimal | None:
    """None where all there was has no price: a zero would say that it was free."""
    is_unpriced = row.unpriced_requests or row.unpriced_gpu_hours
    return None if not row.usage and is_unpriced else row.usage


def gap_share(row: Reconciliation) -> float | None:
    if not row.bill or row.gap is None:
        return None
    return float(CONTEXT.divide(row.gap, row.bill))


def state_of(row: Reconciliation) -> tuple[str, str]:
    """The badge and its tone, as every figure of spend has it."""
    if row.state != NO_BILL:
        return provisional_badge(row.provisional_share)
    return ("No bill yet", "warn") if row.provisional else ("No bill in this currency", "warn")


def state_cell(row: Reconciliation) -> Cell:
    text, tone = state_of(row)
    return Cell(text, row.state, row.state, tone=tone or "quiet")


def bridge_table(rows: Sequence[Reconciliation]) -> Table:
    """From our usage to the bill, one column per currency."""
    columns = (Column("What"), *(Column(row.currency, number=True) for row in rows))
    lines = [bridge_row("Our priced usage", "", [(row.usage, row.currency) for row in rows])]
    for name in CLASSES:
        amounts = [(row.amount(name), row.currency) for row in rows]
        lines.append(bridge_row(CLASS_LABELS[name], CLASS_HELP[name], amounts))
    rest = [(row.unexplained, row.currency) for row in rows]
    lines.append(bridge_row("Unexplained", UNEXPLAINED_HELP, rest))
    total = (words_cell("The bill"), *(money_cell(row.bill, row.currency) for row in rows))
    return Table("bridge", "From our usage to the bill", columns, tuple(lines), total)


def bridge_row(label: str, note: str, amounts: Sequence[tuple[Decimal | None, str]]) -> Row:
    cells = (money_cell(amount, currency) for amount, currency in amounts)
    return Row((words_cell(label, note=note), *cells))


def item_table(rows: Sequence[Reconciliation], limit: int | None = None) -> Table:
    columns = (
        Column("Model or SKU"),
        Column("How they met"),
        Column("SKUs of the bill"),
        Column("Currency"),
        Column("On the bill", number=True),
        Column("Our usage", number=True),
        Column("Difference", number=True),
        *(Column(CLASS_LABELS[name], number=True, help=CLASS_HELP[name]) for name in CLASSES),
        Column("Unexplained", number=True, help=UNEXPLAINED_HELP),
        Column("Without a price", number=True, help="Requests that are in no amount"),
    )
    made = [Row(item_cells(item, row.currency)) for row in rows for item in row.items]
    return Table(
        "items",
        "By model and SKU",
        columns,
        tuple(made[:limit]),
        empty="There is no complete bill to compare with yet.",
    )


def item_cells(item: Item, currency: str) -> tuple[Cell, ...]:
    return (
        words_cell(item_said(item)),
        words_cell(KIND_LABELS[item.kind]),
        words_cell(names_said(item.skus)) if item.skus else NONE,
        words_cell(currency),
        money_cell(item.bill, currency),
        money_cell(item.usage, currency),
        money_cell(item.gap, currency),
        *(part_cell(item.amount(name), currency) for name in CLASSES),
        money_cell(item.unexplained, currency),
        count_cell(item.unpriced),
    )


def part_cell(amount: Decimal, currency: str) -> Cell:
    """A class that holds nothing of an item is not worth a zero to read."""
    return money_cell(amount, currency) if amount else Cell("–", "0", Decimal(0))


def item_said(item: Item) -> str:
    if item.kind == UNNAMED:
        return names_said(item.models)
    return item.name or "not named"


def names_said(names: Sequence[str]) -> str:
    said = ", ".join(name or "not named" for name in names[:SHOWN_NAMES])
    rest = len(names) - SHOWN_NAMES
    return f"{said} and {rest} more" if rest > 0 else said


def day_table(rows: Sequence[Reconciliation]) -> Table:
    columns = (
        Column("Day"),
        Column("Currency"),
        Column("On the bill", number=True),
        Column("Our usage", number=True),
        Column("Difference", number=True),
    )
    made = [
        Row(
            (
                day_cell(one.day),
                words_cell(row.currency),
                money_cell(one.bill, row.currency),
                money_cell(one.usage, row.currency),
                money_cell(one.gap, row.currency),
            )
        )
        for row in rows
        for one in row.days
    ]
    return Table("reconciliation-days", "By day", columns, tuple(made))


def source_table(found: SourceCosts) -> Table:
    currency = found.currency
    columns = (
        Column("Provider"),
        Column("Model"),
        Column("Requests", number=True, help="Where a source told a cost"),
        Column("Source told", number=True, help="Requests whose source told their cost"),
        Column("Source's cost", number=True),
        Column("Compared", number=True, help="Requests of days in which all have both costs"),
        Column("Source's, compared", number=True),
        Column("Ours, compared", number=True),
        Column("Ours − source's", number=True),
    )
    made = [
        Row(
            (
                words_cell(row.provider or "none given"),
                words_cell(row.model or "none given"),
                count_cell(row.requests),
                count_cell(row.told),
                money_cell(row.source_cost, currency),
                count_cell(row.compared),
                money_cell(row.compared_source_cost, currency) if row.compared else NONE,
                money_cell(row.compared_cost, currency) if row.compared else NONE,
                money_cell(row.difference, currency),
            )
        )
        for row in found.rows
    ]
    return Table(
        "source-costs",
        f"What sources say it cost, beside our prices, {currency}",
        columns,
        tuple(made),
        empty="No source told a cost of its own in these months.",
    )


def match_table(matches: Sequence[BillMatch]) -> Table:
    columns = (Column("Usage of"), Column("Is charged by"), Column("Service"))
    rows = tuple(
        Row(
            (
                words_cell(match.usage_provider),
                words_cell(match.bill_provider),
                words_cell(match.bill_service),
            )
        )
        for match in matches
    )
    return Table("matches", "What is matched", columns, rows, empty="Nothing is matched yet.")
