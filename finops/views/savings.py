"""Savings: what changes promised and what came of it, what the programme took, and the ledger."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_http_methods, require_safe

from finops import charts
from finops.actions import ledger
from finops.actions.ledger import BadCost
from finops.forms import ProgrammeCostForm
from finops.models.prices import BY_HOURS
from finops.queries import savings as queries
from finops.queries.savings import NO_CASH, NO_COST, NOT_YET, Payback, Savings, Sum
from finops.templatetags import words

from .currencies import currency_context
from .event_marks import marked, marks_of
from .figures import Chart, Figure, money_figure, stamped, unknown_figure
from .page import Action, View, csv_action, needs, page
from .savings_tables import (
    capacity_interval,
    cash_interval,
    change_table,
    entry_table,
    gpu_time,
    others_said,
)
from .tables import Column, Row, Table, csv_response, day_cell, money_cell

PAGE_SIZE = 50
EVERY_ENTRY = 10_000


@needs("finops.view_spend")
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "cursor", "change", "corrects")
    if request.method == "POST":
        return enter(view)
    return savings_page(view)


@needs("finops.view_spend")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """The changes, or with `what=ledger` every entry of the period."""
    view = View.of(request, "change", "what")
    filters = view.filters
    name = f"savings-{filters.start}-{filters.end}.csv"
    if view.extra.get("what") == "ledger":
        found = queries.entries(filters, change=view.extra.get("change", ""), limit=EVERY_ENTRY)
        table = entry_table(found.rows, filters.convert, found.converted)
        return csv_response(table, f"ledger-{name}", filters)
    made = queries.savings(filters)
    return csv_response(change_table(made), name, filters, made)


def savings_page(
    view: View, form: ProgrammeCostForm | None = None, status: int = 200
) -> HttpResponse:
    found = queries.savings(view.filters)
    change, cursor = view.extra.get("change", ""), view.extra.get("cursor")
    entries = queries.entries(view.filters, change=change, limit=PAGE_SIZE, cursor=cursor)
    may_enter = view.request.user.has_perm("finops.manage_savings")
    is_empty = not (found.changes or entries.rows or found.days)
    return page(
        view,
        "finops/savings.html",
        "Savings",
        lead="What changes promised, what came of it by measurement, and what it all took.",
        actions=[] if is_empty else actions(view),
        **currency_context(view, [(code, None) for code in found.currencies], found.conversion),
        as_of=found.as_of,
        is_sample=found.is_sample,
        has_charts=bool(found.days),
        status=status,
        is_empty=is_empty,
        figures=figures(found),
        changes=change_table(found),
        reasons=reasons(found),
        chart=marked(payback_chart(found), [day.day for day in found.days], marks_of(view.filters))
        if found.days
        else None,
        ledger=entry_table(entries.rows, view.filters.convert, entries.converted),
        ledger_of=change,
        whole_ledger_href=view.url(change="", cursor="") if change else "",
        changes_href=changes_href(),
        may_enter=may_enter,
        form=form or (cost_form(view) if may_enter else None),
        is_form_open=form is not None or bool(view.extra.get("corrects")),
        next_href=view.url(cursor=entries.next) if entries.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(entries.rows)} entries on this page",
    )


def actions(view: View) -> list[Action]:
    return [
        csv_action(view, "savings-csv"),
        Action("Ledger as CSV", view.to("savings-csv", what="ledger"), "download", download=True),
    ]


# Entering a programme cost


def cost_form(view: View, data: Any = None) -> ProgrammeCostForm:
    corrects = view.extra.get("corrects", "")
    return ProgrammeCostForm(
        queries.standing_costs(view.filters),
        view.request.user,
        data,
        initial={"corrects": corrects, "currency": view.filters.currency},
    )


def enter(view: View) -> HttpResponse:
    if not view.request.user.has_perm("finops.manage_savings"):
        raise PermissionDenied
    form = cost_form(view, view.request.POST)
    if form.is_valid():
        try:
            entry = ledger.book_programme_cost(**form.cost(), by=view.request.user, via="page")
        except BadCost as error:
            form.add_error(error.field, str(error))
        else:
            amount = words.money(entry.cash, entry.currency)
            messages.success(view.request, f"{amount} is in the ledger: {entry.title}.")
            return HttpResponseRedirect(view.url(corrects="", cursor=""))
    return savings_page(view, form, status=422)


# Figures


def figures(found: Savings) -> list[Figure]:
    """Realised first; promised and measured have figures of their own and no common one."""
    origin = stamped(found)
    return [
        capacity_figure(
            "realised-capacity",
            "Capacity freed, realised",
            found.realised,
            "Nothing was measured and booked in this period.",
            "GPU time no longer needed for the same requests: requests × (GPU-seconds each before "
            "the change − GPU-seconds each now), over measured minutes alone.",
            badge="Provisional" if found.provisional else "",
            **origin,
        ),
        cash_figure(
            "realised-cash",
            "Cash saved, realised",
            found.realised,
            found.currency,
            "Nothing was booked in this currency in this period.",
            "Money no longer paid. Hardware paid by the hour costs the same whether busy or not: "
            "its freed capacity is cash only once there is less hardware.",
            **origin,
        ),
        capacity_figure(
            "estimated-capacity",
            "Capacity to be freed, estimated",
            found.estimated,
            "No change of this period has an estimate.",
            "As simulated before each change, for the period of its own estimate. Never added to "
            "what was realised.",
            **origin,
        ),
        cash_figure(
            "estimated-cash",
            "Cash to be saved, estimated",
            found.estimated,
            found.currency,
            "No change of this period has an estimate in this currency.",
            "As simulated before each change, for the period of its own estimate.",
            **origin,
        ),
        money_figure(
            "programme-cost",
            "Programme cost",
            found.programme_cost,
            found.currency,
            reason="None was entered for this period.",
            note=others_said(found.other_costs),
            definition="What the work on savings itself took, as people entered it.",
            **origin,
        )
        if found.programme_cost is not None
        else unknown_figure(
            "programme-cost",
            "Programme cost",
            others_said(found.other_costs) or "None was entered for this period.",
            definition="What the work on savings itself took, as people entered it.",
            **origin,
        ),
        payback_figure(found.payback, found.currency, origin),
    ]


def capacity_figure(
    id: str, label: str, summed: Sum, reason: str, definition: str, **more: Any
) -> Figure:
    if summed.capacity is None:
        return unknown_figure(id, label, reason, definition=definition, **more)
    return Figure(
        id,
        label,
        gpu_time(summed.capacity.gpu_seconds),
        exact=f"{summed.capacity.gpu_seconds:.3f} GPU-seconds",
        note=f"90% interval {capacity_interval(summed.capacity)}.",
        definition=f"{definition} Intervals of several entries are added end to end.",
        **more,
    )


def cash_figure(
    id: str, label: str, summed: Sum, currency: str, reason: str, definition: str, **more: Any
) -> Figure:
    notes = [others_said(summed.others)]
    if summed.unknown_cash:
        notes.append(f"Unknown for {summed.unknown_cash} of {summed.entries} entries.")
    if summed.cash is not None:
        notes.insert(0, f"90% interval {cash_interval(summed.cash, currency)}.")
    note = " ".join(filter(None, notes))
    if summed.cash is None:
        return unknown_figure(id, label, note or reason, definition=definition, **more)
    amount = summed.cash.amount
    return money_figure(id, label, amount, currency, note=note, definition=definition, **more)


def payback_figure(found: Payback, currency: str, origin: dict[str, Any]) -> Figure:
    text = {
        NO_COST: "No cost entered",
        NO_CASH: "No cash saved yet",
        NOT_YET: "Not paid back yet",
    }.get(found.state) or months_said(found.months or 0.0)
    saved, spent = words.money(found.cash, currency), words.money(found.cost, currency)
    note = f"{saved} saved of {spent} spent, from the beginning." if found.cost else ""
    if found.at is not None:
        note = f"On {words.day(words.local(found.at).date())}: {note}"
    return Figure(
        "payback",
        "Payback",
        text,
        note=note,
        definition="How long after the first programme cost the realised cash had paid for all of "
        "them. Estimates and freed capacity do not count.",
        **origin,
    )


def months_said(months: float) -> str:
    return "Within a month" if months < 1 else f"{months:.1f} months"


def payback_chart(found: Savings) -> Chart:
    points = [day.day for day in found.days]
    lines = [
        charts.Curve(
            label,
            [float(amount) for amount in amounts],
            [words.money(amount, found.currency) for amount in amounts],
        )
        for label, amounts in (
            ("Cash saved", [day.cash for day in found.days]),
            ("Programme cost", [day.cost for day in found.days]),
        )
    ]
    said = (
        f"{words.money(found.payback.cash, found.currency)} saved and"
        f" {words.money(found.payback.cost, found.currency)} spent, from the beginning until"
        f" {words.day(points[-1])}."
    )
    drawing = charts.curves(points, lines, said, currency=found.currency)
    columns = (
        Column("Day"),
        Column("Cash saved so far", number=True),
        Column("Programme cost so far", number=True),
    )
    rows = tuple(
        Row(
            (
                day_cell(day.day),
                money_cell(day.cash, found.currency),
                money_cell(day.cost, found.currency),
            )
        )
        for day in found.days
    )
    table = Table("payback-days", "Cash saved and programme cost, added up", columns, rows)
    return Chart("payback-curve", "Cash saved against programme cost", drawing, table)


def reasons(found: Savings) -> list[str]:
    """Why freed capacity is no cash, once for each pool where it is so."""
    pools = {
        row.pool
        for row in found.changes
        if row.realised and row.realised.billed_by == BY_HOURS and row.pool
    }
    return [
        f"The pool {pool} is paid by the hour, busy or not: what was freed there is capacity, and"
        " no cash is saved until the pool is made smaller."
        for pool in sorted(pools)
    ]


def changes_href() -> str:
    try:
        return reverse("optimiser:recommendations")
    except NoReverseMatch:
        return ""
