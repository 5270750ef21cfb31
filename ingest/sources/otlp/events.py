"""A span's events: its first token, its exception, its evaluations, and prompts sent this way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingest.records import ScoreRecord
from ingest.sources import vocabulary

from .attributes import Seen, attribute, clean, read_number, walk
from .measures import time


@dataclass(slots=True)
class Told:
    """What a span's events say."""

    error_type: str = ""
    first_token_ns: int = 0


NOTHING = Told()


def read(span: Any, seen: Seen, keeps_text: bool, scores: list[ScoreRecord]) -> Told:
    told = Told()
    for event in span.events:
        name = event.name
        if name in vocabulary.FIRST_TOKEN_EVENTS:
            at = event.time_unix_nano
            if at >= span.start_time_unix_nano:
                told.first_token_ns = min(told.first_token_ns or at, at)
        elif name == "exception":
            told.error_type = told.error_type or attribute(event.attributes, "exception.type")
        elif name == vocabulary.EVALUATION_EVENT:
            scores.append(_score(span, event))
        elif name in vocabulary.TEXT_EVENTS:
            walk((pair.SerializeToString() for pair in event.attributes), seen, keeps_text)
    return told


def _score(span: Any, event: Any) -> ScoreRecord:
    """OpenTelemetry's evaluation event. A number tells more than its label, so it is preferred."""
    prefix = "gen_ai.evaluation."
    told = {pair.key.removeprefix(prefix): pair.value for pair in event.attributes}
    name = clean(told["name"].string_value) if "name" in told else ""
    number = read_number("", told["score.value"]) if "score.value" in told else None
    label = clean(told["score.label"].string_value) if "score.label" in told else None
    trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
    return ScoreRecord(
        external_id=f"{trace_id}/{span_id}/{name}/{event.time_unix_nano}",
        trace_id=trace_id,
        span_id=span_id,
        name=name,
        at=time(event.time_unix_nano),
        number=number,
        label=label if number is None else None,
        version=event.time_unix_nano // 1000,
    )
