"""Changing a connected source: its name, how often it is asked, its settings."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from finops.actions import connections
from finops.actions.connections import Changes
from finops.actions.trying import can_be_tried
from finops.source_forms import ChangeForm
from ingest import source_secrets
from ingest.models import Source
from ingest.sources import REGISTRY

from .connecting import demand, found
from .page import View, needs, page
from .sources_trying import answer_to_test

NOTHING = "Nothing was different, so nothing was changed."


@needs("finops.manage_sources")
@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    view = View.of(request)
    source = found(view, pk).source
    if request.method != "POST":
        return form_page(view, source, form_of(source))
    form = form_of(source, request.POST)
    if not form.is_valid():
        return form_page(view, source, form, status=422)
    given = form.cleaned_data
    changes = Changes(
        name=given["name"], interval_s=given.get("interval_s"), config=given["config"]
    )
    try:
        changed = connections.change(source, changes, by=request.user, via="page")
    except connections.Refused as refused:
        form.add_error(refused.field if refused.field in form.fields else None, refused.message)
        return form_page(view, source, form, status=422)
    messages.success(request, f"“{source.name}” is changed." if changed else NOTHING)
    return HttpResponseRedirect(reverse("finops:source", args=[pk]))


@needs("finops.manage_sources")
@require_POST
def test(request: HttpRequest, pk: int) -> HttpResponse:
    """What was typed, with the secrets that were not; nothing is saved."""
    demand(request, "finops.manage_sources")
    view = View.of(request)
    source = found(view, pk).source
    if not can_be_tried(source.kind):
        raise Http404("Nothing is fetched for this source.")
    form = form_of(source, request.POST)

    def with_form(status: int, tried: Any) -> HttpResponse:
        return form_page(view, source, form, status=status, tried=tried)

    return answer_to_test(request, form, with_form)


def form_of(source: Source, *given: Any) -> ChangeForm:
    if source.kind not in REGISTRY:
        raise Http404("Sources of this kind are no longer known.")
    return ChangeForm(REGISTRY[source.kind], source, source_secrets.opened(source), *given)


def form_page(
    view: View, source: Source, form: ChangeForm, status: int = 200, tried: Any = None
) -> HttpResponse:
    address = reverse("finops:source", args=[source.pk])
    return page(
        view,
        "finops/source_new.html",
        f"Change: {source.name}",
        lead=f"{form.adapter.label}. What it brought stays; the next pull uses what is saved here."
        if can_be_tried(source.kind)
        else f"{form.adapter.label}. What it brought stays.",
        crumbs=(("Sources", view.to("sources")), (source.name, address)),
        with_bar=False,
        status=status,
        form=form,
        action=f"{address}/edit",
        try_action=f"{address}/edit/test" if can_be_tried(source.kind) else "",
        button="Save",
        tried=tried,
    )
