"""What Langfuse's SDKs post for ingestion → parts of traces and observations, and scores.

Knows the events of `POST /api/public/ingestion` and the bodies of `POST /api/public/scores`: each
says a little of something with an id, in any order. Refuses the database: `store.parts` puts the
parts together. Refuses to keep text: a part holds what is derived from a prompt, not the prompt,
unless the project keeps text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest import privacy
from ingest.parts import Part, Stamp
from ingest.privacy import ProjectKey
from ingest.records import Reject, ScoreRecord, SpanRecord
from ingest.sources import langfuse_observation as langfuse
from ingest.sources import plain_json
from ingest.sources.base import BadBody, BodyTooLarge
from ingest.sources.langfuse_observation import BadRow

MAX_EVENTS = 20_000
MAX_WORD_CHARS = 200
MAX_LABELS = 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

KINDS = {
    # The event's kind → the observation's; None: the body says it.
    "span": "SPAN",
    "generation": "GENERATION",
    "event": "EVENT",
    "observation": None,
    "agent": "AGENT",
    "tool": "TOOL",
    "chain": "CHAIN",
    "retriever": "RETRIEVER",
    "evaluator": "EVALUATOR",
    "embedding": "EMBEDDING",
    "guardrail": "GUARDRAIL",
}
WORDS = (
    "traceId", "name", "startTime", "endTime", "completionStartTime", "model", "level",
    "parentObservationId", "version", "environment", "promptName",
)  # fmt: skip
TRACE_WORDS = ("name", "userId", "sessionId", "release", "version", "environment")
COUNTS = ("usage", "usageDetails", "costDetails")
METADATA = "langfuse.observation.metadata."

FROM_INPUT = ("prompt_hash", "prefix_hashes", "prompt_signature", "removable_chars", "input_chars")
FROM_OUTPUT = ("output_chars",)
FROM_PARAMETERS = ("parameters_hash",)
DERIVED = (*FROM_INPUT, *FROM_OUTPUT, *FROM_PARAMETERS)


@dataclass(slots=True)
class Outcome:
    """What becomes of one event."""

    id: str
    thing: str = ""
    """Which trace, observation or score it speaks of."""
    message: str = ""
    """Why it is not taken; empty when it is."""

    @property
    def is_good(self) -> bool:
        return not self.message

    @property
    def status(self) -> int:
        return 201 if self.is_good else 400


@dataclass(slots=True)
class Batch:
    outcomes: list[Outcome] = field(default_factory=list)
    """In the order of the events."""
    parts: list[Part] = field(default_factory=list)
    scores: list[ScoreRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def refuse(self, event_id: str, row: Any, bad: BadRow, form: str, told: Any = None) -> None:
        where = f"{bad.field}: " if bad.field else ""
        self.outcomes.append(Outcome(event_id, message=f"{where}{bad.detail}"))
        self.rejects.append(langfuse.reject(row, bad, form, told))

    def blame(self, problems: Mapping[str, str]) -> None:
        """Of these things, by id, it turned out that they cannot be true."""
        for outcome in self.outcomes:
            if outcome.is_good and outcome.thing in problems:
                outcome.message = problems[outcome.thing]


def decode(body: bytes, *, key: ProjectKey, keeps_text: bool) -> Batch:
    """The events of a batch, each taken or refused by itself. Raises BadBody."""
    plain = plain_json.read(body)
    events = plain.get("batch") if isinstance(plain, Mapping) else None
    if not isinstance(events, list):
        raise BadBody('The body must be {"batch": […]}, as the Langfuse SDKs send it.')
    _not_too_many(events)
    batch = Batch()
    for event in events:
        event_id = ""
        try:
            event_id = _word_of(event, "id")
            thing = _take(event, event_id, batch, key, keeps_text)
        except BadRow as bad:
            whole = event if isinstance(event, Mapping) else {}
            batch.refuse(event_id, whole.get("body"), bad, langfuse.EVENT, renamed(whole, "body"))
        else:
            batch.outcomes.append(Outcome(event_id, thing))
    return batch


def renamed(event: Mapping[str, Any], before: str) -> dict[str, Any]:
    """Quarantine takes what is under `body` for text, so that it is kept under another name."""
    after = "observed" if before == "body" else "body"
    return {after if name == before else name: value for name, value in event.items()}


def decode_scores(body: bytes, *, now: datetime) -> tuple[Batch, bool]:
    """One score or an array of them, and whether it was an array. Raises BadBody."""
    plain = plain_json.read(body)
    if not isinstance(plain, Mapping | list):
        raise BadBody("The body must be a score, or an array of scores.")
    told = plain if isinstance(plain, list) else [plain]
    _not_too_many(told)
    batch = Batch()
    for row in told:
        score_id = ""
        try:
            if isinstance(row, Mapping):
                score_id = str(row.get("id") or _content_id(row))[:MAX_WORD_CHARS]
                row = {"timestamp": now.isoformat(), **row, "id": score_id}
            batch.scores.append(langfuse.score(row))
        except BadRow as bad:
            batch.refuse(score_id, row, bad, langfuse.SCORE)
        else:
            batch.outcomes.append(Outcome(score_id, score_id))
    return batch, isinstance(plain, list)


def _not_too_many(rows: list[Any]) -> None:
    if len(rows) > MAX_EVENTS:
        raise BodyTooLarge(f"{len(rows):,} events in one body; send at most {MAX_EVENTS:,}.")


def _content_id(row: Mapping[str, Any]) -> str:
    """A score that came without an id: sent again it is the same one."""
    text = json.dumps(row, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


# ---- one event ---------------------------------------------------------------------------------


def _take(
    event: Mapping[str, Any], event_id: str, batch: Batch, key: ProjectKey, keeps_text: bool
) -> str:
    """What it speaks of, by id."""
    said = event.get("type")
    kind, _, step = str(said).rpartition("-")
    if said == "sdk-log":
        return ""  # what an SDK says of itself is no fact about anybody's traffic
    at_us = _moment_us(event, "timestamp")
    told = event.get("body")
    if not isinstance(told, Mapping):
        raise BadRow("no_object", "body", "Must be a JSON object.")
    stamp = Stamp(at_us, int(step == "update"), event_id)
    if said == "trace-create":
        part = _trace(told, event_id, stamp)
    elif said == "score-create":
        given = {name: value for name, value in told.items() if value is not None}
        timed = {"id": event_id, "timestamp": event["timestamp"], **given}
        batch.scores.append(langfuse.score(timed))
        return batch.scores[-1].external_id
    elif kind in KINDS and step in ("create", "update"):
        part = _observation(told, kind, event_id, stamp, key, keeps_text)
    else:
        raise BadRow("unknown_event", "type", "Is no event of Langfuse's SDKs that we know.")
    batch.parts.append(part)
    return part.id


def _trace(told: Mapping[str, Any], event_id: str, stamp: Stamp) -> Part:
    fields = _words(told, TRACE_WORDS)
    tags = told.get("tags")
    if isinstance(tags, list):
        fields["tags"] = [
            _clean(tag) for tag in tags[:MAX_LABELS] if isinstance(tag, str) and _is_label(tag)
        ]
    trace_id = _word_of(told, "id") if told.get("id") is not None else event_id
    return Part("trace", trace_id, trace_id, fields, stamp)


def _observation(
    told: Mapping[str, Any],
    kind: str,
    event_id: str,
    stamp: Stamp,
    key: ProjectKey,
    keeps_text: bool,
) -> Part:
    is_create = not stamp.is_update
    if told.get("id") is None and not is_create:
        raise BadRow("bad_id", "id", "An update needs the id of what it updates.")
    own_id = _word_of(told, "id") if told.get("id") is not None else event_id
    fields = _words(told, WORDS)
    fields |= {name: kept for name in COUNTS if (kept := _counts(told.get(name), 2)) is not None}
    if is_create:
        fields["type"] = KINDS[kind] or _clean(str(told.get("type") or "SPAN"))
        # As Langfuse does: what does not say when it began, began when it was told.
        fields.setdefault("startTime", (EPOCH + timedelta(microseconds=stamp.at_us)).isoformat())
    # Read alone, so that what is wrong with it is this event's fault and stays out of the whole.
    alone = {**told, **fields, "id": own_id, "level": "ERROR"}
    alone.setdefault("startTime", EPOCH.isoformat())
    record = langfuse.span(alone, key=key, keeps_text=False)
    fields |= _derived(told, record)
    texts = _texts(told) if keeps_text else {}
    return Part("observation", own_id, fields.get("traceId", ""), fields, stamp, texts)


def _texts(told: Mapping[str, Any]) -> dict[str, str]:
    return {
        f"langfuse.observation.{name}": said if isinstance(said, str) else json.dumps(said)
        for name in ("input", "output")
        if (said := told.get(name)) is not None
    }


def _derived(told: Mapping[str, Any], record: SpanRecord) -> dict[str, Any]:
    """What is kept of texts, parameters and metadata, none of which is kept itself."""
    names = (
        *(FROM_INPUT if told.get("input") is not None else ()),
        *(FROM_OUTPUT if told.get("output") is not None else ()),
        *(FROM_PARAMETERS if told.get("modelParameters") is not None else ()),
    )
    found = {
        name: _plain(value) for name in names if (value := getattr(record, name, None)) is not None
    }
    labels = record.attributes or {}
    found |= {name: value for name, value in labels.items() if name.startswith(METADATA)}
    if isinstance(told.get("promptVersion"), int):
        found["promptVersion"] = told["promptVersion"]
    if record.error_type:
        found["statusMessage"] = record.error_type
    if record.provider:
        found["provider"] = record.provider
    if record.service:
        found["service"] = record.service
    if record.tier != "standard":
        found["tier"] = record.tier
    return found


# ---- putting parts together --------------------------------------------------------------------


def whole(
    own_id: str,
    fields: Mapping[str, Any],
    trace: Mapping[str, Any],
    version: int,
    *,
    key: ProjectKey,
) -> SpanRecord | Reject | None:
    """The record that an observation's parts make, or None while its beginning is not known."""
    try:
        return _whole(own_id, fields, trace, version, key)
    except BadRow as bad:
        # Its parts stay where they are; tried again, they are put together again.
        told = {"id": own_id, "traceId": fields.get("traceId", "")}
        return langfuse.reject({**fields, "id": own_id}, bad, langfuse.PART, told)


def _whole(
    own_id: str, fields: Mapping[str, Any], trace: Mapping[str, Any], version: int, key: ProjectKey
) -> SpanRecord | None:
    if "startTime" not in fields or not (fields.get("traceId") or fields.get("type")):
        return None
    metadata = {
        name.removeprefix(METADATA): value
        for name, value in fields.items()
        if name.startswith(METADATA)
    }
    metadata["attributes"] = {
        "gen_ai.provider.name": fields.get("provider"),
        langfuse.SERVICE: fields.get("service"),
    }
    observation = {
        **{name: value for name, value in fields.items() if not name.startswith(METADATA)},
        "id": own_id,
        "metadata": metadata,
        "modelParameters": {"service_tier": fields.get("tier")},
        "updatedAt": (EPOCH + timedelta(microseconds=version)).isoformat(),
    }
    record = langfuse.span(langfuse.with_trace(observation, trace), key=key, keeps_text=False)
    derived = {name: _bytes(fields[name]) for name in DERIVED if name in fields}
    return replace(record, **derived)


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(value, bytes):
        return value.hex()
    return [item.hex() for item in value] if isinstance(value, tuple) else value


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(bytes.fromhex(item) for item in value)
    return bytes.fromhex(value) if isinstance(value, str) else value


# ---- plain values ------------------------------------------------------------------------------


def _words(told: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    found = {}
    for name in names:
        value = told.get(name)
        if isinstance(value, str) and value:
            found[name] = _clean(value)
    return found


def _clean(text: str) -> str:
    return text[:MAX_WORD_CHARS].replace("\0", "\ufffd")


def _is_label(text: str) -> bool:
    return bool(text) and not privacy.looks_like_text(text)


def _counts(said: Any, depth: int) -> dict[str, Any] | None:
    """Numbers by name, and OpenAI's details one level down; a text has no place here."""
    if not isinstance(said, Mapping):
        return None
    found: dict[str, Any] = {}
    for name, value in list(said.items())[:MAX_LABELS]:
        if isinstance(value, Mapping):
            inner = _counts(value, depth - 1) if depth > 1 else None
            if inner:
                found[_clean(name)] = inner
        elif isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 40):
            found[_clean(name)] = _clean(value) if isinstance(value, str) else value
    return found


def _word_of(row: Any, name: str) -> str:
    if not isinstance(row, Mapping):
        raise BadRow("no_object", "", "Must be a JSON object.")
    said = row.get(name)
    if not isinstance(said, str) or not 0 < len(said) <= MAX_WORD_CHARS:
        raise BadRow("bad_id", name, f"Must be a text of 1 to {MAX_WORD_CHARS} characters.")
    return said.replace("\0", "\ufffd")


def _moment_us(row: Mapping[str, Any], name: str) -> int:
    said = row.get(name)
    try:
        moment = datetime.fromisoformat(said if isinstance(said, str) else "")
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        detail = "Must be a time such as 2026-05-01T12:00:00.000Z."
        raise BadRow("bad_time", name, detail) from None
    return (moment - EPOCH) // timedelta(microseconds=1)
