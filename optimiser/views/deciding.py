"""Approve, reject, ask, edit, withdraw, roll back: each posts the plan hash that was read.

Whatever `approvals` refuses is said on the change's own page, with what moved since.
"""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from finops.views.page import View, clean, needs, page
from optimiser import approvals, asking
from optimiser.approvals import BadEdit, Conflict, NotAllowed
from optimiser.forms import DecisionForm, EditForm
from optimiser.models import Change
from optimiser.queries import changes as queries

from .changes import change_page, found
from .recommendations import add_error

DECIDE = {"approve": approvals.approve, "reject": approvals.reject, "ask": approvals.ask}
DONE = {
    "approve": "Approved. It begins as soon as enough people have approved it.",
    "reject": "Rejected. The change is closed.",
    "ask": "Asked for changes. Earlier approvals are void.",
}


@needs(queries.SEE)
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    row = found(view, pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return change_page(view, row, 422, form=form)
    given = form.cleaned_data
    decision = given["decision"]

    def done() -> str:
        DECIDE[decision](
            pk,
            request.user,
            plan_hash=given["plan_hash"],
            comment=given["comment"],
            via="page",
        )
        return DONE[decision]

    try:
        return tried(view, row.change, given["plan_hash"], done)
    except BadEdit as bad:
        add_error(form, bad)
        return change_page(view, row, 422, form=form)


def tried(view: View, change: Change, plan_hash: str, act: Callable[[], str]) -> HttpResponse:
    """Back to the change with what was done, or the change as it is now with why it was not."""
    try:
        said = act()
    except NotAllowed as refusal:
        return change_page(view, found(view, change.pk), 403, str(refusal))
    except Conflict as conflict:
        moved = [str(one) for one in conflict.moved] or queries.moved_since(change, plan_hash)
        return change_page(view, found(view, change.pk), 409, str(conflict), moved)
    messages.success(view.request, said)
    return HttpResponseRedirect(reverse("optimiser:change", args=[change.pk]))


@needs(queries.SEE)
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    change = found(view, pk).change
    plan_hash = clean(request.POST, "plan_hash")

    def done() -> str:
        approvals.withdraw(pk, request.user, via="page", reason=clean(request.POST, "reason"))
        return "Withdrawn. The change is closed."

    return tried(view, change, plan_hash, done)


@needs(queries.SEE)
@require_POST
def roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    """After its confirmation: the page asks a second time before it posts here."""
    view = View.of(request)
    change = found(view, pk).change

    def done() -> str:
        asking.roll_back(pk, request.user, via="page")
        return "Asked for: the old config comes back within seconds, and is read back."

    return tried(view, change, clean(request.POST, "plan_hash"), done)


@needs(queries.SEE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    row = found(view, pk)
    if row.may.edit:
        status = 403 if row.change.state in ("proposed", "approved") else 409
        return change_page(view, row, status, row.may.edit)
    if request.method != "POST":
        return edit_page(view, row.change, EditForm(row.change))
    form = EditForm(row.change, request.POST)
    if not form.is_valid():
        return edit_page(view, row.change, form, 422)
    plan_hash = clean(request.POST, "plan_hash")

    def done() -> str:
        asking.edit(row.change, request.user, via="page", plan_hash=plan_hash, **form.changes())
        return "Edited. Earlier approvals are void, and you do not decide on it."

    try:
        return tried(view, row.change, plan_hash, done)
    except BadEdit as bad:
        add_error(form, bad)
        return edit_page(view, row.change, form, 422)


def edit_page(view: View, change: Change, form: EditForm, status: int = 200) -> HttpResponse:
    here = reverse("optimiser:change", args=[change.pk])
    return page(
        view,
        "optimiser/change_edit.html",
        "Edit",
        lead="Approvals given so far become void, and whoever edits does not decide.",
        crumbs=(("Changes", view.to("optimiser:changes")), (change.title, here)),
        with_bar=False,
        status=status,
        form=form,
        change=change,
        here=here,
    )
