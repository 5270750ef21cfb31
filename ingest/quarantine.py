"""Keeps rows that could not be taken readable for a repair, and for nobody else.

Knows how to strip prompt text. Refuses to store anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ingest.privacy import looks_like_text, names_text

MAX_PAYLOAD_BYTES = 16 * 1024
"""Enough to see what is wrong with a row; a hostile one must not fill the disk."""
DEEPEST = 8


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
