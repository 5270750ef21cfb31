"""OTLP log records → the errors among them, each without what it says about anybody.

An error is a record of severity ERROR or worse, or one with an exception's attributes. Knows what
an error is called and which of its words may be kept. Refuses every other record, clocks and the
database; `log_bodies` knows the encodings.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from ingest import masking, quarantine
from ingest.error_records import UNKNOWN, ErrorRecord, type_name
from ingest.records import Reject

from .attributes import attribute, clean
from .log_bodies import LogGroup
from .measures import time

ERROR_WORDS = frozenset(
    {"error", "err", "fatal", "critical", "crit", "emergency", "emerg", "alert", "panic", "severe"}
)
"""Severity texts of senders that give no severity number, as they are written in lower case."""
MESSAGE_NAMES = ("message", "msg", "event")
"""Where the message is in a body that is a map."""


@dataclass(slots=True)
class ErrorLogs:
    """What became of the log records of a request: `ingest.store.errors.take` wants both lists."""

    records: list[ErrorRecord] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    """Errors that say no time; records that are no errors are in neither list."""


def error_records(request_logs: Iterable[LogGroup]) -> ErrorLogs:
    """The errors among the log records of one request, as `log_bodies.log_groups` gives them.

    Pure. One `ErrorRecord` for each error, in the order they came; what cannot be an error is left
    out without a word, for this is no log store.
    """
    found = ErrorLogs()
    seen: Counter[bytes] = Counter()
    for group in request_logs:
        service = attribute(group.resource, "service.name") or UNKNOWN
        for record in group.records:
            if is_error(record):
                _take(record, service, seen, found)
    return found


def is_error(record: LogRecord) -> bool:
    if record.severity_number:
        is_severe = record.severity_number >= SeverityNumber.SEVERITY_NUMBER_ERROR
    else:
        is_severe = record.severity_text.strip().lower() in ERROR_WORDS
    return is_severe or any(
        pair.key in ("exception.type", "exception.message") for pair in record.attributes
    )


def _take(record: LogRecord, service: str, seen: Counter[bytes], found: ErrorLogs) -> None:
    at_ns = record.time_unix_nano or record.observed_time_unix_nano
    try:
        at = time(at_ns) if at_ns else None
    except OverflowError:
        at = None
    if at is None:
        found.rejects.append(_reject(record, service))
        return
    message = _message(record)
    made = _identity(record, service)
    # Two errors of one batch may be alike in everything, and are two; a batch sent again numbers
    # them alike.
    identity = hashlib.blake2b(made + seen[made].to_bytes(4), digest_size=16).digest()
    seen[made] += 1
    found.records.append(
        ErrorRecord(
            service=service,
            type=_type(record, message),
            at=at,
            exemplar=masking.exemplar(message),
            trace_id=record.trace_id.hex() if len(record.trace_id) == 16 else "",
            identity=identity,
        )
    )


def _type(record: LogRecord, message: str) -> str:
    for name in ("exception.type", "error.type"):
        said = attribute(record.attributes, name).strip()
        if said:
            return type_name(said)
    return clean(masking.shape(message)) or UNKNOWN


def _message(record: LogRecord) -> str:
    """What the program said in words of its own. An exception's message quotes prompts: never it.

    That is the text of the body, or of its message where it is a map.
    """
    body = record.body
    if body.HasField("string_value"):
        return _bounded(body.string_value)
    if body.HasField("kvlist_value"):
        told = {pair.key: pair.value.string_value for pair in body.kvlist_value.values}
        return _bounded(next((told[name] for name in MESSAGE_NAMES if told.get(name)), ""))
    return ""


def _bounded(text: str) -> str:
    return text[: masking.MAX_READ_CHARS]


def _identity(record: LogRecord, service: str) -> bytes:
    """Everything its sender fixed when it was logged, and nothing a second sending changes."""
    told = hashlib.blake2b(digest_size=16)
    for part in (
        service.encode("utf-8", "replace"),
        record.time_unix_nano.to_bytes(8),
        # An agent that reads a file again observes it again: only what has no time needs this.
        (0 if record.time_unix_nano else record.observed_time_unix_nano).to_bytes(8),
        record.trace_id,
        record.span_id,
        record.severity_text.encode("utf-8", "replace"),
        record.event_name.encode("utf-8", "replace"),
        record.body.SerializeToString(deterministic=True),
        *sorted(pair.SerializeToString(deterministic=True) for pair in record.attributes),
    ):
        told.update(len(part).to_bytes(4))
        told.update(part)
    return told.digest()


def _reject(record: LogRecord, service: str) -> Reject:
    row = {
        "service": service,
        "severity": record.severity_text or record.severity_number,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
    }
    return Reject(
        "missing_time",
        "time_unix_nano",
        "An error needs the time it was logged or observed; use an OpenTelemetry SDK's exporter.",
        payload=quarantine.payload(row),
    )
