"""Keeps rows that could not be taken readable for a repair, and for nobody else.

Knows how to strip prompt text, and how to read a stripped row again. Refuses to store anything, and
to read again what was cut off or lost a figure: it would become another fact than was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ingest import encryption
from ingest.privacy import looks_like_text, names_text

MAX_PAYLOAD_BYTES = 16 * 1024
"""Enough to see what is wrong with a row; a hostile one must not fill the disk."""
DEEPEST = 8

REDACTED = re.compile(
    r"\[(?:(?:a )?(?:text|reply|name) of \d+ characters|\d+ bytes|nested too deeply to keep)\]"
)
FIGURES = re.compile(r"(?i)usage|cost|tokens|score|value|(?:id|_at|time|timestamp)$")
"""Names whose loss would change what is counted, or which thing it is."""


class BeyondUse(Exception):
    """What was kept of a row is not enough to try it again."""


def redact(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without prompt text: what a text was is said by its length alone."""
    return {_name(name): _redacted(str(name), value, DEEPEST) for name, value in row.items()}


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
            return {_name(k): _redacted(f"{name}.{k}", v, depth - 1) for k, v in value.items()}
        return [_redacted(name, item, depth - 1) for item in value]
    return value


def _name(name: Any) -> str:
    """Somebody's text may stand where a name should."""
    said = str(name)
    return f"[name of {len(said)} characters]" if looks_like_text(said) else said


def payload(row: Mapping[str, Any]) -> bytes:
    """A redacted row as JSON, ready to be a reject's payload."""
    text = json.dumps(redact(row), ensure_ascii=False, default=_plain)
    return text.encode("utf-8", "replace")[:MAX_PAYLOAD_BYTES]


def _plain(value: Any) -> Any:
    # A number must come back as one: as a text it would be a category.
    return float(value) if isinstance(value, Decimal) else str(value)


# ---- reading again -----------------------------------------------------------------------------


def opened(kept: bytes, field: str = "") -> tuple[dict[str, Any], bool]:
    """The row of a reject without what was redacted, and whether anything was. Raises BeyondUse.

    `field` is what the row was refused for: were that redacted, its absence would make it good.
    """
    if not kept:
        raise BeyondUse("nothing of it was kept")
    try:
        row = json.loads(encryption.decrypt(kept))
    except encryption.CannotDecrypt as closed:
        raise BeyondUse(f"what was kept cannot be read. {closed}") from None
    except ValueError:
        raise BeyondUse("it was too large to be kept whole") from None
    lost: list[str] = []
    whole = _without(row, "", lost)
    if not isinstance(whole, dict) or any(_matters(name, field) for name in lost):
        raise BeyondUse("what matters of it was taken for text and not kept")
    return whole, bool(lost)


def _without(value: Any, name: str, lost: list[str]) -> Any:
    if isinstance(value, dict):
        kept = {}
        for inner, one in value.items():
            if _is_redacted(inner) or _is_redacted(one):
                lost.append(f"{name}.{inner}")
            else:
                kept[inner] = _without(one, f"{name}.{inner}", lost)
        return kept
    if isinstance(value, list):
        lost += [name for one in value if _is_redacted(one)]
        return [_without(one, name, lost) for one in value if not _is_redacted(one)]
    return value


def _is_redacted(value: Any) -> bool:
    return isinstance(value, str) and REDACTED.fullmatch(value) is not None


def _matters(name: str, field: str) -> bool:
    return FIGURES.search(name) is not None or (bool(field) and f".{field}." in f"{name}.")
