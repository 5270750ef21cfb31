"""Watch rules: the list and its CSV, and setting, changing, removing one."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops import access
from finops.actions import watch_rules as actions
from finops.actions.alerting import MANAGE
from finops.queries import watch_rules as queries
from finops.queries.watch_rules import METRIC_WORDS, WatchRow, threshold_said
from finops.watch_forms import WatchForm

from .page import Action, View, csv_action, needs, page
from .tables import Cell, Column, Row, Table, count_cell, csv_response, words_cell

READ = "finops.view_spend"
COLUMNS = (
    Column("Rule"),
    Column("State"),
    Column("Measure"),
    Column("Wrong when"),
    Column("For how long"),
    Column("Urgency"),
    Column("Where"),
    Column("Alerts now", number=True),
    Column("What to do"),
)
URGENCY_TONES = {"low": "quiet", "medium": "", "high": "warn", "critical": "bad"}


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    found = queries.rules(request.user)
    may_add = access.anywhere(request.user, MANAGE)
    return page(
        view,
        "finops/watch_rules.html",
        "Watch rules",
        lead="What deserves an alert in what is measured each quarter hour.",
        crumbs=(("Alerts", view.to("alerts")),),
        actions=[
            Action("Add a rule", reverse("finops:watch-rule-new"), "plus", main=True)
            if may_add
            else None,
            csv_action(view, "watch-rules-csv") if found else None,
        ],
        with_bar=False,
        table=rules_table(request, found),
        may_add=may_add,
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    return csv_response(rules_table(request, queries.rules(request.user)), "watch-rules.csv")


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return form_page(View.of(request), WatchForm(request.user))
    form = WatchForm(request.user, request.POST)
    if form.is_valid():
        try:
            made = actions.add(form.draft(), by=request.user, via="page")
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{made.name}” is looked at from the next minute on.")
            return HttpResponseRedirect(reverse("finops:watch-rules"))
    return form_page(View.of(request), form, status=422)


@needs(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    row = managed(request, pk)
    draft, read = actions.draft_of(row.rule), {"revision": row.rule.revision}
    if request.method != "POST":
        form = WatchForm(request.user, draft=draft, initial=read)
        return form_page(View.of(request), form, row)
    form = WatchForm(request.user, request.POST, draft=draft, initial=read)
    if form.is_valid():
        try:
            actions.change(
                row.rule,
                form.draft(),
                by=request.user,
                via="page",
                revision=form.cleaned_data["revision"] or 0,
            )
        except actions.Refused as refused:
            form.refuse(refused.field, str(refused))
        else:
            messages.success(request, f"“{form.cleaned_data['name']}” is changed.")
            return HttpResponseRedirect(reverse("finops:watch-rules"))
    return form_page(View.of(request), form, row, status=422)


@needs(MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    row = managed(request, pk)
    actions.remove(row.rule, by=request.user, via="page")
    messages.success(request, f"“{row.rule.name}” is removed.")
    return HttpResponseRedirect(reverse("finops:watch-rules"))


def rules_table(request: HttpRequest, rows: Sequence[WatchRow]) -> Table:
    return Table(
        "watch-rules",
        "Rules",
        COLUMNS,
        tuple(Row(cells(request, row)) for row in rows),
        empty="No rule that you may see.",
    )


def cells(request: HttpRequest, row: WatchRow) -> tuple[Cell, ...]:
    rule = row.rule
    may_edit = actions.may_manage_rule(request.user, rule)
    href = reverse("finops:watch-rule-edit", args=[rule.pk]) if may_edit else ""
    where = rule.project.name if rule.project else "Each project"
    if rule.metric == "gpu_utilization":
        where = "Each pool"
    return (
        words_cell(rule.name, href=href),
        state_cell(row),
        Cell(METRIC_WORDS[rule.metric], rule.metric),
        words_cell(threshold_said(rule), fixed=True),
        words_cell(
            f"{rule.needed} of {rule.of_last}", note=f"{rule.window_minutes} min each", fixed=True
        ),
        Cell(rule.urgency.capitalize(), rule.urgency, tone=URGENCY_TONES[rule.urgency]),
        words_cell(where, note=", ".join(rule.only_models)),
        count_cell(row.alerts),
        words_cell(rule.action, href=rule.path),
    )


def state_cell(row: WatchRow) -> Cell:
    if row.is_waiting_for_target:
        return Cell("Waits for a target", "off", tone="warn")
    return Cell("On", "on", tone="good") if row.rule.is_on else Cell("Off", "off", tone="quiet")


def form_page(
    view: View, form: WatchForm, row: WatchRow | None = None, status: int = 200
) -> HttpResponse:
    return page(
        view,
        "finops/watch_rule_form.html",
        "Change the rule" if row else "Add a rule",
        lead="It is looked at each minute, from what every complete quarter hour measured.",
        crumbs=(
            ("Alerts", view.to("alerts")),
            ("Watch rules", reverse("finops:watch-rules")),
        ),
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        rule=row.rule if row else None,
        button="Save the changes" if row else "Add the rule",
    )


def managed(request: HttpRequest, pk: int) -> WatchRow:
    row = queries.one(request.user, int(pk))
    if row is None:
        raise Http404("There is no such rule that you may see.")
    if not actions.may_manage_rule(request.user, row.rule):
        raise PermissionDenied
    return row
