import base64
import gzip
import json

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.privacy import ProjectKey


@pytest.fixture
def key():
    return ProjectKey(b"k1", b"a secret of the tests")


def protobuf_of(line: str) -> bytes:
    """OTLP/JSON as protobuf. JSON spells ids in hex where protobuf's own JSON wants base64."""
    plain = json.loads(line)
    for resource in plain["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for name in ("traceId", "spanId", "parentSpanId"):
                    if name in span:
                        span[name] = base64.b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(plain, ExportTraceServiceRequest()).SerializeToString()


@pytest.fixture
def recorded(shared):
    """Each request of a recording, as (the JSON spans, the protobuf body)."""

    def read(name: str):
        with gzip.open(shared(f"formats/{name}"), "rt") as file:
            for line in file:
                spans = [
                    span
                    for resource in json.loads(line)["resourceSpans"]
                    for scope in resource["scopeSpans"]
                    for span in scope["spans"]
                ]
                yield spans, protobuf_of(line)

    return read
