"""How alerts reach people: the rule of each kind, and planned silences."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from finops import access
from finops.actions import alerting
from finops.alert_forms import RuleForm, SilenceForm
from finops.models import AlertRule, Silence
from finops.queries import alerts as queries
from finops.queries.alerts import KIND_WORDS
from finops.templatetags import words

from .page import View, needs, page
from .tables import Cell, Column, Row, Table, time_cell, words_cell

READ = "finops.view_spend"

RULE_COLUMNS = (
    Column("Kind"),
    Column("Channels told"),
    Column("Severity"),
    Column("Remind"),
    Column("Escalate"),
    Column("Over and back", help="Within this time it is the same alert, told once as flapping"),
    Column("Changed"),
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def rules(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "kind")
    if request.method == "POST":
        return change(view)
    return rules_page(view, None)


def change(view: View) -> HttpResponse:
    request, kind = view.request, view.request.POST.get("kind", "")
    if not alerting.may_manage(request.user, None):
        raise PermissionDenied
    if kind not in KIND_WORDS:
        raise Http404("There is no such kind of alert.")
    form = RuleForm(alerting.rule_of(kind), request.POST)
    if form.is_valid():
        try:
            alerting.change_rule(kind, form.wanted(), by=request.user, via="page")
        except alerting.Refused as refused:
            form.add_error(refused.field, str(refused))
        else:
            messages.success(request, f"The rule of “{KIND_WORDS[kind]}” is changed.")
            return HttpResponseRedirect(reverse("finops:alert-rules"))
    return rules_page(view, form, kind, status=422)


def rules_page(
    view: View, form: RuleForm | None, kind: str = "", status: int = 200
) -> HttpResponse:
    may_change = alerting.may_manage(view.request.user, None)
    kind = kind or view.extra.get("kind", "")
    found, names = alerting.rules(), queries.channel_names()
    chosen = next((rule for rule in found if rule.kind == kind), None)
    if form is None and chosen is not None and may_change:
        form = RuleForm(chosen)
    return page(
        view,
        "finops/alert_rules.html",
        "Rules of alerts",
        lead="Who is told of which kind of alert, how often again, and who next.",
        crumbs=(("Alerts", view.to("alerts")),),
        with_bar=False,
        status=status,
        table=rules_table(found, names, may_change),
        may_change=may_change,
        form=form,
        kind=kind,
        kind_said=KIND_WORDS.get(kind, ""),
        has_channels=bool(names),
    )


def rules_table(rules: tuple[AlertRule, ...], names: dict[int, str], may_change: bool) -> Table:
    return Table(
        "rules",
        "The rule of each kind",
        RULE_COLUMNS,
        tuple(Row(rule_cells(rule, names, may_change)) for rule in rules),
    )


def rule_cells(rule: AlertRule, names: dict[int, str], may_change: bool) -> tuple[Cell, ...]:
    address = reverse("finops:alert-rules")
    href = f"{address}?kind={rule.kind}#rule" if may_change else ""
    return (
        words_cell(KIND_WORDS[rule.kind], href=href),
        channels_cell(rule, names),
        words_cell(rule.severity),
        seconds_cell(rule.remind_every_s, "every"),
        escalation_cell(rule, names),
        seconds_cell(rule.quiet_s, "the same within", "each time a new alert"),
        time_cell(rule.changed_at),
    )


def channels_cell(rule: AlertRule, names: dict[int, str]) -> Cell:
    if not rule.enabled:
        return words_cell("nobody: switched off", tone="warn")
    told = named(rule.channel_ids, names)
    return words_cell(told) if told else words_cell("nobody yet", tone="warn")


def escalation_cell(rule: AlertRule, names: dict[int, str]) -> Cell:
    cell = seconds_cell(rule.escalate_after_s, "after")
    to = named(rule.escalation_channel_ids or rule.channel_ids, names)
    return words_cell(f"{cell.text} to {to}") if rule.escalate_after_s and to else cell


def named(ids: list[int], names: dict[int, str]) -> str:
    return ", ".join(names[pk] for pk in ids if pk in names)


def seconds_cell(seconds: int | None, word: str, none: str = "never") -> Cell:
    if seconds is None:
        return Cell(none, "")
    return Cell(f"{word} {words.seconds(seconds)}", str(seconds))


# Silences

SILENCE_COLUMNS = (
    Column("What is planned"),
    Column("Alerts of"),
    Column("Project"),
    Column("Key"),
    Column("From"),
    Column("To"),
    Column("By"),
)


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def silences(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    if request.method == "POST":
        return plan(view)
    return silences_page(view)


def plan(view: View) -> HttpResponse:
    request = view.request
    if not access.anywhere(request.user, alerting.MANAGE):
        raise PermissionDenied
    form = SilenceForm(request.user, request.POST)
    if form.is_valid():
        try:
            alerting.silence(form.plan(), form.owner(), by=request.user, via="page")
        except alerting.Refused as refused:
            form.add_error(refused.field, str(refused))
        else:
            messages.success(request, "Planned. What alerts meanwhile is kept, and told after it.")
            return HttpResponseRedirect(reverse("finops:alert-silences"))
    return silences_page(view, form, status=422)


@needs(alerting.MANAGE)
@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    held = queries.one_silence(request.user, pk)
    if held is None:
        raise Http404("There is no such silence that you may see.")
    if not alerting.may_manage(request.user, held.project):
        raise PermissionDenied
    alerting.end_silence(held, by=request.user, via="page")
    messages.success(request, f"“{held.why}” is over; what it kept back is told within a minute.")
    return HttpResponseRedirect(reverse("finops:alert-silences"))


def silences_page(view: View, form: SilenceForm | None = None, status: int = 200) -> HttpResponse:
    user, now = view.request.user, timezone.now()
    current, past = queries.silences(user, now), queries.silences(user, now, over=True)
    may_plan = access.anywhere(user, alerting.MANAGE)
    table = silence_table("silences", "On or to come", current)
    return page(
        view,
        "finops/alert_silences.html",
        "Silences",
        lead="Planned activity: alerts in this time are kept and shown, and told to no channel"
        " before it is over.",
        crumbs=(("Alerts", view.to("alerts")),),
        with_bar=False,
        status=status,
        table=table,
        lines=list(zip(current, table.lines, strict=True)),
        may_end={held.pk for held in current if alerting.may_manage(user, held.project)},
        past=silence_table("past", "Over", past),
        may_plan=may_plan,
        form=form or (SilenceForm(user) if may_plan else None),
        is_form_open=form is not None,
    )


def silence_table(name: str, caption: str, found: list[Silence]) -> Table:
    return Table(
        name,
        caption,
        SILENCE_COLUMNS,
        tuple(Row(silence_cells(held)) for held in found),
        empty="No silence is planned.",
    )


def silence_cells(held: Silence) -> tuple[Cell, ...]:
    ended = f"ended early, {words.when_text(held.ended_at)}" if held.ended_at else ""
    return (
        words_cell(held.why, note=ended),
        Cell(KIND_WORDS.get(held.kind, "every kind"), held.kind),
        Cell(held.project.name, held.project.slug) if held.project else Cell("every project", ""),
        words_cell(held.key_pattern) if held.key_pattern else Cell("every key", ""),
        time_cell(held.starts_at),
        time_cell(held.ends_at),
        words_cell(held.created_by.get_username() if held.created_by else "command line"),
    )
