"""Cursors of keyset pages: opaque to whoever carries them, checked when they come back."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

MAX_LENGTH = 500


class BadCursor(ValueError):
    """The cursor was not one of ours."""

    def __init__(self) -> None:
        super().__init__("Take the cursor from `next` of the page before, or leave it out.")


def encode(*parts: str | int) -> str:
    text = json.dumps(parts, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, *types: Callable[[Any], Any]) -> tuple[Any, ...]:
    """The parts, each read by its type; whatever was changed on the way is refused."""
    if len(cursor) > MAX_LENGTH or not cursor.isascii():
        raise BadCursor
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(parts, list):
            raise BadCursor
        if not all(type(part) in (str, int) for part in parts):
            raise BadCursor
        return tuple(read(part) for read, part in zip(types, parts, strict=True))
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
        raise BadCursor from error


def identity(value: Any) -> int:
    """A primary key that fits the column."""
    if type(value) is int and 0 <= value < 2**63:
        return value
    raise BadCursor


def instant(value: Any) -> datetime:
    at = datetime.fromisoformat(value)
    if at.tzinfo is None or not 2000 <= at.year < 2100:
        raise BadCursor
    return at


def small(value: Any) -> int:
    """A number that fits an integer column."""
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    raise BadCursor
