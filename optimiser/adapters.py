"""From a target's row to the adapter that talks to it.

Knows rows, keys and how long a call may take. Refuses to keep connections: each adapter is made for
one step.
"""

from __future__ import annotations

from ingest.encryption import CannotDecrypt, decrypt
from optimiser.models import Server, Target
from optimiser.targets import base
from optimiser.targets.triton import TritonModel


def of(target: Target, *, most_s: float, model: str = "") -> base.Target:
    """The target's model, or another of its server; no call takes longer than `most_s`.

    Raises TargetError when the key cannot be read.
    """
    server = target.server
    return TritonModel(
        url=server.url,
        admin_key=admin_key(server),
        model_name=model or target.model,
        timeout_s=min(server.timeout_s, most_s),
    )


def admin_key(server: Server) -> str:
    """Empty where the server asks for none. Raises TargetError."""
    if not server.admin_key:
        return ""
    try:
        return decrypt(server.admin_key).decode()
    except CannotDecrypt as error:
        raise base.TargetError(f"The admin key of {server}: {error}", retriable=False) from error
