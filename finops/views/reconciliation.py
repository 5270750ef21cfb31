"""Bills beside our usage, the difference by class, and which bill is the book for which usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions import bill_matches as actions
from finops.bill_match_forms import BillMatchForm
from finops.queries import bill_matches
from finops.queries.filters import METRICS
from finops.queries.reconciliation import (
    MAX_MONTHS,
    NO_BILL,
    Reconciliation,
    Reconciliations,
    recent_months,
    reconciliation,
    source_costs,
)
from finops.templatetags import words

from .costs import METRIC_LABELS
from .figures import Figure, money_figure, stamped, unknown_figure
from .page import Action, Choice, View, csv_action, needs, page
from .reconciliation_tables import (
    bridge_table,
    day_table,
    item_table,
    match_table,
    month_said,
    names_said,
    overview_table,
    service_said,
    source_table,
    state_of,
    usage_of,
)
from .tables import Table, csv_response

READ = "finops.view_bills"
SHOWN_ITEMS = 200
MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])", re.ASCII)
BAD_MONTH = "Month: use YYYY-MM, such as 2026-05. Shown are the last three."


@needs(READ)
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "month", "provider", "sort")
    if request.method == "POST":
        return add_match(view)
    return reconciliation_page(view)


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """The months, or with `what` the models, the days or the source costs of them."""
    view = View.of(request, "month", "provider", "sort", "what")
    what = view.extra.get("what") or "months"
    said = view.extra.get("month") or "recent"
    if what == "source-costs":
        costs = source_costs(view.filters, months_of(view), view.extra.get("provider", ""))
        return csv_response(source_table(costs), f"source-costs-{said}.csv")
    rows = found_of(view).rows
    tables: dict[str, Callable[[], Table]] = {
        "months": lambda: sorted_overview(rows, view),
        "models": lambda: item_table(rows),
        "days": lambda: day_table(rows),
    }
    if what not in tables:
        raise Http404("There are months, models, days and source-costs.")
    return csv_response(tables[what](), f"reconciliation-{what}-{said}.csv")


@needs(actions.MANAGE)
@require_POST
def remove_match(request: HttpRequest, pk: int) -> HttpResponse:
    if not request.user.has_perm(actions.MANAGE):
        raise PermissionDenied
    if actions.remove(pk, by=request.user, via="page"):
        messages.success(request, "The match is removed. Spend counts both again until you match.")
    return HttpResponseRedirect(reverse("finops:reconciliation"))


def months_of(view: View) -> tuple[date, ...]:
    said = view.extra.get("month", "")
    return (date.fromisoformat(f"{said}-01"),) if MONTH.fullmatch(said) else ()


def found_of(view: View) -> Reconciliations:
    return reconciliation(view.filters, months_of(view), view.extra.get("provider", ""))


def reconciliation_page(
    view: View, form: BillMatchForm | None = None, status: int = 200
) -> HttpResponse:
    found = found_of(view)
    choices, matches = bill_matches.choices(), bill_matches.matches()
    may_match = view.request.user.has_perm(actions.MANAGE)
    provider = view.extra.get("provider", "")
    is_one = bool(months_of(view) and provider)
    rows = found.rows if is_one else ()
    costs = source_costs(view.filters, months_of(view), provider)
    return page(
        view,
        "finops/reconciliation.html",
        title(rows),
        lead="Bills beside our priced usage, and why they differ. Months are billing months (UTC).",
        crumbs=crumbs(view, bool(rows)),
        actions=csv_actions(view, found, bool(rows), bool(costs.rows)),
        as_of=found.as_of,
        is_sample=found.is_sample,
        with_bar=False,
        status=status,
        problems=problems(view),
        has_bills=choices.has_bills,
        has_matches=bool(matches),
        months=month_choices(view),
        providers=[
            Choice(one.usage_provider, one.usage_provider, current=one.usage_provider == provider)
            for one in matches
        ],
        kept=view.pairs(view.filters, "month", "provider"),
        metrics=metric_choices(view),
        table=sorted_overview(found.rows, view) if not rows else None,
        figures=figures(rows[0], found) if rows else (),
        bridge=bridge_table(rows) if rows else None,
        items=item_table(rows, SHOWN_ITEMS) if rows else None,
        rest=rest_said(rows),
        days=day_table(rows) if rows else None,
        remarks=[remark for row in rows for remark in remarks(row)],
        source_costs=source_table(costs),
        matches=[
            (match, reverse("finops:bill-match-remove", args=[match.pk])) for match in matches
        ],
        match_table=match_table(matches),
        unmatched=unmatched_said(choices),
        may_match=may_match,
        form=(form or BillMatchForm(choices))
        if may_match and choices.providers and choices.services
        else None,
        is_form_open=form is not None or not matches,
    )


def title(rows: tuple[Reconciliation, ...]) -> str:
    if not rows:
        return "Reconciliation"
    return f"{service_said(rows[0])}, {month_said(rows[0])}"


def crumbs(view: View, is_one: bool) -> tuple[tuple[str, str], ...]:
    own = view.url(month="", provider="", sort="")
    return (
        ("Costs", view.to("costs")),
        *((("Reconciliation", own),) if is_one else ()),
    )


def problems(view: View) -> list[str]:
    said = [f"{error.field}: {error.message}" for error in view.errors]
    month = view.extra.get("month", "")
    return [*said, BAD_MONTH] if month and not months_of(view) else said


def csv_actions(view: View, found: Reconciliations, is_one: bool, has_costs: bool) -> list[Action]:
    made = [csv_action(view, "reconciliation-csv")] if found.rows else []
    more = (("Models", "models"), ("Days", "days")) if is_one else ()
    if has_costs:
        more = (*more, ("Source costs", "source-costs"))
    made += [
        replace(csv_action(view, "reconciliation-csv", what=what), label=f"{label}, CSV")
        for label, what in more
    ]
    return made


def sorted_overview(rows: tuple[Reconciliation, ...], view: View) -> Table:
    made = overview_table(rows, lambda row: row_href(view, row))
    return made.sorted_by(view.extra.get("sort", "")).linked(
        lambda wanted: view.url(sort=wanted), "-month"
    )


def row_href(view: View, row: Reconciliation) -> str:
    return view.url(month=f"{row.month:%Y-%m}", provider=row.providers[0], sort="")


def month_choices(view: View) -> list[Choice]:
    """The last thirteen, and one that was asked for although it is older."""
    chosen = months_of(view)
    months = dict.fromkeys((*recent_months(MAX_MONTHS), *chosen))
    return [Choice(f"{month:%B %Y}", f"{month:%Y-%m}", current=month in chosen) for month in months]


def metric_choices(view: View) -> list[Choice]:
    return [
        Choice(
            METRIC_LABELS[name],
            href=view.url(replace(view.filters, metric=name)),
            current=name == view.filters.metric,
        )
        for name in METRICS
    ]


def figures(row: Reconciliation, found: Reconciliations) -> list[Figure]:
    """Of the first currency; the table below has all of them."""
    badge, tone = state_of(row)
    origin, money = stamped(found), row.currency
    none = "No complete bill speaks of this month in this currency yet."
    return [
        money_figure(
            "bill",
            "On the bill",
            row.bill,
            money,
            reason=none,
            note=covered_said(row),
            definition="Every line of the service on the complete bills of this month.",
            badge=badge,
            tone=tone,
            **origin,
        ),
        money_figure(
            "usage",
            "Our priced usage",
            usage_of(row),
            money,
            reason="Nothing of it has a price.",
            note=unpriced_said(row),
            definition="Usage of the same month at the prices that held at its time.",
            **origin,
        ),
        money_figure(
            "gap",
            "Difference",
            row.gap,
            money,
            reason=none,
            definition="The bill less our priced usage.",
            **origin,
        ),
        money_figure(
            "unexplained",
            "Unexplained",
            row.unexplained,
            money,
            reason=none,
            definition="The part of the difference that no class below can claim.",
            **origin,
        )
        if row.state != NO_BILL
        else unknown_figure("unexplained", "Unexplained", none, **origin),
    ]


def covered_said(row: Reconciliation) -> str:
    if row.covered_until is None:
        return ""
    return f"Covers usage until {words.when_text(row.covered_until)}."


def unpriced_said(row: Reconciliation) -> str:
    parts = []
    if row.unpriced_requests:
        said = words.count(row.unpriced_requests)
        parts.append(f"{said} requests have no price or did not say what they used.")
    if row.unpriced_gpu_hours:
        parts.append(f"{row.unpriced_gpu_hours:,.1f} GPU-hours have no price.")
    return " ".join(parts)


def remarks(row: Reconciliation) -> list[str]:
    """What a reader should know before blaming anybody for the difference."""
    said = []
    if row.unpriced_requests or row.unpriced_gpu_hours:
        said.append(
            f"{unpriced_said(row)} Their money is under No price where the bill names their model,"
            " and otherwise part of Untracked or Unexplained."
        )
    if row.unknown_bill_lines:
        count = words.count(row.unknown_bill_lines)
        said.append(f"{count} bill lines do not tell this cost and are in no amount.")
    if row.long_lines:
        count = words.count(row.long_lines)
        said.append(f"{count} bill lines charge more than a day; they stand on their first day.")
    if row.late_requests:
        count = words.count(row.late_requests)
        said.append(f"{count} requests in our usage came after the details of their day were gone.")
    return said


def rest_said(rows: tuple[Reconciliation, ...]) -> str:
    count = sum(len(row.items) for row in rows)
    if count <= SHOWN_ITEMS:
        return ""
    return f"The first {SHOWN_ITEMS} of {count:,} are shown; the CSV has all."


def unmatched_said(choices: bill_matches.Choices) -> str:
    names = [f"{service} of {provider}" for provider, service in choices.unmatched_services]
    if not names:
        return ""
    return (
        f"Matched with no usage: {names_said(names)}. Where one of them charges for usage that is"
        " seen here, match them, or spend counts both."
    )


def add_match(view: View) -> HttpResponse:
    user = view.request.user
    if not user.has_perm(actions.MANAGE):
        raise PermissionDenied
    form = BillMatchForm(bill_matches.choices(), view.request.POST)
    if form.is_valid():
        try:
            match = actions.add(*form.match(), by=user, via="page")
        except actions.Refused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(view.request, f"Matched: {match}.")
            return HttpResponseRedirect(reverse("finops:reconciliation"))
    return reconciliation_page(view, form, status=422)
