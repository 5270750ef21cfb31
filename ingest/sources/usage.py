"""The one token rule: a vendor's counts → disjoint classes that may be added.

Knows how vendors nest their counts. Pure: plain values in, plain values out. Unknown stays None.

OpenTelemetry and OpenInference say that an input count holds the cached tokens, and an output count
the reasoning. Some senders do not keep to it. Two things give them away: more cached tokens than
input, or a total that is only right with the cached tokens added on top. A vendor's own usage
object needs no such guess: its names say which convention it keeps (`of_vendor`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

INCLUSIVE = "inclusive"
EXCLUSIVE = "exclusive"


class Usage(NamedTuple):
    """In the order of `records.TOKEN_CLASSES`."""

    input: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    output: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    image_input: int | None = None
    convention: str = ""


def disjoint(
    given_input: int | None,
    given_output: int | None,
    *,
    total: int | None = None,
    cache_read: int | None = None,
    cache_write_5m: int | None = None,
    cache_write_1h: int | None = None,
    reasoning: int | None = None,
    audio_input: int | None = None,
    audio_output: int | None = None,
    image_input: int | None = None,
    convention: str = "",
) -> Usage:
    """Take the classes apart that the sender's input and output counts hold together.

    `convention` is what the sender is known to keep to; unknown, its own counts tell.
    """
    fresh, known = given_input, convention
    convention = ""
    cached = (cache_read or 0) + (cache_write_5m or 0) + (cache_write_1h or 0)
    if fresh is not None:
        # Whatever a sender is known for, more cached than input cannot have been inside.
        beside = (
            known == EXCLUSIVE
            or cached > fresh
            or (
                not known
                and cached > 0
                and total is not None
                and total == fresh + cached + (given_output or 0)
            )
        )
        convention = EXCLUSIVE if beside else INCLUSIVE
        if not beside:
            fresh -= cached
        # A cached second of audio is in both counts: what is left of the input is the limit.
        fresh, audio_input = _take_out(fresh, audio_input)
        fresh, image_input = _take_out(fresh, image_input)
    visible = given_output
    if visible is not None:
        if reasoning is not None and reasoning <= visible:
            visible -= reasoning
        visible, audio_output = _take_out(visible, audio_output)
    return Usage(
        fresh,
        cache_read,
        cache_write_5m,
        cache_write_1h,
        visible,
        reasoning,
        audio_input,
        audio_output,
        image_input,
        convention,
    )


def _take_out(whole: int, part: int | None) -> tuple[int, int | None]:
    """Split `part` off `whole` without making tokens up or going below zero."""
    if not part:
        return whole, part
    part = min(part, whole)
    return whole - part, part


# ---- a vendor's own usage object ----------------------------------------------------------------

MAX_RAW_BYTES = 2048
MAX_RAW_WORD = 40
DEEPEST = 4
MAX_COUNT = 10**18
"""A longer number is no count: it would not fit PostgreSQL's 64 bits."""


class BadUsage(ValueError):
    """A usage object with a count that is none: `name` says which, the message how to mend it."""

    def __init__(self, name: str, told: Any) -> None:
        shown = repr(told)[:40] if isinstance(told, int | float) else f"a {type(told).__name__}"
        super().__init__(f"Says {shown}; send a whole number of tokens from 0.")
        self.name = name


def of_vendor(told: Mapping[str, Any]) -> Usage:
    """A usage object as OpenAI, Azure OpenAI or Anthropic sends it. Raises BadUsage.

    Anthropic counts cached tokens beside `input_tokens`, OpenAI within `prompt_tokens` (chat,
    embeddings) or `input_tokens` (responses), where their details say how many.
    """
    if _is_anthropic(told):
        return _anthropic(told)
    return _openai(told)


def _is_anthropic(told: Mapping[str, Any]) -> bool:
    if "prompt_tokens" in told or "input_tokens_details" in told or "total_tokens" in told:
        return False
    return "input_tokens" in told


def _anthropic(told: Mapping[str, Any]) -> Usage:
    written = _count(told, "cache_creation_input_tokens")
    by_ttl = _object(told, "cache_creation")
    written_1h = _count(by_ttl, "ephemeral_1h_input_tokens")
    written_5m = _count(by_ttl, "ephemeral_5m_input_tokens")
    if written_5m is None and written is not None:
        # Without a word on the time to live it is the default one.
        written_5m = max(0, written - (written_1h or 0))
    return disjoint(
        _count(told, "input_tokens"),
        _count(told, "output_tokens"),
        cache_read=_count(told, "cache_read_input_tokens"),
        cache_write_5m=written_5m,
        cache_write_1h=written_1h,
        convention=EXCLUSIVE,
    )


def _openai(told: Mapping[str, Any]) -> Usage:
    # The older name of a run's details has no plural.
    prompt = _object(told, "prompt_tokens_details", "input_tokens_details", "prompt_token_details")
    answer = _object(told, "completion_tokens_details", "output_tokens_details")
    return disjoint(
        _count(told, "prompt_tokens", "input_tokens"),
        _count(told, "completion_tokens", "output_tokens"),
        cache_read=_count(prompt, "cached_tokens"),
        reasoning=_count(answer, "reasoning_tokens"),
        audio_input=_count(prompt, "audio_tokens"),
        audio_output=_count(answer, "audio_tokens"),
        image_input=_count(prompt, "image_tokens"),
        convention=INCLUSIVE,
    )


def _object(told: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        found = told.get(name)
        if isinstance(found, Mapping):
            return found
    return {}


def _count(told: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = told.get(name)
        if value is None:
            continue
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < MAX_COUNT:
            raise BadUsage(name, value)
        return value
    return None


def raw(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage object as it came, to be kept beside what was read from it; None if too large.

    Numbers and single words only: whatever a sender hides in a usage object, no text is kept.
    """
    kept = _plain(told, DEEPEST)
    if not kept or len(json.dumps(kept)) > MAX_RAW_BYTES:
        return None
    return kept


def _plain(told: Mapping[str, Any], depth: int) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in told.items():
        if not _is_word(name):
            continue
        if isinstance(value, Mapping):
            if depth > 1:
                kept[name] = _plain(value, depth - 1)
        elif value is None or isinstance(value, bool) or _is_finite(value) or _is_word(value):
            kept[name] = value
    return kept


def _is_word(value: Any) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= MAX_RAW_WORD
        and value.isascii()
        and value.replace("_", "").replace("-", "").replace(".", "").isalnum()
    )


def _is_finite(value: Any) -> bool:
    # JSON has no word for NaN and infinity, and jsonb no room for a number without end.
    return isinstance(value, int | float) and abs(value) < MAX_COUNT
