"""The one token rule: a vendor's counts → disjoint classes that may be added.

Knows how vendors nest their counts. Pure: plain values in, plain values out. Unknown stays None.

OpenTelemetry and OpenInference say that an input count holds the cached tokens, and an output count
the reasoning. Some senders do not keep to it. Two things give them away: more cached tokens than
input, or a total that is only right with the cached tokens added on top.
"""

from __future__ import annotations

from typing import NamedTuple

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
) -> Usage:
    """Take the classes apart that the sender's input and output counts hold together."""
    fresh, convention = given_input, ""
    cached = (cache_read or 0) + (cache_write_5m or 0) + (cache_write_1h or 0)
    if fresh is not None:
        beside = cached > fresh or (
            cached > 0 and total is not None and total == fresh + cached + (given_output or 0)
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
