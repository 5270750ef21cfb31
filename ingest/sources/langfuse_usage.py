"""The counts of a Langfuse observation → token classes that may be added.

Pure: plain values in, plain values out. Langfuse's own details (`usageDetails`) are disjoint.
OpenAI's counts, which SDKs may post as they are, and the older `usage` and `promptTokens` hold the
cached tokens in the input and the reasoning in the output, and are taken apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from ingest.sources import vocabulary
from ingest.sources.usage import EXCLUSIVE, Usage, disjoint

TOTALS = frozenset({"total", "total_tokens", "totalTokens"})
TOKENS = frozenset({"", "TOKENS"})
"""Units of the older `usage` that are tokens; it also counts characters, seconds and images."""
MOST_DIGITS = 18
MOST_OTHER = 8
"""Counts of a kind we have no class for, kept as labels."""


class Unreadable(ValueError):
    """A count that is none: `field` says which, `detail` how to mend it."""

    def __init__(self, field: str, said: Any) -> None:
        shown = str(said)[:40]
        self.field = field
        self.detail = f"Says {shown}; send a whole number of tokens from 0, or leave it out."
        super().__init__(self.detail)


def tokens(row: Mapping[str, Any]) -> tuple[Usage, dict[str, int]]:
    """Usage, and counts that belong to none of its classes. Raises Unreadable."""
    details = _counts("usageDetails", row.get("usageDetails"))
    if details:
        usage = row["usageDetails"]
        return _openai(usage, details) or _native(details)
    return _legacy(row)


def _native(details: Mapping[str, int]) -> tuple[Usage, dict[str, int]]:
    counts: dict[str, int] = {}
    other: dict[str, int] = {}
    for name, count in details.items():
        ours = vocabulary.LANGFUSE_USAGE.get(name) or _side(name)
        if ours:
            counts[ours] = counts.get(ours, 0) + count
        elif name not in TOTALS and len(other) < MOST_OTHER:
            other[name] = count
    if not counts:
        return Usage(), {**other, **_only_total(details)}
    return Usage(**counts, convention=EXCLUSIVE), other


def _side(name: str) -> str:
    """A class of its own that Langfuse adds to its input or output, so it is billed there."""
    return next((side for side in ("input", "output") if name.startswith(side)), "")


def _only_total(counts: Mapping[str, int]) -> dict[str, int]:
    """A total says nothing about its parts, but it is better than nothing."""
    total = next((count for name, count in counts.items() if name in TOTALS), 0)
    return {"total": total} if total else {}


def _openai(
    usage: Mapping[str, Any], counts: Mapping[str, int]
) -> tuple[Usage, dict[str, int]] | None:
    """The usage object of OpenAI's two APIs, or None when it is something else."""
    for asked, answered in (("prompt", "completion"), ("input", "output")):
        given, said, total = f"{asked}_tokens", f"{answered}_tokens", counts.get("total_tokens")
        # Anthropic's input_tokens has no total and does not hold its cached tokens.
        if given not in counts or (asked == "input" and total is None):
            continue
        inside = _counts(f"{given}_details", usage.get(f"{given}_details"))
        outside = _counts(f"{said}_details", usage.get(f"{said}_details"))
        found = disjoint(
            counts[given],
            counts.get(said),
            total=total,
            cache_read=inside.get("cached_tokens", counts.get("cache_read_input_tokens")),
            cache_write_5m=counts.get("cache_creation_input_tokens"),
            reasoning=outside.get("reasoning_tokens"),
            audio_input=inside.get("audio_tokens"),
            audio_output=outside.get("audio_tokens"),
        )
        return found, {}
    return None


def _legacy(row: Mapping[str, Any]) -> tuple[Usage, dict[str, int]]:
    """`usage` and `promptTokens`, where three zeros mean that nobody said anything."""
    usage = row.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    counts = {**_counts("usage", row, LEGACY), **_counts("usage", usage)}
    given, said, total = (
        next((counts[name] for name in names if name in counts), None)
        for names in (LEGACY_INPUT, LEGACY_OUTPUT, LEGACY_TOTAL)
    )
    unit = usage.get("unit") or row.get("unit") or ""
    if unit not in TOKENS:
        named = (("input", given), ("output", said), ("total", total))
        return Usage(), {f"{name}.{str(unit).lower()}": count for name, count in named if count}
    if not given and not said:
        return Usage(), {"total": total} if total else {}
    return _openai(usage, counts) or (disjoint(given, said, total=total), {})


LEGACY_INPUT = ("input", "promptTokens", "prompt_tokens", "input_tokens")
LEGACY_OUTPUT = ("output", "completionTokens", "completion_tokens", "output_tokens")
LEGACY_TOTAL = ("total", "totalTokens", "total_tokens")
LEGACY = frozenset({"promptTokens", "completionTokens", "totalTokens"})
"""Names that stand on the observation itself; `input` there is the prompt."""


def _counts(field: str, said: Any, only: frozenset[str] | None = None) -> dict[str, int]:
    if not isinstance(said, Mapping):
        return {}
    return {
        name: _whole(f"{field}.{name}", value)
        for name, value in said.items()
        if (name in only if only else _is_count(name, value))
        if value is not None
    }


def _is_count(name: str, value: Any) -> bool:
    """Costs, units and words such as a service tier stand beside the counts, OpenAI's details
    below them."""
    if isinstance(value, Mapping | list) or name.endswith(("Cost", "_cost", "unit")):
        return False
    is_ours = name in vocabulary.LANGFUSE_USAGE or name in TOTALS or _side(name)
    return bool(is_ours) or not (isinstance(value, str) and value.isidentifier())


def _whole(field: str, said: Any) -> int:
    """A count, which some servers write as a string or with a decimal point."""
    try:
        count = Decimal(str(said))
    except InvalidOperation:
        raise Unreadable(field, said) from None
    if isinstance(said, bool) or not count.is_finite() or count < 0:
        raise Unreadable(field, said)
    # Looked at before it is made a whole number: 1e999999999 would fill the memory.
    if count.adjusted() > MOST_DIGITS or count != int(count):
        raise Unreadable(field, said)
    return int(count)
