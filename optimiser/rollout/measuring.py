"""The experiment: blocks of time under one config or the other, or with both at once.

Knows loading, wash-out and where a block begins and ends. Refuses to measure what is not there: the
config is read back at both ends of a block, and the server's counters are taken right before they
are lost to the next load.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.utils import timezone

from ingest import pull
from ingest.sources.base import FetchError
from optimiser.failpoints import hit
from optimiser.models import RolloutBlock
from optimiser.plan import Moved, listed
from optimiser.targets import router
from optimiser.targets.base import Config, Statistics, TargetError

from . import looking
from .ending import restore_instead
from .step import Step

log = structlog.get_logger()

TRIES = 4
TRY_AGAIN_S = 1.0

ROUTER_LEASE = timedelta(seconds=15)
RENEW_BEFORE = timedelta(seconds=8)
"""Without us a router sends everything to the old model after `ROUTER_LEASE`. Renewing is a load:
it is not done more often than needed."""


def measure(step: Step) -> bool:
    """What is due first: an end, a renewal, a block's next stage, a look."""
    if step.rollout.stop_asked_at:
        return restore_instead(step, "Somebody asked for the old config.")
    began = step.rollout.started_at or step.now
    if step.now > began + timedelta(seconds=step.policy.deadline_s):
        return restore_instead(step, f"No verdict within {step.policy.deadline_s:g} s.")
    try:
        return _measure(step)
    except TargetError as error:
        if error.retriable and step.rollout.attempts + 1 < TRIES:
            step.later(error.reason, TRY_AGAIN_S)
            return True
        return restore_instead(step, error.reason)


def _measure(step: Step) -> bool:
    blocks = list(step.rollout.blocks.order_by("index"))
    block = blocks[-1] if blocks and not _is_over(blocks[-1]) else None
    if step.is_split and block is not None and block.applied_at is not None and _renew(step, block):
        return True
    if looking.is_due(step, blocks):
        return looking.look(step, blocks)
    if block is None:
        if len(blocks) == len(step.rollout.arms):
            return False  # the last spans are on their way; the last look comes
        return _apply(step, _next_block(step, len(blocks)))
    if block.applied_at is None:
        return _apply(step, block)
    if block.measured_from is None:
        return _begin(step, block)
    if step.now >= block.measured_from + timedelta(seconds=step.policy.block_s):
        return _end(step, block)
    return False


def _is_over(block: RolloutBlock) -> bool:
    return block.measured_to is not None or bool(block.dropped_reason)


def _next_block(step: Step, index: int) -> RolloutBlock:
    with step.lease.held() as rollout:
        block: RolloutBlock = RolloutBlock.objects.create(
            rollout=rollout,
            index=index,
            arm=rollout.arms[index],
            weight=step.policy.weight if step.is_split else None,
        )
    return block


# A block's stages


def _apply(step: Step, block: RolloutBlock) -> bool:
    """The whole config of this arm; nothing is sent when it is there already."""
    if step.is_split and block.index:
        if _renew(step, block):
            return True
    else:
        hit("rollout.before_apply")
        step.target().apply(config_of(step, block))
        hit("rollout.applied")
    _write(step, block, applied_at=timezone.now())
    return True


def _begin(step: Step, block: RolloutBlock) -> bool:
    assert block.applied_at is not None
    # A split has both models running all along: only its first block needs to run in.
    washout_s = 0.0 if step.is_split and block.index else step.policy.washout_s
    if step.now < block.applied_at + timedelta(seconds=washout_s):
        return False
    moved = _moved(step, block)
    if moved:
        return _moved_meanwhile(step, moved)
    found = _statistics(step, block)
    # One reading more within the block, so that its edges are known to the books as well.
    _read_for_the_books(step)
    _write(step, block, measured_from=_moment(found), statistics_from=found)
    hit("rollout.block_begun")
    return True


def _end(step: Step, block: RolloutBlock) -> bool:
    moved = _moved(step, block)
    if moved:
        return _moved_meanwhile(step, moved)
    _read_for_the_books(step)
    found = _statistics(step, block)
    restarted = _began_anew(block.statistics_from or {}, found)
    _write(
        step,
        block,
        measured_to=_moment(found),
        statistics_to=found,
        dropped_reason="The server's counters began anew within the block." if restarted else "",
    )
    hit("rollout.block_ended")
    return True


def _write(step: Step, block: RolloutBlock, **values: Any) -> None:
    with step.lease.held() as rollout:
        RolloutBlock.objects.filter(pk=block.pk).update(**values)
        if rollout.attempts:
            rollout.attempts, rollout.not_before, rollout.error = 0, None, ""
            rollout.save(update_fields=["attempts", "not_before", "error"])


# Configs


def config_of(step: Step, block: RolloutBlock) -> Config:
    """What is to serve in this block."""
    rollout = step.rollout
    assert rollout.snapshot is not None
    snapshot: Config = rollout.snapshot
    if step.is_split:
        until = timezone.now() + ROUTER_LEASE
        return router.split(snapshot, step.canary, step.policy.weight, until)
    desired: Config = rollout.change.desired_config
    return desired if block.arm == "treated" else snapshot


def _renew(step: Step, block: RolloutBlock) -> bool:
    """Whether the router's lease was near its end, so that this step has renewed it."""
    live = step.target().read()
    moved = step.moved(_timeless(config_of(step, block)), _timeless(live))
    if moved:
        return _moved_meanwhile(step, moved)
    if not step.target(step.canary).is_ready():
        return restore_instead(step, f"{step.canary} does not answer any more.")
    if router.arms(live).lease_expires_at - timezone.now() > RENEW_BEFORE:
        return False
    step.target().apply(config_of(step, block))
    return True


def _moved(step: Step, block: RolloutBlock) -> list[Moved]:
    expected, live = config_of(step, block), step.target().read()
    if step.is_split:
        expected, live = _timeless(expected), _timeless(live)
    return step.moved(expected, live)


def _timeless(config: Config) -> Config:
    """A router's config without the end of its lease, which moves on by our own doing."""
    if not router.is_router(config):
        return config
    arms = router.arms(config)
    return router.split(config, arms.canary, arms.weight, router.NO_LEASE)


def _moved_meanwhile(step: Step, moved: list[Moved]) -> bool:
    """Somebody else changed it, or the server was restarted and forgot."""
    detail = {"moved": [str(one) for one in moved]}
    reason = f"The live config is not the one that was loaded: {listed(moved)}."
    return restore_instead(step, reason, detail)


# Counters


def models_of(step: Step) -> dict[str, str]:
    """Arm → the model whose counters tell of it."""
    rollout = step.rollout
    if step.is_split:
        assert rollout.snapshot is not None
        return {"control": router.arms(rollout.snapshot).base, "treated": step.canary}
    return {"": rollout.target.model}


def _statistics(step: Step, block: RolloutBlock) -> dict[str, Any]:
    """Arm → what the server has counted for it."""
    counted = {
        arm or block.arm: step.target(model).statistics() for arm, model in models_of(step).items()
    }
    return {arm: _plain(found) for arm, found in counted.items()}


def _plain(found: Statistics) -> dict[str, Any]:
    return {
        "model": found.model,
        "at": found.at.isoformat(),
        "requests_ok": found.requests_ok,
        "failed": found.failed,
        "executions": found.executions,
        "busy_s": found.busy_s,
    }


def _moment(found: dict[str, Any]) -> datetime:
    return max(datetime.fromisoformat(one["at"]) for one in found.values())


def _began_anew(first: dict[str, Any], last: dict[str, Any]) -> bool:
    counters = ("requests_ok", "executions", "busy_s")
    return any(last[arm][name] < first[arm][name] for arm in last for name in counters)


def _read_for_the_books(step: Step) -> None:
    """The ledger measures from reading to reading; a block without one of its own is lost to it."""
    source = step.rollout.target.server.statistics_source
    if source is None or not source.enabled:
        return
    if source.config.get("timeout_s", 10) > step.lease.time_for_a_call():
        log.warning("statistics_not_read", source=source.pk, why="its timeout exceeds the lease")
        return
    try:
        pull.now(source)
    except FetchError as failure:
        # The experiment has counters of its own; the source says what is wrong with it.
        log.warning("statistics_not_read", source=source.pk, why=str(failure))
