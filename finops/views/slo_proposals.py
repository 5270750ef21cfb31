"""Proposals of objectives: the list, one as a pull request, editing, deciding, withdrawing."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions import slos as actions
from finops.costing.objectives import Definition
from finops.models import SloProposal
from finops.queries import slos as queries
from finops.queries.slos import PROPOSALS_SHOWN, SEE, ProposalRow
from finops.slo_forms import DecisionForm, SloForm

from .page import Action, Choice, View, clean, csv_action, needs, page
from .slo_proposals_tables import (
    PROPOSAL_LABELS,
    decision_table,
    diff_table,
    proposal_facts,
    proposal_table,
)
from .slos_tables import facts, person_said, summary
from .tables import csv_response

DECIDE = {"approve": actions.approve, "reject": actions.reject, "ask": actions.ask}
DONE = {
    "approve": "Approved. It holds from now on.",
    "reject": "Rejected. The proposal is closed.",
    "ask": "Asked for changes. The proposal stays open until somebody edits it.",
}
PAGE_SIZE = 50


@needs(SEE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "state", "cursor")
    cursor = view.extra.get("cursor")
    found = queries.proposal_page(request.user, state_of(view), limit=PAGE_SIZE, cursor=cursor)
    mine = {one.pk for one in queries.to_decide(request.user)}
    table = proposal_table(found.rows, mine)
    return page(
        view,
        "finops/slo_proposals.html",
        "Proposals of objectives",
        lead="What somebody wants to hold, who decided, and when.",
        crumbs=(("Objectives", view.to("slos")),),
        actions=[csv_action(view, "slo-proposals-csv", cursor="") if table.rows else None],
        with_bar=False,
        table=table,
        states=[
            Choice(
                PROPOSAL_LABELS[name][0] if name in PROPOSAL_LABELS else name.capitalize(),
                href=view.url(state=name, cursor=""),
                current=name == state_of(view),
            )
            for name in PROPOSALS_SHOWN
            if name != "proposed"
        ],
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if cursor else "",
        shown=f"{len(table.rows)} proposals on this page",
    )


@needs(SEE)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "state")
    found = queries.proposals(request.user, state_of(view))
    return csv_response(proposal_table(found), "objective-proposals.csv")


@needs(SEE)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    return one_page(View.of(request), visible(request, pk))


@needs(SEE)
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    row, view = visible(request, pk), View.of(request)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return one_page(view, row, 422, form=form)
    given = form.cleaned_data
    decision = given["decision"]

    def act() -> str:
        DECIDE[decision](
            row.proposal,
            by=request.user,
            via="page",
            plan_hash=given["plan_hash"],
            comment=given["comment"],
        )
        return DONE[decision]

    return tried(view, pk, act, form)


@needs(queries.PROPOSE)
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    row, view = visible(request, pk), View.of(request)

    def act() -> str:
        actions.withdraw(
            row.proposal,
            by=request.user,
            via="page",
            plan_hash=clean(request.POST, "plan_hash"),
            why=request.POST.get("why", ""),
        )
        return "Withdrawn. The proposal is closed."

    return tried(view, pk, act)


@needs(queries.PROPOSE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = visible(request, pk)
    found = row.proposal
    if not request.user.has_perm(queries.PROPOSE, found.project):
        raise PermissionDenied
    if row.why_not_edit or found.act == "retire":
        raise Http404("There is nothing to edit in this proposal.")
    given = {
        "project": found.project,
        "definition": Definition.from_json(found.definition),
        "initial": {"read": found.plan_hash, "why": found.why},
    }
    if request.method != "POST":
        return form_page(View.of(request), SloForm(request.user, **given), found)
    form = SloForm(request.user, request.POST, **given)
    status = 422
    if form.is_valid():
        try:
            actions.edit(
                found,
                form.definition(),
                by=request.user,
                via="page",
                plan_hash=form.cleaned_data["read"],
                why=form.cleaned_data["why"],
            )
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        except actions.Conflict as conflict:
            form.refuse("", str(conflict))
            status = 409
        else:
            messages.success(request, "Edited. It has a new seal; you may not decide on it.")
            return HttpResponseRedirect(address_of(found.pk))
    return form_page(View.of(request), form, found, status)


def tried(
    view: View, pk: int, act: Callable[[], str], form: DecisionForm | None = None
) -> HttpResponse:
    """Back to the proposal with what was done, or as it is now with why it was not."""
    try:
        said = act()
    except actions.NotAllowed as refusal:
        return one_page(view, visible(view.request, pk), 403, str(refusal))
    except actions.Conflict as conflict:
        return one_page(view, visible(view.request, pk), 409, str(conflict))
    except actions.Refused as refused:
        if form is None:
            return one_page(view, visible(view.request, pk), 422, str(refused))
        form.add_error(refused.field or None, str(refused))
        return one_page(view, visible(view.request, pk), 422, form=form)
    messages.success(view.request, said)
    return HttpResponseRedirect(address_of(pk))


def one_page(
    view: View,
    row: ProposalRow,
    status: int = 200,
    refusal: str = "",
    form: DecisionForm | None = None,
) -> HttpResponse:
    found = row.proposal
    definition = Definition.from_json(found.definition)
    is_open = not row.why_not_edit
    edit_href = reverse("finops:slo-proposal-edit", args=[found.pk])
    return page(
        view,
        "finops/slo_proposal.html",
        f"{found.name}",
        lead="To be retired." if found.act == "retire" else summary(definition),
        crumbs=(
            ("Objectives", view.to("slos")),
            ("Proposals", reverse("finops:slo-proposals")),
        ),
        actions=[
            Action("Edit", edit_href, "edit") if is_open and found.act != "retire" else None,
            None if row.why_not_decide else Action("Decide", "#decide-title", "check", main=True),
        ],
        with_bar=False,
        status=status,
        row=row,
        found=found,
        refusal=refusal,
        state=PROPOSAL_LABELS[found.state],
        facts=proposal_facts(row),
        wanted=facts(definition, found.project.name),
        diff=diff_table(row.differs),
        decisions=decision_table(row.decisions),
        waits_for=waits_for(row),
        form=form or DecisionForm(initial={"plan_hash": found.plan_hash}),
        may_withdraw=is_open,
    )


def waits_for(row: ProposalRow) -> str:
    """Who must decide, in a sentence; empty when nobody has to any more."""
    if row.proposal.state != "proposed":
        return ""
    names = " or ".join(sorted(person_said(one) for one in row.editors))
    return f"An approver of {row.proposal.project.name} other than {names} decides."


def form_page(view: View, form: SloForm, found: SloProposal, status: int = 200) -> HttpResponse:
    return page(
        view,
        "finops/slo_form.html",
        "Edit the proposal",
        lead="It gets a new seal and 72 hours anew; whoever edits it does not decide on it.",
        crumbs=(
            ("Objectives", view.to("slos")),
            (found.name, address_of(found.pk)),
        ),
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        back=address_of(found.pk),
        button="Save the proposal",
        has_projects=True,
    )


def address_of(pk: int) -> str:
    return reverse("finops:slo-proposal", args=[pk])


def state_of(view: View) -> str:
    state = view.extra.get("state", "")
    return state if state in PROPOSALS_SHOWN else "open"


def visible(request: HttpRequest, pk: int) -> ProposalRow:
    row = queries.proposal(request.user, int(pk))
    if row is None:
        raise Http404("There is no such proposal that you may see.")
    return row
