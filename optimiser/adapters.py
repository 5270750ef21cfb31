"""From a target's row to the adapter that talks to it.

Knows rows, keys and how long a call may take. Refuses to keep connections: each adapter is made for
one step.
"""

from __future__ import annotations

from ingest.encryption import decrypt
from optimiser.models import Target
from optimiser.targets import base
from optimiser.targets.triton import TritonModel


def of(target: Target, *, most_s: float, model: str = "") -> base.Target:
    """The target's model, or another of its server; no call takes longer than `most_s`."""
    server = target.server
    return TritonModel(
        url=server.url,
        admin_key=decrypt(server.admin_key).decode() if server.admin_key else "",
        model_name=model or target.model,
        timeout_s=min(server.timeout_s, most_s),
    )
