"""How a change is tried out and judged, and who must agree: the terms an approver signs.

Pure. Knows limits and defaults. Refuses a policy under which a verdict would mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

SWITCHBACK = "switchback"
SPLIT = "split"


class BadPolicy(ValueError):
    """A term that cannot work: `field` says which, `message` how to mend it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.field = name
        self.message = message


@dataclass(frozen=True, slots=True)
class Policy:
    """Durations in seconds. Margins are the judge's own and travel in `judge`.

    A switchback runs `blocks` blocks, half of them under the new config in random order. A split
    sends `weight` of the traffic to the canary for `blocks` slices of time.
    """

    experiment: str = SWITCHBACK
    blocks: int = 16
    block_s: float = 60.0
    washout_s: float = 10.0
    looks: int = 4
    weight: float = 0.2
    settle_s: float = 8.0
    """Spans arrive late: a block is judged when it is this old."""
    deadline_s: float = 3600.0
    """No verdict by then: the old config comes back."""
    approvals: int = 1
    book_least_minutes: float = 10.0
    judge: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.experiment not in (SWITCHBACK, SPLIT):
            raise BadPolicy("experiment", f"use {SWITCHBACK} or {SPLIT}.")
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise BadPolicy(name, "must be a number.")
            if not least <= value <= most:
                raise BadPolicy(name, f"must be from {least:g} to {most:g}.")
        if self.experiment == SWITCHBACK and self.blocks % 2:
            raise BadPolicy("blocks", "must be even, so that both configs get as many.")
        if self.looks > self.blocks // 2:
            raise BadPolicy("looks", "cannot be more than half the blocks.")
        if self.duration_s > self.deadline_s:
            raise BadPolicy(
                "deadline_s",
                f"must leave time for {self.blocks} blocks: at least {self.duration_s:g}.",
            )

    @property
    def duration_s(self) -> float:
        """How long the experiment takes, without the reloads themselves."""
        washout = self.washout_s if self.experiment == SWITCHBACK else 0.0
        return self.blocks * (self.block_s + washout) + self.settle_s

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "judge": dict(self.judge)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Policy:
        known = {entry.name for entry in fields(cls)}
        for name in said:
            if name not in known:
                raise BadPolicy(str(name), f"is no term of a policy; it has {', '.join(known)}.")
        return cls(**said)


LIMITS: Mapping[str, tuple[float, float]] = {
    "blocks": (4, 200),
    "block_s": (0.1, 3600),
    "washout_s": (0, 600),
    "looks": (1, 10),
    "weight": (0.01, 0.9),
    "settle_s": (0.1, 120),
    "deadline_s": (10, 7 * 86400),
    "approvals": (1, 5),
    "book_least_minutes": (0, 1440),
}
"""What is possible at all. Pages and the API offer less: a short block is for tests."""

LEAST_FOR_PEOPLE = Policy(blocks=8, block_s=20.0, washout_s=5.0, looks=1, settle_s=5.0)
"""What the pages and the API accept at the least; below that a verdict is noise."""

LEAST_FOR_SAMPLES = Policy(
    blocks=8, block_s=3.0, washout_s=1.0, looks=1, settle_s=3.0, book_least_minutes=1.0
)
"""The same where everything is marked as sample data, so that the loop can be seen in minutes."""


def check_for_people(policy: Policy, *, is_sample: bool = False) -> Policy:
    """The policy, if a person may ask for it; BadPolicy otherwise."""
    limits = LEAST_FOR_SAMPLES if is_sample else LEAST_FOR_PEOPLE
    for name in ("blocks", "block_s", "washout_s", "settle_s", "book_least_minutes"):
        least = getattr(limits, name)
        if getattr(policy, name) < least:
            raise BadPolicy(name, f"must be at least {least:g}.")
    return policy
