"""Budgets: the list and its CSV, one budget with its course, and setting, changing, removing."""

from __future__ import annotations

from dataclasses import replace

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import access
from finops.actions import budgets as actions
from finops.budget_forms import BudgetForm
from finops.queries import budgets as queries
from finops.queries.budget_conversion import converted
from finops.queries.budget_figures import Told, told
from finops.queries.budgets import STATES_SHOWN, BudgetRow
from finops.queries.filters import today
from finops.templatetags import words

from .budgets_tables import (
    STATE_LABELS,
    budget_table,
    course_chart,
    crossing_table,
    facts,
    figures,
    history_table,
    threshold_table,
)
from .currencies import Said, convert_choices, said
from .event_marks import marked, marks_of
from .page import Action, Choice, View, csv_action, link, needs, page
from .tables import Table, csv_response

READ = "finops.view_spend"
PAGE_SIZE = 50
EVERY_BUDGET = 10_000
NAMES = ("state", "owner", "project", "sort")


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES, "cursor")
    cursor = view.extra.get("cursor")
    every = queries.budgets(request.user)
    found = found_of(view, every, cursor=cursor)
    # A page of many can be sorted by nothing but what it is cut by.
    is_whole = found.next is None and not cursor
    may_set = access.anywhere(request.user, actions.MANAGE)
    sort = view.extra.get("sort", "") if is_whole else ""
    table, conversion = table_of(view, found, sort)
    return page(
        view,
        "finops/budgets.html",
        "Budgets",
        lead="What may be spent, what is, and what it will come to.",
        actions=[
            Action("Set a budget", reverse("finops:budget-new"), "plus", main=True)
            if may_set
            else None,
            csv_action(view, "budgets-csv", cursor="") if found.rows else None,
        ],
        with_bar=False,
        converts=convert_choices(view, [row.budget.currency for row in found.rows]),
        conversion=conversion,
        is_empty=not every,
        may_set=may_set,
        table=table.linked(lambda sort: view.url(sort=sort), "name") if is_whole else table,
        states=state_choices(view, every),
        owners=sorted({row.budget.owner.username for row in every}),
        projects=access.visible_projects(request.user).all,
        owner=view.extra.get("owner", ""),
        project=view.extra.get("project", ""),
        kept=view.pairs(view.filters, "owner", "project", "cursor"),
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(found.rows)} of {found.total} budgets on this page",
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    found = found_of(view, queries.budgets(request.user), limit=EVERY_BUDGET)
    table, _ = table_of(view, found, view.extra.get("sort", ""))
    return csv_response(table, "budgets.csv")


def table_of(view: View, found: queries.BudgetPage, sort: str) -> tuple[Table, Said | None]:
    """In another currency beside their own, when that is asked."""
    to = view.filters.convert
    if not to:
        return budget_table(found.rows, names(view.request), sort), None
    amounts, conversion = converted(found.rows, to)
    table = budget_table(found.rows, names(view.request), sort, to, amounts)
    told = said(view, {}, conversion)
    title = f"Also in {to}, at the rate of the day each was computed; it counts in its own currency"
    return table, replace(told, title=title)


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return form_page(View.of(request), BudgetForm(request.user))
    form = BudgetForm(request.user, request.POST)
    if form.is_valid():
        try:
            made = actions.add(form.draft(), by=request.user, via="page")
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{made.name}” is set and computed.")
            return HttpResponseRedirect(address_of(made.pk))
    return form_page(View.of(request), form, status=422)


@needs(READ)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    return one_page(View.of(request), visible(request, pk))


@needs(READ)
@require_safe
def one_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """The periods that are over, or with `what=days` the period under way by day."""
    view, row = View.of(request, "what"), visible(request, pk)
    if view.extra.get("what") == "days":
        now = current(row)
        if now is None:
            raise Http404("This budget has no period under way.")
        return csv_response(course_chart(now).table, f"budget-{pk}-days.csv")
    return csv_response(history_table(queries.history(row.budget)), f"budget-{pk}-periods.csv")


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = managed(request, pk)
    draft, read = actions.draft_of(row.budget), {"revision": row.budget.revision}
    if request.method != "POST":
        form = BudgetForm(request.user, draft=draft, initial=read)
        return form_page(View.of(request), form, row)
    form = BudgetForm(request.user, request.POST, draft=draft, initial=read)
    if form.is_valid():
        revision = form.cleaned_data["revision"]
        try:
            actions.change(row.budget, form.draft(), by=request.user, via="page", revision=revision)
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{form.cleaned_data['name']}” is changed and computed.")
            return HttpResponseRedirect(address_of(pk))
    return form_page(View.of(request), form, row, status=422)


@needs(actions.MANAGE)
@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Pauses it, or resumes it with `to=on`."""
    row = managed(request, pk)
    resumes = request.POST.get("to") == "on"
    act = actions.resume if resumes else actions.pause
    act(row.budget, by=request.user, via="page")
    said = "goes on" if resumes else "is paused: nothing is computed and nobody is told"
    messages.success(request, f"“{row.budget.name}” {said}.")
    return HttpResponseRedirect(address_of(pk))


@needs(actions.MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    row = managed(request, pk)
    actions.remove(row.budget, by=request.user, via="page")
    messages.success(request, f"“{row.budget.name}” is removed.")
    return HttpResponseRedirect(reverse("finops:budgets"))


# The list


def found_of(
    view: View, every: list[BudgetRow], limit: int = PAGE_SIZE, cursor: str | None = None
) -> queries.BudgetPage:
    state = view.extra.get("state", "")
    return queries.budget_page(
        every,
        state=state if state in STATES_SHOWN else "",
        owner=view.extra.get("owner", ""),
        project=view.extra.get("project", ""),
        limit=limit,
        cursor=cursor,
    )


def state_choices(view: View, every: list[BudgetRow]) -> list[Choice]:
    chosen = view.extra.get("state", "")
    choices = [Choice(f"All {len(every)}", href=view.url(state="", cursor=""), current=not chosen)]
    for state in STATES_SHOWN:
        count = sum(row.state == state for row in every)
        href = view.url(state=state, cursor="")
        choices.append(Choice(f"{STATE_LABELS[state]} {count}", href=href, current=chosen == state))
    return choices


def names(request: HttpRequest) -> dict[str, str]:
    return {one.slug: one.name for one in access.visible_projects(request.user).all}


# One budget


def current(row: BudgetRow) -> Told | None:
    """Computed now, as its list entry was within the last minutes."""
    period = queries.rhythm_of(row.budget).at(today())
    if period is None or row.budget.is_paused:
        return None
    return told(row.budget, period, timezone.now(), held=row.current)


def one_page(view: View, row: BudgetRow, status: int = 200) -> HttpResponse:
    budget, now = row.budget, current(row)
    may_manage = actions.may_manage(view.request.user, row.project_ids)
    channels = {channel.pk: channel.name for channel in queries.channels()}
    history = history_table(queries.history(budget))
    own = reverse("finops:budget-csv", args=[budget.pk])
    chart = None
    if now is not None:
        days = [one.day for one in now.course]
        chart = marked(course_chart(now), days, marks_of(now.filters))
    return page(
        view,
        "finops/budget.html",
        budget.name,
        lead=days_said(now) if now else row.why,
        crumbs=(("Budgets", view.to("budgets")),),
        actions=[
            Action("Change it", reverse("finops:budget-edit", args=[budget.pk]), "edit")
            if may_manage
            else None,
            Action("Days as CSV", f"{own}?what=days", "download", download=True) if now else None,
            Action("Periods as CSV", own, "download", download=True) if history.rows else None,
        ],
        as_of=now.figures.as_of if now else None,
        with_bar=False,
        has_charts=now is not None,
        status=status,
        budget=budget,
        figures=figures(now.figures, costs_href(view, now)) if now else (),
        why=row.why,
        chart=chart,
        facts=facts(budget, names(view.request)),
        thresholds=threshold_table(budget.thresholds.all(), budget.owner.username, channels),
        crossings=crossing_table(queries.crossings(budget)),
        history=history,
        may_manage=may_manage,
    )


def costs_href(view: View, now: Told) -> str:
    """The same total on the costs page; nothing where that page would refuse the basis."""
    if now.filters.basis != "usage" and not access.sees_organisation(view.request.user):
        return ""
    return link(reverse("finops:costs"), now.filters)


def days_said(now: Told) -> str:
    figures = now.figures
    period = words.days_text(figures.starts_on, figures.ends_before)
    if figures.since == figures.starts_on:
        return f"The period of {period}."
    return f"The days of {words.days_text(figures.since, figures.until)}."


def form_page(
    view: View, form: BudgetForm, row: BudgetRow | None = None, status: int = 200
) -> HttpResponse:
    crumbs = [("Budgets", view.to("budgets"))]
    if row is not None:
        crumbs.append((row.budget.name, address_of(row.budget.pk)))
    return page(
        view,
        "finops/budget_form.html",
        "Change the budget" if row else "Set a budget",
        lead="What may be spent, on what, and who is told when.",
        crumbs=crumbs,
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        back=address_of(row.budget.pk) if row else reverse("finops:budgets"),
        button="Save the changes" if row else "Set the budget",
        is_change=row is not None,
    )


def address_of(pk: int) -> str:
    return reverse("finops:budget", args=[pk])


def visible(request: HttpRequest, pk: int) -> BudgetRow:
    row = queries.one(request.user, int(pk))
    if row is None:
        raise Http404("There is no such budget that you may see.")
    return row


def managed(request: HttpRequest, pk: int) -> BudgetRow:
    row = visible(request, pk)
    if not actions.may_manage(request.user, row.project_ids):
        raise PermissionDenied
    return row
