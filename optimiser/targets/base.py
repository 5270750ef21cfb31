"""The door between a change and the thing it changes: what every kind of target must answer.

Knows the shape of a target, its statistics and its errors. Refuses to know any particular server,
and to decide who may change it: exclusion per target is the rollout's lease.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Config = dict[str, Any]
"""Always the full effective config as the target reports it, never a patch."""


class TargetError(Exception):
    """One sentence that says what is wrong, and whether the same call may succeed later.

    After an error of `apply` or `restore` nothing is assumed about the target: read it.
    """

    def __init__(self, reason: str, *, retriable: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retriable = retriable


@dataclass(frozen=True, slots=True)
class Statistics:
    """What one model has done since its counters last began at zero, which each load makes them."""

    model: str
    at: datetime
    requests_ok: int
    failed: int
    executions: int
    busy_s: float
    """Instance-seconds spent executing, each execution counted once however many requests it
    answered."""
    executions_by_batch_size: Mapping[int, int]


class Target(ABC):
    """Every method is safe to call twice, ends within the target's timeout and raises only
    TargetError."""

    @abstractmethod
    def read(self) -> Config:
        """The full config in effect now."""

    @abstractmethod
    def apply(self, config: Config) -> Config:
        """Put an approved config into effect, if it differs from the live one in nothing but what
        a change may touch; returns what was read back."""

    @abstractmethod
    def restore(self, config: Config) -> Config:
        """Put a stored config back, whatever is live; returns what was read back."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it takes requests now. No answer is a no."""

    @abstractmethod
    def statistics(self) -> Statistics:
        """Its own counters, as of now."""

    @abstractmethod
    def problems(self, config: Mapping[str, Any], live: Mapping[str, Any] | None) -> list[str]:
        """Why a config must not be applied, one sentence each; with `live`, also what differs from
        it and may not. Empty means that it can be asked for."""

    @abstractmethod
    def canonical(self, config: Mapping[str, Any]) -> Config:
        """The one spelling of a config: two configs mean the same if theirs are equal."""
