"""The shape of a lever: what it is asked, and the four things it may say.

Pure. "Not enough data" and "needs an experiment" are answers like any other; a lever that cannot
tell says so instead of guessing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from optimiser.simulate import Effect, ServiceCurve, Traffic

RECOMMENDED = "recommended"
REFUSED = "refused"
NEEDS_EXPERIMENT = "needs_experiment"
NOT_ENOUGH_DATA = "not_enough_data"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a lever says about one target."""

    outcome: str
    reason: str
    """One plain sentence, with the figures that decide."""
    candidate_config: dict[str, Any] | None = None
    """The full config to change to."""
    effect: Effect | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    """Plain JSON: what was looked at, what came of it, and how to do it again."""
    risk: str = ""
    rollback: str = ""

    def __post_init__(self) -> None:
        if self.outcome == RECOMMENDED and (self.candidate_config is None or self.effect is None):
            raise ValueError("A recommendation names a config and its effect.")


class Lever(ABC):
    """One kind of change. Stateless: everything it needs is an argument."""

    key: ClassVar[str]
    version: ClassVar[str]
    """Raised whenever the same arguments may get another answer."""
    label: ClassVar[str]

    @abstractmethod
    def propose(
        self,
        traffic: Traffic,
        live_config: Mapping[str, Any],
        curve: ServiceCurve | None,
        seed: int,
    ) -> Finding:
        """The best change of this kind, or why there is none."""
