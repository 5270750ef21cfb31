"""Rules of allocation: the list, writing one with a test before saving, and the bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from finops.actions.allocation import landing
from finops.actions.allocation import rules as actions
from finops.allocation_forms import AllocationForm
from finops.costing.allocating import BILL, ORIGINS, REQUESTS
from finops.models import AllocationRule, Audit
from finops.queries.allocation import bucket as buckets
from finops.queries.allocation.preview import SHOWN, Preview, previewed
from finops.queries.allocation.requests import reach
from finops.queries.allocation.rules import standing
from finops.queries.filters import today
from finops.templatetags import words

from .allocation_tables import (
    bucket_table,
    held_table,
    history_table,
    met_table,
    moved_table,
    rule_table,
    tag_table,
)
from .currencies import currency_context
from .figures import Figure, money_figure
from .page import Action, View, csv_action, needs, page
from .showback_tables import sorted_table
from .tables import csv_response

READ = "finops.view_bills"
SHOWN_HISTORY = 20


@needs(READ)
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request)
    rules, found = list(standing()), buckets.coverage(view.filters)
    may_manage = request.user.has_perm(actions.MANAGE)
    return page(
        view,
        "finops/allocation.html",
        "Allocation",
        lead="Whose bills, hardware and requests are. The first rule that holds takes a charge.",
        actions=[
            Action("Write a rule", reverse("finops:allocation-new"), "plus", main=True)
            if may_manage
            else None,
            Action("Unallocated", view.to("allocation-unallocated"), "filter"),
            Action("Showback", view.to("showback"), "costs"),
            csv_action(view, "allocation-csv") if rules else None,
        ],
        as_of=found.table.as_of,
        **currency_context(view, found.table.others, found.table.conversion),
        figures=figures(view, found),
        table=rule_table(rules, may_manage),
        rules=[(rule, at) for at, rule in enumerate(rules, 1)],
        may_manage=may_manage,
        waiting=landing.waiting(),
        reach=reach_said(rules),
        history=history_table(history(), record_said),
    )


def reach_said(rules: Sequence[AllocationRule]) -> str:
    """Empty when there is no rule over requests, or every request is still there."""
    asked = any(rule.origin == REQUESTS and rule.is_on for rule in rules)
    first = reach() if asked else None
    if first is None:
        return ""
    return (
        f"Rules over requests reach back to {words.day(first)}: older requests are not kept. What"
        " landed of them stays as it is."
    )


@needs(READ)
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    return csv_response(rule_table(list(standing()), may_manage=False), "allocation-rules.csv")


def figures(view: View, found: buckets.Coverage) -> list[Figure]:
    filters, currency = view.filters, found.table.currency
    share = found.share
    tone = "" if share is None else "good" if share >= buckets.RUN else "warn"
    badge = "" if share is None else f"{'above' if share >= buckets.RUN else 'below'} 90%"
    return [
        Figure(
            id="share",
            label="Allocated",
            text="unknown" if share is None else words.percent(share),
            exact="" if share is None else f"{share:.6f}",
            note="Targets: 80% to begin with, 90% when in practice",
            definition="The part of the book that is a project's: its own usage, and what rules"
            " landed on it. Unknown while nothing was spent or credits outweigh it.",
            badge=badge,
            tone=tone,
            is_unknown=share is None,
        ),
        money_figure(
            "unallocated", "Unallocated", found.unallocated, currency,
            href=view.to("allocation-unallocated"),
        ),
        money_figure(
            "total", "All spend", found.total, currency,
            href=view.to("costs", replace(buckets.whole_book(filters), group_by=("project",))),
        ),
    ]  # fmt: skip


def history() -> list[Audit]:
    found = Audit.objects.filter(action__startswith="allocation.").select_related("actor")
    return list(found.order_by("-id")[:SHOWN_HISTORY])


def record_said(record: Audit) -> str:
    return str(record.detail.get("name", ""))


# Writing one


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return form_page(View.of(request), AllocationForm(initial=asked(request)))
    return written(request, AllocationForm(request.POST), None)


@needs(actions.MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    rule = rule_or_404(pk)
    draft, read = actions.draft_of(rule), {"revision": rule.revision}
    if request.method != "POST":
        return form_page(View.of(request), AllocationForm(draft=draft, initial=read), rule)
    return written(request, AllocationForm(request.POST, draft=draft, initial=read), rule)


def written(
    request: HttpRequest, form: AllocationForm, rule: AllocationRule | None
) -> HttpResponse:
    """Tests it, or with `act=save` keeps it."""
    view = View.of(request)
    if not form.is_valid():
        return form_page(view, form, rule, status=422)
    draft, act = form.draft(), request.POST.get("act")
    try:
        if act == "save":
            said = form.cleaned_data["revision"]
            if rule is None:
                kept = actions.add(draft, by=request.user, via="page")
            else:
                kept = actions.change(rule, draft, by=request.user, via="page", revision=said)
            messages.success(request, f"“{kept.name}” is saved; it is applied within a minute.")
            return HttpResponseRedirect(reverse("finops:allocation"))
        actions.checked(draft)
    except actions.Refused as refused:
        form.refuse(refused.field, str(refused))
        return form_page(view, form, rule, status=422)
    found = test_of(draft, rule, form.cleaned_data["days"])
    if act == "csv":
        return csv_response(met_table(found.met, draft.origin), "allocation-test.csv")
    return form_page(view, form, rule, found)


def test_of(draft: actions.Draft, rule: AllocationRule | None, days: int) -> Preview:
    """On the days up to yesterday: today is not over."""
    wanted = actions.rule_of(draft, rule.pk if rule else 0)
    return previewed(wanted, rule, today() - timedelta(days=days), today())


def form_page(
    view: View,
    form: AllocationForm,
    rule: AllocationRule | None = None,
    found: Preview | None = None,
    status: int = 200,
) -> HttpResponse:
    return page(
        view,
        "finops/allocation_form.html",
        rule.name if rule else "Write a rule",
        lead="What it takes, on whom that lands, and a test on real charges before it is saved.",
        crumbs=[("Allocation", view.to("allocation"))],
        with_bar=False,
        status=status,
        form=form,
        action=view.request.path,
        back=reverse("finops:allocation"),
        rule=rule,
        tested=found,
        moved=moved_table(found.moved) if found else None,
        met=met_table(found.met[:SHOWN], form.cleaned_data["origin"]) if found else None,
        takes_requests=found is not None and form.cleaned_data["origin"] == REQUESTS,
        days=words.days_text(found.start, found.end) if found else "",
        more=len(found.met) - SHOWN if found and len(found.met) > SHOWN else 0,
    )


def asked(request: HttpRequest) -> dict[str, str]:
    """The conditions that a link from the bucket names."""
    origin = request.GET.get("origin", "")
    found = {"origin": origin if origin in ORIGINS else BILL}
    at = 0
    for name in ("project", "service", "sku", "hardware", "tag"):
        value = request.GET.get(name, "")[:300]
        if not value:
            continue
        found[f"condition-{at}-field"] = "tag:" if name == "tag" else name
        if name == "tag":
            found[f"condition-{at}-key"] = value
            value = request.GET.get("value", "")[:300]
        found[f"condition-{at}-values"] = value
        at += 1
    return found


def rule_or_404(pk: int) -> AllocationRule:
    found = standing().filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such rule.")
    return found


# The list's buttons


@needs(actions.MANAGE)
@require_POST
def switch(request: HttpRequest, pk: int) -> HttpResponse:
    rule, is_on = rule_or_404(pk), request.POST.get("to") == "on"
    actions.switch(rule, is_on, by=request.user, via="page")
    messages.success(request, f"“{rule.name}” is {'on' if is_on else 'off'}.")
    return HttpResponseRedirect(reverse("finops:allocation"))


@needs(actions.MANAGE)
@require_POST
def place(request: HttpRequest, pk: int) -> HttpResponse:
    """Moves it one up, or with `to=down` one down."""
    rule = rule_or_404(pk)
    order = [one.pk for one in standing()]
    at = order.index(rule.pk) + 1 + (1 if request.POST.get("to") == "down" else -1)
    if 1 <= at <= len(order):
        actions.place(rule, at, by=request.user, via="page")
    return HttpResponseRedirect(reverse("finops:allocation"))


@needs(actions.MANAGE)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    rule = rule_or_404(pk)
    actions.remove(rule, by=request.user, via="page")
    messages.success(request, f"“{rule.name}” is removed; what it took is where it was before.")
    return HttpResponseRedirect(reverse("finops:allocation"))


# The bucket


@needs(READ)
@require_safe
def unallocated(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort", "tags")
    found = buckets.bucket(view.filters)
    may_manage = request.user.has_perm(actions.MANAGE)
    asks_tags = bool(view.extra.get("tags"))
    names = dict(AllocationRule.objects.values_list("pk", "name"))
    coverage = buckets.coverage(view.filters)
    return page(
        view,
        "finops/allocation_bucket.html",
        "Unallocated",
        lead="What no rule takes, and what a rule could not split.",
        crumbs=[("Allocation", view.to("allocation"))],
        actions=[csv_action(view, "allocation-unallocated-csv") if found.rows else None],
        as_of=found.as_of,
        **currency_context(view, found.others, found.conversion),
        figures=figures(view, coverage)[:2],
        table=sorted_table(
            bucket_table(found, may_manage),
            view.extra.get("sort", ""),
            lambda wanted: view.url(sort=wanted),
        ),
        held=held_table(buckets.held(view.filters), names),
        tags=tag_table(buckets.tags(view.filters), may_manage) if asks_tags else None,
        tags_href=view.url(tags="yes"),
        costs_href=view.to("costs", buckets.bucket_filters(view.filters)),
    )


@needs(READ)
@require_safe
def unallocated_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, "sort", "tags")
    if view.extra.get("tags"):
        return csv_response(tag_table(buckets.tags(view.filters), False), "unallocated-tags.csv")
    found = buckets.bucket(view.filters)
    table = bucket_table(found, may_manage=False).sorted_by(view.extra.get("sort", ""))
    return csv_response(table, "unallocated.csv", view.filters, found)
