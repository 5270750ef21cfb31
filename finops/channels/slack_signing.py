"""The signature by which Slack says that a request is its own: `v0=` and an HMAC-SHA256.

Pure: the clock is an argument. Refuses what is older than five minutes, or from as far ahead.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime

TOLERANCE_S = 300


def is_timely(timestamp: str, now: datetime) -> bool:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    return abs(now.timestamp() - int(timestamp)) <= TOLERANCE_S


def is_signed(body: bytes, timestamp: str, signature: str, secret: str) -> bool:
    """Compared in constant time, over the body as it came."""
    return hmac.compare_digest(signed(body, timestamp, secret).encode(), signature.encode())


def signed(body: bytes, timestamp: str, secret: str) -> str:
    basis = b"v0:" + timestamp.encode() + b":" + body
    return f"v0={hmac.new(secret.encode(), basis, hashlib.sha256).hexdigest()}"
