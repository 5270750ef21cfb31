"""Saved views: the menu on their pages, the list, and saving, changing, removing one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions import saved_views as actions
from finops.queries import saved_views as queries
from finops.queries.filters import FIELDS, LABEL, label_of
from finops.queries.saved_views import PLACES, ViewRow
from finops.saved_view_forms import SavedViewForm, initial_of

from .navigation import address
from .page import GROUP_LABELS, PRESETS, Choice, View, group_said, needs, page
from .tables import NONE, Cell, Column, Row, Table, time_cell, words_cell

READ = "finops.view_spend"
COLUMNS = (
    Column("View"),
    Column("Of"),
    Column("Shows"),
    Column("Seen by"),
    Column("Default"),
    Column("Saved"),
)


@dataclass(frozen=True, slots=True)
class Menu:
    """What a page offers of views."""

    own: tuple[Choice, ...]
    shared: tuple[Choice, ...]
    save_href: str
    list_href: str
    plain_href: str


def menu(view: View, name: str) -> Menu:
    rows = queries.saved_views(view.request.user, name)
    here = view.url(cursor="").partition("?")[2]

    def choices(mine: bool) -> tuple[Choice, ...]:
        return tuple(
            Choice(row.view.name, href=href_of(row), current=row.query == here)
            for row in rows
            if row.is_mine is mine
        )

    return Menu(
        choices(True),
        choices(False),
        f"{reverse('finops:saved-view-new')}?{urlencode({'page': name, 'query': here})}",
        reverse("finops:saved-views"),
        f"{address(name)}?range=30d",
    )


def opened_with(request: HttpRequest, name: str) -> HttpResponse | None:
    """To the default view, for an address that asks for nothing by itself."""
    if request.GET:
        return None
    query = queries.default_query(request.user, name)
    return HttpResponseRedirect(f"{request.path}?{query}") if query else None


def href_of(row: ViewRow) -> str:
    return f"{address(row.view.page)}?{row.query}"


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    found = queries.saved_views(request.user)
    return page(
        view,
        "finops/saved_views.html",
        "Saved views",
        lead="Periods, groups and filters under a name: yours, and what others share.",
        crumbs=[("Costs", view.to("costs"))],
        with_bar=False,
        table=views_table(found),
        own=[row.view for row in found if row.is_mine],
        foreign=[
            row.view
            for row in found
            if not row.is_mine and actions.may_remove(request.user, row.view)
        ],
        is_empty=not found,
    )


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """The page and its query come with the link that leads here."""
    asked = request.POST if request.method == "POST" else request.GET
    name = asked.get("page", "")
    if name not in PLACES:
        raise Http404("There are no views of that page.")
    if request.method != "POST":
        form = SavedViewForm(initial={"query": request.GET.get("query", "")[:2000]})
        return form_page(View.of(request), form, name)
    form = SavedViewForm(request.POST)
    if form.is_valid():
        try:
            made = actions.add(form.draft(name), by=request.user, via="page")
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{made.name}” is saved.")
            return opened(request, made.pk)
    return form_page(View.of(request), form, name, status=422)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = own_or_refused(request, pk)
    if request.method != "POST":
        form = SavedViewForm(initial=initial_of(actions.draft_of(row.view)))
        return form_page(View.of(request), form, row.view.page, row)
    form = SavedViewForm(request.POST)
    if form.is_valid():
        try:
            draft = form.draft(row.view.page)
            made = actions.change(row.view, draft, by=request.user, via="page")
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{made.name}” is changed.")
            return HttpResponseRedirect(reverse("finops:saved-views"))
    return form_page(View.of(request), form, row.view.page, row, status=422)


@needs(READ)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    row = row_or_404(request, pk)
    if not actions.may_remove(request.user, row.view):
        raise PermissionDenied
    actions.remove(row.view, by=request.user, via="page")
    messages.success(request, f"“{row.view.name}” is removed.")
    return HttpResponseRedirect(reverse("finops:saved-views"))


def form_page(
    view: View, form: SavedViewForm, name: str, row: ViewRow | None = None, status: int = 200
) -> HttpResponse:
    query = form["query"].value() or ""
    return page(
        view,
        "finops/saved_view_form.html",
        row.view.name if row else "Save this view",
        lead=f"{PLACES[name].label}: {shown(query)}.",
        crumbs=[("Saved views", reverse("finops:saved-views"))],
        with_bar=False,
        status=status,
        form=form,
        place=name,
        saved=row.view if row else None,
        action=view.request.path,
        back=reverse("finops:saved-views") if row else f"{address(name)}?{query}",
    )


def opened(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponseRedirect(href_of(row_or_404(request, pk)))


def row_or_404(request: HttpRequest, pk: int) -> ViewRow:
    row = queries.one(request.user, int(pk))
    if row is None:
        raise Http404("There is no such view that you may see.")
    return row


def own_or_refused(request: HttpRequest, pk: int) -> ViewRow:
    row = row_or_404(request, pk)
    if not row.is_mine:
        raise PermissionDenied
    return row


def views_table(rows: Sequence[ViewRow]) -> Table:
    return Table("saved-views", "Views", COLUMNS, tuple(Row(cells(row)) for row in rows))


def cells(row: ViewRow) -> tuple[Cell, ...]:
    view = row.view
    owner = "you" if row.is_mine else view.owner.get_username()
    who = "all who may" if view.is_shared else "you alone"
    is_default = row.is_mine and view.is_default
    return (
        words_cell(view.name, href=href_of(row)),
        words_cell(PLACES[view.page].label),
        words_cell(shown(row.query)),
        words_cell(who),
        words_cell("yes", tone="good") if is_default else NONE,
        time_cell(view.created_at, note=f"by {owner}"),
    )


def shown(query: str) -> str:
    """What a view asks for, in words: `Last 30 days, by model, project chat, in EUR`."""
    asked = QueryDict(query)
    said = [period_said(asked)]
    named = ",".join(asked.getlist("group_by")).split(",")
    groups = [one for one in named if one in GROUP_LABELS or label_of(one)]
    if groups:
        said.append("by " + " and ".join(group_said(one) for one in groups))
    for name in asked:
        field = name.removeprefix("f.")
        if field in FIELDS and field != name:
            said.append(f"{field} {' or '.join(one or 'none' for one in asked.getlist(name))}")
        elif field.startswith(LABEL):
            values = " or ".join(one or "none" for one in asked.getlist(name))
            said.append(f"{field.removeprefix(LABEL)} {values}")
    if asked.get("convert"):
        said.append(f"in {asked['convert']}")
    return ", ".join(said)


def period_said(asked: QueryDict) -> str:
    first, end = asked.get("from"), asked.get("to")
    if first:
        return f"{first} up to {end}, not included" if end else f"from {first}"
    return dict(PRESETS).get(asked.get("range", ""), "Last 30 days")
