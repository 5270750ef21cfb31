"""What a reader asked of unit costs beside the filters: the unit drawn, the score, other models.

Knows the names of the URL's parameters; pages and the API share them. Refuses guessing: a bad value
is an error that names the field and the fix, and the default stands in for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..filters import MAX_LENGTH, FilterError
from .units import UNITS

GROUPS = ("model", "provider", "project", "service", "team")
"""What unit costs are grouped by; the first one when nothing is asked."""

CANDIDATES = ("to1", "to2", "to3")
NAMES = ("unit", "score", "at_least", "label", *CANDIDATES)
DEFAULT_UNIT = "requests"
DEFAULT_AT_LEAST = 0.5
NUMBER = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model of the price book, by its names there."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True, slots=True)
class Asked:
    unit: str = DEFAULT_UNIT
    """The one that is drawn over time."""
    score: str = ""
    """The name of the score that tells a successful answer; empty: none chosen."""
    at_least: float = DEFAULT_AT_LEAST
    candidates: tuple[Candidate, ...] = ()
    label: str = ""
    """The label of which a value's cost is wanted; empty: none."""


def parse(query: Mapping[str, Any], labels: Sequence[str] = ()) -> tuple[Asked, list[FilterError]]:
    """`labels` are those that the reader may split costs by."""
    errors: list[FilterError] = []

    def bad(field: str, message: str) -> None:
        errors.append(FilterError(field, message))

    unit = query.get("unit") or DEFAULT_UNIT
    if unit not in UNITS:
        bad("unit", f"Use one of {', '.join(UNITS)}.")
        unit = DEFAULT_UNIT
    score = query.get("score") or ""
    if len(score) > MAX_LENGTH or not score.isprintable():
        bad("score", f"Give the name of a score, at most {MAX_LENGTH} plain characters.")
        score = ""
    label = query.get("label") or ""
    if label and label not in labels:
        there = ", ".join(labels) or "none yet; analysts choose some under Labels"
        bad("label", f"Use a label that is kept: {there}.")
        label = ""
    at_least, text = DEFAULT_AT_LEAST, query.get("at_least") or ""
    if text and not NUMBER.fullmatch(text):
        bad("at_least", "Use a number such as 0.8.")
    elif text:
        at_least = float(text)
    candidates = []
    for name in CANDIDATES:
        found = _candidate(query.get(name) or "")
        if found is None:
            bad(name, "Name a model of the price book as provider:model, as in openai:gpt-4o-mini.")
        elif found.model:
            candidates.append(found)
    return Asked(unit, score, at_least, tuple(dict.fromkeys(candidates)), label), errors


def _candidate(text: str) -> Candidate | None:
    """None is a bad one; one without a model is none."""
    if not text.strip():
        return Candidate("", "")
    provider, colon, model = text.strip().partition(":")
    sound = provider and colon and model and text.isprintable() and len(text) <= MAX_LENGTH
    return Candidate(provider, model) if sound else None


def said(number: float) -> str:
    """A threshold as people write it: `0.8`, `4`."""
    return f"{number:.0f}" if math.floor(number) == number else f"{number:g}"
