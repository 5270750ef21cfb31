"""Looks: what the judge says of the blocks so far, at the moments that were planned.

Knows when a look is due and what follows from it. Refuses to look in between, and to promote
anything but a PASS.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from optimiser import observe
from optimiser.failpoints import hit
from optimiser.models import RolloutBlock, Verdict
from optimiser.plan import digest
from optimiser.policy import Policy
from optimiser.verify import Block, judge
from optimiser.verify import Policy as Terms

from .step import Step, move, told

EMPTY_BLOCKS = 2
"""So many blocks of the new config without a single request: nobody is there to measure."""


def blocks_at(policy: Policy, look: int) -> int:
    """How many blocks are over at a look; a switchback's come in pairs."""
    if policy.experiment == "split":
        return round(policy.blocks * look / policy.looks)
    return 2 * round(policy.blocks / 2 * look / policy.looks)


def is_due(step: Step, blocks: Sequence[RolloutBlock]) -> bool:
    """Whether the blocks of the next look are over and their last spans had time to arrive."""
    over = [one for one in blocks if one.measured_to is not None]
    needed = blocks_at(step.policy, _next_look(step))
    if len(over) < needed:
        return False
    last: datetime = over[needed - 1].measured_to
    return step.now >= last + timedelta(seconds=step.policy.settle_s)


def _next_look(step: Step) -> int:
    return int(step.rollout.verdicts.count()) + 1


def look(step: Step, blocks: Sequence[RolloutBlock]) -> bool:
    """1. What was measured. 2. The verdict. 3. Keep it, and turn to what follows from it."""
    look = _next_look(step)
    seen = observe.blocks(step.rollout, blocks[: blocks_at(step.policy, look)])
    step.lease.renew()
    judgement = judge([one for one, _ in seen], terms(step.policy), look, step.policy.looks)
    with step.lease.held() as rollout:
        verdict = Verdict.objects.create(
            rollout=rollout,
            look=look,
            looks=step.policy.looks,
            outcome=judgement.outcome,
            reason=judgement.reason,
            metrics=[metric.to_json() for metric in judgement.metrics],
            stops=judgement.stop,
            judge_version=judgement.version,
            input_hash=digest([told for _, told in seen]),
        )
        text = f"Look {look} of {step.policy.looks}: {judgement.outcome}. {judgement.reason}"
        told(rollout, "verdict", text, {"verdict": verdict.pk, "inputs": verdict.input_hash})
        if judgement.stop and judgement.outcome == "PASS":
            move(rollout, "promoting", step.now, judgement.reason)
        elif judgement.stop:
            move(rollout, "restoring", step.now, judgement.reason)
        elif nobody_came([one for one, _ in seen]):
            move(rollout, "restoring", step.now, "No request reached the new config.")
    hit("rollout.judged")
    return True


def terms(policy: Policy) -> Terms:
    """The judge's terms: its own defaults, the experiment's facts, and what the change asks for."""
    facts = {
        "design": policy.experiment,
        "looks": policy.looks,
        "treated_share": policy.weight if policy.experiment == "split" else None,
    }
    return Terms.from_json({**policy.judge, **facts})


def nobody_came(seen: Sequence[Block]) -> bool:
    treated = [one.requests for one in seen if one.arm == "treated"]
    return len(treated) >= EMPTY_BLOCKS and not any(treated)
