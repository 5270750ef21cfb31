"""Reading a source's past on demand: starting it, following it, stopping it."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from finops.actions import backfills
from finops.queries import sources as queries
from finops.source_forms import PastForm
from ingest import backfill
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import TracePullSource

from .connecting import demand, found
from .page import View, needs
from .sources import source_page
from .sources_past import past_context


@needs("finops.view_sources")
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, pk: int) -> HttpResponse:
    """How it goes, for the page that follows it; and the start of another one."""
    source = with_a_past(request, pk)
    if request.method == "POST":
        return start(request, source)
    if not request.htmx:
        return HttpResponseRedirect(reverse("finops:source", args=[pk]))
    may_manage = request.user.has_perm("finops.manage_sources")
    context = {**past_context(source), "may_manage": may_manage}
    return render(request, "finops/source_past.html", context)


def start(request: HttpRequest, source: Source) -> HttpResponse:
    demand(request, "finops.manage_sources")
    form = PastForm(request.POST)
    if form.is_valid():
        try:
            backfills.start(source, *form.range(), by=request.user, via="page")
        except backfill.Refused as refused:
            form.add_error(None, str(refused))
        else:
            messages.success(request, "The workers read these days now; you may leave this page.")
            return HttpResponseRedirect(reverse("finops:source", args=[source.pk]))
    view = View.of(request)
    return source_page(view, found(view, source.pk), status=422, past_form=form)


@needs("finops.manage_sources")
@require_POST
def stop(request: HttpRequest, pk: int, job: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    source = with_a_past(request, pk)
    if backfills.stop(source, job, by=request.user, via="page"):
        messages.success(request, "It is stopped. What it has read stays.")
    else:
        messages.info(request, "It had ended already; there was nothing to stop.")
    return HttpResponseRedirect(reverse("finops:source", args=[pk]))


def with_a_past(request: HttpRequest, pk: int) -> Source:
    source = queries.visible_source(request.user, pk)
    if source is None or not isinstance(REGISTRY.get(source.kind), TracePullSource):
        raise Http404("There is no such source with a past to read.")
    return source
