"""A whole body → records, evaluations and rejects."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.parts import Part, Stamp
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord

from . import spans
from .attributes import attribute
from .bad import BadSpan
from .bodies import PROTOBUF, groups

LANGFUSE = "langfuse-sdk"
"""The instrumentation scope of Langfuse's own SDKs."""


@dataclass(slots=True)
class Decoded:
    spans: list[SpanRecord] = field(default_factory=list)
    scores: list[ScoreRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    traces: list[Part] = field(default_factory=list)
    """What spans of Langfuse's SDKs say of their traces: the third SDK says it at one of them."""


def decode(
    body: bytes, *, key: ProjectKey, keeps_text: bool = False, encoding: str = PROTOBUF
) -> Decoded:
    """Every span of an ExportTraceServiceRequest, as a record or as a reject. Raises BadBody."""
    decoded = Decoded()
    for group in groups(body, encoding, decoded.rejects):
        service = attribute(group.resource, "service.name")
        is_langfuse = group.scope == LANGFUSE
        for span in group.spans:
            try:
                record = spans.record(span, service, key, keeps_text, decoded.scores)
            except BadSpan as bad:
                decoded.rejects.append(spans.reject(span, bad, service, group.scope))
                continue
            decoded.spans.append(record)
            if is_langfuse:
                decoded.traces.append(_of_trace(record))
    return decoded


def _of_trace(record: SpanRecord) -> Part:
    said = {"userId": record.user_id, "sessionId": record.session_id}
    known = {name: value for name, value in said.items() if value}
    stamp = Stamp(record.version, 0, record.span_id)
    return Part("trace", record.trace_id, record.trace_id, known, stamp)
