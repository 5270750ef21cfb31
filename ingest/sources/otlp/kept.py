"""A span that could not be taken, as quarantine keeps it, and as a body to be decoded again.

Knows what of a span its decoder reads. Refuses what it cannot give back as it was: such a span is
kept to be looked at, not to be tried again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from ingest import privacy
from ingest.quarantine import BeyondUse

from .attributes import PLAIN, unpack
from .bad import BadSpan

FORM = "otlp.span"
MOST_EVENTS = 64
MOST_ATTRIBUTES = 256


def row_of(span: Any, service: str, scope: str) -> tuple[dict[str, Any], str]:
    """The span as a row, and its form: empty where the row is not all of it."""
    told, is_whole = _attributes(span.attributes)
    events = []
    for event in list(span.events)[:MOST_EVENTS]:
        inner, is_event_whole = _attributes(event.attributes)
        is_whole &= is_event_whole
        events.append({"name": event.name, "at": event.time_unix_nano, "attributes": inner})
    row: dict[str, Any] = {
        "service": service,
        "scope": scope,
        "name": span.name,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex(),
        "start_time_unix_nano": span.start_time_unix_nano,
        "end_time_unix_nano": span.end_time_unix_nano,
        "status": span.status.code,
        "attributes": told,
        "events": events,
    }
    return row, FORM if is_whole and len(span.events) <= MOST_EVENTS else ""


def _attributes(packed: Any) -> tuple[dict[str, Any], bool]:
    told: dict[str, Any] = {}
    pairs = list(packed)
    is_whole = len(pairs) <= MOST_ATTRIBUTES
    for one in pairs[:MOST_ATTRIBUTES]:
        try:
            pair = unpack(one) if isinstance(one, bytes) else one
        except BadSpan:
            is_whole = False  # it is why the span is refused
            continue
        which = pair.value.WhichOneof("value")
        if which in PLAIN:
            told[pair.key] = getattr(pair.value, which)
        elif which == "array_value" and _is_plain(pair.value.array_value.values):
            told[pair.key] = [
                getattr(item, item.WhichOneof("value")) for item in pair.value.array_value.values
            ]
        else:
            # Such a value is never kept as a label; as a parameter it is part of a fingerprint.
            is_whole &= not privacy.names_parameter(pair.key)
    return told, is_whole


def _is_plain(items: Any) -> bool:
    return all(item.WhichOneof("value") in PLAIN for item in items)


def body_of(row: Mapping[str, Any]) -> bytes:
    """An ExportTraceServiceRequest with this one span. Raises BeyondUse."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    try:
        if row.get("service"):
            resource.resource.attributes.append(_pair("service.name", row["service"]))
        scope = resource.scope_spans.add()
        scope.scope.name = row.get("scope", "")
        span = scope.spans.add(
            trace_id=bytes.fromhex(row["trace_id"]),
            span_id=bytes.fromhex(row["span_id"]),
            parent_span_id=bytes.fromhex(row["parent_span_id"]),
            name=row.get("name", ""),
            start_time_unix_nano=row["start_time_unix_nano"],
            end_time_unix_nano=row["end_time_unix_nano"],
        )
        span.status.code = row["status"]
        span.attributes.extend(_pair(*pair) for pair in row["attributes"].items())
        for told in row["events"]:
            event = span.events.add(name=told.get("name", ""), time_unix_nano=told["at"])
            event.attributes.extend(_pair(*pair) for pair in told["attributes"].items())
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BeyondUse("what was kept of it is not the whole span") from None
    body: bytes = request.SerializeToString()
    return body


def _pair(key: str, value: Any) -> KeyValue:
    return KeyValue(key=key, value=_any(value))


def _any(value: Any) -> AnyValue:
    if isinstance(value, list):
        made = AnyValue()
        made.array_value.values.extend(_any(item) for item in value)
        return made
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=value)
