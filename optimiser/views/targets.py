"""Targets: what changes are applied to, how each stands, and how one is added."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.templatetags import words
from finops.views.page import Action, View, link, needs, page
from finops.views.sources import ago_cell
from finops.views.tables import NONE, Cell, Column, Row, Table, time_cell, words_cell
from optimiser import asking, connections
from optimiser.approvals import Conflict, NotAllowed
from optimiser.connections import MANAGE, BadConnection
from optimiser.forms import ServerForm, TargetForm
from optimiser.models import Calibration, Recommendation, Server
from optimiser.queries import targets as queries
from optimiser.queries.targets import TargetDetail, TargetRow

from . import labels
from .diff import diff_table, pretty


@needs(queries.SEE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    rows = queries.target_list(request.user)
    may_manage = request.user.has_perm(MANAGE)
    return page(
        view,
        "optimiser/targets.html",
        "Targets",
        lead=standing_said(rows),
        actions=adding(view) if may_manage else [],
        with_bar=False,
        table=target_table(rows, view),
        may_manage=may_manage,
        server_href=view.to("optimiser:server-new"),
    )


def adding(view: View) -> list[Action]:
    server = Action("Add a server", view.to("optimiser:server-new"), "plus")
    target = Action("Add a target", view.to("optimiser:target-new"), "plus", main=True)
    return [server, target] if Server.objects.exists() else []


def standing_said(rows: Iterable[TargetRow]) -> str:
    rows = list(rows)
    if not rows:
        return "Models that changes may be applied to."
    off = [row for row in rows if row.target.live_state != "in_step"]
    if not off:
        return "Every model runs the config that it should."
    return f"{len(off)} of {len(rows)} need a look: their live config is not known to be right."


def target_table(rows: Iterable[TargetRow], view: View) -> Table:
    columns = (
        Column("Model"),
        Column("Live config"),
        Column("Since"),
        Column("Last check"),
        Column("Open change"),
        Column("Project"),
        Column("Pool"),
    )
    made = tuple(Row(target_cells(row, view)) for row in rows)
    return Table("targets", "Targets and their live config", columns, made)


def target_cells(row: TargetRow, view: View) -> tuple[Cell, ...]:
    target, change = row.target, row.open_change
    href = link(reverse("optimiser:target", args=[target.pk]), view.filters)
    kind = "router on" if target.kind == "router" else "on"
    label, tone = labels.LIVE[target.live_state]
    return (
        words_cell(target.model, href=href, note=f"{kind} {target.server.name}"),
        words_cell(label, tone=tone, note=target.live_detail),
        ago_cell(target.live_state_since),
        ago_cell(target.checked_at),
        change_cell(change, view) if change else NONE,
        words_cell(target.project.name),
        words_cell(target.pool.name),
    )


def change_cell(change: Any, view: View) -> Cell:
    href = link(reverse("optimiser:change", args=[change.pk]), view.filters)
    return words_cell(change.title, href=href, note=labels.CHANGES[change.state][0])


@needs(queries.SEE)
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    return target_page(View.of(request), pk)


def target_page(view: View, pk: int, status: int = 200, refusal: str = "") -> HttpResponse:
    found = queries.target_detail(view.request.user, pk)
    if found is None:
        raise Http404("There is no such target that you may see.")
    target = found.target
    return page(
        view,
        "optimiser/target.html",
        target.model,
        lead=f"{labels.LIVE[target.live_state][0]}. {target.live_detail}".strip(),
        crumbs=(("Targets", view.to("optimiser:targets")),),
        with_bar=False,
        as_of=target.checked_at,
        status=status,
        refusal=refusal,
        found=found,
        state=labels.LIVE[target.live_state],
        facts=target_facts(found),
        diff=diff_table("live-diff", found.moved, "Desired", "Live") if found.moved else None,
        desired=pretty(target.desired_config),
        live=pretty(target.live_config),
        calibrations=calibration_table(found.calibrations),
        advice=advice_table(found.recommendations, view),
        may_calibrate=view.request.user.has_perm("finops.propose_change", target.project),
    )


def target_facts(found: TargetDetail) -> list[tuple[str, str]]:
    target = found.target
    server = target.server
    change = found.open_change
    source = server.statistics_source_id
    return [
        ("Server", f"{server.name}, {server.url}"),
        ("Admin key", "kept, encrypted" if server.admin_key else "none"),
        ("Project", target.project.name),
        ("Pool", target.pool.name),
        ("Kind", "Router" if target.kind == "router" else "Model"),
        ("Name in requests", target.request_model),
        ("Shadow for calibration", target.shadow_model or "none"),
        ("GPU time measured", "yes" if source else "no: give the server its source of statistics"),
        ("In this state since", words.when_text(target.live_state_since)),
        ("Last check", words.when_text(target.checked_at)),
        ("Desired since", words.when_text(target.desired_since)),
        ("Open change", change.title if change else "none"),
    ]


def calibration_table(rows: Iterable[Calibration]) -> Table:
    columns = (
        Column("Asked for"),
        Column("State"),
        Column("By"),
        Column("Began"),
        Column("Ended"),
    )
    made = []
    for row in rows:
        label, tone = labels.CALIBRATIONS[row.state]
        cells = (
            time_cell(row.requested_at),
            words_cell(label, tone=tone, note=row.error),
            words_cell(str(row.requested_by) if row.requested_by else "Breakeven"),
            time_cell(row.started_at) if row.started_at else NONE,
            time_cell(row.finished_at) if row.finished_at else NONE,
        )
        made.append(Row(cells))
    return Table(
        "calibrations",
        "Calibrations, newest first",
        columns,
        tuple(made),
        empty="Its service times have not been measured yet.",
    )


def advice_table(rows: Iterable[Recommendation], view: View) -> Table:
    columns = (Column("Lever"), Column("Outcome"), Column("What came of it"), Column("Made"))
    made = []
    for row in rows:
        href = link(reverse("optimiser:recommendation", args=[row.pk]), view.filters)
        outcome, tone = labels.OUTCOMES[row.outcome]
        cells = (
            words_cell(labels.lever(row.lever), href=href),
            words_cell(outcome, tone=tone, note=row.reason),
            words_cell(labels.ADVICE[row.state][0], note=row.closed_reason),
            time_cell(row.created_at),
        )
        made.append(Row(cells))
    return Table(
        "advice",
        "What the levers said, newest first",
        columns,
        tuple(made),
        empty="No lever has looked at it yet; they do so every few minutes.",
    )


@needs(queries.SEE)
@require_POST
def calibrate(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    found = queries.target_detail(request.user, pk)
    if found is None:
        raise Http404("There is no such target that you may see.")
    try:
        asking.calibration(found.target, request.user, via="page")
    except NotAllowed as refusal:
        return target_page(view, pk, 403, str(refusal))
    except Conflict as conflict:
        return target_page(view, pk, 409, str(conflict))
    messages.success(
        request, "The calibration is asked for; it takes some minutes and leaves the model alone."
    )
    return HttpResponseRedirect(reverse("optimiser:target", args=[pk]))


# Adding


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new_server(request: HttpRequest) -> HttpResponse:
    demand(request)
    view = View.of(request)
    form = ServerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            server = connections.add_server(form.server(), by=request.user, via="page")
        except BadConnection as bad:
            form.add_error(bad.field, bad.message)
        else:
            messages.success(request, f"“{server.name}” is added. Now name a model on it.")
            return HttpResponseRedirect(reverse("optimiser:target-new"))
    return form_page(view, form, "Add a server", "A Triton server whose models may be changed.")


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new_target(request: HttpRequest) -> HttpResponse:
    demand(request)
    view = View.of(request)
    form = TargetForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            target = connections.add_target(form.target(), by=request.user, via="page")
        except BadConnection as bad:
            form.add_error(bad.field, bad.message)
        else:
            messages.success(
                request, f"“{target.model}” is added; within a minute its live config is read."
            )
            return HttpResponseRedirect(reverse("optimiser:target", args=[target.pk]))
    return form_page(view, form, "Add a target", "A model that changes may be applied to.")


def demand(request: HttpRequest) -> None:
    """The permission over the whole organisation, not just somewhere."""
    if not request.user.has_perm(MANAGE):
        raise PermissionDenied


def form_page(view: View, form: Form, title: str, lead: str) -> HttpResponse:
    return page(
        view,
        "optimiser/connect.html",
        title,
        lead=lead,
        crumbs=(("Targets", view.to("optimiser:targets")),),
        with_bar=False,
        status=422 if form.is_bound else 200,
        form=form,
    )
