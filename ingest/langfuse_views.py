"""The doors Langfuse's SDKs knock at, so that they work here by changing an address and a key.

Knows Langfuse's addresses and answers. Refuses what is no fact about traffic: prompts, data sets
and media are not served here.
"""

from __future__ import annotations

from functools import partial

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from ingest import failpoints, privacy, store
from ingest.models import Project, Source
from ingest.sources import langfuse_ingestion
from ingest.sources.langfuse_ingestion import Batch, Outcome
from ingest.sources.otlp import JSON, Otlp
from ingest.store.counting import project_of
from ingest.views import Refusal, keeps_text, pushed, read_body, require_type

SPEAKS = "3.0.0"
"""The version of Langfuse's interface that is answered here, for clients that ask."""


def said(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    """A refusal as Langfuse's SDKs log it."""
    return JsonResponse({"message": refusal.detail, "error": "RefusedByBreakeven"})


def health(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "OK", "version": SPEAKS})


@pushed(Otlp.scope, said, method="GET")
def projects(request: HttpRequest, source: Source) -> HttpResponse:
    """The project of a key: how the SDKs check that theirs is good."""
    project = source.project or Project.objects.unallocated()
    told = {
        "id": project.slug,
        "name": project.name,
        "organization": {"id": "breakeven", "name": "Breakeven"},
        "metadata": {},
    }
    return JsonResponse({"data": [told]})


@pushed(Otlp.scope, said)
def ingestion(request: HttpRequest, source: Source) -> HttpResponse:
    """A batch of events; answers what became of each, once all of it is committed."""
    require_type(request, (JSON,), "Events are taken as application/json.")
    key = privacy.project_key(project_of(source))
    batch = langfuse_ingestion.decode(read_body(request), key=key, keeps_text=keeps_text(source))
    failpoints.hit("push.decoded")
    if batch.parts or batch.rejects:
        whole = partial(langfuse_ingestion.whole, key=key)
        taken = store.parts.take(source, batch.parts, batch.rejects, whole)
        batch.blame(taken.problems)
    if batch.scores:
        store.scores(source, batch.scores)
    answer = {
        "successes": [
            {"id": one.id, "status": one.status} for one in batch.outcomes if one.is_good
        ],
        "errors": [
            {"id": one.id, "status": one.status, "message": one.message, "error": one.message}
            for one in batch.outcomes
            if not one.is_good
        ],
    }
    return JsonResponse(answer, status=207)


@pushed(Otlp.scope, said)
def scores(request: HttpRequest, source: Source) -> HttpResponse:
    """One score, or an array of them."""
    require_type(request, (JSON,), "Scores are taken as application/json.")
    batch, is_array = langfuse_ingestion.decode_scores(read_body(request), now=timezone.now())
    store.scores(source, batch.scores, batch.rejects)
    return _many(batch) if is_array else _one(batch.outcomes[0])


def _one(outcome: Outcome) -> HttpResponse:
    if not outcome.is_good:
        raise Refusal(outcome.status, outcome.message)
    return JsonResponse({"id": outcome.id})


def _many(batch: Batch) -> HttpResponse:
    bad = [outcome for outcome in batch.outcomes if not outcome.is_good]
    if not bad:
        return JsonResponse({"message": "Accepted"}, status=202)
    answer = {
        "accepted": len(batch.outcomes) - len(bad),
        "rejected": len(bad),
        "errors": [{"id": outcome.id, "message": outcome.message} for outcome in bad],
    }
    return JsonResponse(answer, status=207)
