"""Contracts and regions of purchase: the list, one contract, and entering, changing, removing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions import price_terms as actions
from finops.actions.price_terms import Draft, Refused, RegionDraft, TermDraft
from finops.models import BuyingRegion, PriceTerm
from finops.price_term_forms import AgreedForm, RegionForm, TermForm
from finops.queries import price_terms as queries
from finops.queries.price_effect import Effect, effect
from finops.queries.prices import price_book

from .page import Action, View, csv_action, needs, page
from .price_terms_tables import (
    effect_sentence,
    effect_table,
    history_table,
    region_table,
    scope_said,
    term_table,
)
from .tables import csv_response

READ = "finops.view_spend"


@dataclass(frozen=True, slots=True)
class Kind:
    """Of what is agreed: its words, its form and how it is read."""

    draft: type[Draft]
    form: type[AgreedForm]
    find: Callable[..., PriceTerm | BuyingRegion | None]
    enter: str
    change: str
    lead: str
    removes: str


TERM = Kind(
    TermDraft,
    TermForm,
    queries.term,
    "Enter a contract",
    "Change the contract",
    "A percentage off the list price, or a fixed amount instead of it.",
    "It comes off nothing from the next version on. Hours that are priced already keep theirs.",
)
REGION = Kind(
    RegionDraft,
    RegionForm,
    queries.region,
    "Enter a region",
    "Change the region",
    "Requests do not say where they were served. Here you say where you buy.",
    "Prices and contracts of this region no longer hold because of it, from the next version on.",
)


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view, book = View.of(request), price_book()
    may_enter = request.user.has_perm(actions.MANAGE)
    terms = queries.terms(request.user, book)
    return page(
        view,
        "finops/price_terms.html",
        "Contracts and regions",
        lead="What was agreed with providers. It is part of every version of the price book.",
        crumbs=(("Prices", view.to("prices")),),
        actions=[
            Action(TERM.enter, reverse("finops:price-term-new"), "plus", main=True)
            if may_enter
            else None,
            Action(REGION.enter, reverse("finops:buying-region-new"), "plus")
            if may_enter
            else None,
            csv_action(view, "price-terms-csv") if terms else None,
        ],
        with_bar=False,
        book=book,
        terms=term_table(terms),
        regions=region_table(queries.regions(request.user, book), may_enter),
        reprice=view.to("reprice"),
        may_enter=may_enter,
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    found = queries.terms(request.user, price_book())
    return csv_response(term_table(found), "contracts.csv")


@needs(READ)
@require_safe
def one(request: HttpRequest, uid: UUID) -> HttpResponse:
    view, row = View.of(request), seen(request, uid)
    book = price_book()
    is_newest = book is not None and row.book_id == book.pk
    found = effect_now(request, row) if is_newest else None
    may_change = is_newest and request.user.has_perm(actions.MANAGE)
    own = reverse("finops:price-term-csv", args=[row.uid])
    return page(
        view,
        "finops/price_term.html",
        row.contract,
        lead=f"{row.provider}, {scope_said(row)}.",
        crumbs=crumbs(view),
        actions=[
            Action("Change it", reverse("finops:price-term-edit", args=[row.uid]), "edit")
            if may_change
            else None,
            Action("CSV", own, "download", download=True) if found and found.models else None,
        ],
        with_bar=False,
        row=row,
        now=term_table([row]),
        is_newest=is_newest,
        said=effect_sentence(found) if found else "",
        effect=effect_table(found) if found else None,
        history=history_table(queries.history(request.user, row.uid)),
        may_change=may_change,
        remove=reverse("finops:price-term-remove", args=[row.uid]),
        removes=TERM.removes,
    )


@needs(READ)
@require_safe
def one_csv(request: HttpRequest, uid: UUID) -> HttpResponse:
    row = seen(request, uid)
    book = price_book()
    if book is None or row.book_id != book.pk:
        raise Http404("This contract is not in the newest version of the price book.")
    return csv_response(effect_table(effect_now(request, row)), f"contract-{row.uid}.csv")


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new_term(request: HttpRequest) -> HttpResponse:
    return entering(request, TERM)


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new_region(request: HttpRequest) -> HttpResponse:
    return entering(request, REGION)


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit_term(request: HttpRequest, uid: UUID) -> HttpResponse:
    return entering(request, TERM, uid)


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit_region(request: HttpRequest, uid: UUID) -> HttpResponse:
    return entering(request, REGION, uid)


@needs(actions.MANAGE)
@require_POST
def remove_term(request: HttpRequest, uid: UUID) -> HttpResponse:
    return removing(request, TERM, uid)


@needs(actions.MANAGE)
@require_POST
def remove_region(request: HttpRequest, uid: UUID) -> HttpResponse:
    return removing(request, REGION, uid)


# What both kinds do


def entering(request: HttpRequest, kind: Kind, uid: UUID | None = None) -> HttpResponse:
    """A new one, or a change of the one with this uid. With `show` it is only looked at."""
    view = View.of(request)
    row = held(request, kind, uid) if uid else None
    known: dict[str, Any] = {}
    if row is not None:
        known = {"draft": actions.draft_of(row), "initial": {"revision": row.since}}
    if request.method != "POST":
        return form_page(view, kind, kind.form(request.user, **known), row)
    form = kind.form(request.user, request.POST, **known)
    found = None
    if form.is_valid():
        try:
            if "show" not in request.POST:
                return saved(request, form, uid)
            found = effect_of(request, form.draft(), uid)
        except Refused as refused:
            form.refuse(refused.field, str(refused))
    return form_page(view, kind, form, row, found, status=200 if found else 422)


def saved(request: HttpRequest, form: Any, uid: UUID | None) -> HttpResponse:
    draft, by = form.draft(), request.user
    if uid is None:
        row = actions.add(draft, by=by, via="page")
    else:
        revision = form.cleaned_data["revision"]
        row = actions.change(uid, draft, by=by, via="page", revision=revision)
    messages.success(request, f"{row} is in version {row.book.version} of the price book.")
    return HttpResponseRedirect(address_of(row))


def removing(request: HttpRequest, kind: Kind, uid: UUID) -> HttpResponse:
    row = held(request, kind, uid)
    try:
        book = actions.remove(kind.draft, row.uid, by=request.user, via="page")
    except Refused as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, f"{row} is not in version {book.version} any more.")
    return HttpResponseRedirect(reverse("finops:price-terms"))


def form_page(
    view: View,
    kind: Kind,
    form: Any,
    row: PriceTerm | BuyingRegion | None,
    found: Effect | None = None,
    status: int = 200,
) -> HttpResponse:
    remove = ""
    if row is not None and kind is REGION:
        remove = reverse("finops:buying-region-remove", args=[row.uid])
    return page(
        view,
        "finops/price_term_form.html",
        kind.change if row else kind.enter,
        lead=kind.lead,
        crumbs=crumbs(view),
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        back=address_of(row) if row else reverse("finops:price-terms"),
        said=effect_sentence(found) if found else "",
        effect=effect_table(found) if found else None,
        remove=remove,
        removes=kind.removes,
    )


def effect_of(request: HttpRequest, draft: Draft, uid: UUID | None) -> Effect:
    """Over the projects that the reader may see. Raises Refused."""
    named, before, after = actions.agreed_with(draft, uid)
    book = price_book()
    if book is None:
        raise Http404("There is no price book yet.")
    return effect(book, before, after, named.provider, queries.projects_of(request.user))


def effect_now(request: HttpRequest, row: PriceTerm) -> Effect:
    return effect_of(request, actions.draft_of(row), row.uid)


def crumbs(view: View) -> tuple[tuple[str, str], ...]:
    return (("Prices", view.to("prices")), ("Contracts and regions", view.to("price-terms")))


def address_of(row: PriceTerm | BuyingRegion) -> str:
    if isinstance(row, PriceTerm):
        return reverse("finops:price-term", args=[row.uid])
    return reverse("finops:price-terms")


def seen(request: HttpRequest, uid: UUID) -> PriceTerm:
    row = queries.last_seen(request.user, uid)
    if row is None:
        raise Http404("There is no such contract that you may see.")
    return row


def held(request: HttpRequest, kind: Kind, uid: UUID) -> PriceTerm | BuyingRegion:
    """Of the newest version."""
    row = kind.find(request.user, price_book(), uid)
    if row is None:
        raise Http404("It is not in the newest version of the price book.")
    return row
