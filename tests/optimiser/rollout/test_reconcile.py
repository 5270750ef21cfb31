"""Live config against desired: what is seen, what is mended, what is left to people."""

from __future__ import annotations

import pytest
from django.utils import timezone

from finops.models import Audit
from optimiser import booking, reconcile, rollout
from optimiser.models import Rollout, Target
from optimiser.targets.base import TargetError
from tests.optimiser import made

pytestmark = pytest.mark.django_db

OLD, NEW = made.config("chat"), made.batching("chat")


def seen(target) -> Target:
    reconcile.reconcile(target.pk)
    target.refresh_from_db()
    return target


def events(change) -> list[str]:
    return list(change.events.values_list("kind", flat=True))


def test_every_target_is_looked_at_four_times_a_minute(target, memory, clock):
    assert seen(target).live_state == "in_step"
    assert reconcile.due(clock.now) == []
    clock.on(15)
    assert reconcile.due(clock.now) == [target.pk]


def test_first_sight_adopts_what_is_there(memory, target):
    Target.objects.filter(pk=target.pk).update(
        desired_config=None, live_config=None, live_state="unknown", checked_at=None
    )
    found = seen(target)
    assert (found.desired_config, found.live_config, found.live_state) == (OLD, OLD, "in_step")
    assert Audit.objects.get(action="target.adopt").object_id == str(target.pk)


def test_server_that_does_not_answer_is_away_and_never_in_step(memory, target):
    memory.away = True
    found = seen(target)
    assert (found.live_state, found.live_detail) == ("away", "Triton cannot be reached.")
    memory.away = False
    assert seen(target).live_state == "in_step"


def test_another_config_is_drift_with_the_fields_that_moved(memory, target, clock):
    memory.load(made.config("chat", max_batch_size=4))
    clock.on(1)
    found = seen(target)
    assert (found.live_state, found.live_detail) == ("drifted", "max_batch_size: 32 → 4")
    assert found.live_state_since == clock.now
    assert (found.desired_config, memory.config["max_batch_size"]) == (OLD, 4)
    clock.on(20)
    assert seen(target).live_state_since < clock.now
    assert Audit.objects.filter(action="target.drifted").count() == 1


def test_the_same_config_in_another_spelling_is_no_drift(memory, target):
    memory.config = {**OLD, "max_batch_size": "32", "default_model_filename": ""}
    assert seen(target).live_state == "in_step"


def test_drift_closes_the_advice_on_what_was_there_and_no_other(memory, target):
    stale, other = made.RecommendationFactory(target=target), made.RecommendationFactory()
    memory.load(made.config("chat", max_batch_size=4))
    seen(target)
    stale.refresh_from_db()
    other.refresh_from_db()
    assert (stale.state, stale.closed_at is None, other.state) == ("superseded", False, "open")


# What was promoted


@pytest.fixture
def promoted(waiting, run):
    return run(waiting, "promoted")


def test_restart_that_forgot_the_promoted_config_is_put_right(promoted, memory, target, clock):
    memory.restart()
    clock.on(15)
    found = seen(target)
    assert (found.live_state, memory.config) == ("in_step", NEW)
    assert found.lease_expires_at is None
    change = promoted.change
    assert events(change)[-1] == "reapplied"
    record = Audit.objects.get(action="target.reapply")
    assert record.detail["change"] == change.pk
    assert change.events.get(kind="reapplied").text == (
        "The server has forgotten it, as Triton does at a restart. It was loaded again."
    )


def test_other_config_than_the_forgotten_one_is_left_to_people(promoted, memory, target):
    memory.load(made.batching("chat", delay_us=7))
    found = seen(target)
    assert found.live_state == "drifted"
    assert memory.config == made.batching("chat", delay_us=7)
    change = promoted.change
    assert change.events.last().text == (
        "The live config is not the promoted one any more, and booking pauses:"
        " dynamic_batching.max_queue_delay_microseconds: 2000 → 7."
    )
    memory.load(NEW)
    assert seen(target).live_state == "in_step"
    assert events(change)[-2:] == ["drifted", "in_step"]


def test_config_that_was_never_promoted_is_not_brought_back_by_itself(memory, target):
    Target.objects.filter(pk=target.pk).update(desired_config=NEW)
    assert seen(target).live_state == "drifted"
    assert memory.config == OLD


def test_failing_repair_is_shown_as_drift_and_tried_again(promoted, memory, target, clock):
    memory.restart()
    memory.refuses = lambda _config: TargetError("Out of memory.", retriable=True)
    found = seen(target)
    assert found.live_state == "drifted"
    assert found.live_detail.endswith("loading it again failed: Out of memory.")
    memory.refuses = lambda _config: None
    assert seen(target).live_state == "in_step"
    assert memory.config == NEW


def test_load_that_was_carried_out_after_the_rollback_is_undone(waiting, memory, run, target):
    """Triton may finish a load that we have given up on, after the old config was back."""
    memory.changed = memory.usual
    run(waiting, "rolled_back")
    memory.load(NEW)
    assert seen(target).live_state == "in_step"
    assert memory.config == OLD


def test_the_same_much_later_is_somebodys_doing(waiting, memory, run, target, clock):
    memory.changed = memory.usual
    run(waiting, "rolled_back")
    clock.on(601)
    memory.load(NEW)
    assert seen(target).live_state == "drifted"
    assert memory.config == NEW


def test_rollout_looks_after_its_own_target(waiting, memory, run, target, clock):
    run(waiting, "measuring")
    clock.on(60)
    assert reconcile.due(clock.now) == []
    before = Target.objects.get(pk=target.pk)
    memory.load(made.config("chat", max_batch_size=4))
    assert seen(target).live_state == before.live_state


def test_what_was_read_before_a_rollout_began_is_not_believed(change, memory, people, target):
    """Between the reading and the writing a rollout took the target."""
    stale = Target.objects.select_related("server").get(pk=target.pk)
    made.approved(change, people["ben"])
    from optimiser import approvals

    approvals.begin(change.pk)
    reconcile._note(stale, "drifted", "x", OLD)
    target.refresh_from_db()
    assert target.live_state == "in_step"


# Plans that stood on the config that moved


def test_drift_voids_approvals_and_says_which_field(change, memory, people, target):
    made.approved(change, people["ben"])
    before = change.plan_hash
    memory.load(made.config("chat", max_batch_size=4))
    seen(target)
    change.refresh_from_db()
    assert (change.state, change.plan_hash == before) == ("proposed", False)
    assert change.approvals.get().void_reason == (
        "The live config is not the approved baseline: max_batch_size: 32 → 4."
    )
    seen(target)
    assert events(change).count("drift") == 1


def test_promotion_makes_other_plans_on_the_old_config_void(waiting, memory, run, target, people):
    other = made.proposed(
        people["dev"],
        made.RecommendationFactory(
            target=target, lever="other", current_config=OLD,
            candidate_config=made.config("chat", max_batch_size=8),
        ),
    )  # fmt: skip
    made.approved(other, people["ben"])
    run(waiting, "promoted")
    seen(target)
    other.refresh_from_db()
    assert other.state == "proposed"
    assert events(other)[-1] == "drift"


# How long a promoted change was in force


def test_booking_pauses_while_the_config_is_another_one(promoted, memory, target, clock):
    start = promoted.finished_at
    clock.on(60)
    seen(target)
    last_seen = clock.now
    clock.on(60)
    memory.load(made.batching("chat", delay_us=7))
    seen(target)
    clock.on(60)
    memory.load(NEW)
    seen(target)
    back = clock.now
    clock.on(60)
    found = booking.held(promoted, timezone.now())
    assert [(round_to_s(a), round_to_s(b)) for a, b in found] == [
        (round_to_s(start), round_to_s(last_seen)),
        (round_to_s(back), round_to_s(clock.now)),
    ]


def round_to_s(at):
    return round(at.timestamp())


def test_booking_ends_when_the_old_config_is_asked_for(promoted, run, people, clock):
    clock.on(100)
    rollout.roll_back_now(promoted.change_id, people["ben"], "page")
    asked = clock.now
    clock.on(100)
    run(promoted, "rolled_back")
    found = booking.held(Rollout.objects.get(pk=promoted.pk), clock.now)
    assert [round_to_s(last) for _, last in found] == [round_to_s(asked)]
