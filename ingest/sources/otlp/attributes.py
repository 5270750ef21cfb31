"""A span's attributes: values we know, text to fingerprint, labels to keep.

Knows how to read each name of `vocabulary`. Refuses to keep text unless the project keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from ingest import privacy
from ingest.sources import vocabulary

from .bad import BadSpan

MAX_ATTRIBUTES = 32
MAX_NAME_CHARS = 200
MAX_KEPT_TEXT_CHARS = 100_000
MAX_LIST_ITEMS = 16
DROPPED = "breakeven.dropped_attributes"

Part = tuple[int, int, str]
"""(how good a place it is, the message's number, the text)."""


class Found(NamedTuple):
    """What a span says under any of the names of `vocabulary.ALIASES`; None where it is silent."""

    operation: str | None = None
    span_kind: str | None = None
    provider: str | None = None
    model: str | None = None
    request_model: str | None = None
    tier: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    error_type: str | None = None
    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    ttft_s: float | None = None
    cost_usd: float | None = None
    langfuse_usage: str | None = None
    langfuse_cost: str | None = None
    langfuse_first_token_at: str | None = None


class Seen:
    """What one walk over a span's attributes and events has gathered.

    Written out, for it is made for every span and default factories take four times as long.
    """

    __slots__ = (
        "answers", "counts", "dropped", "labels", "parameters", "prompts", "spares", "texts",
        "values",
    )  # fmt: skip

    def __init__(self) -> None:
        self.values: list[Any] = [None] * _PLACES
        """In the order of `Found`."""
        self.spares: list[tuple[int, int, Any]] = []
        """(rank, place, value) under second names: used where the first name is silent."""
        self.prompts: list[Part] = []
        self.answers: list[Part] = []
        self.labels: dict[str, Any] = {}
        self.texts: dict[str, str] = {}
        """Only of a project that keeps text."""
        self.counts: dict[str, int] = {}
        """Tokens by the sender's own names."""
        self.parameters: dict[str, Any] = {}
        self.dropped = 0

    def found(self) -> Found:
        values = self.values
        if self.spares:
            self.spares.sort(key=itemgetter(0))
            for _, place, value in self.spares:
                if values[place] is None:
                    values[place] = value
        return Found._make(values)


_PLACES = len(Found._fields)


class Read(NamedTuple):
    """What one attribute says."""

    place: int
    """In `Found`; -1 for a label."""
    rank: int
    name: str
    """The label's, or the sender's own for a count of tokens."""
    value: Any
    parameter: Any = None


_read_before: tuple[dict[bytes, Read], dict[bytes, Read]] = ({}, {})
"""Attributes met before, packed; in a project that keeps text a label may be longer."""
MOST_REMEMBERED = 50_000
LONGEST_REMEMBERED = 120


def walk(attributes: Iterable[bytes], seen: Seen, keeps_text: bool) -> None:
    """One pass: each attribute is a value we know, text to fingerprint, or a label to keep.

    This loop is most of what a span costs, hence the look-up of what was read before.
    """
    values, labels = seen.values, seen.labels
    before = _read_before[keeps_text]
    for packed in attributes:
        read = before.get(packed)
        if read is None:
            read = _read(packed, seen, keeps_text, before)
            if read is None:
                continue
        place, rank, name, value, parameter = read
        if place >= 0:
            if name:
                seen.counts[name] = value
            if rank == 0:
                values[place] = value
            elif value is not None:
                seen.spares.append((rank, place, value))
            continue
        if parameter is not None:
            seen.parameters[name] = parameter
        if value is None or len(labels) >= MAX_ATTRIBUTES:
            seen.dropped += 1
        else:
            labels[name] = value


def unpack(packed: bytes) -> Any:
    """Raises BadSpan."""
    try:
        return KeyValue.FromString(packed)
    except DecodeError:
        detail = "An attribute is no OTLP KeyValue; use an OpenTelemetry SDK's own exporter."
        raise BadSpan("bad_attribute", "attributes", detail) from None


def _read(packed: bytes, seen: Seen, keeps_text: bool, before: dict[bytes, Read]) -> Read | None:
    """What an attribute says; None for text, which is noted at once and remembered nowhere."""
    pair = unpack(packed)
    key = pair.key
    known = _KNOWN.get(key)
    if known is None:
        read = _other(key, pair.value, seen, keeps_text)
    else:
        place, rank, reader = known
        value = reader(key, pair.value)
        is_count = reader is _read_count and value is not None
        read = Read(place, rank, key if is_count else "", value)
    if read is not None and len(packed) <= LONGEST_REMEMBERED:
        if len(before) >= MOST_REMEMBERED:
            before.clear()
        before[packed] = read
    return read


def attribute(attributes: Iterable[Any], key: str) -> str:
    for pair in attributes:
        if pair.key == key:
            return clean(pair.value.string_value)
    return ""


def clean(text: str) -> str:
    """PostgreSQL's text holds no NUL, and no name needs more than this."""
    if len(text) > MAX_NAME_CHARS:
        text = text[:MAX_NAME_CHARS]
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _other(key: str, value: Any, seen: Seen, keeps_text: bool) -> Read | None:
    role, rank, index, is_parameter = _role(key)
    text = value.string_value
    parameter = (text or _parameter(value)) if is_parameter else None
    if text and role is not _LABEL:
        if parameter is not None:
            seen.parameters[key] = parameter
        if role is _PROMPT:
            seen.prompts.append((rank, index, text))
        elif role is _ANSWER:
            seen.answers.append((rank, index, text))
        if keeps_text:
            seen.texts[clean(key)] = text[:MAX_KEPT_TEXT_CHARS].replace("\0", "\ufffd")
        return None
    label = _label(value, keeps_text) if len(key) <= MAX_NAME_CHARS else None
    return Read(-1, 0, clean(key), label, parameter)


def _parameter(value: Any) -> Any:
    which = value.WhichOneof("value")
    if which in PLAIN:
        return getattr(value, which)
    return str(value) if which else None


_PROMPT, _ANSWER, _TEXT, _LABEL = "prompt", "answer", "text", "label"


@lru_cache(maxsize=20_000)
def _role(key: str) -> tuple[str, int, int, bool]:
    """(what a string under this name is, how good a place it is, the message's number, whether it
    says how the answer was to be drawn)."""
    is_parameter = privacy.names_parameter(key)
    for role, places in ((_PROMPT, vocabulary.PROMPTS), (_ANSWER, vocabulary.ANSWERS)):
        for rank, names in enumerate(places):
            for order, name in enumerate(names):
                if key == name:
                    return role, rank, order, is_parameter
                if name.endswith(".") and key.startswith(name):
                    number = key[len(name) :].partition(".")[0]
                    if number.isascii() and number.isdigit():
                        return role, rank, int(number[:9]), is_parameter
    return (_TEXT if privacy.names_text(key) else _LABEL), 0, 0, is_parameter


def _short(text: str, keeps_text: bool) -> str | None:
    if len(text) > privacy.LONGEST_LABEL or not (keeps_text or not privacy.looks_like_text(text)):
        return None
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _label(value: Any, keeps_text: bool) -> Any:
    """A small value worth keeping as it is, or None."""
    which = value.WhichOneof("value")
    if which == "string_value":
        return _short(value.string_value, keeps_text)
    if which in ("int_value", "bool_value"):
        return getattr(value, which)
    if which == "double_value":
        # JSON has no word for NaN and infinity.
        return value.double_value if math.isfinite(value.double_value) else None
    if which == "array_value":
        items = value.array_value.values
        if len(items) > MAX_LIST_ITEMS:
            return None
        labels = [_label(item, keeps_text) for item in items if item.WhichOneof("value") in PLAIN]
        return labels if len(labels) == len(items) and None not in labels else None
    return None


PLAIN = frozenset({"string_value", "int_value", "bool_value", "double_value"})


# ---- values we know ---------------------------------------------------------------------------


def _read_text(key: str, value: Any) -> str | None:
    text = value.string_value
    if text:
        return clean(text)
    which = value.WhichOneof("value")
    # An id that its sender took for a number is still an id.
    return str(value.int_value) if which == "int_value" else None


def _read_provider(key: str, value: Any) -> str | None:
    said = _read_text(key, value)
    return vocabulary.provider(said) if said else None


def _read_tier(key: str, value: Any) -> str | None:
    said = _read_text(key, value)
    return vocabulary.tier(said) if said else None


def _read_document(key: str, value: Any) -> str | None:
    return value.string_value or None


def _read_count(key: str, value: Any) -> int | None:
    which = value.WhichOneof("value")
    if which == "int_value" and value.int_value >= 0:
        return int(value.int_value)
    if which is None or (which == "string_value" and not value.string_value):
        return None
    told = getattr(value, which)
    if which == "double_value" and told >= 0 and told.is_integer():
        return int(told)
    if which == "string_value" and told.isascii() and told.isdigit() and len(told) < 20:
        return int(told)
    shown = told if which in ("int_value", "double_value") else f"a {which.removesuffix('_value')}"
    raise BadSpan("bad_tokens", key, f"Says {shown}; send a whole number of tokens from 0.")


def read_number(key: str, value: Any) -> float | None:
    which = value.WhichOneof("value")
    if which == "double_value":
        return float(value.double_value)
    return float(value.int_value) if which == "int_value" else None


_OF_ITS_OWN = {
    "provider": _read_provider,
    "tier": _read_tier,
    "langfuse_usage": _read_document,
    "langfuse_cost": _read_document,
    "langfuse_first_token_at": _read_document,
}
"""Read here, and remembered, rather than once for every span."""


def _known() -> dict[str, tuple[int, int, Callable[[str, Any], Any]]]:
    """Attribute name → (place in `Found`, rank among the names for it, how to read it)."""

    def reader(name: str) -> Callable[[str, Any], Any]:
        if name in vocabulary.COUNTS:
            return _read_count
        if name in vocabulary.NUMBERS:
            return read_number
        return _OF_ITS_OWN.get(name, _read_text)

    return {
        alias: (Found._fields.index(name), rank, reader(name))
        for name, aliases in vocabulary.ALIASES.items()
        for rank, alias in enumerate(aliases)
    }


_KNOWN = _known()
