"""OTLP's messages with the attributes of spans left packed.

To unpack an attribute into Python objects costs more than all the rest of a span, and most are the
same from span to span: packed, each is one value of bytes that can be looked up as it is.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.trace.v1 import trace_pb2

_PACKAGE = "breakeven.otlp"
_OTLP = "opentelemetry.proto"
_FIELD = descriptor_pb2.FieldDescriptorProto


def _messages() -> tuple[Any, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="breakeven/otlp.proto", package=_PACKAGE, syntax="proto3"
    )
    file.dependency.append(trace_pb2.DESCRIPTOR.name)
    file.dependency.extend(one.name for one in trace_pb2.DESCRIPTOR.dependencies)

    def message(name: str, *fields: tuple[int, str, Any, bool]) -> None:
        made = file.message_type.add(name=name)
        for number, field, kind, repeated in fields:
            is_message = isinstance(kind, str)
            made.field.add(
                name=field,
                number=number,
                type=_FIELD.TYPE_MESSAGE if is_message else kind,
                type_name=kind if is_message else None,
                label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL,
            )

    message(
        "Span",
        (1, "trace_id", _FIELD.TYPE_BYTES, False),
        (2, "span_id", _FIELD.TYPE_BYTES, False),
        (4, "parent_span_id", _FIELD.TYPE_BYTES, False),
        (5, "name", _FIELD.TYPE_STRING, False),
        (7, "start_time_unix_nano", _FIELD.TYPE_FIXED64, False),
        (8, "end_time_unix_nano", _FIELD.TYPE_FIXED64, False),
        (9, "attributes", _FIELD.TYPE_BYTES, True),
        (10, "dropped_attributes_count", _FIELD.TYPE_UINT32, False),
        (11, "events", f".{_OTLP}.trace.v1.Span.Event", True),
        (15, "status", f".{_OTLP}.trace.v1.Status", False),
    )
    message(
        "ScopeSpans",
        (1, "scope", f".{_OTLP}.common.v1.InstrumentationScope", False),
        (2, "spans", f".{_PACKAGE}.Span", True),
    )
    message(
        "ResourceSpans",
        (1, "resource", f".{_OTLP}.resource.v1.Resource", False),
        (2, "scope_spans", f".{_PACKAGE}.ScopeSpans", True),
    )
    message("Request", (1, "resource_spans", f".{_PACKAGE}.ResourceSpans", True))
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return tuple(
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("Request", "Span")
    )


Request, Span = _messages()
