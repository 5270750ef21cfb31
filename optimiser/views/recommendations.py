"""Recommendations: what the levers say, the evidence drawn, and what a person does with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.templatetags import words
from finops.views.page import Choice, View, clean, link, needs, page
from finops.views.tables import NONE, Cell, Column, Row, Table, time_cell, words_cell
from optimiser import approvals, asking
from optimiser.approvals import BadEdit, Conflict, NotAllowed
from optimiser.forms import DismissForm, ProposeForm
from optimiser.queries import recommendations as queries
from optimiser.queries.potential import Potential
from optimiser.queries.recommendations import RecommendationDetail, RecommendationRow

from . import labels
from .diff import diff_table, pretty
from .evidence import (
    charts_of,
    effect_of,
    effect_table,
    evidence_facts,
    steps_of,
    traffic_facts,
)

PAGE_SIZE = 50
STATE_LABELS = (
    ("open", "Open"),
    ("proposed", "Proposed"),
    ("dismissed", "Dismissed"),
    ("superseded", "Superseded"),
    ("all", "All"),
)


@needs(queries.SEE)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "state", "cursor")
    state = view.extra.get("state", "open")
    if state not in queries.STATES:
        raise Http404("There is no such state.")
    found = queries.recommendation_list(request.user, state, PAGE_SIZE, view.extra.get("cursor"))
    return page(
        view,
        "optimiser/recommendations.html",
        "Recommendations",
        lead="What replaying your own traffic says about each setting. Nothing here is applied "
        "before a second person has approved it.",
        with_bar=False,
        states=state_choices(view, STATE_LABELS, state),
        table=advice_table(found.rows, view, state),
        next_href=view.url(cursor=found.next) if found.next else "",
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        shown=f"{len(found.rows)} recommendations on this page",
    )


def state_choices(view: View, states: Iterable[tuple[str, str]], chosen: str) -> list[Choice]:
    return [
        Choice(label, href=view.url(state=state, cursor=""), current=state == chosen)
        for state, label in states
    ]


def advice_table(rows: Iterable[RecommendationRow], view: View, state: str) -> Table:
    columns = (
        Column("Lever and model"),
        Column("What it says"),
        Column("Expected effect"),
        Column("Capacity freed", number=True, help="GPU-hours no longer needed in 30 days"),
        Column("Cash saved", number=True, help="Money no longer paid in 30 days"),
        Column("Made"),
    )
    made = tuple(Row(advice_cells(row, view)) for row in rows)
    empty = {
        "open": "Nothing is open. The levers look at every target each few minutes.",
        "all": "No lever has said anything yet. Add a target, and they look at its traffic.",
    }
    return Table(
        "recommendations",
        "Recommendations",
        columns,
        made,
        empty=empty.get(state, "There are none in this state."),
    )


def advice_cells(row: RecommendationRow, view: View) -> tuple[Cell, ...]:
    advice = row.advice
    href = link(reverse("optimiser:recommendation", args=[advice.pk]), view.filters)
    label, tone = labels.OUTCOMES[advice.outcome]
    effect = NONE
    if advice.outcome == "recommended":
        short, note = labels.effect_short(advice.effect)
        effect = words_cell(short, note=note)
    return (
        words_cell(labels.lever(advice.lever), href=href, note=str(advice.target)),
        words_cell(label, tone=tone, note=advice.reason),
        effect,
        *potential_cells(row.potential),
        time_cell(advice.created_at),
    )


def potential_cells(found: Potential | None) -> tuple[Cell, Cell]:
    if found is None:
        return NONE, NONE
    return capacity_cell(found), cash_cell(found)


def capacity_cell(found: Potential) -> Cell:
    hours = found.gpu_hours
    return Cell(
        f"{hours.value:,.3g} h",
        f"{hours.value:.6f}",
        hours.value,
        note=f"{hours.low:,.3g} to {hours.high:,.3g}",
    )


def cash_cell(found: Potential) -> Cell:
    cash = found.cash
    if cash is None:
        return Cell("unknown", "", unknown=True, note=found.cash_note)
    return Cell(
        words.money(cash.amount, cash.currency),
        f"{cash.amount:f}",
        cash.amount,
        note=found.cash_note
        or f"{words.money(cash.low, cash.currency)} to {words.money(cash.high, cash.currency)}",
    )


@needs(queries.SEE)
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    return advice_page(view, found(view, pk))


def found(view: View, pk: int) -> RecommendationDetail:
    row = queries.recommendation_detail(view.request.user, pk)
    if row is None:
        raise Http404("There is no such recommendation that you may see.")
    return row


def advice_page(
    view: View, row: RecommendationDetail, status: int = 200, refusal: str = "", **more: Any
) -> HttpResponse:
    advice, user = row.advice, view.request.user
    evidence = advice.evidence
    charts, effect = charts_of(advice), effect_of(advice)
    may_act = user.has_perm("finops.propose_change", advice.target.project)
    is_open = advice.state == "open"
    may_propose = may_act and is_open and approvals.can_be_proposed(advice)
    usual = asking.usual_policy(advice.lever)
    forms: dict[str, Any] = {
        "propose": ProposeForm(usual) if may_propose else None,
        "dismiss": DismissForm() if may_act and is_open else None,
    }
    return page(
        view,
        "optimiser/recommendation.html",
        advice.title or f"{labels.lever(advice.lever)} for {advice.target}",
        lead=advice.reason,
        crumbs=(("Recommendations", view.to("optimiser:recommendations")),),
        with_bar=False,
        as_of=evidence.window_to if evidence else advice.created_at,
        status=status,
        refusal=refusal,
        row=row,
        advice=advice,
        outcome=labels.OUTCOMES[advice.outcome],
        state=labels.ADVICE[advice.state],
        effect=labels.effect_line(advice.effect) if advice.outcome == "recommended" else "",
        potential=potential_facts(row.potential),
        effects=effect_table(effect) if effect else None,
        traffic=traffic_facts(evidence) if evidence else [],
        has_charts=bool(charts),
        grid=charts[0] if charts and charts[0].id == "grid-chart" else None,
        charts=[chart for chart in charts if chart.id != "grid-chart"],
        evidence=evidence_facts(evidence) if evidence else [],
        steps=steps_of(evidence) if evidence else [],
        diff=diff_table("advice-diff", row.moved, "Live", "Proposed") if row.moved else None,
        current=pretty(advice.current_config),
        candidate=pretty(advice.candidate_config),
        needs_calibration=advice.outcome == "needs_experiment" and not advice.candidate_config,
        may_act=may_act,
        target_href=link(reverse("optimiser:target", args=[advice.target_id]), view.filters),
        change_href=link(reverse("optimiser:change", args=[row.change.pk]), view.filters)
        if row.change
        else "",
        newer_href=link(reverse("optimiser:recommendation", args=[row.newer.pk]), view.filters)
        if row.newer
        else "",
        **{**forms, **more},
    )


def potential_facts(found: Potential | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    capacity, cash = capacity_cell(found), cash_cell(found)
    return [
        ("Capacity freed in 30 days", f"{capacity.text} of GPU time ({capacity.note})"),
        ("Cash saved in 30 days", f"{cash.text} ({cash.note})"),
    ]


# What a person does with it


@needs(queries.SEE)
@require_http_methods(["POST"])
def propose(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    row = found(view, pk)
    form = ProposeForm(asking.usual_policy(row.advice.lever), request.POST)
    if not form.is_valid():
        return advice_page(view, row, 422, propose=form)
    try:
        change = asking.propose(
            row.advice,
            request.user,
            via="page",
            terms=form.terms(),
            why=form.cleaned_data["why"],
            expires_at=form.expires_at(),
        )
    except BadEdit as bad:
        add_error(form, bad)
        return advice_page(view, row, 422, propose=form)
    except NotAllowed as refusal:
        return advice_page(view, row, 403, str(refusal))
    except Conflict as conflict:
        return advice_page(view, found(view, pk), 409, str(conflict))
    messages.success(request, "Proposed. Now somebody else decides.")
    return HttpResponseRedirect(reverse("optimiser:change", args=[change.pk]))


SHOWN_AS = {"deadline_s": "deadline_min", "expires_at": "expires_in"}


def add_error(form: Form, bad: BadEdit) -> None:
    """Beside the field it is about, where the form has it."""
    name = bad.field.removeprefix("policy.").removeprefix("judge.")
    name = SHOWN_AS.get(name, name)
    message = bad.message[:1].upper() + bad.message[1:]
    form.add_error(name if name in form.fields else None, message)


@needs(queries.SEE)
@require_POST
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    view = View.of(request)
    row = found(view, pk)
    form = DismissForm(request.POST)
    if not form.is_valid():
        return advice_page(view, row, 422, dismiss=form)
    try:
        asking.dismiss(pk, request.user, via="page", reason=form.cleaned_data["reason"])
    except NotAllowed as refusal:
        return advice_page(view, row, 403, str(refusal))
    except Conflict as conflict:
        return advice_page(view, found(view, pk), 409, str(conflict))
    messages.success(request, "Dismissed. It stays readable under its state.")
    return HttpResponseRedirect(f"{reverse('optimiser:recommendations')}?{view.filters.to_query()}")


@needs(queries.SEE)
@require_POST
def calibrate(request: HttpRequest, pk: int) -> HttpResponse:
    """The experiment that this advice needs, asked for from its own page."""
    view = View.of(request)
    row = found(view, pk)
    try:
        asking.calibration(row.advice.target, request.user, via="page")
    except NotAllowed as refusal:
        return advice_page(view, row, 403, str(refusal))
    except Conflict as conflict:
        return advice_page(view, found(view, pk), 409, str(conflict))
    messages.success(
        request, "The calibration is asked for; it takes some minutes and leaves the model alone."
    )
    back = clean(request.POST, "next")
    if back == "list":
        return HttpResponseRedirect(reverse("optimiser:recommendations"))
    return HttpResponseRedirect(reverse("optimiser:recommendation", args=[pk]))
