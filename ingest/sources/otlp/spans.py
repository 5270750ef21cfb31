"""One span of OTLP → one record."""

from __future__ import annotations

from dataclasses import MISSING, fields, make_dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING, Any

from ingest import privacy
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import vocabulary
from ingest.sources.usage import Usage

from . import events, measures, text
from .attributes import DROPPED, MAX_ATTRIBUTES, PLAIN, Found, Seen, clean, unpack, walk
from .bad import BadSpan

ERROR = 2
"""STATUS_CODE_ERROR"""

if TYPE_CHECKING:
    Draft = SpanRecord
else:
    # Filling a frozen record of fifty fields is half of what a span costs: each field goes through
    # object.__setattr__. A draft has the same slots and is frozen, by its class, once it is full.
    Draft = make_dataclass(
        "Draft",
        [
            (one.name, one.type, dataclass_field(default=one.default))
            if one.default is not MISSING
            else (one.name, one.type)
            for one in fields(SpanRecord)
        ],
        slots=True,
    )


def record(
    span: Any, service: str, key: ProjectKey, keeps_text: bool, scores: list[ScoreRecord]
) -> SpanRecord:
    """Raises BadSpan."""
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    if len(trace_id) != 32 or len(span_id) != 16:
        detail = "A trace id has 16 bytes and a span id has 8; use an OpenTelemetry SDK's own ids."
        raise BadSpan("bad_id", "trace_id", detail)
    started_ns, ended_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not started_ns:
        raise BadSpan("missing_start", "start_time_unix_nano", "A span needs its start time.")

    seen = Seen()
    walk(span.attributes, seen, keeps_text)
    told = events.read(span, seen, keeps_text, scores) if len(span.events) else events.NOTHING
    found = seen.found()
    provider = vocabulary.provider(found.provider) if found.provider else ""
    request_model = found.request_model or ""
    usage = measures.usage(found, seen)
    prompt = text.joined(seen.prompts)
    mark = privacy.prompt(prompt, key) if prompt else None
    seen.dropped += span.dropped_attributes_count
    if seen.dropped:
        seen.labels[DROPPED] = seen.dropped
    draft = Draft(
        trace_id=trace_id,
        span_id=span_id,
        started_at=measures.time(started_ns),
        ended_at=measures.time(ended_ns) if ended_ns else None,
        parent_span_id=span.parent_span_id.hex(),
        external_id=span_id,
        version=(ended_ns or started_ns) // 1000,
        kind=_kind(found, provider, usage),
        name=clean(span.name),
        service=service,
        provider=provider,
        model=found.model or request_model,
        request_model=request_model,
        tier=vocabulary.tier(found.tier) if found.tier else "standard",
        status="error" if span.status.code == ERROR else "ok",
        error_type=found.error_type or told.error_type,
        user_id=found.user_id or "",
        session_id=found.session_id or "",
        ttft_ms=measures.ttft_ms(found, told.first_token_ns, started_ns),
        input_tokens=usage.input,
        cache_read_tokens=usage.cache_read,
        cache_write_5m_tokens=usage.cache_write_5m,
        cache_write_1h_tokens=usage.cache_write_1h,
        output_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        audio_input_tokens=usage.audio_input,
        audio_output_tokens=usage.audio_output,
        image_input_tokens=usage.image_input,
        usage_convention=usage.convention,
        raw_usage=measures.raw_usage(found, seen),
        source_cost_usd=measures.cost(found),
        prompt_hash=mark.prompt if mark else None,
        prefix_hashes=mark.prefixes if mark else None,
        parameters_hash=_parameters_hash(seen.parameters, key) if seen.parameters else None,
        prompt_signature=mark.signature if mark else None,
        removable_chars=mark.removable_chars if mark else None,
        input_chars=len(prompt) if mark else None,
        output_chars=text.length(seen.answers),
        texts=seen.texts or None,
        attributes=seen.labels or None,
    )
    draft.__class__ = SpanRecord
    return draft


_hashes: dict[tuple[bytes, bytes, str], bytes | None] = {}
MOST_HASHES = 2_000
LONGEST_PARAMETERS = 500
"""Most calls of an application are drawn alike, and to hash is a fifth of what a span costs."""


def _parameters_hash(parameters: dict[str, Any], key: ProjectKey) -> bytes | None:
    said = repr(parameters)
    if len(said) > LONGEST_PARAMETERS:
        return privacy.parameters_hash(parameters, key)
    known = (key.id, key.secret, said)
    if known not in _hashes:
        if len(_hashes) >= MOST_HASHES:
            _hashes.clear()
        _hashes[known] = privacy.parameters_hash(parameters, key)
    return _hashes[known]


def _kind(found: Found, provider: str, usage: Usage) -> str:
    said = found.operation or found.span_kind
    kind = vocabulary.KINDS.get(said.lower(), "") if said else ""
    has_usage = usage.input is not None or usage.output is not None
    if not kind and (has_usage or found.model or found.request_model):
        kind = "llm"
    if kind == "llm" and not has_usage and provider in vocabulary.MODEL_SERVERS:
        return "inference"
    return kind or "span"


def reject(span: Any, bad: BadSpan) -> Reject:
    row: dict[str, Any] = {
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
    }
    for packed in span.attributes[:MAX_ATTRIBUTES]:
        try:
            pair = unpack(packed)
        except BadSpan:
            continue  # it is why the span is refused
        which = pair.value.WhichOneof("value")
        row[pair.key] = getattr(pair.value, which) if which in PLAIN else which
    return bad.reject(row["trace_id"], row["span_id"], row)
