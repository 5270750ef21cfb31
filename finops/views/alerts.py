"""Alerts: what is open and what became of it, one alert, and what people do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from finops import access
from finops.actions import alerting
from finops.alert_forms import SNOOZES, ResolveForm, SnoozeForm
from finops.models import Alert
from finops.models.alerts import RESOLVED, SEVERITIES
from finops.queries import alerts as queries
from finops.queries.alerts import CURRENT, EVERY, KIND_WORDS, STATE_CHOICES, Wanted
from finops.templatetags import words

from .alerts_tables import (
    STATE_WORDS,
    alert_table,
    deliveries_table,
    history_table,
    timeline_table,
)
from .page import Action, Choice, View, csv_action, needs, page
from .tables import csv_response

READ = "finops.view_spend"
PAGE_SIZE = 50
EVERY_ROW = 10_000
NAMES = ("state", "kind", "severity", "project", "tab")


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES, "cursor")
    if view.extra.get("tab") == "history":
        return history_page(view)
    wanted, cursor, now = wanted_of(view), view.extra.get("cursor"), timezone.now()
    found = queries.alerts(request.user, wanted, limit=PAGE_SIZE, cursor=cursor)
    counted = queries.counts(request.user, wanted)
    held = queries.silenced(found.rows, now)
    may_handle = {
        alert.pk
        for alert in found.rows
        if alert.state != RESOLVED and alerting.may_handle(request.user, alert)
    }
    table = alert_table(found.rows, held)
    return frame(
        view,
        table=table,
        lines=list(zip(found.rows, table.lines, strict=True)),
        may_handle=may_handle,
        counted=counted,
        is_empty=not found.rows and wanted == Wanted() and not cursor,
        has_resolved=bool(counted[RESOLVED]),
        next_href=view.url(cursor=found.next) if found.next else "",
        shown=f"{len(found.rows)} alerts on this page",
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    wanted = wanted_of(view)
    if view.extra.get("tab") == "history":
        wanted = history_of(view)
        events = queries.history(request.user, wanted, limit=EVERY_ROW, cursor=None)
        return csv_response(history_table(events.rows), "alerts-history.csv")
    found = queries.alerts(request.user, wanted, limit=EVERY_ROW)
    held = queries.silenced(found.rows, timezone.now())
    return csv_response(alert_table(found.rows, held), "alerts.csv")


@needs(READ)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    return one_page(View.of(request), visible(request, pk))


# What people do


@needs(alerting.HANDLE)
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    alert = handled(request, pk)
    return done(request, alert, lambda: alerting.acknowledge(alert, by=request.user, via="page"),
                "acknowledged; nobody is reminded of it")  # fmt: skip


@needs(alerting.HANDLE)
@require_POST
def acknowledge_all(request: HttpRequest) -> HttpResponse:
    """Those that were marked on the list."""
    ids = [int(text) for text in request.POST.getlist("alert") if text.isdecimal()][:PAGE_SIZE]
    chosen = [
        alert
        for alert in queries.some(request.user, [pk for pk in ids if pk < 2**63])
        if alerting.may_handle(request.user, alert)
    ]
    count = alerting.acknowledge_all(chosen, by=request.user, via="page")
    if count:
        messages.success(request, f"{words.count(count)} acknowledged; nobody is reminded of them.")
    else:
        messages.warning(request, "Nothing was acknowledged: mark alerts that are not resolved.")
    return HttpResponseRedirect(back(request))


@needs(alerting.HANDLE)
@require_POST
def snooze(request: HttpRequest, pk: int) -> HttpResponse:
    alert, form = handled(request, pk), SnoozeForm(request.POST)
    if not form.is_valid():
        return one_page(View.of(request), alert, snooze_form=form, status=422)
    until = form.cleaned_data["until"]
    try:
        alerting.snooze(alert, until, by=request.user, via="page")
    except alerting.Refused as refused:
        form.add_error(refused.field or None, str(refused))
        return one_page(View.of(request), alert, snooze_form=form, status=422)
    messages.success(request, f"{alert.ref} is quiet until {words.when_text(until)}.")
    return HttpResponseRedirect(address_of(alert))


@needs(alerting.HANDLE)
@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    alert, form = handled(request, pk), ResolveForm(request.POST)
    if not form.is_valid():
        return one_page(View.of(request), alert, resolve_form=form, status=422)
    why = form.cleaned_data["why"]
    return done(
        request,
        alert,
        lambda: alerting.resolve_by_hand(alert, why, by=request.user, via="page"),
        "resolved",
    )


def done(request: HttpRequest, alert: Alert, act: Callable[[], Alert], said: str) -> HttpResponse:
    try:
        act()
    except alerting.Refused as refused:
        messages.warning(request, str(refused))
    else:
        messages.success(request, f"{alert.ref} is {said}.")
    return HttpResponseRedirect(address_of(alert))


# The list


def wanted_of(view: View) -> Wanted:
    """What the URL says; what is not known here is left out."""
    told = view.extra
    return Wanted(
        state=told["state"] if told.get("state") in STATE_CHOICES else CURRENT,
        kind=told["kind"] if told.get("kind") in KIND_WORDS else "",
        severity=told["severity"] if told.get("severity") in SEVERITIES else "",
        project=told.get("project", ""),
    )


def history_of(view: View) -> Wanted:
    asked = wanted_of(view)
    return Wanted(EVERY, asked.kind, asked.severity, asked.project)


def history_page(view: View) -> HttpResponse:
    cursor = view.extra.get("cursor")
    found = queries.history(view.request.user, history_of(view), limit=PAGE_SIZE, cursor=cursor)
    return frame(
        view,
        table=history_table(found.rows),
        next_href=view.url(cursor=found.next) if found.next else "",
        shown=f"{len(found.rows)} entries on this page",
    )


def frame(view: View, **context: Any) -> HttpResponse:
    wanted, user = wanted_of(view), view.request.user
    is_history = view.extra.get("tab") == "history"
    table = context["table"]
    links = (
        ("watch-rules", "Watch rules"),
        ("alert-rules", "Rules"),
        ("alert-silences", "Silences"),
    )
    return page(
        view,
        "finops/alerts.html",
        "Alerts",
        lead="What somebody should look at: open ones first. Each ends by itself when it is over.",
        actions=[
            *(Action(label, reverse(f"finops:{name}"), "alerts") for name, label in links),
            csv_action(view, "alerts-csv", cursor="") if table.rows else None,
        ],
        with_bar=False,
        tabs=[
            Choice("Alerts", href=view.url(tab="", cursor=""), current=not is_history),
            Choice("History", href=view.url(tab="history", cursor=""), current=is_history),
        ],
        is_history=is_history,
        states=state_choices(view, wanted, context.get("counted")),
        kinds=[("", "Every kind"), *KIND_WORDS.items()],
        severities=[("", "Every severity"), *((one, one.capitalize()) for one in SEVERITIES)],
        projects=access.visible_projects(user).all,
        wanted=wanted,
        is_narrowed=bool(wanted.kind or wanted.severity or wanted.project),
        clear_href=view.url(kind="", severity="", project="", cursor=""),
        kept=view.pairs(view.filters, "kind", "severity", "project", "cursor"),
        first_href=view.url(cursor="") if view.extra.get("cursor") else "",
        here=view.url(),
        **context,
    )


def state_choices(view: View, wanted: Wanted, counted: dict[str, int] | None) -> list[Choice]:
    if counted is None:
        return []
    current = sum(number for state, number in counted.items() if state != RESOLVED)
    numbers = {CURRENT: current, **counted, EVERY: sum(counted.values())}
    return [
        Choice(
            f"{STATE_WORDS[state]} {words.count(numbers[state])}",
            href=view.url(state="" if state == CURRENT else state, cursor=""),
            current=wanted.state == state,
        )
        for state in STATE_CHOICES
    ]


def back(request: HttpRequest) -> str:
    """To the list as it was; only to our own."""
    here = request.POST.get("back", "")
    home: str = reverse("finops:alerts")
    return str(here) if here.startswith(f"{home}?") and here.isprintable() else home


# One alert


def one_page(
    view: View,
    alert: Alert,
    *,
    snooze_form: SnoozeForm | None = None,
    resolve_form: ResolveForm | None = None,
    status: int = 200,
) -> HttpResponse:
    held = queries.silenced([alert], timezone.now()).get(alert.pk)
    told = queries.deliveries(alert)
    may_handle = alert.state != RESOLVED and alerting.may_handle(view.request.user, alert)
    rule = alerting.rule_of(alert.kind)
    return page(
        view,
        "finops/alert.html",
        alert.title,
        lead=f"{alert.ref} · {KIND_WORDS[alert.kind]} · {alert.severity}",
        crumbs=(("Alerts", view.to("alerts")),),
        actions=[Action("See it", alert.path, "right", main=True)],
        with_bar=False,
        status=status,
        alert=alert,
        state=state_said(alert),
        silence=held,
        facts=facts(alert),
        figures=list(alert.figures.items()),
        timeline=timeline_table(queries.timeline(alert)),
        deliveries=deliveries_table(told),
        has_channels=bool(alert.channel_ids or rule.channel_ids) and rule.enabled,
        may_handle=may_handle,
        is_open=alert.state != RESOLVED,
        may_acknowledge=may_handle and alert.state != "acknowledged",
        snoozes=[(name, label) for name, label, _ in SNOOZES],
        snooze_form=snooze_form or SnoozeForm(),
        resolve_form=resolve_form or ResolveForm(),
    )


def state_said(alert: Alert) -> str:
    if alert.state == "snoozed":
        return f"Snoozed until {words.when_text(alert.snoozed_until)}."
    if alert.state == "acknowledged":
        who = alert.acknowledged_by.get_username() if alert.acknowledged_by else "the command line"
        return f"Acknowledged by {who}, {words.when_text(alert.acknowledged_at)}."
    if alert.state == RESOLVED:
        who = f" by {alert.resolved_by.get_username()}" if alert.resolved_by else ""
        return f"Resolved{who}, {words.when_text(alert.resolved_at)}: {alert.why}"
    return "Open: nobody has acknowledged it yet."


def facts(alert: Alert) -> list[tuple[str, str]]:
    return [
        ("Project", alert.project.name if alert.project else "Whole organisation"),
        ("Opened", words.when_text(alert.opened_at)),
        ("Last seen", words.when_text(alert.last_seen_at)),
        ("Seen", f"{words.count(alert.times_seen)} times" if alert.times_seen > 1 else "once"),
        *([("Was over and came again", came_again(alert))] if alert.swings else []),
        ("Owner", alert.owner.get_username() if alert.owner else "nobody named"),
        ("Key", alert.key),
    ]


def came_again(alert: Alert) -> str:
    """Within its rule's quiet time: otherwise it would be another alert."""
    times = f"{words.count(alert.swings)} times" if alert.swings > 1 else "once"
    flaps = "; channels hear of it when it holds still" if alert.is_flapping else ""
    return f"{times}, last {words.when_text(alert.swung_at)}{flaps}"


def address_of(alert: Alert) -> str:
    return str(reverse("finops:alert", args=[alert.pk]))


def visible(request: HttpRequest, pk: int) -> Alert:
    alert = queries.one(request.user, pk)
    if alert is None:
        raise Http404("There is no such alert that you may see.")
    return alert


def handled(request: HttpRequest, pk: int) -> Alert:
    alert = visible(request, pk)
    if not alerting.may_handle(request.user, alert):
        raise PermissionDenied
    return alert
