"""What an SLO is: its definition as plain values, the seal over a proposal, and what differs.

Pure. Knows canonical JSON and which fields an indicator has. Refuses to say that two definitions
are nearly the same, and to judge who may decide on one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

TTFT, LATENCY, AVAILABILITY = "ttft", "latency", "availability"
ERROR_RATE, QUALITY, COST = "error_rate", "quality", "cost"
INDICATORS = (TTFT, LATENCY, AVAILABILITY, ERROR_RATE, QUALITY, COST)
WITH_THRESHOLD = frozenset({TTFT, LATENCY, ERROR_RATE, QUALITY, COST})
BY_QUARTER = frozenset({ERROR_RATE, COST})
"""Their events are quarter hours with traffic, not requests."""

USUAL_EVENTS, USUAL_QUARTERS = 20, 3
"""Fewer in the long window of an alert wake nobody, where nobody says otherwise."""

WINDOWS = (7, 28, 30, 90)
ACTS = ("create", "change", "retire")
SEAL_VERSION = 1
"""Goes into the hash: what was sealed by other rules is another proposal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """An objective: this share of the events must be good, over a rolling window of days."""

    name: str
    indicator: str
    threshold: Decimal | None = None
    """Milliseconds, percent, a score or an amount, as the indicator has it."""
    score: str = ""
    """Name of the score; of quality alone."""
    currency: str = ""
    """Of the target; of cost alone."""
    objective: Decimal
    """Percent of the events that must be good."""
    window_days: int
    least_events: int
    """Fewer in the long window of an alert say too little to wake somebody."""
    services: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Definition:
        given = {one.name: said[one.name] for one in fields(cls) if one.name in said}
        for name in ("threshold", "objective"):
            given[name] = None if given[name] is None else Decimal(given[name])
        for name in ("services", "providers", "models"):
            given[name] = tuple(given[name])
        return cls(**given)

    @property
    def is_by_quarter(self) -> bool:
        return self.indicator in BY_QUARTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """All that somebody says yes to."""

    act: str
    project: str
    slo: int | None
    based_on: int
    """The version that was live when it was proposed; 0: there was none."""
    definition: Mapping[str, Any]
    expires_at: datetime
    revision: int

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hex digits."""
        at = self.expires_at.astimezone(UTC).isoformat(timespec="microseconds")
        said = {**asdict(self), "expires_at": at, "version": SEAL_VERSION}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Differs:
    """One field of two definitions, each side as plain JSON."""

    field: str
    old: Any
    new: Any


def usual_events(indicator: str) -> int:
    return USUAL_QUARTERS if indicator in BY_QUARTER else USUAL_EVENTS


def difference(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> tuple[Differs, ...]:
    """In which fields they differ; against nothing, all that one holds."""
    before, after = old or {}, new or {}
    names = [one.name for one in fields(Definition)]
    return tuple(
        Differs(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return list(value) if isinstance(value, tuple) else value
