"""Bodies the API reads: JSON in UTF-8, small, shallow, without tricks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.parsers import BaseParser

from finops.problems import Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
LARGEST = 2**63


class StrictJson(BaseParser):
    """Refuses what would fail later or mean two things: NaN, duplicate names, NUL, huge numbers."""

    media_type = "application/json"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        charset = stream.META.get("CONTENT_TYPE", "").lower().partition("charset=")[2]
        if charset.strip(" \"'") not in ("", "utf-8", "utf8"):
            raise Problem(415, "Send JSON in UTF-8.")
        # One byte more than allowed is enough to know.
        body = stream.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise Problem(413, f"Send at most {MAX_BYTES} bytes.")
        try:
            value = json.loads(
                body.decode("utf-8"),
                object_pairs_hook=_once,
                parse_constant=_refuse_constant,
                parse_int=_small_int,
                parse_float=_refuse_infinite,
            )
        except RecursionError:
            raise Problem(400, f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
        except (UnicodeDecodeError, ValueError) as error:
            raise Problem(400, f"The body is no JSON we take: {error}.") from None
        _check(value, 0)
        return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return names


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _small_int(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= LARGEST:
        raise ValueError("a number is too large")
    return int(text)


def _refuse_infinite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Problem(400, f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str) and ("\0" in value or (not value.isprintable() and _lone(value))):
        raise Problem(400, "Text must not hold NUL or half a character.")
    if isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth + 1)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)


def _lone(text: str) -> bool:
    """Half of a surrogate pair, which UTF-8 and so PostgreSQL cannot hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)
