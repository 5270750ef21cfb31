"""One billing file: what it brought, for which accounts and months, and whether it is believed."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops.queries import sources as queries
from finops.queries.sources import PeriodRow
from finops.templatetags import words

from .page import View, link, needs, page
from .sources import PAGE_SIZE
from .sources_tables import reject_table
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


@needs("finops.view_sources")
@require_safe
def show(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request, "cursor")
    row = queries.delivery_detail(request.user, pk)
    if row is None:
        raise Http404("There is no such delivery that you may see.")
    source = queries.source_detail(request.user, row.source_id)
    if source is None:
        raise Http404("There is no such delivery that you may see.")
    cursor = view.extra.get("cursor")
    rejects = queries.rejects(source.source, PAGE_SIZE, cursor, delivery_id=pk)
    source_href = link(reverse("finops:source", args=[row.source_id]), view.filters)
    return page(
        view,
        "finops/delivery.html",
        row.name,
        lead=f"Received {words.when_text(row.received_at)}; "
        + ("complete." if row.complete else f"not complete. {row.note}".strip()),
        crumbs=(("Sources", view.to("sources")), (row.source, source_href)),
        with_bar=False,
        is_sample=source.source.is_sample,
        row=row,
        periods=period_table(row.periods, pk, view),
        rejects=reject_table(rejects.rows),
        warnings=row.warnings,
        facts=[
            ("Rows in", words.count(row.counts.rows_in)),
            ("New", words.count(row.counts.inserted)),
            ("Changed", words.count(row.counts.updated)),
            ("Known already", words.count(row.counts.unchanged)),
            ("Older than what we have", words.count(row.counts.stale)),
            ("Refused", words.count(row.counts.rejected)),
            ("SHA-256 of the file", row.sha256),
        ],
        next_href=view.url(cursor=rejects.next) if rejects.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(rejects.rows)} refused rows on this page",
    )


def period_table(periods: Iterable[PeriodRow], delivery_id: int, view: View) -> Table:
    columns = (
        Column("Billing account"),
        Column("Month"),
        Column("Cost", number=True),
        Column("Lines", number=True),
        Column("Charged until"),
        Column("Standing"),
        Column("What changed"),
    )
    rows = []
    for period in periods:
        for at, (currency, amount) in enumerate(period.costs or (("", None),)):
            cells = (
                words_cell(period.billing_account_id),
                Cell(f"{period.billing_month:%B %Y}", period.billing_month.isoformat()),
                money_cell(amount, currency) if currency else unknown_cell(),
                # Lines are counted over all currencies of the account and month.
                NONE if at else count_cell(period.line_count),
                time_cell(period.last_charge_at),
                standing_cell(period, view),
                NONE if at else period_changes_cell(period, delivery_id, view),
            )
            rows.append(Row(cells))
    return Table(
        "periods",
        "Accounts and months in this file",
        columns,
        tuple(rows),
        empty="No line of this file could be taken.",
    )


def period_changes_cell(period: PeriodRow, delivery_id: int, view: View) -> Cell:
    scope = {"account": period.billing_account_id, "month": f"{period.billing_month:%Y-%m}"}
    href = link(reverse("finops:delivery-changes", args=[delivery_id]), view.filters, scope)
    return words_cell("Compare" if period.superseded else "Everything is new", href=href)


def standing_cell(period: PeriodRow, view: View) -> Cell:
    """Believed now, or replaced by which delivery."""
    if period.known_to is None:
        note = "Replaced an earlier delivery." if period.superseded else ""
        return words_cell("Current", tone="good", note=note)
    when = f"Believed until {words.when_text(period.known_to)}."
    if period.superseded_by is None:
        return words_cell("Replaced", tone="quiet", note=when)
    href = link(reverse("finops:delivery", args=[period.superseded_by]), view.filters)
    return words_cell("Replaced", tone="quiet", href=href, note=when)
