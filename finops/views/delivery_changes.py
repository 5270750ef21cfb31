"""What changed between two deliveries of a month, as a page and as CSV."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.queries import bill_changes, sources
from finops.queries.bill_changes import COSTS, ChangeRow, Cost, DeliveryChanges, Version
from finops.templatetags import words

from .page import Action, Choice, View, link, needs, page
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    money_cell,
    words_cell,
)

PARAMETERS = ("account", "month", "against", "cost")
SHOWN = 200
COST_LABELS = {
    "effective": "Effective", "billed": "Billed", "list": "List price", "contracted": "Contracted",
}  # fmt: skip
_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])", re.ASCII)


@needs("finops.view_sources")
@require_safe
def show(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request, *PARAMETERS)
    found = changes_of(view, pk)
    delivery = sources.delivery_detail(request.user, pk)
    source = delivery and sources.source_detail(request.user, delivery.source_id)
    if delivery is None or source is None:
        raise Http404("There is no such delivery that you may see.")
    cost = cost_of(view)
    own = reverse("finops:delivery", args=[pk])
    csv_href = link(reverse("finops:delivery-changes-csv", args=[pk]), view.filters, view.extra)
    return page(
        view,
        "finops/delivery_changes.html",
        "What changed",
        lead=lead(found),
        crumbs=(
            ("Sources", view.to("sources")),
            (
                delivery.source,
                link(reverse("finops:source", args=[delivery.source_id]), view.filters),
            ),
            (delivery.name, link(own, view.filters)),
        ),
        actions=[Action("CSV", csv_href, "download", download=True)],
        with_bar=False,
        is_sample=source.source.is_sample,
        totals=total_table(found),
        table=change_table(found, cost, found.rows[:SHOWN]),
        rest=rest_said(found),
        costs=[
            Choice(COST_LABELS[name], href=view.url(cost=name), current=name == cost)
            for name in COST_LABELS
        ],
        scopes=[
            Choice(
                f"{account}, {month:%B %Y}",
                href=view.url(account=account, month=f"{month:%Y-%m}", against=""),
                current=(account, month) == (found.billing_account_id, found.billing_month),
            )
            for account, month in found.scopes
        ]
        if len(found.scopes) > 1
        else [],
        versions=[version_choice(view, found, version) for version in others(found)]
        if len(found.versions) > 2
        else [],
    )


@needs("finops.view_sources")
@require_safe
def as_csv(request: HttpRequest, pk: int) -> HttpResponse:
    found = changes_of(View.of(request, *PARAMETERS), pk)
    name = f"changes-{found.billing_month:%Y-%m}-delivery-{pk}.csv"
    return csv_response(full_table(found), name)


def changes_of(view: View, pk: int) -> DeliveryChanges:
    said = view.extra
    month = said.get("month", "")
    against = said.get("against", "")
    if (month and not _MONTH.fullmatch(month)) or (against and not against.isascii()):
        raise Http404("There is no such month.")
    if against and not (against.isdigit() and len(against) <= 18):
        raise Http404("There is no such delivery that you may see.")
    found = bill_changes.delivery_changes(
        view.request.user,
        pk,
        said.get("account", ""),
        date.fromisoformat(f"{month}-01") if month else None,
        int(against) if against else None,
    )
    if found is None:
        raise Http404("There is no such delivery that you may see.")
    return found


def cost_of(view: View) -> str:
    told = view.extra.get("cost", "")
    return told if told in COSTS else "effective"


def lead(found: DeliveryChanges) -> str:
    what = f"{found.billing_account_id}, {found.billing_month:%B %Y}"
    if found.old is None:
        return f"{what}: the first delivery, so all of it is new."
    return (
        f"{what}: as {found.new.name} of {words.when_text(found.new.known_from)} tells it, beside"
        f" {found.old.name} of {words.when_text(found.old.known_from)}."
    )


def others(found: DeliveryChanges) -> list[Version]:
    return [one for one in found.versions if one.delivery_id != found.new.delivery_id]


def version_choice(view: View, found: DeliveryChanges, version: Version) -> Choice:
    label = words.when_text(version.known_from) + ("" if version.complete else " (not complete)")
    is_chosen = found.old is not None and version.delivery_id == found.old.delivery_id
    href = view.url(
        account=found.billing_account_id,
        month=f"{found.billing_month:%Y-%m}",
        against=str(version.delivery_id),
    )
    return Choice(label, href=href, current=is_chosen)


def rest_said(found: DeliveryChanges) -> str:
    parts = []
    if len(found.rows) > SHOWN:
        parts.append(f"The {SHOWN} largest of {len(found.rows):,} are shown; the CSV has all.")
    if found.unchanged_groups:
        one = found.unchanged_groups == 1
        noun = "group of lines is" if one else "groups of lines are"
        parts.append(f"{found.unchanged_groups:,} {noun} as before.")
    return " ".join(parts)


# ---- tables


LINE_COLUMNS = (
    Column("Lines before", number=True),
    Column("Lines now", number=True),
    Column("Added", number=True),
    Column("Removed", number=True),
    Column("Changed", number=True, help="The same charge with another content"),
)


def change_table(found: DeliveryChanges, cost: str, rows: Iterable[ChangeRow]) -> Table:
    columns = (
        Column("Service"),
        Column("SKU"),
        Column("Kind of charge"),
        *_cost_columns(COST_LABELS[cost]),
        *LINE_COLUMNS,
    )
    made = tuple(
        Row((*_words(row), *_cost_cells(row.costs[cost], row.currency), *_line_cells(row)))
        for row in rows
    )
    return Table(
        "changes", "What changed", columns, made, empty="Nothing: both tell the very same."
    )


def total_table(found: DeliveryChanges) -> Table:
    """Every cost column, one row per currency and column: currencies are never added."""
    columns = (Column("Cost"), Column("Currency"), *_cost_columns(""), *LINE_COLUMNS)
    rows = []
    for total in found.totals:
        for at, cost in enumerate(COST_LABELS):
            lines = tuple([NONE] * len(LINE_COLUMNS)) if at else _line_cells(total)
            cells = (
                words_cell(COST_LABELS[cost]),
                words_cell(total.currency),
                *_cost_cells(total.costs[cost], total.currency),
                *lines,
            )
            rows.append(Row(cells))
    return Table("change-totals", "In all", columns, tuple(rows), empty="It has no lines.")


def full_table(found: DeliveryChanges) -> Table:
    """All four costs of everything that changed, for the CSV."""
    columns = (
        Column("Service"),
        Column("SKU"),
        Column("Kind of charge"),
        Column("Currency"),
        *(column for cost in COST_LABELS for column in _cost_columns(COST_LABELS[cost])),
        *LINE_COLUMNS,
    )
    made = []
    for row in found.rows:
        costs = [
            cell for cost in COST_LABELS for cell in _cost_cells(row.costs[cost], row.currency)
        ]
        made.append(Row((*_words(row), words_cell(row.currency), *costs, *_line_cells(row))))
    return Table("changes", "What changed", columns, tuple(made))


def _cost_columns(label: str) -> tuple[Column, ...]:
    named = f"{label}: " if label else ""
    return tuple(
        Column(f"{named}{what}" if named else what.capitalize(), number=True)
        for what in ("before", "now", "difference")
    )


def _words(row: ChangeRow) -> tuple[Cell, ...]:
    return (
        words_cell(row.service or "not named"),
        words_cell(row.sku or "not named"),
        words_cell(row.charge_category or "not named"),
    )


def _cost_cells(cost: Cost, currency: str) -> tuple[Cell, ...]:
    return (
        money_cell(cost.old, currency),
        money_cell(cost.new, currency),
        _difference_cell(cost.difference, currency),
    )


def _difference_cell(amount: Decimal | None, currency: str) -> Cell:
    return NONE if amount == 0 else money_cell(amount, currency)


def _line_cells(row: ChangeRow) -> tuple[Cell, ...]:
    return tuple(
        count_cell(number)
        for number in (row.lines_old, row.lines_new, row.added, row.removed, row.changed)
    )
