"""Objectives: the list and its CSV, one with its course, and proposing to set, change, retire."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import access
from finops.actions import slos as actions
from finops.queries import slos as queries
from finops.queries.slos import DAY, HOUR, QUARTER, RETIRED, SEE, STATES_SHOWN, STEPS, SloRow
from finops.slo_forms import SloForm

from .page import Action, Choice, View, csv_action, link, needs, page
from .slo_proposals_tables import proposal_table
from .slos_tables import (
    STATE_LABELS,
    budget_chart,
    burn_table,
    course_chart,
    course_table,
    facts,
    figures,
    slo_table,
    summary,
    version_table,
)
from .tables import csv_response

PAGE_SIZE = 50
EVERY_SLO = 10_000
NAMES = ("state", "project", "sort")
STEP_LABELS = {DAY: "By day", HOUR: "By hour, 7 days", QUARTER: "By quarter hour, 1 day"}


@needs(SEE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES, "cursor")
    every = queries.slos(request.user)
    cursor = view.extra.get("cursor")
    found = found_of(view, every, cursor=cursor)
    is_whole = found.next is None and not cursor
    table = slo_table(found.rows, view.extra.get("sort", "") if is_whole else "")
    pending = queries.proposals(request.user)
    may_propose = access.anywhere(request.user, queries.PROPOSE)
    return page(
        view,
        "finops/slos.html",
        "Objectives",
        lead="What users may expect of each project, and how much of the error budget is left.",
        actions=[
            Action("Propose an objective", reverse("finops:slo-new"), "plus", main=True)
            if may_propose
            else None,
            Action("Proposals", reverse("finops:slo-proposals"), "changes"),
            csv_action(view, "slos-csv", cursor="") if found.rows else None,
        ],
        with_bar=False,
        is_empty=not every and not pending,
        has_none=not every,
        may_propose=may_propose,
        table=table.linked(lambda sort: view.url(sort=sort), "project") if is_whole else table,
        pending=proposal_table(pending, {one.pk for one in queries.to_decide(request.user)}),
        states=state_choices(view, every),
        projects=access.visible_projects(request.user, SEE).all,
        project=view.extra.get("project", ""),
        kept=view.pairs(view.filters, "project", "cursor"),
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(found.rows)} of {found.total} objectives on this page",
    )


@needs(SEE)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    found = found_of(view, queries.slos(request.user), limit=EVERY_SLO)
    return csv_response(slo_table(found.rows, view.extra.get("sort", "")), "objectives.csv")


@needs(queries.PROPOSE)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return form_page(View.of(request), SloForm(request.user))
    form = SloForm(request.user, request.POST)
    if form.is_valid():
        try:
            made = actions.propose(
                form.owner(),
                form.definition(),
                by=request.user,
                via="page",
                why=form.cleaned_data["why"],
            )
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            return proposed(request, made.pk)
    return form_page(View.of(request), form, status=422)


@needs(SEE)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    return one_page(View.of(request, "step"), visible(request, pk))


@needs(SEE)
@require_safe
def one_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """The course by `step`, or with `what=versions` every version."""
    view, row = View.of(request, "what", "step"), visible(request, pk)
    if view.extra.get("what") == "versions":
        return csv_response(
            version_table(queries.versions(row.slo)), f"objective-{pk}-versions.csv"
        )
    step = step_of(view)
    course = queries.course(row.slo, timezone.now(), step)
    return csv_response(course_table(course, step), f"objective-{pk}-{step}.csv")


@needs(queries.PROPOSE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = proposable(request, pk)
    given = {
        "project": row.slo.project,
        "definition": row.definition,
        "initial": {"read": str(row.version)},
    }
    if request.method != "POST":
        return form_page(View.of(request), SloForm(request.user, **given), row)
    form = SloForm(request.user, request.POST, **given)
    if form.is_valid():
        try:
            made = actions.propose_change(
                row.slo,
                form.definition(),
                by=request.user,
                via="page",
                why=form.cleaned_data["why"],
                version=version_of(form.cleaned_data["read"]),
            )
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        except actions.Conflict as conflict:
            form.refuse("", str(conflict))
            return form_page(View.of(request), form, row, status=409)
        else:
            return proposed(request, made.pk)
    return form_page(View.of(request), form, row, status=422)


@needs(queries.PROPOSE)
@require_POST
def retire(request: HttpRequest, pk: int) -> HttpResponse:
    row = proposable(request, pk)
    try:
        made = actions.propose_retirement(
            row.slo,
            by=request.user,
            via="page",
            why=request.POST.get("why", ""),
            version=version_of(request.POST.get("read", "")),
        )
    except (actions.Refused, actions.Conflict) as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect(address_of(pk))
    return proposed(request, made.pk)


def version_of(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def proposed(request: HttpRequest, pk: int) -> HttpResponse:
    messages.success(request, "Proposed. It holds once a second person has approved it.")
    return HttpResponseRedirect(reverse("finops:slo-proposal", args=[pk]))


# The list


def found_of(
    view: View, every: list[SloRow], limit: int = PAGE_SIZE, cursor: str | None = None
) -> queries.SloPage:
    state = view.extra.get("state", "")
    return queries.slo_page(
        every,
        state=state if state in STATES_SHOWN else "",
        project=view.extra.get("project", ""),
        limit=limit,
        cursor=cursor,
    )


def state_choices(view: View, every: list[SloRow]) -> list[Choice]:
    chosen = view.extra.get("state", "")
    count = sum(row.state != RETIRED for row in every)
    choices = [Choice(f"In force {count}", href=view.url(state="", cursor=""), current=not chosen)]
    for state in STATES_SHOWN:
        count = sum(row.state == state for row in every)
        href = view.url(state=state, cursor="")
        choices.append(Choice(f"{STATE_LABELS[state]} {count}", href=href, current=chosen == state))
    return choices


# One objective


def one_page(view: View, row: SloRow) -> HttpResponse:
    slo, now, step = row.slo, timezone.now(), step_of(view)
    is_live = row.state != RETIRED
    told = queries.figures(slo, now) if is_live else None
    chart = budget = None
    if told is not None:
        by_day = queries.course(slo, now)
        course = by_day if step == DAY else queries.course(slo, now, step)
        chart, budget = course_chart(told, course, step), budget_chart(by_day)
    may_propose = view.request.user.has_perm(queries.PROPOSE, slo.project)
    own = reverse("finops:slo-csv", args=[slo.pk])
    requests_href = link(reverse("finops:requests"), told.filters) if told else ""
    return page(
        view,
        "finops/slo.html",
        row.definition.name,
        lead=summary(row.definition),
        crumbs=(("Objectives", view.to("slos")),),
        actions=[
            Action("Propose a change", reverse("finops:slo-edit", args=[slo.pk]), "edit")
            if may_propose and is_live
            else None,
            Action("CSV", f"{own}?step={step}", "download", download=True) if is_live else None,
            Action("Versions as CSV", f"{own}?what=versions", "download", download=True),
        ],
        as_of=told.as_of if told else None,
        with_bar=False,
        has_charts=told is not None,
        row=row,
        slo=slo,
        figures=figures(told, requests_href) if told else (),
        why=row.why,
        chart=chart,
        budget=budget,
        steps=[
            Choice(STEP_LABELS[name], href=view.url(step=name), current=name == step)
            for name in reversed(STEPS)
        ],
        burns=burn_table(told.judged.burns) if told else None,
        facts=facts(row.definition, slo.project.name),
        versions=version_table(queries.versions(slo)),
        proposals=proposal_table(queries.proposals(view.request.user, "all", slo)),
        may_retire=may_propose and is_live,
    )


def step_of(view: View) -> str:
    step = view.extra.get("step", "")
    return step if step in STEPS else DAY


def form_page(
    view: View, form: SloForm, row: SloRow | None = None, status: int = 200
) -> HttpResponse:
    crumbs = [("Objectives", view.to("slos"))]
    if row is not None:
        crumbs.append((row.definition.name, address_of(row.slo.pk)))
    return page(
        view,
        "finops/slo_form.html",
        "Propose a change" if row else "Propose an objective",
        lead="A second person approves it before it holds.",
        crumbs=crumbs,
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        back=address_of(row.slo.pk) if row else reverse("finops:slos"),
        button="Propose it",
        has_projects=bool(form.projects) or row is not None,
    )


def address_of(pk: int) -> str:
    return reverse("finops:slo", args=[pk])


def visible(request: HttpRequest, pk: int) -> SloRow:
    row = queries.one(request.user, int(pk))
    if row is None:
        raise Http404("There is no such objective that you may see.")
    return row


def proposable(request: HttpRequest, pk: int) -> SloRow:
    row = visible(request, pk)
    if not request.user.has_perm(queries.PROPOSE, row.slo.project):
        raise PermissionDenied
    if row.state == RETIRED:
        raise Http404("This objective is retired; propose a new one.")
    return row
