"""A JSON body from somebody else → plain values that may be walked and stored.

Knows what makes JSON dangerous: depth, NaN, infinity and halves of surrogate pairs. Refuses to know
what a body is about.
"""

from __future__ import annotations

import json
import math
from typing import Any

from ingest.sources.base import BadBody

MAX_DEPTH = 64
"""Prompts with tools and their schemas nest about twenty deep."""


def read(body: bytes) -> Any:
    """The value of a body. Raises BadBody with a sentence for its sender."""
    try:
        plain = _loads(body.decode())
        _check_depth(plain)
        if b"\\u" in body:
            # Half of a surrogate pair is no text: neither UTF-8 nor PostgreSQL can hold it.
            whole = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace")
            plain = _loads(whole.decode())
    except UnicodeDecodeError:
        raise BadBody("The body is no UTF-8; send JSON in UTF-8.") from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        if isinstance(error, BadBody):
            raise
        raise BadBody("The body is no JSON, or it was cut off; send it again whole.") from None
    return plain


def _loads(text: str) -> Any:
    return json.loads(text, parse_constant=_nothing, parse_float=_finite)


def _nothing(name: str) -> None:
    """NaN and infinity are no JSON, and say that something is not known."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _check_depth(plain: Any) -> None:
    """Level by level, so that what is deep cannot overflow the stack of the check itself."""
    level = [plain]
    for _ in range(MAX_DEPTH + 1):
        objects = [node.values() for node in level if isinstance(node, dict)]
        lists = [node for node in level if isinstance(node, list)]
        level = [
            child
            for children in (*objects, *lists)
            for child in children
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadBody:
    return BadBody(f"The body is nested too deeply; send at most {MAX_DEPTH} levels.")
