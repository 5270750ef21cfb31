"""How fast OTLP in protobuf becomes records, per second of processor time, without text.

Peer in the same run: `ParseFromString` with OpenTelemetry's own classes, and then every attribute
read once, which is the least that a decoder on these classes does. The limit: our own classes,
which leave attributes packed, parsed and each field of each span read once, no record made.

Two kinds of traffic: an application whose users, sessions and counts come back, and one where
every session and every count of tokens is new. `--data FILE` takes one ExportTraceServiceRequest.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.sources.otlp import wire
from tests.bench.common import arguments, report
from tests.bench.ingest import _body

SPANS = 20_000
BATCH = 500
ROUNDS = 15


def main() -> None:
    parser = arguments(__doc__ or "")
    options = parser.parse_args()
    from ingest.privacy import ProjectKey
    from ingest.sources import otlp

    key = ProjectKey(b"k1", b"a key of the bench")
    bodies = [options.data.read_bytes()] if options.data else _bodies()
    ours = _rate(lambda body: len(otlp.decode(body, key=key).spans), lambda _: bodies)
    peer = _rate(_touch, lambda _: bodies)
    limit = _rate(_walk, lambda _: bodies)
    rows = [
        ["decode to records", f"{ours:,.0f}", f"{ours / peer:.2f}"],
        ["peer: parse, read each attribute once", f"{peer:,.0f}", "1.00"],
        ["limit: parse packed, read each field once", f"{limit:,.0f}", f"{limit / peer:.2f}"],
    ]
    result = {
        "decode_spans_per_cpu_s": round(ours),
        "ratio_to_touching_attributes": round(ours / peer, 3),
        "ratio_to_plain_walk": round(ours / limit, 3),
    }
    if not options.data:
        new = _rate(lambda body: len(otlp.decode(body, key=key).spans), _all_new)
        result["decode_new_spans_per_cpu_s"] = round(new)
        rows.insert(1, ["  every session and count new", f"{new:,.0f}", f"{new / peer:.2f}"])
    report(
        "OTLP decoding, one process", ["path", "spans/CPU s", "ratio"], rows, result, options.out
    )


def _bodies() -> list[bytes]:
    return [_body(range(n, n + BATCH), 0, seed=1) for n in range(0, SPANS, BATCH)]


def _all_new(round_number: int) -> list[bytes]:
    """The same spans with sessions and counts that no round had before."""
    dice = random.Random(round_number)
    made = []
    for body in _bodies()[:10]:
        request = ExportTraceServiceRequest.FromString(body)
        for span in request.resource_spans[0].scope_spans[0].spans:
            for pair in span.attributes:
                if pair.key == "session.id":
                    pair.value.string_value = f"{dice.getrandbits(64):016x}"
                elif pair.key.startswith("gen_ai.usage."):
                    pair.value.int_value += dice.getrandbits(24)
        made.append(request.SerializeToString())
    return made


def _rate(decode: Callable[[bytes], int], bodies_of: Callable[[int], list[bytes]]) -> float:
    """The best of some rounds: what else runs on the machine only ever takes away."""
    best = 0.0
    for round_number in range(ROUNDS):
        bodies = bodies_of(round_number)
        started = time.process_time()
        seen = sum(decode(body) for body in bodies)
        best = max(best, seen / (time.process_time() - started))
    return best


def _walk(body: bytes) -> int:
    request = wire.Request()
    request.ParseFromString(body)
    seen = 0
    said: tuple[Any, ...] = ()
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                said = (
                    span.trace_id, span.span_id, span.parent_span_id, span.name,
                    span.start_time_unix_nano, span.end_time_unix_nano, span.events,
                    span.dropped_attributes_count, span.status.code, *span.attributes,
                )  # fmt: skip
                seen += bool(said)
    return seen


def _touch(body: bytes) -> int:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    seen = 0
    said: list[Any] = []
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                said = [
                    (pair.key, pair.value.string_value or pair.value.int_value)
                    for pair in span.attributes
                ]
                seen += bool(said)
    return seen


if __name__ == "__main__":
    main()
