"""Who may write for a rollout, and what becomes of one whose controller is gone."""

from __future__ import annotations

import re
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from optimiser import leases, rollout
from optimiser.leases import LEASE, Clock, LeaseLost, claim
from optimiser.models import Rollout
from optimiser.rollout import steps
from optimiser.targets.base import TargetError
from tests.optimiser import made

pytestmark = pytest.mark.django_db

OLD = made.config("chat")


def gone(found: Rollout, seconds: float) -> None:
    """As if its controller had last been heard of so long before."""
    ended = Clock() - timedelta(seconds=seconds)
    Rollout.objects.filter(pk=found.pk).update(lease_expires_at=ended, lease_holder="another:1:ab")


def held_by_another(found: Rollout) -> None:
    Rollout.objects.filter(pk=found.pk).update(
        lease_expires_at=Clock() + LEASE, lease_holder="another:1:ab", epoch=7
    )


def test_lease_is_short_enough_for_the_old_config_to_be_back_in_time():
    assert timedelta(seconds=15) >= LEASE


def test_calls_outside_end_before_the_lease_does(waiting):
    lease = claim(waiting.pk, "me")
    assert 10 < lease.time_for_a_call() < LEASE.total_seconds()


def test_only_one_holds_a_rollout(waiting):
    assert claim(waiting.pk, "me").epoch == 1
    assert claim(waiting.pk, "another") is None
    assert claim(waiting.pk, "me").epoch == 1


def test_released_lease_is_free_at_once_under_a_new_epoch(waiting):
    claim(waiting.pk, "me").release()
    again = claim(waiting.pk, "another")
    assert (again.epoch, again.gone_s) == (2, None)


def test_who_was_overtaken_may_not_write(waiting):
    mine = claim(waiting.pk, "me")
    gone(waiting, 1)
    theirs = claim(waiting.pk, "another")
    assert (theirs.epoch, round(theirs.gone_s)) == (2, 1)
    with pytest.raises(LeaseLost), mine.held():
        pass
    with pytest.raises(LeaseLost):
        mine.renew()
    mine.release()
    assert claim(waiting.pk, "a third") is None


def test_lease_that_ran_out_may_not_be_written_under_even_if_nobody_took_it(waiting):
    mine = claim(waiting.pk, "me")
    gone(waiting, 0.1)
    with pytest.raises(LeaseLost), mine.held():
        pass


def test_rollout_of_another_controller_is_left_alone(waiting, run, memory):
    found = run(waiting, "measuring")
    held_by_another(found)
    before = memory.loads[:]
    assert rollout.advance(found.pk) is False
    assert (memory.loads, rollout.left_alone()) == (before, [])


@pytest.mark.parametrize("state", ["measuring", "promoting"])
def test_dead_controller_means_that_the_old_config_comes_back(waiting, memory, run, state):
    found = run(waiting, state)
    memory.load(made.batching("chat"))
    gone(found, 3.2)

    assert rollout.left_alone() == [found.pk]
    assert rollout.take_over() == 1

    found.refresh_from_db()
    assert (found.state, memory.config) == ("rolled_back", OLD)
    said = re.fullmatch(
        r"The controller was gone: its lease had run out (\d+\.\d) s before somebody took over\.",
        found.reason,
    )
    assert 3.2 <= float(said[1]) < 10


def test_promotion_that_was_recorded_stays(waiting, memory, run):
    run(waiting, "promoted")
    assert rollout.left_alone() == []
    assert memory.config == made.batching("chat")


@pytest.mark.parametrize("state", ["waiting", "snapshot"])
def test_dead_controller_before_anything_is_applied_does_no_harm(waiting, run, state):
    found = run(waiting, state)
    gone(found, 60)
    assert rollout.left_alone() == []
    assert run(found).state == "promoted"


def test_own_lease_that_ran_out_is_no_right_to_go_on(waiting, memory, run):
    """A machine that slept wakes up with a config that has been watched by nobody."""
    found = run(waiting, "measuring")
    ended = Clock() - timedelta(seconds=5)
    Rollout.objects.filter(pk=found.pk).update(lease_expires_at=ended)
    assert run(found).state == "rolled_back"


def test_late_writer_stops_without_a_trace(waiting, memory, run):
    """Overtaken during its load: it wakes, and writes nothing."""
    found = run(waiting, "measuring")
    overtaken = []

    def overtake() -> None:
        overtaken.append(True)
        held_by_another(found)

    memory.after_load = overtake
    for _ in range(400):
        rollout.advance(found.pk)
        if overtaken:
            break
        timezone.now.on(0.1)
    found.refresh_from_db()
    assert (found.epoch, found.lease_holder) == (7, "another:1:ab")
    assert found.blocks.filter(applied_at__isnull=False).count() == 0


def test_repair_of_the_target_is_waited_for(waiting):
    from django.db import transaction

    with transaction.atomic():
        repair = leases.claim_repair(waiting.target, "mender")
    assert claim(waiting.pk, "me") is None
    repair.release()
    assert claim(waiting.pk, "me") is not None


def test_failing_step_is_not_due_before_its_time(waiting, memory, run, clock):
    memory.away = True
    found = run(waiting, "snapshot")
    assert rollout.advance(found.pk) is True
    assert rollout.advance(found.pk) is False
    assert rollout.due(clock.now) == []
    clock.on(2.1)
    assert rollout.due(clock.now) == [found.pk]


def test_rollout_being_measured_is_always_due_to_keep_its_lease(waiting, memory, run, clock):
    found = run(waiting, "measuring")
    memory.refuses = lambda _config: TargetError("Busy.", retriable=True)
    while not found.not_before:
        rollout.advance(found.pk)
        found.refresh_from_db()
        clock.on(0.5)
    assert rollout.due(clock.now - timedelta(seconds=5)) == [found.pk]


@pytest.mark.django_db(transaction=True)
def test_of_many_controllers_one_takes_each_step(waiting, memory):
    """Twelve at once: every transition of the state is made by one of them."""
    taken: list[str] = []
    barrier = threading.Barrier(12)

    def compete(number: int) -> None:
        barrier.wait()
        try:
            lease = claim(waiting.pk, f"controller-{number}")
            if lease is not None:
                taken.append(f"controller-{number}")
        finally:
            connection.close()

    threads = [threading.Thread(target=compete, args=(n,)) for n in range(12)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    waiting.refresh_from_db()
    assert [waiting.lease_holder] == taken
    assert waiting.epoch == 1


def test_every_open_state_has_its_step():
    from optimiser.models.rollouts import OPEN_ROLLOUTS

    assert set(steps.STEPS) == set(OPEN_ROLLOUTS)
