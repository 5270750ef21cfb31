"""Counts what an OTLP batch says, from the very bytes that are sent.

Pure: bytes in, sums out. Knows OTLP and the GenAI attributes the load generator writes; refuses
to guess at anything it did not find. Token counts are OpenTelemetry's: `input_tokens` includes
the cached ones, which `cache_read_tokens` names once more.
"""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

FIELDS = ("spans", "errors", "input_tokens", "cache_read_tokens", "output_tokens", "evaluations")

Key = tuple[str, str, str]
"""Service, provider, model."""

Tally = dict[Key, Counter[str]]

TOKEN_ATTRIBUTES = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}
EVALUATION_EVENT = "gen_ai.evaluation.result"


def of_batch(body: bytes) -> Tally:
    """What one gzipped OTLP export request holds, by (service, provider, model)."""
    tally: Tally = {}
    request = ExportTraceServiceRequest.FromString(gzip.decompress(body))
    for resource_spans in request.resource_spans:
        service = _plain(resource_spans.resource.attributes).get("service.name", "")
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                attributes = _plain(span.attributes)
                provider = attributes.get("gen_ai.provider.name", "")
                key = (service, provider, attributes.get("gen_ai.request.model", ""))
                tally.setdefault(key, Counter()).update(_of_span(span, attributes))
    return tally


def _of_span(span: Any, attributes: dict[str, Any]) -> dict[str, int]:
    tokens = {field: attributes.get(name, 0) for field, name in TOKEN_ATTRIBUTES.items()}
    return {
        "spans": 1,
        "errors": int(span.status.code == Status.STATUS_CODE_ERROR),
        "evaluations": sum(event.name == EVALUATION_EVENT for event in span.events),
        **tokens,
    }


def _plain(attributes: Iterable[Any]) -> dict[str, Any]:
    """Attribute values as Python's; only the kinds the generator writes."""
    return {
        one.key: getattr(one.value, kind)
        for one in attributes
        if (kind := one.value.WhichOneof("value"))
    }


def add(into: Tally, more: Tally) -> None:
    for key, counts in more.items():
        into.setdefault(key, Counter()).update(counts)


def total(tally: Tally) -> Counter[str]:
    whole: Counter[str] = Counter()
    for counts in tally.values():
        whole.update(counts)
    return whole


def as_rows(tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "service": service,
            "provider": provider,
            "model": model,
            **{field: tally[service, provider, model][field] for field in FIELDS},
        }
        for service, provider, model in sorted(tally)
    ]


def from_rows(rows: Iterable[dict[str, Any]]) -> Tally:
    return {
        (row["service"], row["provider"], row["model"]): Counter(
            {field: row[field] for field in FIELDS}
        )
        for row in rows
    }
