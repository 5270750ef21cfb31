"""What every step of a rollout has in hand: its lease, the row as it was claimed, the target.

Knows how a step writes: in one transaction with its event and its audit record, under the lease.
Refuses to know what the steps are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from finops import audit
from optimiser import adapters, approvals
from optimiser.leases import Lease
from optimiser.models import Rollout
from optimiser.plan import Moved, difference
from optimiser.policy import SPLIT, Policy
from optimiser.targets import base, router

MOVES: Mapping[str, frozenset[str]] = {
    "waiting": frozenset({"snapshot", "rolled_back", "refused"}),
    "snapshot": frozenset({"measuring", "rolled_back", "refused"}),
    "measuring": frozenset({"promoting", "restoring"}),
    "promoting": frozenset({"promoted", "restoring"}),
    "restoring": frozenset({"rolled_back", "rollback_failed"}),
    "rollback_failed": frozenset({"rolled_back"}),
    "promoted": frozenset({"restoring"}),
    "rolled_back": frozenset(),
    "refused": frozenset(),
}
"""From which state a rollout may go where. Everything else is a mistake in the program."""

FINISHED = frozenset({"promoted", "rolled_back", "refused"})


@dataclass
class Step:
    """One call of `advance`. `rollout` is as it was read; `lease.held()` gives the row to write."""

    lease: Lease
    rollout: Rollout
    now: datetime

    @cached_property
    def policy(self) -> Policy:
        return Policy.from_json(self.rollout.change.policy)

    @property
    def is_split(self) -> bool:
        return self.policy.experiment == SPLIT

    @cached_property
    def canary(self) -> str:
        """The model that a split tries out."""
        return router.arms(self.rollout.change.desired_config).base

    def target(self, model: str = "") -> base.Target:
        """For one call, which must end before the lease does."""
        most_s = self.lease.time_for_a_call()
        return adapters.of(self.rollout.target, most_s=most_s, model=model)

    def moved(self, expected: Mapping[str, Any], live: Mapping[str, Any]) -> list[Moved]:
        """The fields in which two configs mean something else."""
        spelling = adapters.of(self.rollout.target, most_s=1)
        return difference(spelling.canonical(expected), spelling.canonical(live))

    def later(self, error: str, wait_s: float) -> None:
        """This step failed and is tried again."""
        with self.lease.held() as rollout:
            rollout.attempts += 1
            rollout.error = error
            rollout.not_before = self.now + timedelta(seconds=wait_s)
            rollout.save(update_fields=["attempts", "error", "not_before"])


def move(rollout: Rollout, state: str, now: datetime, reason: str = "") -> None:
    """The only place where a rollout's state changes; for use under the lease."""
    if state not in MOVES[rollout.state]:
        raise ValueError(f"a rollout does not go from {rollout.state} to {state}")
    rollout.state, rollout.attempts, rollout.not_before, rollout.error = state, 0, None, ""
    rollout.reason = reason or rollout.reason
    rollout.started_at = rollout.started_at or now
    rollout.finished_at = now if state in FINISHED else None
    if state in FINISHED:
        rollout.lease_holder, rollout.lease_expires_at = "", None
    rollout.save()


def told(rollout: Rollout, kind: str, text: str, detail: Mapping[str, Any] | None = None) -> None:
    """The timeline's line and the audit record, in the transaction of what they tell."""
    said = {"rollout": rollout.pk, "plan_hash": rollout.plan_hash, **(detail or {})}
    audit.record(None, "system", f"rollout.{kind}", rollout, said)
    approvals.tell(rollout.change, kind, text, said)
