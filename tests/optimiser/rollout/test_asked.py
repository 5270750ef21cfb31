"""Roll back now: at any moment, by whoever may, whatever else is wrong."""

from __future__ import annotations

import pytest

from finops.models import Audit
from optimiser import rollout
from optimiser.approvals import Conflict, NotAllowed
from optimiser.models import Rollout
from optimiser.rollout import roll_back_now
from tests.optimiser import made

from .conftest import SHORT

pytestmark = pytest.mark.django_db

OLD, NEW = made.config("chat"), made.batching("chat")


@pytest.mark.parametrize("who", ["dev", "ben"])
@pytest.mark.parametrize("state", ["waiting", "snapshot", "measuring", "promoting", "promoted"])
def test_engineer_or_approver_gets_the_old_config_back(waiting, memory, run, people, state, who):
    found = run(waiting, state)
    roll_back_now(found.change_id, people[who], "page")
    found = run(found, "rolled_back")

    assert (memory.config, found.change.state) == (OLD, "rolled_back")
    assert (found.stop_asked_by, found.stop_asked_at is None) == (people[who], False)
    record = Audit.objects.get(action="change.roll_back")
    assert (record.actor, record.via) == (people[who], "page")
    event = found.change.events.get(kind="roll_back")
    assert (event.actor, event.text) == (people[who], f"{who} asked for the old config.")


@pytest.mark.parametrize("who", ["asha", "ada", "cleo"])
def test_others_do_not(waiting, people, run, who):
    run(waiting, "measuring")
    with pytest.raises(NotAllowed, match="No role of yours rolls back"):
        roll_back_now(waiting.change_id, people[who], "page")


def test_it_does_not_wait_for_the_next_try(waiting, memory, run, people, clock):
    from optimiser.targets.base import TargetError

    found = run(waiting, "measuring")
    memory.refuses = lambda _config: TargetError("Busy.", retriable=True)
    while not found.not_before:
        rollout.advance(found.pk)
        found.refresh_from_db()
        clock.on(0.5)
    memory.refuses = lambda _config: None
    roll_back_now(found.change_id, people["ben"], "api")
    assert rollout.advance(found.pk)
    found.refresh_from_db()
    assert found.state == "restoring"


def test_asking_twice_is_no_harm_and_the_first_is_remembered(waiting, run, people):
    found = run(waiting, "measuring")
    roll_back_now(found.change_id, people["dev"], "page")
    roll_back_now(found.change_id, people["ben"], "page")
    found = run(found, "rolled_back")
    assert found.stop_asked_by == people["dev"]


@pytest.mark.parametrize("state", ["refused", "rolled_back"])
def test_where_nothing_is_applied_it_says_so(waiting, memory, run, people, state):
    if state == "refused":
        memory.config = made.config("chat", max_batch_size=8)
    else:
        memory.changed = memory.usual
    found = run(waiting, state)
    with pytest.raises(Conflict, match="Nothing of this change is applied"):
        roll_back_now(found.change_id, people["ben"], "page")


def test_change_without_a_rollout_has_nothing_to_roll_back(change, people):
    with pytest.raises(Conflict, match="Nothing of this change is applied"):
        roll_back_now(change.pk, people["ben"], "page")


def test_promoted_config_is_rolled_back_whatever_is_live(waiting, memory, run, people):
    found = run(waiting, "promoted")
    memory.load(made.batching("chat", delay_us=9999))
    roll_back_now(found.change_id, people["ben"], "page")
    assert run(found, "rolled_back").target.desired_config == OLD
    assert memory.config == OLD


def test_without_a_controller_the_second_pair_of_hands_does_it(waiting, memory, run, people):
    found = run(waiting, "promoted")
    roll_back_now(found.change_id, people["ben"], "page")
    assert rollout.take_over() == 1
    assert memory.config == OLD


@pytest.fixture
def two(waiting, memory, run, begin, target):
    """Batching is promoted, and a longer delay is being tried on top of it."""
    first = run(waiting, "promoted")
    target.refresh_from_db()
    advice = made.RecommendationFactory(
        target=target,
        lever="batching",
        current_config=NEW,
        candidate_config=made.batching("chat", delay_us=4000),
    )
    return first, begin(SHORT, advice)


def test_change_under_a_trial_stops_the_trial_and_follows_it(two, memory, run, people):
    first, second = two
    run(second, "measuring")
    roll_back_now(first.change_id, people["ben"], "page")
    first.refresh_from_db()
    assert first.state == "promoted"

    run(second, "rolled_back")
    assert memory.config == NEW
    assert rollout.due(first.created_at) == [first.pk]
    run(first, "rolled_back")
    assert memory.config == OLD


def test_change_under_a_promoted_one_waits_for_its_turn(two, people, clock):
    first, second = two
    clock.on(1)
    Rollout.objects.filter(pk=second.pk).update(state="promoted", finished_at=clock.now)
    with pytest.raises(Conflict, match=r"was promoted on top of this one: roll that back first"):
        roll_back_now(first.change_id, people["ben"], "page")
