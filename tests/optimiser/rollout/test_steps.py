"""A rollout from its first step to its end: what is loaded, what is kept, what is said."""

from __future__ import annotations

from datetime import timedelta

import pytest

from finops.models import Audit
from optimiser import rollout
from optimiser.models import Rollout, Server
from optimiser.policy import Policy
from optimiser.rollout import looking
from optimiser.targets.base import TargetError
from tests.optimiser import made

from .conftest import SHORT
from .memory import Behaviour

pytestmark = pytest.mark.django_db

OLD, NEW = made.config("chat"), made.batching("chat")


def events(found: Rollout) -> list[str]:
    return [one.kind for one in found.change.events.all()]


def plain(config):
    from optimiser.targets.model_config import canonical

    return canonical(config)


def test_better_config_is_promoted_and_becomes_what_the_target_should_have(waiting, memory, run):
    found = run(waiting)

    assert (found.state, found.change.state) == ("promoted", "promoted"), found.reason
    found.target.refresh_from_db()
    assert memory.config == NEW
    assert plain(found.target.desired_config) == plain(NEW)
    assert found.target.live_state == "in_step"
    assert found.snapshot == OLD
    verdict = found.verdicts.get()
    assert (verdict.outcome, verdict.stops, verdict.look, verdict.looks) == ("PASS", True, 1, 1)
    assert [len(verdict.input_hash), verdict.judge_version] == [64, "1"]
    assert events(found) == [
        "propose", "approve", "begin", "measuring", "verdict", "promoted",
    ]  # fmt: skip


def test_every_action_has_its_audit_record(waiting, run):
    found = run(waiting)
    actions = Audit.objects.filter(object_id=str(found.pk), object_type="optimiser.rollout")
    assert list(actions.order_by("id").values_list("action", flat=True)) == [
        "rollout.measuring", "rollout.verdict", "rollout.promoted",
    ]  # fmt: skip


def test_blocks_alternate_in_the_drawn_order_and_their_config_is_loaded(waiting, memory, run):
    found = run(waiting)
    assert sorted(found.arms) == ["control"] * 4 + ["treated"] * 4
    assert [one.arm for one in found.blocks.all()] == found.arms
    # A load of what is there already is none: one for each change of arms, one to promote.
    switches, at = 0, "control"
    for arm in [*found.arms, "treated"]:
        switches += arm != at
        at = arm
    assert len(memory.loads) == switches


def test_block_is_measured_after_its_washout_and_for_its_length(waiting, run):
    found = run(waiting)
    for block in found.blocks.all():
        assert block.measured_from - block.applied_at >= timedelta(seconds=SHORT.washout_s)
        assert block.measured_to - block.measured_from >= timedelta(seconds=SHORT.block_s)
        counted = block.statistics_to[block.arm]["requests_ok"]
        assert counted > block.statistics_from[block.arm]["requests_ok"]
        assert block.dropped_reason == ""


def test_slower_config_fails_and_the_old_one_comes_back(waiting, memory, run):
    memory.changed = Behaviour(latency_ms=160.0, gpu_s=0.005)
    found = run(waiting)

    assert (found.state, found.change.state) == ("rolled_back", "rolled_back")
    assert memory.config == OLD
    verdict = found.verdicts.get()
    assert verdict.outcome == "FAIL"
    assert found.reason == verdict.reason
    assert plain(found.target.desired_config) == plain(OLD)
    assert events(found)[-2:] == ["verdict", "rolled_back"]


def test_without_evidence_nothing_is_promoted(waiting, memory, run):
    memory.changed = memory.usual
    found = run(waiting)
    assert found.state == "rolled_back"
    assert found.verdicts.get().outcome == "INCONCLUSIVE"
    assert memory.config == OLD


def test_nobody_calling_the_new_config_ends_it(begin, advice, memory, run):
    memory.traffic_rps = 0
    found = run(begin(Policy(**{**SHORT.to_json(), "looks": 4}), advice))
    assert found.state == "rolled_back"
    assert found.reason == "No request reached the new config."
    assert found.verdicts.count() == 2


def test_looks_end_early_when_the_verdict_is_clear(begin, advice, memory, run):
    memory.changed = Behaviour(latency_ms=300.0, gpu_s=0.05)
    policy = Policy(**{**SHORT.to_json(), "blocks": 16, "looks": 2})
    found = run(begin(policy, advice))
    assert (found.state, found.blocks.count(), found.verdicts.count()) == ("rolled_back", 9, 1)


def test_rollout_is_refused_when_the_live_config_has_moved(waiting, memory, run):
    memory.config = made.config("chat", max_batch_size=8)
    before = waiting.change.plan_hash
    found = run(waiting)

    assert (found.state, memory.loads) == ("refused", [])
    assert found.reason == ("The live config is not the approved baseline: max_batch_size: 32 → 8.")
    change = found.change
    change.refresh_from_db()
    assert (change.state, change.plan_hash == before) == ("proposed", False)
    approval = change.approvals.get()
    assert approval.void_reason == found.reason


def test_refused_change_may_be_approved_again_when_the_baseline_is_back(
    waiting, memory, run, people
):
    from optimiser import approvals

    memory.config = made.config("chat", max_batch_size=8)
    change = run(waiting).change
    memory.restart()
    change.refresh_from_db()
    made.approved(change, people["ben"])
    again = run(approvals.begin(change.pk))
    assert again.state == "promoted"


def test_server_that_is_away_at_the_start_is_waited_for(waiting, memory, run, clock):
    memory.away = True
    found = run(waiting, "snapshot")
    rollout.advance(found.pk)
    found.refresh_from_db()
    assert (found.attempts, found.error) == (1, "Triton cannot be reached.")
    memory.away = False
    assert run(found).state == "promoted"


def test_server_that_stays_away_gives_the_change_back(waiting, memory, run, clock):
    memory.away = True
    found = run(waiting, "snapshot")
    clock.on(301)
    found = run(found)
    assert (found.state, found.change.state) == ("refused", "proposed")


def test_config_that_the_server_refuses_is_rolled_back(waiting, memory, run):
    memory.refuses = lambda config: (
        TargetError("Triton could not use this config.", retriable=False)
        if "dynamic_batching" in config
        else None
    )
    found = run(waiting)
    assert (found.state, found.reason) == ("rolled_back", "Triton could not use this config.")
    assert memory.config == OLD


def test_passing_failure_of_a_load_is_tried_again(waiting, memory, run):
    failures = [TargetError("Busy.", retriable=True)] * 2

    def refuse(config):
        return failures.pop() if failures and "dynamic_batching" in config else None

    memory.refuses = refuse
    found = run(waiting)
    assert (found.state, failures, found.attempts) == ("promoted", [], 0)


def test_config_changed_by_somebody_else_meanwhile_ends_the_experiment(waiting, memory, run):
    found = run(waiting, "measuring")
    while not found.blocks.filter(measured_from__isnull=False).exists():
        run_one(found)
    memory.load(made.batching("chat", delay_us=9000))
    found = run(found)
    assert found.state == "rolled_back"
    assert found.reason.startswith("The live config is not the one that was loaded: dynamic_batch")
    assert memory.config == OLD


def run_one(found):
    from django.utils import timezone

    if not rollout.advance(found.pk):
        timezone.now.on(0.25)
    found.refresh_from_db()


def test_counters_that_begin_anew_drop_their_block(waiting, memory, run):
    found = run(waiting, "measuring")
    while not found.blocks.filter(measured_from__isnull=False).exists():
        run_one(found)
    memory.reset_at = memory.reset_at + timedelta(seconds=30)
    found = run(found)
    first = found.blocks.first()
    assert first.dropped_reason == "The server's counters began anew within the block."


def test_mistake_in_the_program_brings_the_old_config_back(waiting, memory, run, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(looking, "judge", broken)
    found = run(waiting)
    assert found.state == "rolled_back"
    assert found.reason == "The controller failed: ZeroDivisionError('division by zero')."
    assert memory.config == OLD


def test_policy_that_the_judge_refuses_is_refused_before_anything_is_applied(
    begin, advice, memory, run
):
    found = run(begin(Policy(**{**SHORT.to_json(), "judge": {"alpha": 0.9}}), advice))
    assert (found.state, found.reason) == (
        "refused", "Its policy cannot be carried out: alpha: must be from 0.0001 to 0.2.",
    )  # fmt: skip
    assert memory.loads == []


def test_key_that_cannot_be_read_is_said(waiting, run, monkeypatch, target):
    monkeypatch.undo()
    Server.objects.filter(pk=target.server_id).update(admin_key=b"not encrypted by us")
    rollout.advance(waiting.pk)
    rollout.advance(waiting.pk)
    waiting.refresh_from_db()
    assert waiting.state == "refused"
    assert waiting.reason.startswith(f"The admin key of {target.server}: None of BREAKEVEN_ENCR")


def test_deadline_brings_the_old_config_back(begin, advice, memory, run, clock):
    found = run(begin(SHORT, advice), "measuring")
    clock.on(61)
    found = run(found)
    assert (found.state, found.reason) == ("rolled_back", "No verdict within 60 s.")


# When the old config cannot be loaded


def test_failing_restore_blocks_the_target_and_is_tried_for_ever(waiting, memory, run, clock):
    memory.changed = Behaviour(latency_ms=300.0)
    found = run(waiting, "restoring")
    memory.refuses = lambda _config: TargetError("Triton at x: out of memory", retriable=True)
    found = run(found)
    assert found.state == "rollback_failed"
    found.change.refresh_from_db()
    assert found.change.state == "failed"
    assert rollout.due(clock.now) == []
    clock.on(15.1)
    assert rollout.due(clock.now) == [found.pk]

    memory.refuses = lambda _config: None
    found = run(found, "rolled_back")
    found.change.refresh_from_db()
    assert (found.change.state, memory.config) == ("rolled_back", OLD)


def test_states_only_move_as_the_table_says(waiting):
    from optimiser.rollout.step import move

    with pytest.raises(ValueError, match="does not go from waiting to promoted"):
        move(waiting, "promoted", waiting.created_at)
