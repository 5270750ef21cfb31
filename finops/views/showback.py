"""Showback: what a month cost each team and project; and the statements frozen from it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from finops import access
from finops.actions.allocation import chargebacks as actions
from finops.actions.allocation.rules import MANAGE, Refused
from finops.models import Chargeback, ChargebackLine
from finops.queries.allocation import chargebacks as queries
from finops.queries.allocation.showback import (
    Showback,
    month_filters,
    month_of,
    months,
    showback,
)
from finops.queries.allocation.statement_conversion import InOne, in_one
from finops.queries.amounts import ZERO, plus
from finops.queries.filters import today
from finops.templatetags import words

from .currencies import Said, convert_choices, said
from .page import Action, Choice, View, csv_action, link, needs, page
from .showback_tables import (
    chargeback_table,
    difference_table,
    kind_said,
    line_table,
    month_name,
    showback_table,
    sorted_table,
    statement_table,
    subtotal_tables,
)
from .tables import csv_response

READ = "finops.view_spend"
OWN = "stands in its own currency"
NAMES = ("month", "team", "sort")
BAD_MONTH = "Month: use YYYY-MM, such as 2026-05. Shown is the newest."


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    found = found_of(view)
    statements = queries.statements(request.user)
    teams = sorted(access.visible_projects(request.user).by_team)
    lines_href = view.to("showback-csv", None, **view.extra, what="lines")
    table = showback_table(found, lambda row: costs_of(view, found, row.project.slug))
    return page(
        view,
        "finops/showback.html",
        "Showback",
        lead=f"What {month_name(found.month)} cost each project, and which rule brought it.",
        crumbs=[("Allocation", view.to("allocation"))] if found.sees_everything else (),
        actions=[
            csv_action(view, "showback-csv") if found.rows else None,
            Action("By rule, CSV", lines_href, "download", download=True)
            if found.lines
            else None,
        ],
        as_of=found.as_of,
        with_bar=False,
        problems=problems(view),
        **converted(view, found),
        table=sorted_table(table, view.extra.get("sort", ""), lambda to: view.url(sort=to)),
        lines=line_table(found.lines),
        totals=totals(found),
        months=[
            Choice(month_name(one), f"{one:%Y-%m}", current=one == found.month)
            for one in months()
        ],
        teams=teams,
        team=view.extra.get("team", ""),
        kept=view.pairs(view.filters, "month", "team"),
        statements=chargeback_table(statements),
        sees_everything=found.sees_everything,
        may_close=request.user.has_perm(MANAGE) and found.month < today().replace(day=1),
        month=f"{found.month:%Y-%m}",
        is_closed=any(one.month == found.month for one in statements),
    )  # fmt: skip


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """The projects, or with `what=lines` what each rule brought them."""
    view = View.of(request, *NAMES, "what")
    if is_no_month(view):
        raise Http404("Name a month, as in 2026-05.")
    found = found_of(view)
    if view.extra.get("what") == "lines":
        return csv_response(line_table(found.lines), f"showback-{found.month:%Y-%m}-lines.csv")
    table = showback_table(found, lambda row: "").sorted_by(view.extra.get("sort", ""))
    return csv_response(table, f"showback-{found.month:%Y-%m}.csv")


@needs(MANAGE)
@require_POST
def close(request: HttpRequest) -> HttpResponse:
    month = month_of(request.POST.get("month", ""))
    if month is None:
        raise Http404("Name a month, as in 2026-05.")
    try:
        note = request.POST.get("note", "")
        made = actions.close(month, by=request.user, via="page", note=note)
    except Refused as refused:
        messages.error(request, str(refused))
        return HttpResponseRedirect(f"{reverse('finops:showback')}?month={month:%Y-%m}")
    messages.success(request, f"{kind_said(made)} of {month_name(month)} is made.")
    return HttpResponseRedirect(reverse("finops:chargeback", args=[made.pk]))


@needs(READ)
@require_safe
def one(request: HttpRequest, pk: int) -> HttpResponse:
    view, statement = View.of(request, "sort"), visible(request, pk)
    lines = queries.lines_of(request.user, statement)
    sees_everything = access.visible_projects(request.user).everything
    since = queries.differences(statement.month) if sees_everything else ()
    found, told = in_currency(view, statement, lines)
    table, subtotals = statement_table(lines, found), subtotal_tables(lines, found)
    return page(
        view,
        "finops/chargeback.html",
        f"{kind_said(statement)} of {month_name(statement.month)}",
        lead="Kept as it was when the month was closed; nothing edits it.",
        crumbs=[("Showback", f"{reverse('finops:showback')}?month={statement.month:%Y-%m}")],
        actions=[
            Action("CSV", csv_href(view, pk), "download", download=True),
            *(
                Action(f"{one.caption}, CSV", csv_href(view, pk, one.id), "download", download=True)
                for one in subtotals
            ),
        ],
        as_of=statement.as_of,
        with_bar=False,
        converts=convert_choices(view, [line.currency for line in lines]),
        conversion=told,
        statement=statement,
        facts=facts(statement, queries.rules_of(request.user, statement, lines)),
        totals=[words.money(amount, code) for code, amount in queries.totals(lines)],
        table=sorted_table(table, view.extra.get("sort", ""), lambda to: view.url(sort=to)),
        subtotals=subtotals,
        differences=difference_table(since) if sees_everything else None,
        may_adjust=bool(since) and request.user.has_perm(MANAGE),
        month=f"{statement.month:%Y-%m}",
    )


@needs(READ)
@require_safe
def one_csv(request: HttpRequest, pk: int) -> HttpResponse:
    """The lines, or with `what=projects` or `what=teams` what they come to."""
    view, statement = View.of(request, "what"), visible(request, pk)
    lines = queries.lines_of(request.user, statement)
    found, _ = in_currency(view, statement, lines)
    tables = {one.id: one for one in subtotal_tables(lines, found)}
    what = view.extra.get("what", "")
    name = f"chargeback-{statement.month:%Y-%m}-{statement.number}"
    if what in tables:
        return csv_response(tables[what], f"{name}-{what}.csv")
    return csv_response(statement_table(lines, found), f"{name}.csv")


def csv_href(view: View, pk: int, what: str = "") -> str:
    return link(reverse("finops:chargeback-csv", args=[pk]), view.filters, {"what": what})


def in_currency(
    view: View, statement: Chargeback, lines: list[ChargebackLine]
) -> tuple[InOne | None, Said | None]:
    """Their amounts in another currency beside their own, when that is asked."""
    to = view.filters.convert
    if not to:
        return None, None
    found = in_one(lines, statement.month, to)
    first = month_filters(statement.month, None)
    told = said(view, {}, found.conversion, replace(first, convert=to), OWN)
    title = (
        f"Also in {to}, at the rate of {words.day(found.day)}:"
        f" {words.money(found.total, to)} in all; a statement keeps its own currency"
    )
    return found, replace(told, title=title)


def converted(view: View, found: Showback) -> dict[str, Any]:
    """What `page` needs to offer and to explain another currency."""
    sums = dict(totals_of(found))
    told = found.conversion
    codes = [*sums, *(part.currency for part in told.parts)] if told else list(sums)
    period = replace(found.filters, convert=view.filters.convert)
    return {
        "converts": convert_choices(view, codes),
        "conversion": said(view, sums, told, period, OWN) if told else None,
    }


def facts(statement: Chargeback, known: list[Any]) -> list[tuple[str, str]]:
    rules = [f"{one['name']} (revision {one['revision']})" for one in known]
    return [
        ("Closed", f"{words.when_text(statement.closed_at)} by {statement.closed_by.username}"),
        ("Price book", f"version {statement.book_version}" if statement.book_version else "none"),
        ("Rules", "; ".join(rules) or "none"),
        ("Fingerprint of the rules", statement.rules_digest),
        *((("Note", statement.note),) if statement.note else ()),
    ]


def is_no_month(view: View) -> bool:
    said = view.extra.get("month", "")
    return bool(said) and month_of(said) is None


def problems(view: View) -> list[str]:
    said = [f"{error.field}: {error.message}" for error in view.errors]
    return [*said, BAD_MONTH] if is_no_month(view) else said


def found_of(view: View) -> Showback:
    month = month_of(view.extra.get("month", "")) or months(1)[0]
    team = view.extra.get("team", "")
    return showback(view.request.user, month, team, convert=view.filters.convert)


def totals_of(found: Showback) -> list[tuple[str, Decimal]]:
    """Per currency."""
    sums = dict.fromkeys(found.currencies, ZERO)
    for row in found.rows:
        sums[row.currency] = plus(sums[row.currency], row.total)
    return list(sums.items())


def totals(found: Showback) -> list[str]:
    return [words.money(amount, currency) for currency, amount in totals_of(found)]


def costs_of(view: View, found: Showback, slug: str) -> str:
    """The same figure on the costs page, for who may see it there."""
    if not found.sees_everything:
        return ""
    first, end = found.filters.start, found.filters.end
    asked = f"from={first}&to={end}&f.project={slug}&basis=book"
    if view.filters.convert:
        asked += f"&convert={view.filters.convert}"
    return f"{reverse('finops:costs')}?{asked}"


def visible(request: HttpRequest, pk: int) -> Chargeback:
    for found in queries.statements(request.user):
        if found.pk == int(pk):
            return found
    raise Http404("There is no such statement that you may see.")
