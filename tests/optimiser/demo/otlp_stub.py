"""A small OTLP receiver for tests: it checks what it is sent and remembers it.

It refuses, with 400 and a reason, whatever a careful receiver would: a wrong path or type, bytes
that are no OTLP, spans without identity, with impossible times or token counts.
"""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

TOKEN = "brk_test_secret"
NEEDED = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "user.id")


class Malformed(Exception):
    """Why a request cannot be taken."""


@dataclass
class Received:
    """One span as it arrived."""

    service: str
    resource: dict[str, Any]
    name: str
    attributes: dict[str, Any]
    failed: bool
    start_ns: int
    seconds: float
    events: list[dict[str, Any]]


@dataclass
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class OtlpStub:
    """Serves on a free loopback port while used with `with`; `first` are its first answers."""

    first: list[Answer] = field(default_factory=list)
    spans: dict[bytes, Received] = field(default_factory=dict)
    sightings: Counter[bytes] = field(default_factory=Counter)
    requests: int = 0
    malformed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0
    connections: set[socket.socket] = field(default_factory=set)

    def __enter__(self) -> OtlpStub:
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gone as after a kill: open connections are cut too."""
        self.server.shutdown()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/traces"

    def answer(self, path: str, headers: Any, body: bytes) -> Answer:
        with self.lock:
            self.requests += 1
            if self.first:
                return self.first.pop(0)
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                return Answer(401, body=b"Unknown token.")
            try:
                self._take(path, headers, body)
            except Malformed as error:
                self.malformed.append(str(error))
                return Answer(400, body=str(error).encode())
            return Answer(200, body=ExportTraceServiceResponse().SerializeToString())

    def _take(self, path: str, headers: Any, body: bytes) -> None:
        if path != "/v1/traces":
            raise Malformed(f"path {path}")
        if headers.get("Content-Type") != "application/x-protobuf":
            raise Malformed(f"content type {headers.get('Content-Type')}")
        try:
            plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
            request = ExportTraceServiceRequest.FromString(plain)
        except (OSError, EOFError, zlib.error, DecodeError) as error:
            raise Malformed(f"not OTLP: {error}") from error
        for resource_spans in request.resource_spans:
            resource = _plain(resource_spans.resource.attributes)
            if not resource.get("service.name"):
                raise Malformed("a resource without service.name")
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self._remember(resource, span)

    def _remember(self, resource: dict[str, Any], span: Any) -> None:
        received = _checked(resource, span)
        identity = span.trace_id + span.span_id
        if identity in self.spans and self.spans[identity] != received:
            raise Malformed("the same span id with other content")
        self.spans[identity] = received
        self.sightings[identity] += 1


def _checked(resource: dict[str, Any], span: Any) -> Received:
    attributes = _plain(span.attributes)
    if len(span.trace_id) != 16 or not any(span.trace_id):
        raise Malformed("a span without a trace id")
    if len(span.span_id) != 8 or not any(span.span_id):
        raise Malformed("a span without a span id")
    if not 0 < span.start_time_unix_nano <= span.end_time_unix_nano:
        raise Malformed(f"{span.name} ends before it starts")
    for name in NEEDED:
        if not attributes.get(name):
            raise Malformed(f"{span.name} lacks {name}")
    tokens = {key: v for key, v in attributes.items() if key.startswith("gen_ai.usage.")}
    if any(not isinstance(v, int) or v < 0 for v in tokens.values()):
        raise Malformed(f"{span.name} has impossible tokens {tokens}")
    cached = tokens.get("gen_ai.usage.cache_read.input_tokens", 0)
    if cached > tokens.get("gen_ai.usage.input_tokens", 0):
        raise Malformed(f"{span.name} has more cached than input tokens")
    return Received(
        service=resource["service.name"],
        resource=resource,
        name=span.name,
        attributes=attributes,
        failed=span.status.code == 2,
        start_ns=span.start_time_unix_nano,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        events=[{"name": e.name, **_plain(e.attributes)} for e in span.events],
    )


def _plain(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def _handler(stub: OtlpStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            stub.connections.add(self.request)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = stub.answer(self.path, self.headers, body)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            """Tests speak for themselves."""

    return Handler
