"""The two encodings of an ExportLogsServiceRequest → groups of OTLP's own LogRecord messages.

Knows protobuf and OTLP/JSON (ids in hex, 64-bit numbers as strings, enums by number or name).
Refuses to know what a log record means: `logs` finds the errors in the groups, others the events.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from ingest import quarantine
from ingest.records import Reject
from ingest.sources import plain_json
from ingest.sources.base import BadBody, BodyTooLarge

from .bodies import JSON

MAX_LOG_RECORDS = 20_000
"""A collector sends a few thousand at once; a body of nothing but empty records holds a million."""
MAX_VALUE_DEPTH = 50
"""Of JSON messages; an attribute's value may nest about sixteen lists deep."""

_KEPT = ("timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "eventName")
_IDS = {"traceId": 16, "spanId": 8}


class LogGroup(NamedTuple):
    """Log records of one library in one process."""

    resource: Any
    """Attributes of the process: OTLP's KeyValue messages."""
    scope: str
    records: Sequence[LogRecord]


def log_groups(body: bytes, encoding: str, rejects: list[Reject]) -> list[LogGroup]:
    """What a body holds; records of JSON that cannot be read go to `rejects`. Raises BadBody."""
    return _of_json(body, rejects) if encoding == JSON else _of_protobuf(body)


def _of_protobuf(body: bytes) -> list[LogGroup]:
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BadBody(
            "The body is no OTLP log request in protobuf, or it was cut off; send it again whole."
        ) from None
    found = [
        LogGroup(resource.resource.attributes, scope.scope.name, scope.log_records)
        for resource in request.resource_logs
        for scope in resource.scope_logs
    ]
    _check_count(sum(len(group.records) for group in found))
    return found


def _check_count(records: int) -> None:
    if records > MAX_LOG_RECORDS:
        raise BodyTooLarge(
            f"{records:,} log records in one body; send at most {MAX_LOG_RECORDS:,}."
        )


def _of_json(body: bytes, rejects: list[Reject]) -> list[LogGroup]:
    plain = plain_json.read(body)
    if not isinstance(plain, Mapping):
        raise _misfit("the body", "an object with resourceLogs")
    told = [
        (resource, scope, _list(scope, "logRecords"))
        for resource in _objects(plain, "resourceLogs")
        for scope in _objects(resource, "scopeLogs")
    ]
    _check_count(sum(len(records) for _, _, records in told))
    return [
        LogGroup(
            _resource(resource),
            _scope(scope),
            [read for one in records if (read := _record_or_reject(one, rejects)) is not None],
        )
        for resource, scope, records in told
    ]


def _resource(told: Mapping[str, Any]) -> Any:
    try:
        read = json_format.ParseDict(
            told.get("resource") or {},
            Resource(),
            ignore_unknown_fields=True,
            max_recursion_depth=MAX_VALUE_DEPTH,
        )
    except (json_format.ParseError, TypeError, ValueError, AttributeError):
        raise _misfit("resource", "an OTLP resource") from None
    # A list of its own: the attributes must outlive the message they were read into.
    return list(read.attributes)


def _scope(told: Mapping[str, Any]) -> str:
    scope = told.get("scope")
    name = scope.get("name") if isinstance(scope, Mapping) else None
    return name if isinstance(name, str) else ""


def _record_or_reject(told: Any, rejects: list[Reject]) -> LogRecord | None:
    if not isinstance(told, Mapping):
        rejects.append(_reject({}, "logRecords", "A log record must be an object."))
        return None
    record = LogRecord()
    try:
        if not isinstance(told.get("body") or {}, Mapping):
            # The library would take each letter of a text for the name of an unknown field.
            raise TypeError("a body is an AnyValue")
        json_format.ParseDict(
            {**told, **_ids(told)},
            record,
            ignore_unknown_fields=True,
            max_recursion_depth=MAX_VALUE_DEPTH,
        )
    except (json_format.ParseError, TypeError, ValueError, AttributeError):
        # What it could not read may hold text, so the reason is ours and not the library's.
        detail = "This is no OTLP log record in JSON; use an OpenTelemetry SDK's own exporter."
        rejects.append(_reject(told, "logRecords", detail))
        return None
    return record


def _ids(told: Mapping[str, Any]) -> dict[str, str]:
    """OTLP/JSON writes ids in hex where protobuf's own JSON wants base64; others are left out."""
    return {name: _base64(told.get(name), size) for name, size in _IDS.items() if name in told}


def _base64(said: Any, size: int) -> str:
    try:
        raw = bytes.fromhex(said) if isinstance(said, str) else b""
    except (ValueError, binascii.Error):
        raw = b""
    return base64.b64encode(raw).decode() if len(raw) == size else ""


def _reject(told: Mapping[str, Any], name: str, detail: str) -> Reject:
    # Names and times alone: where text is, in what cannot be read, nobody knows.
    row = {name: told[name] for name in _KEPT if isinstance(told.get(name), str | int)}
    return Reject("bad_json", name, detail, payload=quarantine.payload(row))


def _list(told: Mapping[str, Any], name: str) -> list[Any]:
    said = told.get(name)
    if said is not None and not isinstance(said, list):
        raise _misfit(name, "a list")
    return said or []


def _objects(told: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    said = _list(told, name)
    if not all(isinstance(item, Mapping) for item in said):
        raise _misfit(name, "a list of objects")
    return said


def _misfit(name: str, wanted: str) -> BadBody:
    return BadBody(f"The body is no OTLP log request in JSON: {name} must be {wanted}.")
