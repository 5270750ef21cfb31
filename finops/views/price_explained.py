"""How a price comes about: the page that says it for one request's provider, model and moment."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from finops import access
from finops.price_term_forms import ExplainForm
from finops.queries.price_explained import Explained, explain, pinned_book
from finops.queries.prices import price_book
from finops.queries.traffic import SpanRow
from finops.templatetags import words
from ingest.records import TOKEN_CLASSES

from .page import Action, View, needs, page
from .price_terms_tables import explained_table
from .tables import csv_response

PROMPT_CLASSES = tuple(
    name for name in TOKEN_CLASSES if name not in ("output", "reasoning", "audio_output")
)
NAMES = ("provider", "model", "tier", "prompt_tokens", "project", "at", "version")


@needs("finops.view_spend")
@require_safe
def show(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    asked = any(view.extra.get(name) for name in NAMES)
    form = ExplainForm(request.user, view.extra if asked else None)
    found = explained(request, form) if asked and form.is_valid() else None
    query = urlencode({name: view.extra[name] for name in NAMES if view.extra.get(name)})
    own = f"{reverse('finops:price-explained-csv')}?{query}"
    return page(
        view,
        "finops/price_explained.html",
        "How a price comes about",
        lead="The list, prices of your own, the region and the contract, for one request.",
        crumbs=(("Prices", view.to("prices")),),
        actions=[Action("CSV", own, "download", download=True)] if found and found.prices else [],
        with_bar=False,
        status=422 if asked and not found else 200,
        form=form,
        found=found,
        facts=facts_of(found) if found else (),
        prices=explained_table(found) if found else None,
    )


@needs("finops.view_spend")
@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    view = View.of(request, *NAMES)
    form = ExplainForm(request.user, view.extra)
    if not form.is_valid():
        raise Http404("Name a provider and a model.")
    return csv_response(explained_table(explained(request, form)), "price-explained.csv")


def explained(request: HttpRequest, form: ExplainForm) -> Explained:
    """With the version that the project's hour is pinned to, unless another one is asked for."""
    given: dict[str, Any] = form.cleaned_data
    at = form.moment()
    project = next(
        (one for one in access.visible_projects(request.user).all if one.slug == given["project"]),
        None,
    )
    version = given["version"]
    book = price_book(version) if version else pinned_book(project, at) or price_book()
    if version and book is None:
        raise Http404("There is no such version of the price book.")
    return explain(
        book,
        project,
        given["provider"],
        given["model"],
        tier=given["tier"],
        prompt_tokens=given["prompt_tokens"] or 0,
        at=at,
    )


def explained_action(request: HttpRequest, row: SpanRow) -> Action | None:
    """From a request to the prices that it was costed with."""
    if row.cost is None or not access.anywhere(request.user, "finops.view_spend"):
        return None
    slugs = {one.pk: one.slug for one in access.visible_projects(request.user).all}
    asked = {
        "provider": row.provider,
        "model": row.model,
        "tier": row.tier,
        "prompt_tokens": sum(row.tokens[name] or 0 for name in PROMPT_CLASSES),
        "project": slugs[row.project_id],
        "at": f"{words.local(row.started_at):%Y-%m-%dT%H:%M}",
    }
    address = f"{reverse('finops:price-explained')}?{urlencode(asked)}"
    return Action("How its price comes about", address, "prices")


def facts_of(found: Explained) -> list[tuple[str, str]]:
    book = f"Version {found.book.version}, {found.book.source}" if found.book else "none"
    step = f"Over {found.input_over:,} tokens" if found.input_over else "Any"
    return [
        ("Priced as", f"{found.provider} {found.model}"),
        ("Tier", found.tier),
        ("Prompt size", step),
        ("Quarter hour", words.when_text(found.at)),
        ("Bought in", found.region or "no region is entered"),
        ("Price book", book),
    ]
