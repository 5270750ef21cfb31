"""Trying a connection out before anything is saved, and later as it stands.

Where a script runs, only the outcome comes back and what was typed stays in the form, secrets too.
Without one the whole page comes back, and a secret must be typed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.forms.forms import NON_FIELD_ERRORS
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_POST

from finops.actions import trying
from finops.actions.trying import Tried
from finops.source_forms import ConnectForm, SettingsForm
from ingest.sources import REGISTRY
from ingest.sources.base import PullSource, Source

from .connecting import demand, form_page, found
from .page import View, needs
from .sources import source_page


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a person reads: it works, or what to mend."""

    tone: str
    title: str
    sentences: tuple[str, ...]


@needs("finops.manage_sources")
@require_POST
def new(request: HttpRequest) -> HttpResponse:
    """The settings of the form; its name and its owner may still be missing."""
    demand(request, "finops.manage_sources")
    view = View.of(request, "kind")
    adapter = REGISTRY.get(view.extra.get("kind", ""))
    if not isinstance(adapter, PullSource):
        raise Http404("Nothing is fetched for a source of this kind.")
    form = ConnectForm(adapter, request.POST)

    def with_form(status: int, tried: Outcome) -> HttpResponse:
        return form_page(view, form, status=status, tried=tried)

    return answer_to_test(request, form, with_form)


def answer_to_test(
    request: HttpRequest, form: SettingsForm, with_form: Callable[[int, Outcome], HttpResponse]
) -> HttpResponse:
    """The outcome alone where a script asked, else the form's page with it."""
    adapter = form.adapter
    assert isinstance(adapter, PullSource)
    if form.settings_are_sound():
        tried = trying.settings(adapter, form.cleaned_data["config"], by=request.user, via="page")
        outcome = outcome_of(tried, adapter)
    else:
        outcome = Outcome("error", "Nothing was tested; mend this first.", errors_said(form))
    if request.htmx:
        return only(request, outcome)
    return with_form(422 if form.errors else 200, outcome)


@needs("finops.manage_sources")
@require_POST
def connected(request: HttpRequest, pk: int) -> HttpResponse:
    demand(request, "finops.manage_sources")
    view = View.of(request)
    row = found(view, pk)
    if not trying.can_be_tried(row.source.kind):
        raise Http404("Nothing is fetched for this source.")
    tried = trying.source(row.source, by=request.user, via="page")
    outcome = outcome_of(tried, REGISTRY[row.source.kind])
    return only(request, outcome) if request.htmx else source_page(view, row, tried=outcome)


def only(request: HttpRequest, outcome: Outcome) -> HttpResponse:
    response = render(request, "finops/source_tried.html", {"tried": outcome})
    patch_vary_headers(response, ["HX-Request"])
    return response


def outcome_of(tried: Tried, adapter: Source) -> Outcome:
    said = tried.said[:1].upper() + tried.said[1:]
    if tried.works:
        return Outcome("success", "It works. Nothing was saved.", (said,))
    if not tried.was_asked:
        return Outcome("warn", "Nothing was asked.", (said,))
    label = {setting.name: setting.label for setting in adapter.settings}.get(tried.setting)
    return Outcome("error", "It does not work yet.", (f"{label}: {said}" if label else said,))


def errors_said(form: SettingsForm) -> tuple[str, ...]:
    said = []
    for name, errors in form.errors.items():
        label = "" if name == NON_FIELD_ERRORS else f"{form[name].label}: "
        said += [f"{label}{error}" for error in errors]
    return tuple(said)
