"""Keeps rows that could not be taken readable for a repair, and for nobody else.

Knows encryption with rotating keys and how to strip prompt text. Refuses to store anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from ingest.privacy import looks_like_text, names_text

MAX_PAYLOAD_BYTES = 16 * 1024
"""Enough to see what is wrong with a row; a hostile one must not fill the disk."""
DEEPEST = 8


class CannotDecrypt(Exception):
    """None of the configured keys opens this."""


def encrypt(payload: bytes) -> bytes:
    """Encrypt with the newest key."""
    return _fernet(tuple(settings.ENCRYPTION_KEYS)).encrypt(payload)


def decrypt(token: bytes) -> bytes:
    """Decrypt with whichever key fits."""
    try:
        return _fernet(tuple(settings.ENCRYPTION_KEYS)).decrypt(bytes(token))
    except InvalidToken:
        raise CannotDecrypt(
            "None of BREAKEVEN_ENCRYPTION_KEYS opens this row; add the key it was written with."
        ) from None


@lru_cache(maxsize=4)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def redact(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without prompt text: what a text was is said by its length alone."""
    return {str(name): _redacted(str(name), value, DEEPEST) for name, value in row.items()}


def _redacted(name: str, value: Any, depth: int) -> Any:
    if isinstance(value, str):
        if names_text(name) or looks_like_text(value):
            return f"[text of {len(value)} characters]"
        return value
    if isinstance(value, bytes):
        return f"[{len(value)} bytes]"
    if isinstance(value, Mapping | list | tuple):
        if depth == 0:
            return "[nested too deeply to keep]"
        if isinstance(value, Mapping):
            return {str(k): _redacted(f"{name}.{k}", v, depth - 1) for k, v in value.items()}
        return [_redacted(name, item, depth - 1) for item in value]
    return value


def payload(row: Mapping[str, Any]) -> bytes:
    """A redacted row as JSON, ready to be a reject's payload."""
    text = json.dumps(redact(row), ensure_ascii=False, default=str)
    return text.encode("utf-8", "replace")[:MAX_PAYLOAD_BYTES]
