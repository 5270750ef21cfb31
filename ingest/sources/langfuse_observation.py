"""One Langfuse observation or score, however it is spelt → a record.

Knows the JSON of Langfuse's read APIs (v1, v2, v3 of scores) and of the bodies its SDKs post for
ingestion. Refuses the network, and refuses to let prompt text through unless the project keeps
text. What a row does not say stays unknown: Langfuse's older API writes 0 where nothing was said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ingest import endings, privacy, quarantine
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import vocabulary
from ingest.sources.langfuse_fields import (
    BadRow,
    clean,
    decimal_of,
    identity,
    moment_of,
    must_be_object,
    number_of,
    object_of,
    storable,
    text_of,
    version_of,
)
from ingest.sources.langfuse_usage import Unreadable, tokens
from ingest.sources.usage import Usage, raw

__all__ = ["BadRow", "reject", "score", "span", "with_trace"]

MAX_LABELS = 32

EVENT, PART = "langfuse.event", "langfuse.part"
OBSERVATION, SCORE = "langfuse.observation", "langfuse.score"
"""The forms in which quarantine keeps what cannot be taken."""

LABELS = {
    # The attributes under which Langfuse's SDKs send the same things by OpenTelemetry.
    "environment": "langfuse.environment",
    "release": "langfuse.release",
    "version": "langfuse.version",
    "level": "langfuse.observation.level",
    "traceName": "langfuse.trace.name",
    "tags": "langfuse.trace.tags",
    "promptName": "langfuse.observation.prompt.name",
    "promptVersion": "langfuse.observation.prompt.version",
}
COUNTED = ("usageDetails", "usage", "promptTokens", "completionTokens", "totalTokens")
"""What is kept beside the counts that were read from it."""
PROVIDER_WORDS = (
    "gen_ai.provider.name",
    "gen_ai.system",
    "llm.provider",
    "ls_provider",
    "custom_llm_provider",
    "provider",
)
"""Langfuse has no field for the provider; these are where integrations leave it in metadata."""
SERVICE = "service.name"

_CLASS_OF_ERROR = re.compile(r"([A-Za-z_][\w.]{0,99})(?::|$)")


def span(observation: Mapping[str, Any], *, key: ProjectKey, keeps_text: bool) -> SpanRecord:
    """An observation, whichever API spelt it. Raises BadRow."""
    must_be_object(observation)
    span_id = identity(observation, "id")
    # Langfuse gives an observation that came without a trace a trace of its own.
    trace_id = identity(observation, "traceId") if observation.get("traceId") else span_id
    started = moment_of(observation, "startTime")
    if started is None:
        raise BadRow("missing_start", "startTime", "An observation needs its start time.")
    ended = moment_of(observation, "endTime")
    metadata = object_of(observation.get("metadata"))
    try:
        usage, other_counts = tokens(observation)
    except Unreadable as bad:
        raise BadRow("bad_tokens", bad.field, bad.detail) from None
    provider = vocabulary.provider(_deep(metadata, PROVIDER_WORDS))
    model = text_of(observation, "model", "providedModelName")
    prompt = _whole_text(observation.get("input"))
    answer = _whole_text(observation.get("output"))
    mark = privacy.prompt(prompt, key) if prompt else None
    parameters = object_of(observation.get("modelParameters"))
    is_error = observation.get("level") == "ERROR"
    return SpanRecord(
        trace_id=trace_id,
        span_id=span_id,
        started_at=started,
        ended_at=ended,
        parent_span_id=clean(observation.get("parentObservationId") or ""),
        external_id=span_id,
        version=version_of(observation, ended or started),
        kind=_kind(observation, model, provider, usage),
        name=text_of(observation, "name"),
        service=_deep(metadata, (SERVICE,)),
        provider=provider,
        model=model,
        tier=_tier(parameters),
        status="error" if is_error else "ok",
        error_type=_error_type(observation) if is_error else "",
        user_id=text_of(observation, "userId"),
        session_id=text_of(observation, "sessionId"),
        ttft_ms=_ttft_ms(observation, started, ended),
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
        raw_usage=raw(
            {name: _plain(observation[name]) for name in COUNTED if observation.get(name)}
        ),
        source_cost_usd=_cost(observation),
        prompt_hash=mark.prompt if mark else None,
        prefix_hashes=mark.prefixes if mark else None,
        parameters_hash=privacy.parameters_hash(parameters, key),
        prompt_signature=mark.signature if mark else None,
        input_chars=len(prompt) if prompt else None,
        output_chars=len(answer) if answer else None,
        removable_chars=mark.removable_chars if mark else None,
        attributes=_labels(observation, metadata, other_counts),
        texts=_kept(prompt, answer) if keeps_text else None,
    )


def score(said: Mapping[str, Any]) -> ScoreRecord:
    """A score, whichever API spelt it. Raises BadRow."""
    must_be_object(said)
    subject = object_of(said.get("subject"))
    kind = subject.get("kind")
    if kind == "observation":
        trace_id, span_id = subject.get("traceId"), subject.get("id")
    elif kind == "trace":
        trace_id, span_id = subject.get("id"), None
    else:
        trace_id, span_id = said.get("traceId"), said.get("observationId")
    if not trace_id:
        detail = "It belongs to no trace; scores of sessions and experiments are not taken."
        raise BadRow("score_without_trace", "traceId", detail)
    at = moment_of(said, "timestamp") or moment_of(said, "createdAt")
    if at is None:
        raise BadRow("missing_time", "timestamp", "A score needs its time.")
    number, label, truth = _value(said)
    return ScoreRecord(
        external_id=identity(said, "id"),
        trace_id=clean(trace_id),
        name=text_of(said, "name"),
        at=at,
        span_id=clean(span_id or ""),
        number=number,
        label=label,
        truth=truth,
        version=version_of(said, at),
    )


def with_trace(
    observation: Mapping[str, Any], trace: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """An observation with what only its trace says; what it says itself goes first."""
    if not trace:
        return observation
    said = {
        "userId": trace.get("userId"),
        "sessionId": trace.get("sessionId"),
        "tags": trace.get("tags"),
        "release": trace.get("release"),
        "traceName": trace.get("name"),
        "environment": trace.get("environment"),
    }
    missing = {name: value for name, value in said.items() if value and not observation.get(name)}
    return {**observation, **missing}


def reject(row: Any, bad: BadRow, form: str, told: Mapping[str, Any] | None = None) -> Reject:
    """What quarantine keeps of a row that could not be taken: no prompt text.

    `told` is what to keep where the row alone could not be tried again.
    """
    known = row if isinstance(row, Mapping) else {}
    ids = [str(known[name]) for name in ("traceId", "id") if known.get(name)]
    return Reject(
        bad.reason,
        bad.field,
        bad.detail,
        external_id=storable("/".join(ids)),
        payload=quarantine.payload(known if told is None else told),
        form=form,
    )


# ---- what it was -------------------------------------------------------------------------------


def _deep(metadata: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """The first text under one of the names, in metadata itself or in what OpenTelemetry sent."""
    places = (
        object_of(metadata.get("attributes")),
        object_of(metadata.get("resourceAttributes")),
        metadata,
    )
    for name in names:
        for place in places:
            said = place.get(name)
            if isinstance(said, str) and said and not privacy.looks_like_text(said):
                return clean(said)
    return ""


def _kind(row: Mapping[str, Any], model: str, provider: str, usage: Usage) -> str:
    said = row.get("type")
    kind = vocabulary.KINDS.get(said.lower(), "") if isinstance(said, str) else ""
    has_usage = usage.input is not None or usage.output is not None
    if not kind and (has_usage or model):
        kind = "llm"
    if kind == "llm" and not has_usage and provider in vocabulary.MODEL_SERVERS:
        return "inference"
    return kind or "span"


def _tier(parameters: Mapping[str, Any]) -> str:
    said = parameters.get("service_tier")
    return vocabulary.tier(clean(said)) if isinstance(said, str) else vocabulary.tier("")


def _error_type(row: Mapping[str, Any]) -> str:
    """The class in front of a message, as in `RateLimitError: …`; a message may quote a prompt."""
    said = row.get("statusMessage")
    if not isinstance(said, str):
        return ""
    found = _CLASS_OF_ERROR.match(said)
    if endings.says_abandoned(said) and not (found and endings.is_abandoned(found[1])):
        return endings.CLOSED
    return found[1] if found else ""


def _ttft_ms(row: Mapping[str, Any], started: datetime, ended: datetime | None) -> float | None:
    """From the first token's own time where it is told, else from the seconds Langfuse computed.

    Early servers computed milliseconds: so it is where seconds would be after the end. A first
    token before the start is a clock's mistake, and says nothing.
    """
    first = moment_of(row, "completionStartTime")
    if first is not None:
        ttft_ms = (first - started) / timedelta(milliseconds=1)
        return ttft_ms if ttft_ms >= 0 else None
    said = number_of(row.get("timeToFirstToken"))
    if said is None or said < 0:
        return None
    if ended is None:
        return said * 1000
    whole_ms = (ended - started) / timedelta(milliseconds=1)
    # Langfuse rounds to the millisecond.
    return next((ms for ms in (said * 1000, said) if ms <= whole_ms + 1), None)


# ---- what it cost, by its own account ----------------------------------------------------------


def _cost(row: Mapping[str, Any]) -> Decimal | None:
    details = {
        name: cost
        for name, said in object_of(row.get("costDetails")).items()
        if (cost := decimal_of(said)) is not None
    }
    if details:
        return details.get("total", sum(details.values(), Decimal()))
    usage = object_of(row.get("usage"))
    # Without details a zero is the older API's way of saying nothing.
    for said in (row.get("totalCost"), row.get("calculatedTotalCost"), usage.get("totalCost")):
        if cost := decimal_of(said):
            return cost
    return None


def _plain(said: Any) -> Any:
    """Without the Decimals of a JSON reader that makes them, which JSON has no word for."""
    if isinstance(said, Mapping):
        return {name: _plain(value) for name, value in said.items()}
    return float(said) if isinstance(said, Decimal) else said


# ---- text and labels ---------------------------------------------------------------------------


def _whole_text(said: Any) -> str:
    """A prompt or an answer as one text: the same one, whether it came as JSON or as its string."""
    if isinstance(said, str):
        if not said.startswith(("{", "[")):
            return said
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return str(said)
    if said is None or said == {} or said == []:
        return ""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"), default=str)


def _kept(prompt: str, answer: str) -> dict[str, str] | None:
    texts = {"input": prompt, "output": answer}
    return {
        f"langfuse.observation.{name}": storable(text) for name, text in texts.items() if text
    } or None


def _labels(
    row: Mapping[str, Any], metadata: Mapping[str, Any], other_counts: Mapping[str, int]
) -> dict[str, Any] | None:
    """Small values worth keeping."""
    found: dict[str, Any] = {
        ours: label
        for theirs, ours in LABELS.items()
        if (label := _label(row.get(theirs))) is not None
    }
    found |= {f"langfuse.usage.{clean(name)}": count for name, count in other_counts.items()}
    for name, said in metadata.items():
        if len(found) >= MAX_LABELS:
            break
        label = None if privacy.names_text(str(name)) else _label(said)
        if label is not None:
            found[f"langfuse.observation.metadata.{clean(name)}"] = label
    return found or None


def _label(said: Any) -> Any:
    """A small plain value, or a short list of them; None for everything else."""
    if isinstance(said, bool | int):
        return said
    if isinstance(said, float | Decimal):
        return number_of(said)
    if isinstance(said, str):
        if not said or privacy.looks_like_text(said):
            return None
        return storable(said)
    if isinstance(said, list) and 0 < len(said) <= MAX_LABELS:
        labels = [_label(item) for item in said if isinstance(item, str)]
        return labels if len(labels) == len(said) and None not in labels else None
    return None


# ---- a score's value ---------------------------------------------------------------------------


def _value(said: Mapping[str, Any]) -> tuple[float | None, str | None, bool | None]:
    """Exactly one of number, label and truth."""
    value, words = said.get("value"), said.get("stringValue")
    kind = said.get("dataType")
    if kind == "BOOLEAN" or isinstance(value, bool):
        return None, None, _truth(value, words)
    if kind == "NUMERIC" or (kind is None and not isinstance(value, str)):
        number = number_of(value)
        if number is None:
            raise BadRow("bad_score", "value", "A numeric score needs a finite number.")
        return number, None, None
    label = words if isinstance(words, str) and words else value
    if not isinstance(label, str) or not label:
        raise BadRow("bad_score", "value", "A categorical score needs its category.")
    if kind in ("TEXT", "CORRECTION") or privacy.looks_like_text(label):
        detail = "Comments and corrections are texts, which are not kept; score with a number."
        raise BadRow("score_is_text", "value", detail)
    return None, storable(label), None


def _truth(value: Any, words: Any) -> bool:
    if isinstance(value, bool):
        return value
    number = number_of(value)
    if number in (0.0, 1.0):
        return number == 1.0
    if isinstance(words, str) and words.lower() in ("true", "false"):
        return words.lower() == "true"
    raise BadRow("bad_score", "value", "A boolean score is true or false.")
