"""The two ways out: the new config stays, or the old one comes back.

Knows that what counts is what is read back. Refuses to give up on bringing the old config back: a
target whose restore fails is blocked for others and tried for ever.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from optimiser import alarms, approvals
from optimiser.failpoints import hit
from optimiser.models import Rollout
from optimiser.targets.base import Config, TargetError

from .step import Step, move, told

PROMOTE_TRIES = 3
PROMOTE_AGAIN_S = 1.0
RESTORE_AGAIN_S = (0.5, 1.0, 2.0, 4.0)
"""After these tries somebody must know; `rollback_failed` says so and goes on trying."""
FAILED_AGAIN_S = 15.0


def promote(step: Step) -> bool:
    """Load the desired config, read it back, and make it what the target is meant to have."""
    if step.rollout.stop_asked_at:
        return restore_instead(step, "Somebody asked for the old config before it was promoted.")
    hit("rollout.before_promote")
    try:
        back = step.target().apply(step.rollout.change.desired_config)
    except TargetError as error:
        if error.retriable and step.rollout.attempts + 1 < PROMOTE_TRIES:
            step.later(error.reason, PROMOTE_AGAIN_S)
            return True
        return restore_instead(step, f"The new config could not be loaded: {error.reason}")
    hit("rollout.promoted_unrecorded")
    with step.lease.held() as rollout:
        move(rollout, "promoted", step.now)
        desire(rollout, back, step.now)
        approvals.move(rollout.change, "promoted")
        told(rollout, "promoted", f"The new config stays. {rollout.reason}", {"config": back})
        alarms.in_step(rollout.target, step.now)
        alarms.promoted(rollout, step.now)
    hit("rollout.promoted")
    return True


def restore_instead(step: Step, reason: str, detail: dict[str, Any] | None = None) -> bool:
    """Turn round: from now on every step brings the old config back."""
    with step.lease.held() as rollout:
        move(rollout, "restoring", step.now, reason)
        told(rollout, "restoring", f"The old config comes back. {reason}", detail)
    return True


def restore(step: Step) -> bool:
    """Load the snapshot and read it back."""
    snapshot = step.rollout.snapshot
    assert snapshot is not None, "nothing is applied before the snapshot is kept"
    hit("rollout.before_restore")
    try:
        back = step.target().restore(snapshot)
    except TargetError as error:
        return _restore_failed(step, error)
    hit("rollout.restored_unrecorded")
    with step.lease.held() as rollout:
        move(rollout, "rolled_back", step.now)
        desire(rollout, back, step.now)
        approvals.move(rollout.change, "rolled_back")
        told(rollout, "rolled_back", "The old config is back and was read back.", {"config": back})
        alarms.in_step(rollout.target, step.now)
        alarms.rolled_back(rollout, step.now)
    hit("rollout.restored")
    return True


def _restore_failed(step: Step, error: TargetError) -> bool:
    tried = step.rollout.attempts
    if step.rollout.state == "restoring" and tried >= len(RESTORE_AGAIN_S):
        with step.lease.held() as rollout:
            move(rollout, "rollback_failed", step.now)
            approvals.move(rollout.change, "failed")
            text = f"The old config could not be loaded: {error.reason} It is tried on and on."
            told(rollout, "rollback_failed", text)
            alarms.rollback_failed(rollout, error.reason, step.now)
    wait_s = FAILED_AGAIN_S
    if step.rollout.state == "restoring" and tried < len(RESTORE_AGAIN_S):
        wait_s = RESTORE_AGAIN_S[tried]
    step.later(error.reason, wait_s)
    return True


def desire(rollout: Rollout, config: Config, now: datetime) -> None:
    """What the target is meant to have from now on; it was read back just now."""
    target = rollout.target
    target.desired_config = target.live_config = config
    target.desired_since = target.checked_at = now
    target.live_detail = ""
    if target.live_state != "in_step":
        target.live_state, target.live_state_since = "in_step", now
    target.save(
        update_fields=[
            *("desired_config", "live_config", "desired_since", "checked_at"),
            *("live_detail", "live_state", "live_state_since"),
        ]
    )
