"""OpenTelemetry traces: an OTLP protobuf body → spans, evaluations and rejects.

Knows the wire format and how to read each name of `vocabulary`. Refuses to let prompt text through
unless the project keeps text, and refuses to guess: what a span does not say stays unknown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest import privacy, quarantine
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import vocabulary
from ingest.sources.base import BadBody, BodyTooLarge, PushSource
from ingest.sources.usage import EXCLUSIVE, Usage, disjoint

MAX_SPANS = 20_000
"""A collector sends a few thousand at once; a body of nothing but empty spans holds a million."""
MAX_ATTRIBUTES = 32
MAX_NAME_CHARS = 200
MAX_KEPT_TEXT_CHARS = 100_000
MAX_LIST_ITEMS = 16
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ERROR = 2
"""STATUS_CODE_ERROR"""
DROPPED = "breakeven.dropped_attributes"


class Otlp(PushSource):
    kind = "otlp"
    label = "OpenTelemetry traces"
    help = (
        "Point an OpenTelemetry exporter (http/protobuf) at this address with a push token:"
        " OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=…/v1/traces."
    )
    path = "/v1/traces"
    scope = "traces:write"


@dataclass(slots=True)
class Decoded:
    spans: list[SpanRecord] = field(default_factory=list)
    scores: list[ScoreRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


class BadSpan(ValueError):
    """One span that cannot be taken; its neighbours can."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field
        self.detail = detail


def decode(body: bytes, *, key: ProjectKey, keeps_text: bool = False) -> Decoded:
    """Every span of an ExportTraceServiceRequest, as a record or as a reject."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BadBody(
            "The body is no OTLP trace request in protobuf, or it was cut off; send it again whole."
        ) from None
    span_count = sum(
        len(scope_spans.spans)
        for resource_spans in request.resource_spans
        for scope_spans in resource_spans.scope_spans
    )
    if span_count > MAX_SPANS:
        raise BodyTooLarge(f"{span_count:,} spans in one body; send at most {MAX_SPANS:,}.")
    decoded = Decoded()
    for resource_spans in request.resource_spans:
        service = _service(resource_spans.resource.attributes)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                try:
                    decoded.spans.append(_record(span, service, key, keeps_text, decoded.scores))
                except BadSpan as bad:
                    decoded.rejects.append(_reject(span, bad))
    return decoded


# ---- one span -------------------------------------------------------------------------------


class Found(NamedTuple):
    """What a span says under any of the names of `vocabulary.ALIASES`; None where it is silent."""

    operation: str | None = None
    span_kind: str | None = None
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    tier: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    error_type: str | None = None
    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    ttft_s: float | None = None
    cost_usd: float | None = None
    langfuse_usage: str | None = None
    langfuse_cost: str | None = None
    langfuse_first_token_at: str | None = None


@dataclass(slots=True)
class Told:
    """What a span's events say."""

    error_type: str = ""
    first_token_ns: int = 0


_NOTHING_TOLD = Told()


@dataclass(slots=True)
class _Seen:
    """What one walk over a span's attributes and events has gathered."""

    values: list[Any] = field(default_factory=lambda: [None] * len(Found._fields))
    """In the order of `Found`."""
    spares: list[tuple[int, int, Any]] = field(default_factory=list)
    """(rank, place in `values`, value) under second names: used where the first name is silent."""
    prompts: list[tuple[int, int, str]] = field(default_factory=list)
    answers: list[tuple[int, int, str]] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)
    dropped: int = 0

    def found(self) -> Found:
        values = self.values
        if self.spares:
            self.spares.sort(key=itemgetter(0))
            for _, place, value in self.spares:
                if values[place] is None:
                    values[place] = value
        return Found(*values)


def _record(
    span: Any, service: str, key: ProjectKey, keeps_text: bool, scores: list[ScoreRecord]
) -> SpanRecord:
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    if len(trace_id) != 32 or len(span_id) != 16:
        detail = "A trace id has 16 bytes and a span id has 8; use an OpenTelemetry SDK's own ids."
        raise BadSpan("bad_id", "trace_id", detail)
    started_ns, ended_ns = span.start_time_unix_nano, span.end_time_unix_nano
    if not started_ns:
        raise BadSpan("missing_start", "start_time_unix_nano", "A span needs its start time.")

    seen = _Seen(dropped=span.dropped_attributes_count)
    _walk(span.attributes, seen, keeps_text)
    events = span.events
    told = _read_events(span, seen, keeps_text, scores) if len(events) else _NOTHING_TOLD
    found = seen.found()
    provider = vocabulary.provider(found.provider or "")
    request_model = found.request_model or ""
    usage = _usage(found)
    prompt = _joined(seen.prompts)
    mark = privacy.prompt(prompt, key) if prompt else None
    if seen.dropped:
        seen.labels[DROPPED] = seen.dropped
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        started_at=_time(started_ns),
        ended_at=_time(ended_ns) if ended_ns else None,
        parent_span_id=span.parent_span_id.hex(),
        external_id=span_id,
        version=(ended_ns or started_ns) // 1000,
        kind=_kind(found, provider, usage),
        name=_clean(span.name),
        service=service,
        provider=provider,
        model=found.model or request_model,
        request_model=request_model,
        tier=vocabulary.tier(found.tier or ""),
        status="error" if span.status.code == ERROR else "ok",
        error_type=found.error_type or told.error_type,
        user_id=found.user_id or "",
        session_id=found.session_id or "",
        ttft_ms=_ttft_ms(found, told, started_ns),
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
        source_cost_usd=_cost(found),
        prompt_hash=mark.prompt if mark else None,
        prefix_hashes=mark.prefixes if mark else None,
        input_chars=len(prompt) if mark else None,
        output_chars=_length(seen.answers),
        attributes=seen.labels or None,
    )


def _time(nanoseconds: int) -> datetime:
    # Whole numbers all the way: a float of today's epoch cannot hold a microsecond exactly.
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return EPOCH + timedelta(0, seconds, rest // 1000)


def _clean(text: str) -> str:
    """PostgreSQL's text holds no NUL, and no name needs more than this."""
    if len(text) > MAX_NAME_CHARS:
        text = text[:MAX_NAME_CHARS]
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _service(attributes: Iterable[Any]) -> str:
    for pair in attributes:
        if pair.key == "service.name":
            return _clean(pair.value.string_value)
    return ""


def _kind(found: Found, provider: str, usage: Usage) -> str:
    said = found.operation or found.span_kind
    kind = vocabulary.KINDS.get(said.lower(), "") if said else ""
    has_usage = usage.input is not None or usage.output is not None
    if not kind and (has_usage or found.model or found.request_model):
        kind = "llm"
    if kind == "llm" and not has_usage and provider in vocabulary.MODEL_SERVERS:
        return "inference"
    return kind or "span"


# ---- attributes -----------------------------------------------------------------------------


def _walk(attributes: Iterable[Any], seen: _Seen, keeps_text: bool) -> None:
    """One pass: each attribute is a value we know, text to fingerprint, or a label to keep.

    This loop is most of what a span costs, hence the two usual types read without a call.
    """
    values = seen.values
    for pair in attributes:
        key = pair.key
        known = _KNOWN.get(key)
        if known is None:
            _note_other(key, pair.value, seen, keeps_text)
            continue
        place, rank, read = known
        value: Any
        if read is _read_text:
            value = pair.value.string_value
            if not value or len(value) > MAX_NAME_CHARS or "\0" in value:
                value = _read_text(key, pair.value)
        elif read is _read_count:
            value = pair.value.int_value
            if value <= 0:
                value = _read_count(key, pair.value)
        else:
            value = read(key, pair.value)
        if rank == 0:
            values[place] = value
        elif value is not None:
            seen.spares.append((rank, place, value))


def _note_other(key: str, value: Any, seen: _Seen, keeps_text: bool) -> None:
    role, rank, index = _role(key)
    text = value.string_value
    if text and role is not _LABEL:
        if role is _PROMPT:
            seen.prompts.append((rank, index, text))
        elif role is _ANSWER:
            seen.answers.append((rank, index, text))
        if not keeps_text:
            return
        seen.labels[_clean(key)] = text[:MAX_KEPT_TEXT_CHARS].replace("\0", "\ufffd")
        return
    label = _label(value, keeps_text)
    if label is None or len(seen.labels) >= MAX_ATTRIBUTES or len(key) > MAX_NAME_CHARS:
        seen.dropped += 1
    else:
        seen.labels[_clean(key)] = label


_PROMPT, _ANSWER, _TEXT, _LABEL = "prompt", "answer", "text", "label"


@lru_cache(maxsize=20_000)
def _role(key: str) -> tuple[str, int, int]:
    """(what a string under this name is, how good a place it is, the message's number)."""
    for role, places in ((_PROMPT, vocabulary.PROMPTS), (_ANSWER, vocabulary.ANSWERS)):
        for rank, names in enumerate(places):
            for order, name in enumerate(names):
                if key == name:
                    return role, rank, order
                if name.endswith(".") and key.startswith(name):
                    number = key[len(name) :].partition(".")[0]
                    if number.isascii() and number.isdigit():
                        return role, rank, int(number[:9])
    return (_TEXT if privacy.names_text(key) else _LABEL), 0, 0


def _label(value: Any, keeps_text: bool) -> Any:
    """A small value worth keeping as it is, or None."""
    which = value.WhichOneof("value")
    if which == "string_value":
        text = value.string_value
        if len(text) > privacy.LONGEST_LABEL or not (
            keeps_text or not privacy.looks_like_text(text)
        ):
            return None
        return text.replace("\0", "\ufffd")
    if which in ("int_value", "bool_value"):
        return getattr(value, which)
    if which == "double_value":
        # JSON has no word for NaN and infinity.
        return value.double_value if math.isfinite(value.double_value) else None
    if which == "array_value":
        items = value.array_value.values
        if len(items) > MAX_LIST_ITEMS:
            return None
        labels = [_label(item, keeps_text) for item in items if item.WhichOneof("value") in _PLAIN]
        return labels if len(labels) == len(items) and None not in labels else None
    return None


_PLAIN = frozenset({"string_value", "int_value", "bool_value", "double_value"})


def _read_text(key: str, value: Any) -> str | None:
    text = value.string_value
    if text:
        return _clean(text)
    which = value.WhichOneof("value")
    # An id that its sender took for a number is still an id.
    return str(value.int_value) if which == "int_value" else None


def _read_document(key: str, value: Any) -> str | None:
    return value.string_value or None


def _read_count(key: str, value: Any) -> int | None:
    which = value.WhichOneof("value")
    if which == "int_value" and value.int_value >= 0:
        return int(value.int_value)
    if which is None or (which == "string_value" and not value.string_value):
        return None
    told = getattr(value, which)
    if which == "double_value" and told >= 0 and told.is_integer():
        return int(told)
    if which == "string_value" and told.isascii() and told.isdigit() and len(told) < 20:
        return int(told)
    shown = told if which in ("int_value", "double_value") else f"a {which.removesuffix('_value')}"
    raise BadSpan("bad_tokens", key, f"Says {shown}; send a whole number of tokens from 0.")


def _read_number(key: str, value: Any) -> float | None:
    which = value.WhichOneof("value")
    if which == "double_value":
        return float(value.double_value)
    return float(value.int_value) if which == "int_value" else None


def _known() -> dict[str, tuple[int, int, Callable[[str, Any], Any]]]:
    """Attribute name → (place in `Found`, rank among the names for it, how to read it)."""

    def reader(name: str) -> Callable[[str, Any], Any]:
        if name in vocabulary.COUNTS:
            return _read_count
        if name in vocabulary.NUMBERS:
            return _read_number
        return _read_document if name.startswith("langfuse_") else _read_text

    return {
        alias: (Found._fields.index(name), rank, reader(name))
        for name, aliases in vocabulary.ALIASES.items()
        for rank, alias in enumerate(aliases)
    }


_KNOWN = _known()


# ---- usage, cost, time to first token ---------------------------------------------------------


def _usage(found: Found) -> Usage:
    if found.langfuse_usage is not None:
        return _langfuse_usage(found.langfuse_usage)
    return disjoint(
        found.input,
        found.output,
        total=found.total,
        cache_read=found.cache_read,
        cache_write_5m=found.cache_write_5m,
        reasoning=found.reasoning,
        audio_input=found.audio_input,
        audio_output=found.audio_output,
    )


def _langfuse_usage(text: str) -> Usage:
    """Langfuse's SDK sends its details as JSON in a string, already disjoint."""
    name = "langfuse.observation.usage_details"
    counts: dict[str, int] = {}
    for key, count in _json_object(name, text).items():
        ours = vocabulary.LANGFUSE_USAGE.get(key)
        if ours is None or count is None:
            continue
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            detail = f"{key} must be a whole number from 0; send it so or leave it out."
            raise BadSpan("bad_tokens", name, detail)
        counts[ours] = counts.get(ours, 0) + count
    return Usage(**counts, convention=EXCLUSIVE)


def _cost(found: Found) -> Decimal | None:
    cost: Any = found.cost_usd
    if found.langfuse_cost is not None:
        details = _json_object("langfuse.observation.cost_details", found.langfuse_cost, Decimal)
        cost = details.get("total", cost)
    if cost is None or isinstance(cost, bool | list | dict):
        return None
    try:
        # repr: the shortest decimal that means this float, as its sender wrote it.
        return Decimal(repr(cost) if isinstance(cost, float) else str(cost))
    except InvalidOperation:
        return None


def _json_object(name: str, text: str, number: Callable[[str], Any] = float) -> dict[str, Any]:
    try:
        plain = json.loads(text, parse_float=number)
    except (ValueError, RecursionError):
        plain = None
    if not isinstance(plain, dict):
        raise BadSpan("bad_json", name, "Must be a JSON object in a string.")
    return plain


def _ttft_ms(found: Found, told: Told, started_ns: int) -> float | None:
    if found.ttft_s is not None:
        return found.ttft_s * 1000
    if found.langfuse_first_token_at is not None:
        return _langfuse_ttft_ms(found.langfuse_first_token_at, started_ns)
    return (told.first_token_ns - started_ns) / 1e6 if told.first_token_ns else None


def _langfuse_ttft_ms(text: str, started_ns: int) -> float:
    try:
        moment = datetime.fromisoformat(text.strip('"'))
    except ValueError:
        detail = "Must be a time such as 2026-05-01T12:00:00.000Z."
        raise BadSpan("bad_time", "langfuse.observation.completion_start_time", detail) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - _time(started_ns)) / timedelta(milliseconds=1)


# ---- text -------------------------------------------------------------------------------------

_place = itemgetter(0, 1)


def _best(parts: list[tuple[int, int, str]]) -> list[str]:
    """The messages of the best place, in order."""
    if len(parts) > 1:
        parts.sort(key=_place)
    return [text for rank, _, text in parts if rank == parts[0][0]]


def _joined(parts: list[tuple[int, int, str]]) -> str:
    return "\n".join(_best(parts)) if parts else ""


def _length(parts: list[tuple[int, int, str]]) -> int | None:
    return sum(map(len, _best(parts))) if parts else None


# ---- events -----------------------------------------------------------------------------------


def _read_events(span: Any, seen: _Seen, keeps_text: bool, scores: list[ScoreRecord]) -> Told:
    told = Told()
    for event in span.events:
        name = event.name
        if name in vocabulary.FIRST_TOKEN_EVENTS:
            at = event.time_unix_nano
            if at >= span.start_time_unix_nano:
                told.first_token_ns = min(told.first_token_ns or at, at)
        elif name == "exception":
            told.error_type = told.error_type or _attribute(event, "exception.type")
        elif name == vocabulary.EVALUATION_EVENT:
            scores.append(_score(span, event))
        elif name in vocabulary.TEXT_EVENTS:
            _walk(event.attributes, seen, keeps_text)
    return told


def _attribute(event: Any, key: str) -> str:
    for pair in event.attributes:
        if pair.key == key:
            return _clean(pair.value.string_value)
    return ""


def _score(span: Any, event: Any) -> ScoreRecord:
    """OpenTelemetry's evaluation event. A number tells more than its label, so it is preferred."""
    prefix = "gen_ai.evaluation."
    told = {pair.key.removeprefix(prefix): pair.value for pair in event.attributes}
    name = _clean(told["name"].string_value) if "name" in told else ""
    number = _read_number("", told["score.value"]) if "score.value" in told else None
    label = _clean(told["score.label"].string_value) if "score.label" in told else None
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    return ScoreRecord(
        external_id=f"{trace_id}/{span_id}/{name}/{event.time_unix_nano}",
        trace_id=trace_id,
        span_id=span_id,
        name=name,
        at=_time(event.time_unix_nano),
        number=number,
        label=label if number is None else None,
        version=event.time_unix_nano // 1000,
    )


# ---- rejects ----------------------------------------------------------------------------------


def _reject(span: Any, bad: BadSpan) -> Reject:
    row: dict[str, Any] = {
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
    }
    for pair in span.attributes[:MAX_ATTRIBUTES]:
        which = pair.value.WhichOneof("value")
        row[pair.key] = getattr(pair.value, which) if which in _PLAIN else which
    return Reject(
        bad.reason,
        bad.field,
        bad.detail,
        external_id=f"{row['trace_id']}/{row['span_id']}",
        payload=quarantine.payload(row),
    )
