"""The two encodings of an ExportTraceServiceRequest → one shape.

Knows protobuf and OTLP/JSON (ids in hex, 64-bit numbers as strings, enums by number or name).
Refuses to know what a span means.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from ingest.records import Reject
from ingest.sources import plain_json
from ingest.sources.base import BadBody, BodyTooLarge

from . import wire
from .bad import BadSpan

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
MAX_SPANS = 20_000
"""A collector sends a few thousand at once; a body of nothing but empty spans holds a million."""
MAX_VALUE_DEPTH = 16


class Group(NamedTuple):
    """Spans of one library in one process."""

    resource: Any
    """Attributes of the process."""
    scope: str
    spans: Any


def groups(body: bytes, encoding: str, rejects: list[Reject]) -> list[Group]:
    """What a body holds; spans of JSON that cannot be read go to `rejects`. Raises BadBody."""
    return _of_json(body, rejects) if encoding == JSON else _of_protobuf(body)


def _of_protobuf(body: bytes) -> list[Group]:
    request = wire.Request()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise BadBody(
            "The body is no OTLP trace request in protobuf, or it was cut off; send it again whole."
        ) from None
    found = [
        Group(resource.resource.attributes, scope.scope.name, scope.spans)
        for resource in request.resource_spans
        for scope in resource.scope_spans
    ]
    _count(sum(len(group.spans) for group in found))
    return found


def _count(spans: int) -> None:
    if spans > MAX_SPANS:
        raise BodyTooLarge(f"{spans:,} spans in one body; send at most {MAX_SPANS:,}.")


# ---- JSON -------------------------------------------------------------------------------------


def _of_json(body: bytes, rejects: list[Reject]) -> list[Group]:
    found = []
    plain = plain_json.read(body)
    if not isinstance(plain, Mapping):
        raise _misfit("the body", "an object with resourceSpans")
    told = [
        (resource, scope, _list(scope, "spans"))
        for resource in _objects(plain, "resourceSpans")
        for scope in _objects(resource, "scopeSpans")
    ]
    _count(sum(len(spans) for _, _, spans in told))
    for resource, scope, spans in told:
        # Kept in a message of its own: its attributes live as long as that does.
        carrier = Resource()
        try:
            carrier.attributes.extend(_attributes(_object(resource, "resource")))
        except BadSpan as bad:
            raise BadBody(f"resource: {bad.detail}") from None
        name = _object(scope, "scope").get("name")
        read = [span for told in spans if (span := _span_or_reject(told, rejects)) is not None]
        found.append(Group(carrier.attributes, name if isinstance(name, str) else "", read))
    return found


def _span_or_reject(told: Any, rejects: list[Reject]) -> Any:
    try:
        return _span(told)
    except BadSpan as bad:
        known = told if isinstance(told, Mapping) else {}
        # Names and times alone: where text is, in what cannot be read, nobody knows.
        row = {name: known[name] for name in _FIELDS if isinstance(known.get(name), str | int)}
        trace_id, span_id = (_id_or_nothing(row.get(name)) for name in ("traceId", "spanId"))
        rejects.append(bad.reject(trace_id, span_id, row))
        return None


def _id_or_nothing(told: Any) -> str:
    """What is no id may be anybody's text."""
    text = str(told or "")
    return text if len(text) <= 32 and set(text) <= set("0123456789abcdefABCDEF") else ""


_FIELDS = ("traceId", "spanId", "parentSpanId", "name", "startTimeUnixNano", "endTimeUnixNano")


def _span(told: Any) -> Any:
    if not isinstance(told, Mapping):
        raise _bad("spans", "Must be an object.")
    span = wire.Span(
        trace_id=_hex(told, "traceId"),
        span_id=_hex(told, "spanId"),
        parent_span_id=_hex(told, "parentSpanId"),
        name=_string(told, "name"),
        start_time_unix_nano=_whole(told, "startTimeUnixNano", 2**64 - 1),
        end_time_unix_nano=_whole(told, "endTimeUnixNano", 2**64 - 1),
        dropped_attributes_count=_whole(told, "droppedAttributesCount", 2**32 - 1),
    )
    span.attributes.extend(pair.SerializeToString() for pair in _attributes(told))
    for event in _inside(told, "events"):
        made = span.events.add(
            name=_string(event, "name"),
            time_unix_nano=_whole(event, "timeUnixNano", 2**64 - 1),
        )
        made.attributes.extend(_attributes(event))
    code = _inner(told, "status").get("code")
    # A code nobody knows yet is no error.
    span.status.code = _STATUS.get(code, 0) if isinstance(code, str | int) else 0
    return span


_STATUS = {
    **{name: number for name, number in Status.StatusCode.items()},
    **{number: number for number in Status.StatusCode.values()},
}


def _attributes(told: Mapping[str, Any]) -> list[KeyValue]:
    return [
        KeyValue(key=_string(pair, "key"), value=_any(_inner(pair, "value"), 0))
        for pair in _inside(told, "attributes")
    ]


def _any(told: Mapping[str, Any], depth: int) -> AnyValue:
    if depth > MAX_VALUE_DEPTH:
        raise _bad("attributes", f"Nests deeper than {MAX_VALUE_DEPTH} values; send less.")
    for name, read in _READERS.items():
        if told.get(name) is not None:
            return read(told, depth)
    return AnyValue()


def _double(told: Mapping[str, Any]) -> float:
    said = told["doubleValue"]
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        raise _bad("doubleValue", "Must be a number.")
    try:
        # NaN and infinity come as words.
        return float(said)
    except (ValueError, OverflowError):
        raise _bad("doubleValue", "Must be a number.") from None


def _list_value(told: Mapping[str, Any], depth: int) -> AnyValue:
    value = AnyValue()
    for item in _inside(_inner(told, "arrayValue"), "values"):
        value.array_value.values.append(_any(item, depth + 1))
    return value


def _pairs_value(told: Mapping[str, Any], depth: int) -> AnyValue:
    value = AnyValue()
    for pair in _inside(_inner(told, "kvlistValue"), "values"):
        read = _any(_inner(pair, "value"), depth + 1)
        value.kvlist_value.values.append(KeyValue(key=_string(pair, "key"), value=read))
    return value


def _bool(told: Mapping[str, Any]) -> bool:
    said = told["boolValue"]
    if not isinstance(said, bool):
        raise _bad("boolValue", "Must be true or false.")
    return said


def _bytes(told: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(_string(told, "bytesValue"), validate=True)
    except binascii.Error:
        raise _bad("bytesValue", "Must be base64.") from None


_READERS: dict[str, Callable[[Mapping[str, Any], int], AnyValue]] = {
    "stringValue": lambda told, _: AnyValue(string_value=_string(told, "stringValue")),
    "intValue": lambda told, _: AnyValue(int_value=_whole(told, "intValue", 2**63 - 1, -(2**63))),
    "boolValue": lambda told, _: AnyValue(bool_value=_bool(told)),
    "doubleValue": lambda told, _: AnyValue(double_value=_double(told)),
    "arrayValue": _list_value,
    "kvlistValue": _pairs_value,
    "bytesValue": lambda told, _: AnyValue(bytes_value=_bytes(told)),
}


# ---- plain values -----------------------------------------------------------------------------


def _hex(told: Mapping[str, Any], name: str) -> bytes:
    try:
        return bytes.fromhex(_string(told, name))
    except ValueError as error:
        if isinstance(error, BadSpan):
            raise
        raise BadSpan("bad_id", name, "Must be in hex, as OTLP/JSON says.") from None


def _string(told: Mapping[str, Any], name: str) -> str:
    said = told.get(name)
    if said is not None and not isinstance(said, str):
        raise _bad(name, "Must be a string.")
    return said or ""


def _whole(told: Mapping[str, Any], name: str, most: int, least: int = 0) -> int:
    """A whole number, which OTLP/JSON writes as a string when it has 64 bits."""
    said = told.get(name)
    if said is None or said == "":
        return 0
    text = said if isinstance(said, str) else repr(said)
    digits = text.removeprefix("-")
    if isinstance(said, bool) or not (digits.isascii() and digits.isdigit() and len(digits) < 21):
        raise _bad(name, "Must be a whole number, or one in a string.")
    number = int(text)
    if not least <= number <= most:
        raise _bad(name, f"Must be from {least} to {most}.")
    return number


def _inner(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    said = told.get(name)
    if said is None:
        return {}
    if not isinstance(said, Mapping):
        raise _bad(name, "Must be an object.")
    return said


def _inside(told: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list inside a span."""
    said = told.get(name)
    if said is not None and not isinstance(said, list):
        raise _bad(name, "Must be a list.")
    for item in said or ():
        if not isinstance(item, Mapping):
            raise _bad(name, "Must be a list of objects.")
        yield item


def _bad(name: str, detail: str) -> BadSpan:
    return BadSpan("bad_json", name, detail)


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


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    said = told.get(name)
    if said is not None and not isinstance(said, Mapping):
        raise _misfit(name, "an object")
    return said or {}


def _misfit(name: str, wanted: str) -> BadBody:
    return BadBody(f"The body is no OTLP trace request in JSON: {name} must be {wanted}.")
