"""What the judge is given and what it says. Plain, frozen, and able to travel as JSON.

Refuses numbers that mean nothing: a NaN, a negative count, a margin that would excuse anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

PASS = "PASS"  # noqa: S105  a verdict
FAIL = "FAIL"
INCONCLUSIVE = "INCONCLUSIVE"

CONTROL = "control"
TREATED = "treated"

SWITCHBACK = "switchback"
SPLIT = "split"

SUPERIORITY = "superiority"
NON_INFERIORITY = "non-inferiority"

COST = "gpu_seconds_per_request"
LATENCY = "p95_latency_ms"
ERRORS = "error_rate"
QUALITY = "quality"


class BadInput(ValueError):
    """What cannot be judged; the message says how to mend it."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One stretch of time under one config (switchback), or one arm's slice of it (split).

    Blocks come in order of time. Those with the same `pair` are compared with each other; where
    none is given, the first control block goes with the first treated one, and so on.
    """

    arm: str
    latencies_ms: NDArray[np.float64]
    """Of the answered requests, as the client saw them."""
    errors: int = 0
    gpu_seconds: float | None = None
    scores: NDArray[np.float64] | None = None
    """1 for each scored answer that was good, 0 for each that was not."""
    pair: int | None = None

    def __post_init__(self) -> None:
        _check_arm(self.arm)
        if self.errors < 0:
            raise BadInput("errors: count them from 0.")
        if not (
            np.isfinite(self.latencies_ms).all() and (np.asarray(self.latencies_ms) >= 0).all()
        ):
            raise BadInput("latencies_ms: every answer took a finite time from 0 ms.")
        if self.gpu_seconds is not None and not 0 <= self.gpu_seconds < math.inf:
            raise BadInput("gpu_seconds: give a finite number from 0, or None when not measured.")
        if self.scores is not None and not np.isin(self.scores, (0, 1)).all():
            raise BadInput("scores: each answer is good (1) or not (0).")

    @property
    def requests(self) -> int:
        return len(self.latencies_ms) + self.errors


@dataclass(frozen=True, slots=True)
class Summary:
    """What the judge keeps of a block; None where it was not measured."""

    arm: str
    answered: int
    errors: int
    p95_ms: float | None
    gpu_seconds_per_request: float | None
    """Per answered request: a config that answers less must not look cheaper."""
    scored: int = 0
    scored_bad: int = 0
    pair: int | None = None

    def __post_init__(self) -> None:
        _check_arm(self.arm)

    @property
    def requests(self) -> int:
        return self.answered + self.errors

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Summary:
        return cls(**said)


@dataclass(frozen=True, slots=True)
class Policy:
    """What counts as worse, and how often the judge may be wrong. Margins are fractions of 1."""

    design: str = SWITCHBACK
    cost_margin: float = 0.0
    """The saving must be shown to be more than this."""
    worthwhile_saving: float = 0.10
    """What the sample is planned for; once it is out of reach there is no use in going on."""
    latency_margin: float = 0.10
    """How much higher the P95 latency may be, relative to control's."""
    error_margin: float = 0.005
    """How much higher the share of failed requests may be, absolute."""
    quality_margin: float = 0.01
    """How much lower the share of good answers may be, absolute."""
    needs_quality: bool = False
    """Without scores there is no PASS."""
    alpha: float = 0.05
    """Chance of promoting what is just not acceptable, over all looks."""
    harm_alpha: float = 0.01
    """Chance of failing what makes no difference, over all looks and metrics."""
    power: float = 0.80
    looks: int = 4
    min_blocks_per_arm: int = 4
    most_blocks_per_arm: int = 200
    min_requests_per_block: int = 30
    least_usable_share: float = 0.8
    """Of the pairs of blocks; with fewer, whatever emptied the others may have picked the rest."""
    treated_share: float | None = None
    """Of the traffic, for a split: a canary that gets much more or less was not split by chance."""

    def __post_init__(self) -> None:
        if self.design not in (SWITCHBACK, SPLIT):
            raise BadInput(f"design: use {SWITCHBACK} or {SPLIT}.")
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            kind = int if name in WHOLE else int | float
            if isinstance(value, bool) or not isinstance(value, kind):
                raise BadInput(f"{name}: must be a {'whole ' if name in WHOLE else ''}number.")
            if not least <= value <= most:
                raise BadInput(f"{name}: must be from {least:g} to {most:g}.")
        if self.worthwhile_saving <= self.cost_margin:
            raise BadInput("worthwhile_saving: must be more than cost_margin.")
        if self.most_blocks_per_arm < self.min_blocks_per_arm:
            raise BadInput("most_blocks_per_arm: cannot be less than min_blocks_per_arm.")
        if self.treated_share is not None and not 0 < self.treated_share < 1:
            raise BadInput("treated_share: must be between 0 and 1, or None when not planned.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Policy:
        known = {entry.name for entry in fields(cls)}
        for name in said:
            if name not in known:
                raise BadInput(f"{name}: the judge has no such term; it has {', '.join(known)}.")
        return cls(**said)


LIMITS: Mapping[str, tuple[float, float]] = {
    "cost_margin": (0, 0.5),
    "worthwhile_saving": (0.001, 0.9),
    "latency_margin": (0.001, 1),
    "error_margin": (0.0001, 0.2),
    "quality_margin": (0.0001, 0.2),
    "alpha": (0.0001, 0.2),
    "harm_alpha": (0.0001, 0.05),
    "power": (0.5, 0.99),
    "looks": (1, 50),
    "min_blocks_per_arm": (4, 200),
    "most_blocks_per_arm": (4, 1000),
    "min_requests_per_block": (1, 1_000_000),
    "least_usable_share": (0.5, 1),
}
"""Fewer than four blocks an arm can show nothing, whatever they hold."""
WHOLE = ("looks", "min_blocks_per_arm", "most_blocks_per_arm", "min_requests_per_block")


@dataclass(frozen=True, slots=True)
class MetricVerdict:
    """`effect`, `low` and `high` are positive when the treated arm is better.

    They are fractions of control's value for cost and latency, and differences of shares for
    errors and quality. `low` or `high` is None while that side is open.
    """

    name: str
    question: str
    outcome: str
    before: float | None
    after: float | None
    effect: float | None
    low: float | None
    high: float | None
    margin: float
    seen: int
    """Blocks of each arm that this metric could use."""
    needed: int | None
    """Blocks of each arm for an answer, with the spread seen so far; None while it is unknown."""
    unit: str
    """Of `before` and `after`."""
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> MetricVerdict:
        return cls(**said)


@dataclass(frozen=True, slots=True)
class Judgement:
    """`stop`: no later look can or may change this. Only PASS promotes."""

    outcome: str
    reason: str
    metrics: tuple[MetricVerdict, ...]
    stop: bool
    look: int
    looks: int
    version: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"metrics": [metric.to_json() for metric in self.metrics]}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Judgement:
        metrics = tuple(MetricVerdict.from_json(metric) for metric in said["metrics"])
        return cls(**{**said, "metrics": metrics})


@dataclass(frozen=True, slots=True)
class Promise:
    """The sample with which a real saving of the worthwhile size passes, known beforehand."""

    blocks_per_arm: int | None
    """None: not to be had; `reason` says why."""
    requests_per_arm: int | None
    reason: str
    assumptions: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"assumptions": dict(self.assumptions)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Promise:
        return cls(**said)


def _check_arm(arm: str) -> None:
    if arm not in (CONTROL, TREATED):
        raise BadInput(f"arm: use {CONTROL} or {TREATED}.")
