"""OpenTelemetry traces: an OTLP body → spans, evaluations and rejects.

Rooms: `bodies` knows the two encodings, `spans` one span, `attributes` what it says, `measures`
what is computed from that, `events` and `text` the rest. None lets prompt text through unless the
project keeps text, and none guesses: what a span does not say stays unknown.
"""

from __future__ import annotations

from ingest.sources.base import PushSource

from .attributes import DROPPED, MAX_ATTRIBUTES
from .bodies import JSON, MAX_SPANS, PROTOBUF
from .decode import Decoded, decode

__all__ = [
    "DROPPED",
    "JSON",
    "MAX_ATTRIBUTES",
    "MAX_SPANS",
    "PROTOBUF",
    "Decoded",
    "Otlp",
    "decode",
]


class Otlp(PushSource):
    kind = "otlp"
    label = "OpenTelemetry and Langfuse traces"
    help = (
        "Point an OpenTelemetry exporter at /v1/traces, or a Langfuse SDK at this address, with a"
        " push token."
    )
    path = "/v1/traces"
    scope = "traces:write"
