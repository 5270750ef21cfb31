"""One span of OTLP → one record."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingest import privacy
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import vocabulary
from ingest.sources.usage import Usage

from . import events, kept, measures, text
from .attributes import DROPPED, Found, Seen, clean, walk
from .bad import BadSpan

ERROR = 2
"""STATUS_CODE_ERROR"""

if TYPE_CHECKING:
    Draft = Any
else:
    # Filling a frozen record of fifty fields is half of what a span costs: each goes through
    # object.__setattr__, after its name was looked for among the parameters. A draft has the same
    # slots, is filled field by field, and is frozen, by its class, once it is full.
    Draft = type("Draft", (), {"__slots__": SpanRecord.__slots__})


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
    provider = found.provider or ""
    request_model = found.request_model or ""
    usage = measures.usage(found, seen)
    seen.dropped += span.dropped_attributes_count
    if seen.dropped:
        seen.labels[DROPPED] = seen.dropped
    draft = Draft()
    draft.trace_id = trace_id
    draft.span_id = span_id
    draft.started_at = measures.time(started_ns)
    draft.ended_at = measures.time(ended_ns) if ended_ns else None
    draft.parent_span_id = span.parent_span_id.hex()
    draft.external_id = span_id
    draft.version = (ended_ns or started_ns) // 1000
    draft.kind = _kind(found, provider, usage)
    draft.name = clean(span.name)
    draft.service = service
    draft.provider = provider
    draft.model = found.model or request_model
    draft.request_model = request_model
    draft.tier = found.tier or "standard"
    draft.status = "error" if span.status.code == ERROR else "ok"
    draft.error_type = found.error_type or told.error_type
    draft.user_id = found.user_id or ""
    draft.session_id = found.session_id or ""
    draft.ttft_ms = measures.ttft_ms(found, told.first_token_ns, started_ns)
    draft.input_tokens = usage.input
    draft.cache_read_tokens = usage.cache_read
    draft.cache_write_5m_tokens = usage.cache_write_5m
    draft.cache_write_1h_tokens = usage.cache_write_1h
    draft.output_tokens = usage.output
    draft.reasoning_tokens = usage.reasoning
    draft.audio_input_tokens = usage.audio_input
    draft.audio_output_tokens = usage.audio_output
    draft.image_input_tokens = usage.image_input
    draft.usage_convention = usage.convention
    draft.raw_usage = measures.raw_usage(found, seen)
    draft.source_cost_usd = measures.cost(found)
    draft.parameters_hash = _parameters_hash(seen.parameters, key) if seen.parameters else None
    _mark_prompt(draft, text.joined(seen.prompts), key)
    draft.output_chars = text.length(seen.answers)
    draft.texts = seen.texts or None
    draft.attributes = seen.labels or None
    draft.__class__ = SpanRecord
    made: SpanRecord = draft
    return made


def _mark_prompt(draft: Draft, prompt: str, key: ProjectKey) -> None:
    if prompt:
        mark = privacy.prompt(prompt, key)
        draft.prompt_hash = mark.prompt
        draft.prefix_hashes = mark.prefixes
        draft.prompt_signature = mark.signature
        draft.removable_chars = mark.removable_chars
        draft.input_chars = len(prompt)
    else:
        draft.prompt_hash = draft.prefix_hashes = draft.prompt_signature = None
        draft.removable_chars = draft.input_chars = None


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


def reject(span: Any, bad: BadSpan, service: str, scope: str) -> Reject:
    row, form = kept.row_of(span, service, scope)
    return replace(bad.reject(row["trace_id"], row["span_id"], row), form=form)
