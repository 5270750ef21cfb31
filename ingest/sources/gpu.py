"""Readings of GPUs, as the probe on the GPU host pushes them.

Knows that the words are `gpu_probe.wire`'s; refuses to repair what the wire refuses.
"""

from __future__ import annotations

from gpu_probe import wire
from ingest.sources.base import BadBody, PushSource


class GpuProbe(PushSource):
    kind = "gpu"
    label = "GPU probe"
    help = (
        "Run `python -m gpu_probe` on each GPU host with this address and a push token;"
        " its readings belong to the source's pool."
    )
    owner = "pool"
    path = "/v1/gpu-samples"
    scope = "gpu:write"


def decode(body: bytes) -> wire.Batch:
    try:
        return wire.decode(body)
    except wire.WireError as bad:
        raise BadBody(f"{bad}.") from bad
