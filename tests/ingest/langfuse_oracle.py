"""Holds the database against what a Langfuse stub itself has: every row, token and cost."""

from __future__ import annotations

from decimal import Decimal

from ingest.models import Score, Source, Span
from ingest.sources.langfuse_usage import tokens
from tests.ingest.sources.langfuse_stub import Observation, Stub

TOKENS = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")


def compare(source: Source, stub: Stub) -> None:
    """Equal as sets of whole rows, so that nothing is lost and nothing is there twice."""
    kept = Span.objects.filter(project_id=source.project_id)
    columns = ("span_id", "trace_id", "started_at", "model", "user_id", *TOKENS, "source_cost_usd")
    assert sorted(kept.values_list(*columns)) == sorted(
        expected(stub, one) for one in stub.observations.values()
    )
    scores = Score.objects.filter(source_id=source.pk)
    assert sorted(scores.values_list("external_id", "trace_id", "at", "number")) == sorted(
        (one.id, one.trace_id, one.at, one.value) for one in stub.scores.values()
    )


def expected(stub: Stub, one: Observation) -> tuple:
    usage, _ = tokens({"usageDetails": one.usage})
    trace = stub.traces.get(one.trace_id)
    return (
        one.id,
        one.trace_id,
        one.started_at,
        one.model,
        trace.user if trace and trace.user else "",
        usage.input,
        usage.cache_read,
        usage.output,
        usage.reasoning,
        one.cost and Decimal(one.cost),
    )
