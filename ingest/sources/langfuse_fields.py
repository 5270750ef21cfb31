"""How one field of Langfuse's JSON is read: ids, times, numbers, names.

Pure. Refuses what cannot be what it should be, with its name and the fix.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_ID_CHARS = 200
MAX_NAME_CHARS = 200
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadRow(ValueError):
    """One row that cannot be taken; its neighbours can."""

    def __init__(self, reason: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.field = field
        self.detail = detail


def must_be_object(row: Any) -> None:
    if not isinstance(row, Mapping):
        raise BadRow("no_object", "", "Must be a JSON object; check that the URL is Langfuse's.")


def identity(row: Mapping[str, Any], name: str) -> str:
    said = row.get(name)
    if not isinstance(said, str) or not 0 < len(said) <= MAX_ID_CHARS:
        detail = f"Must be a text of 1 to {MAX_ID_CHARS} characters."
        raise BadRow("bad_id", name, detail)
    return storable(said)


def storable(text: str) -> str:
    """PostgreSQL's text holds no NUL, and no half of a surrogate pair."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\ufffd")


def clean(said: Any) -> str:
    """No name needs more than this."""
    return storable(str(said)[:MAX_NAME_CHARS])


def text_of(row: Mapping[str, Any], *names: str) -> str:
    for name in names:
        said = row.get(name)
        if isinstance(said, str) and said:
            return clean(said)
    return ""


def moment_of(row: Mapping[str, Any], name: str) -> datetime | None:
    said = row.get(name)
    if said is None or said == "":
        return None
    try:
        moment = datetime.fromisoformat(said)
        # An offset of years is no time zone either.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        detail = "Must be a time such as 2026-05-01T12:00:00.000Z."
        raise BadRow("bad_time", name, detail) from None


def version_of(row: Mapping[str, Any], otherwise: datetime) -> int:
    """The source's own update time in microseconds; an ingestion event has its timestamp."""
    at = moment_of(row, "updatedAt") or moment_of(row, "timestamp") or otherwise
    return (at - EPOCH) // timedelta(microseconds=1)


def object_of(said: Any) -> Mapping[str, Any]:
    """A JSON object, which Langfuse also writes as a string; anything else says nothing."""
    if isinstance(said, str) and said.startswith("{"):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            return {}
    return said if isinstance(said, Mapping) else {}


def number_of(said: Any) -> float | None:
    if isinstance(said, bool):
        return None
    try:
        number = float(said)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decimal_of(said: Any) -> Decimal | None:
    if said is None or isinstance(said, bool | list | dict):
        return None
    try:
        # repr: the shortest decimal that means this float, as its sender wrote it.
        return Decimal(repr(said) if isinstance(said, float) else str(said))
    except InvalidOperation:
        return None
