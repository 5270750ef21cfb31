"""What exactly is approved: one hash over everything a change depends on, and what moved since.

Pure. Knows canonical JSON. Refuses to say that two plans are nearly the same: they are or are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

PLAN_VERSION = 1
"""Goes into the hash: a plan sealed by other rules is another plan."""

MISSING = None
"""How an absent field is shown in a difference; JSON's null means the same to Triton."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an approver says yes to."""

    change_id: int
    revision: int
    target: str
    """Server address and model name, as in `http://triton:8000 fixedcost`."""
    lever: str
    live_config: Mapping[str, Any]
    desired_config: Mapping[str, Any]
    evidence: str
    """Hash of the evidence's inputs with its id; empty when somebody proposed without any."""
    policy: Mapping[str, Any]
    expires_at: datetime

    def sealed(self) -> str:
        """SHA-256 of the canonical JSON, as 64 hex digits."""
        said = {**asdict(self), "expires_at": _utc(self.expires_at), "version": PLAN_VERSION}
        return hashlib.sha256(canonical(said).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Moved:
    """One field that differs. `old` or `new` is None where the field is not there."""

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.old)} → {_shown(self.new)}"


def canonical(value: Any) -> str:
    """JSON with sorted keys, no spaces and no NaN: the same value is the same text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def digest(value: Any) -> str:
    """SHA-256 of a JSON value, as 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Moved]:
    """The leaves in which two JSON objects differ, in order of their path."""
    before, after = dict(_leaves(old, "")), dict(_leaves(new, ""))
    return [
        Moved(path, before.get(path, MISSING), after.get(path, MISSING))
        for path in sorted({*before, *after})
        if before.get(path, MISSING) != after.get(path, MISSING)
    ]


def moved_fields(old: Plan, new: Plan) -> list[Moved]:
    """What makes the one plan another one, so that people can be told why approvals are void."""
    return difference(_spread(old), _spread(new))


def listed(moved: Sequence[Moved], most: int = 5) -> str:
    """The differences in one line; the rest are counted."""
    said = "; ".join(map(str, moved[:most]))
    return f"{said}; and {len(moved) - most} more" if len(moved) > most else said


def _spread(plan: Plan) -> dict[str, Any]:
    said = asdict(plan)
    said["expires_at"] = _utc(plan.expires_at)
    del said["revision"]
    return said


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Lists of plain values are one leaf: a preferred batch size moved, not its third entry."""
    if isinstance(value, Mapping):
        if not value and path:
            yield path, {}
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{place}]")
    else:
        yield path, value


def _shown(value: Any) -> str:
    return "not set" if value is MISSING else canonical(value)
