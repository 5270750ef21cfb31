"""The steps before anything is applied: is it still exactly what was approved?

Knows the plan and the live config. Refuses when either has moved, names the fields, and leaves the
target as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from optimiser import approvals
from optimiser.failpoints import hit
from optimiser.models import Rollout
from optimiser.plan import Moved, listed
from optimiser.policy import BadPolicy, Policy
from optimiser.targets import router
from optimiser.targets.base import Config, TargetError
from optimiser.verify import BadInput, randomised_order

from . import looking
from .step import Step, move, told

TRY_AGAIN_S = 2.0
GIVE_UP_AFTER = timedelta(minutes=5)
"""A server that was away for so long needs somebody to look at it, not a rollout in its queue."""


def wait(step: Step) -> bool:
    """The rollout begins to move."""
    if step.rollout.stop_asked_at:
        return _stop(step)
    with step.lease.held() as rollout:
        move(rollout, "snapshot", step.now)
    return True


def snapshot(step: Step) -> bool:
    """1. The plan holds. 2. Read the whole config. 3. It is the approved baseline. 4. Keep it."""
    if step.rollout.stop_asked_at:
        return _stop(step)
    problem = plan_problem(step.rollout)
    if problem:
        return _refuse(step, problem)
    try:
        live = step.target().read()
    except TargetError as error:
        return _failed(step, error)
    hit("rollout.read")
    moved = step.moved(step.rollout.change.live_config, live)
    if moved:
        return _refuse_drift(step, moved)
    wrong = _impossible(step, live)
    if wrong:
        return _refuse(step, wrong)
    _keep(step, live)
    hit("rollout.snapshot_kept")
    return True


def plan_problem(rollout: Rollout) -> str:
    """Why the approvals do not cover this rollout, or nothing."""
    change = rollout.change
    if change.state != "rolling_out":
        return f"The change is {change.state.replace('_', ' ')}."
    if not approvals.plan_of(change).sealed() == change.plan_hash == rollout.plan_hash:
        return "The plan is not the one that was approved."
    if approvals.agreed(change) < Policy.from_json(change.policy).approvals:
        return "Its approvals are void."
    try:
        looking.terms(Policy.from_json(change.policy))
    except (BadPolicy, BadInput) as bad:
        return f"Its policy cannot be carried out: {bad}"
    return ""


def _impossible(step: Step, live: Config) -> str:
    change = step.rollout.change
    wrong = step.target().problems(change.desired_config, live)
    if wrong:
        return wrong[0]
    if step.is_split:
        try:
            if step.canary == router.arms(live).base:
                return "The router's base is the canary already."
        except router.NoRouter as error:
            return str(error)
    return ""


def _keep(step: Step, live: Config) -> None:
    policy = step.policy
    order = [""] * policy.blocks
    if not step.is_split:
        order = list(randomised_order(policy.blocks // 2, step.rollout.seed))
    with step.lease.held() as rollout:
        if rollout.change.expires_at <= step.now:
            # Checked at the last moment before the first load.
            _give_back(rollout, step, "The change expired before it could begin.")
            return
        rollout.snapshot, rollout.arms = live, order
        move(rollout, "measuring", step.now)
        text = f"The whole live config is kept, {len(order)} blocks begin."
        told(rollout, "measuring", text, {"snapshot": live, "arms": order, "seed": rollout.seed})


def _stop(step: Step) -> bool:
    with step.lease.held() as rollout:
        move(rollout, "rolled_back", step.now, "It was stopped before anything was applied.")
        approvals.move(rollout.change, "rolled_back")
        told(rollout, "rolled_back", rollout.reason)
    return True


def _refuse_drift(step: Step, moved: Sequence[Moved]) -> bool:
    with step.lease.held() as rollout:
        reason = f"The live config is not the approved baseline: {listed(moved)}."
        move(rollout, "refused", step.now, reason)
        approvals.live_moved(rollout.change, moved)
        told(rollout, "refused", f"Nothing was applied. {reason}")
    return True


def _refuse(step: Step, problem: str) -> bool:
    with step.lease.held() as rollout:
        _give_back(rollout, step, problem)
    return True


def _give_back(rollout: Rollout, step: Step, problem: str) -> None:
    move(rollout, "refused", step.now, problem)
    approvals.reopened(rollout.change, problem)
    told(rollout, "refused", f"Nothing was applied. {problem}")


def _failed(step: Step, error: TargetError) -> bool:
    began = step.rollout.started_at or step.now
    if error.retriable and step.now < began + GIVE_UP_AFTER:
        step.later(error.reason, TRY_AGAIN_S)
        return True
    return _refuse(step, error.reason)
