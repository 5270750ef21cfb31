"""OTLP bodies as an SDK would send them, built with the protocol's own classes."""

from datetime import UTC, datetime

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

START = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
START_NS = int(START.timestamp()) * 1_000_000_000
MS = 1_000_000


def put(pair, key, value):
    pair.key = key
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int):
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    elif isinstance(value, list):
        for item in value:
            pair.value.array_value.values.add().string_value = item
    else:
        pair.value.string_value = value


def body(*spans: dict, service: str = "search") -> bytes:
    """One request; a span is its attributes plus, with a leading underscore, its own fields."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    put(resource.resource.attributes.add(), "service.name", service)
    scope = resource.scope_spans.add()
    for number, told in enumerate(spans, start=1):
        span = scope.spans.add()
        span.trace_id = told.get("_trace_id", number.to_bytes(16, "big"))
        span.span_id = told.get("_span_id", number.to_bytes(8, "big"))
        span.parent_span_id = told.get("_parent", b"")
        span.name = told.get("_name", "chat gpt-4o")
        span.start_time_unix_nano = told.get("_start_ns", START_NS)
        span.end_time_unix_nano = told.get("_end_ns", START_NS + 250 * MS)
        span.status.code = told.get("_status", 0)
        for name, at_ms, attributes in told.get("_events", []):
            event = span.events.add()
            event.name = name
            event.time_unix_nano = START_NS + at_ms * MS
            for key, value in attributes.items():
                put(event.attributes.add(), key, value)
        for key, value in told.items():
            if not key.startswith("_"):
                put(span.attributes.add(), key, value)
    return request.SerializeToString()
