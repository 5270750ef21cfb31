"""What of a channel nobody may read again: the webhook's URL of Slack, the key that signs.

Knows how it is kept: encrypted, never beside what is shown. It is opened to send, and for nothing
else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from finops.models import Channel
from ingest import encryption


def locked(secret: Mapping[str, str]) -> bytes | None:
    """None where a channel needs none."""
    return encryption.encrypt(json.dumps(dict(secret)).encode()) if secret else None


def opened(channel: Channel) -> dict[str, str]:
    """Raises `encryption.CannotDecrypt`."""
    if channel.secret is None:
        return {}
    found: dict[str, str] = json.loads(encryption.decrypt(channel.secret))
    return found
