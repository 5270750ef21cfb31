"""OTLP log bodies as an SDK would send them, in both encodings from one telling."""

import json
from datetime import UTC, datetime

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from tests.ingest.sources.otlp_body import put

LOGGED = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
LOGGED_NS = int(LOGGED.timestamp()) * 1_000_000_000
TRACE = bytes(range(16))
SPAN = bytes(range(8))
ERROR, WARN = 17, 13


def request(*logs: dict, service: str = "search") -> ExportLogsServiceRequest:
    """A log record is its attributes plus, with a leading underscore, its own fields."""
    made = ExportLogsServiceRequest()
    resource = made.resource_logs.add()
    if service:
        put(resource.resource.attributes.add(), "service.name", service)
    scope = resource.scope_logs.add()
    scope.scope.name = "app"
    for told in logs:
        record = scope.log_records.add()
        record.time_unix_nano = told.get("_at_ns", LOGGED_NS)
        record.observed_time_unix_nano = told.get("_observed_ns", 0)
        record.severity_number = told.get("_severity", ERROR)
        record.severity_text = told.get("_severity_text", "")
        record.trace_id = told.get("_trace_id", TRACE)
        record.span_id = told.get("_span_id", SPAN)
        record.event_name = told.get("_event", "")
        body = told.get("_body", "")
        if isinstance(body, dict):
            for key, value in body.items():
                put(record.body.kvlist_value.values.add(), key, value)
        elif body:
            record.body.string_value = body
        for key, value in told.items():
            if not key.startswith("_"):
                put(record.attributes.add(), key, value)
    return made


def protobuf(*logs: dict, service: str = "search") -> bytes:
    return request(*logs, service=service).SerializeToString()


def otlp_json(*logs: dict, service: str = "search") -> bytes:
    """As OTLP/JSON spells it: ids in hex, where protobuf's own JSON has base64."""
    plain = json_format.MessageToDict(request(*logs, service=service), use_integers_for_enums=True)
    for resource in plain["resourceLogs"]:
        for scope in resource["scopeLogs"]:
            for told, record in zip(logs, scope["logRecords"], strict=True):
                record["traceId"] = told.get("_trace_id", TRACE).hex()
                record["spanId"] = told.get("_span_id", SPAN).hex()
    return json.dumps(plain).encode()
