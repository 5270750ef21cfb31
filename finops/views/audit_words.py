"""How a record of the audit chain is told to people: by which door, on what, with which detail.

Knows the shapes a detail can have. Refuses queries; what it shortens stays whole in the API.
"""

from __future__ import annotations

import re
from typing import Any

from django.apps import apps

DOORS = {
    "page": "on a page",
    "api": "through the API",
    "admin": "in the admin pages",
    "command": "by a command",
    "slack": "in Slack",
    "system": "by itself",
}
FINGERPRINT = re.compile(r"[0-9a-f]{24,}")
SHOWN_DIGITS = 12
SHOWN_COUNTS = 3
SHOWN_ITEMS = 5
MAX_SHOWN = 300


def door_said(via: str) -> str:
    return DOORS.get(via, f"by {via}")


def object_said(object_type: str, object_id: str) -> str:
    """`access token 5198d956d90a`; a type that is no model any more keeps its name."""
    try:
        name = str(apps.get_model(object_type)._meta.verbose_name)
    except (LookupError, ValueError):
        name = object_type
    return f"{name} {shortened(object_id)}".strip() or "–"


def detail_said(detail: dict[str, Any]) -> str:
    """`name: Probe; kind: gpu`, in one or two lines."""
    parts = [f"{plain(name)}: {value_said(value)}" for name, value in detail.items() if told(value)]
    text = "; ".join(parts)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1].rstrip()}…"


def told(value: Any) -> bool:
    return value not in ("", None, [], {})


def value_said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return counts_said(value) if is_counts(value) else f"({pairs_said(value)})"
    if isinstance(value, list):
        return items_said([value_said(item) for item in value])
    return shortened(str(value)) if value is not None else "none"


def shortened(text: str) -> str:
    """A fingerprint by its first digits: enough to compare, short enough to read."""
    return FINGERPRINT.sub(lambda found: f"{found[0][:SHOWN_DIGITS]}…", text)


def is_counts(value: dict[str, Any]) -> bool:
    """Many counts side by side, as of what was left out and why."""
    return len(value) > SHOWN_COUNTS and all(type(number) is int for number in value.values())


def counts_said(counts: dict[str, int]) -> str:
    """Their sum and the largest of them."""
    largest = sorted(counts.items(), key=lambda pair: -pair[1])[:SHOWN_COUNTS]
    named = ", ".join(f"{plain(name)} {number:,}" for name, number in largest)
    return f"{sum(counts.values()):,} in all (most: {named}; {len(counts) - SHOWN_COUNTS} more)"


def pairs_said(value: dict[str, Any]) -> str:
    return ", ".join(f"{plain(name)} {value_said(inner)}" for name, inner in value.items())


def items_said(items: list[str]) -> str:
    rest = len(items) - SHOWN_ITEMS
    said = ", ".join(items[:SHOWN_ITEMS])
    return f"{said} and {rest} more" if rest > 0 else said


def plain(name: str) -> str:
    return name.replace("_", " ")
