"""What is told of one thing bit by bit, in any order → the whole.

Pure. Of each field the latest word counts, by the teller's own stamp: so it does not matter in
which order parts come, in how many requests, or how often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Stamp(NamedTuple):
    at_us: int
    is_update: int
    """An update told in the same microsecond as the beginning comes after it."""
    event_id: str
    """Decides where nothing else does."""


@dataclass(frozen=True, slots=True)
class Part:
    kind: str
    """`trace` or `observation`."""
    id: str
    trace_id: str
    """Empty where this part does not say."""
    fields: Mapping[str, Any]
    stamp: Stamp
    texts: Mapping[str, str] = field(default_factory=dict)
    """Prompt and answer, of a project that keeps text; never stored with the part."""


Fields = dict[str, list[Any]]
"""Field → its stamp and its value, as they are stored: [at_us, is_update, event id, value]."""


def merge(known: Fields, part: Part) -> bool:
    """Put a part to what is known; whether that changed anything."""
    changed = False
    for name, value in part.fields.items():
        before = known.get(name)
        if before is None or tuple(before[:3]) < part.stamp:
            known[name] = [*part.stamp, value]
            changed = True
    return changed


def values(known: Fields) -> dict[str, Any]:
    return {name: told[3] for name, told in known.items()}


def version(*known: Fields) -> int:
    """When the latest of all words was said, in microseconds."""
    return max((told[0] for fields in known for told in fields.values()), default=0)
