import base64
import gzip
import json
from pathlib import Path

import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.privacy import ProjectKey
from tests.conftest import require

SHARED = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def shared():
    """Path of a file of the development data, which is no part of the project."""

    def find(name: str) -> Path:
        path = SHARED / name
        require("data", None if path.exists() else f"there is no ../shared/data/{name}")
        return path

    return find


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
