"""The plan hash: what moves it, and how a difference is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from optimiser.plan import Moved, Plan, canonical, difference, listed, moved_fields

CONFIG = {
    "name": "fixedcost",
    "max_batch_size": 32,
    "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
}
BATCHED = {
    **CONFIG,
    "dynamic_batching": {"preferred_batch_size": [8, 16], "max_queue_delay_microseconds": "5000"},
}
PLAN = Plan(
    change_id=7,
    revision=1,
    target="http://triton:8000 fixedcost",
    lever="batching",
    live_config=CONFIG,
    desired_config=BATCHED,
    evidence="3 aa",
    policy={"blocks": 16, "judge": {"alpha": 0.05}},
    expires_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
)

OTHERS = {
    "change_id": 8,
    "revision": 2,
    "target": "http://other:8000 fixedcost",
    "lever": "variant",
    "live_config": {**CONFIG, "max_batch_size": 16},
    "desired_config": {**BATCHED, "max_batch_size": 16},
    "evidence": "3 ab",
    "policy": {"blocks": 16, "judge": {"alpha": 0.1}},
    "expires_at": PLAN.expires_at + timedelta(microseconds=1),
}


@pytest.mark.parametrize("name", sorted(OTHERS))
def test_seal_depends_on_every_field(name):
    assert replace(PLAN, **{name: OTHERS[name]}).sealed() != PLAN.sealed()


def test_every_field_is_among_those_that_were_tried():
    assert set(OTHERS) == {name for name in Plan.__dataclass_fields__}


def test_seal_is_the_same_for_the_same_plan_in_another_order_and_zone():
    turned = dict(reversed(CONFIG.items()))
    elsewhere = PLAN.expires_at.astimezone(timezone(timedelta(hours=5, minutes=30)))

    assert replace(PLAN, live_config=turned, expires_at=elsewhere).sealed() == PLAN.sealed()


def test_canonical_refuses_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"weight": float("nan")})


def test_difference_names_each_leaf_that_moved():
    assert difference(CONFIG, BATCHED) == [
        Moved("dynamic_batching.max_queue_delay_microseconds", None, "5000"),
        Moved("dynamic_batching.preferred_batch_size", None, [8, 16]),
    ]


def test_difference_looks_into_lists_of_objects():
    two = {**CONFIG, "instance_group": [{"count": 2, "kind": "KIND_CPU"}]}

    assert difference(CONFIG, two) == [Moved("instance_group[0].count", 1, 2)]


def test_difference_sees_an_object_that_became_empty():
    assert difference({"dynamic_batching": {}}, {}) == [Moved("dynamic_batching", {}, None)]


def test_difference_of_the_same_is_nothing():
    assert difference(BATCHED, BATCHED) == []


def test_moved_fields_do_not_count_the_revision():
    assert moved_fields(PLAN, replace(PLAN, revision=2)) == []
    assert moved_fields(PLAN, replace(PLAN, policy={"blocks": 20})) == [
        Moved("policy.blocks", 16, 20),
        Moved("policy.judge.alpha", 0.05, None),
    ]


def test_listed_says_the_first_and_counts_the_rest():
    moved = difference({}, {"a": 1, "b": "x", "c": 3})

    assert listed(moved, most=2) == 'a: not set → 1; b: not set → "x"; and 1 more'
