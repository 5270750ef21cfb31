"""Pricing a range again: first what it would change, then the confirmation, then how far it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from finops.actions import repricing as actions
from finops.models import PriceBook
from finops.queries import prices, repricing
from finops.queries.filters import FIELDS, FilterError, Filters
from finops.queries.repricing_plan import CostChange, Gap, Plan, Scope, Volume
from finops.templatetags import words

from .page import Choice, View, csv_action, needs, page
from .tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    count_cell,
    csv_response,
    money_cell,
    share_cell,
    time_cell,
    words_cell,
)

NARROWED = "Hours are priced again as a whole: only the period and the projects count here."
WHOLE_HOURS = ("project", "team")


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "version", "show")
    demand(view)
    if request.method == "POST":
        return confirm(view)
    return repricing_page(view)


@needs(actions.MANAGE)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "version")
    demand(view)
    book = chosen_book(view)
    plan, problem = planned(view, book)
    if plan is None:
        raise Http404(problem or "There is no price book yet.")
    name = f"re-pricing-{view.filters.start}-{view.filters.end}-version-{plan.book.version}.csv"
    return csv_response(change_table(plan), name, view.filters)


@needs("finops.view_bills")
@require_safe
def progress(request: HttpRequest) -> HttpResponse:
    """Only the list that says how far each is; the page asks for it again while one is going."""
    if not request.user.has_perm("finops.view_bills"):
        raise PermissionDenied
    return render(request, "finops/prices_progress.html", progress_context(View.of(request)))


def demand(view: View) -> None:
    if not view.request.user.has_perm(actions.MANAGE):
        raise PermissionDenied


def repricing_page(
    view: View, refused: str = "", note: str = "", status: int = 200
) -> HttpResponse:
    book = chosen_book(view)
    plan, problem = planned(view, book) if view.extra.get("show") or refused else (None, "")
    shown = replace(view, errors=(*view.errors, *narrowed(view.filters)))
    return page(
        shown,
        "finops/prices_reprice.html",
        "Price a range again",
        lead="Hours keep the version of the price book that they were priced with, until you move"
        " them to another one here. You see the difference first.",
        crumbs=(("Prices", view.to("prices", plain_filters(view.filters))),),
        actions=[csv_action(view, "reprice-csv")] if plan and plan.hours else [],
        status=status,
        book=book,
        versions=versions(book),
        kept=view.pairs(view.filters, "version", "show"),
        plan=plan,
        problem=problem,
        refused=refused,
        note=note,
        changes=change_table(plan) if plan else None,
        totals=total_table(plan) if plan else None,
        loses=volume_said(plan.newly_unpriced) if plan else "",
        gaps=gap_table(plan) if plan and plan.gaps else None,
        address=view.url(show="1"),
        **progress_context(view),
    )


def confirm(view: View) -> HttpResponse:
    book, given = chosen_book(view), view.request.POST
    if book is None:
        raise Http404("There is no price book yet.")
    note = given.get("note", "").replace("\0", "")[:200]
    try:
        made = actions.confirm(
            scope_of(view.filters), book, given.get("plan", ""), note,
            by=view.request.user, via="page",
        )  # fmt: skip
    except (actions.Refused, repricing.TooMuch) as refused:
        return repricing_page(view, str(refused), note, status=409)
    messages.success(
        view.request, f"{made.hours:,} hours move to version {book.version}; this takes minutes."
    )
    return HttpResponseRedirect(view.url(show=""))


def planned(view: View, book: PriceBook | None) -> tuple[Plan | None, str]:
    """The plan, or none and why."""
    if book is None:
        return None, ""
    try:
        return repricing.preview(scope_of(view.filters), book), ""
    except repricing.TooMuch as error:
        return None, str(error)


def scope_of(filters: Filters) -> Scope:
    return Scope.until_now(filters.start_at, filters.end_at, filters.project_ids, timezone.now())


def narrowed(filters: Filters) -> list[FilterError]:
    return [
        FilterError(f"f.{name}", NARROWED)
        for name in FIELDS
        if name not in WHOLE_HOURS and getattr(filters, f"{name}s")
    ]


def plain_filters(filters: Filters) -> Filters:
    return replace(filters, providers=(), models=(), services=(), group_by=())


def chosen_book(view: View) -> PriceBook | None:
    text = view.extra.get("version", "")
    if not text:
        return prices.price_book()
    book = prices.price_book(int(text)) if text.isdecimal() and len(text) < 10 else None
    if book is None:
        raise Http404("There is no such version of the price book.")
    return book


def versions(current: PriceBook | None) -> list[Choice]:
    return [
        Choice(f"{book}, {words.day(words.local(book.created_at).date())}", str(book.version),
               current=book == current)
        for book in prices.books()
    ]  # fmt: skip


# What it changes


def change_table(plan: Plan) -> Table:
    columns = (
        Column("Model"),
        Column("Provider"),
        Column("Currency"),
        Column("Cost before", number=True),
        Column("Cost after", number=True),
        Column("Difference", number=True),
        Column("Change", number=True),
    )
    made = tuple(Row(change_cells(change)) for change in plan.changes)
    return Table("changes", "Cost by model, the largest difference first", columns, made,
                 empty="Nothing in these hours has an amount, before or after.")  # fmt: skip


def change_cells(change: CostChange) -> tuple[Cell, ...]:
    name = change.model or ("(idle)" if change.kind == repricing.HARDWARE else "none given")
    return (
        words_cell(name, note="hardware" if change.kind == repricing.HARDWARE else ""),
        words_cell(change.provider),
        words_cell(change.currency),
        NONE if change.before is None else money_cell(change.before, change.currency),
        NONE if change.after is None else money_cell(change.after, change.currency),
        money_cell(change.difference, change.currency),
        NONE if change.share is None or change.after is None else share_cell(change.share),
    )


def total_table(plan: Plan) -> Table:
    columns = (
        Column("Currency"),
        Column("Cost before", number=True),
        Column("Cost after", number=True),
        Column("Difference", number=True),
    )
    made = tuple(
        Row((
            words_cell(total.currency),
            money_cell(total.before, total.currency),
            money_cell(total.after, total.currency),
            money_cell(total.difference, total.currency),
        ))
        for total in plan.totals
    )  # fmt: skip
    return Table("totals", "In all", columns, made, empty="Nothing has an amount.")


def gap_table(plan: Plan) -> Table:
    columns = (
        Column("Model"),
        Column("Provider"),
        Column("Newly priced"),
        Column("Newly without a price"),
    )
    made = tuple(Row(gap_cells(gap)) for gap in plan.gaps)
    return Table("gaps", "Usage that gains or loses its price", columns, made)


def gap_cells(gap: Gap) -> tuple[Cell, ...]:
    return (
        words_cell(gap.model or ("all models" if gap.kind == repricing.HARDWARE else "none given")),
        words_cell(gap.provider),
        volume_cell(gap.newly_priced),
        volume_cell(gap.newly_unpriced, tone="bad"),
    )


def volume_cell(volume: Volume, **more: Any) -> Cell:
    said = volume_said(volume)
    return words_cell(said, **more) if said else NONE


def volume_said(volume: Volume) -> str:
    parts = (
        (volume.requests, "requests"),
        (volume.tokens, "tokens"),
        (volume.hardware_hours, "hours of hardware"),
    )
    return ", ".join(f"{number:,} {what}" for number, what in parts if number)


# How far it is


def progress_context(view: View) -> dict[str, Any]:
    """Nothing for who may not see the organisation: the amounts are those of every project."""
    may_see = view.request.user.has_perm("finops.view_bills")
    found = repricing.progress() if may_see else []
    return {
        "repricings": progress_table(found),
        "is_going": any(one.waiting for one in found),
        "progress_address": reverse("finops:reprice-progress"),
    }


def progress_table(found: list[repricing.Progress]) -> Table:
    columns = (
        Column("Confirmed"),
        Column("From"),
        Column("Until"),
        Column("To version", number=True),
        Column("Difference"),
        Column("How far"),
        Column("By"),
    )
    made = tuple(Row(progress_cells(one)) for one in found)
    return Table("repricings", "Ranges priced again", columns, made)


def progress_cells(one: repricing.Progress) -> tuple[Cell, ...]:
    made = one.repricing
    said = ", ".join(words.money(total.difference, total.currency) for total in one.totals)
    return (
        time_cell(made.created_at, note=made.note),
        time_cell(made.start),
        time_cell(made.end),
        count_cell(made.book.version),
        words_cell(said) if said else NONE,
        words_cell(one.said),
        words_cell(made.created_by.get_username() if made.created_by else "a command"),
    )
