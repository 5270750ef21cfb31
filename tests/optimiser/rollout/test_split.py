"""A canary behind a router: both models at once, under a lease that ends by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from optimiser import rollout
from optimiser.rollout import measuring
from optimiser.targets import model_config, router
from tests.optimiser import made

from .conftest import SPLIT
from .memory import Behaviour

pytestmark = pytest.mark.django_db

GATE = made.config(
    "chat",
    parameters={
        "base": {"string_value": "chat_fp32"},
        "canary": {"string_value": ""},
        "weight": {"string_value": "0"},
        "lease_expires_at": {"string_value": "0"},
    },
)
NEW = router.promoted(GATE, "chat_int8")


@pytest.fixture
def variant(target, memory):
    memory.files = memory.config = GATE
    memory.note()
    target.kind, target.desired_config, target.live_config = "router", GATE, GATE
    target.save()
    return made.RecommendationFactory(
        target=target, lever="variant", current_config=GATE, candidate_config=NEW
    )


@pytest.fixture
def waiting(begin, variant):
    return begin(SPLIT, variant)


def same(one, other):
    return model_config.canonical(one) == model_config.canonical(other)


def arms_of(memory):
    return router.arms(memory.config)


def test_cheaper_variant_takes_over_all_traffic(waiting, memory, run):
    found = run(waiting)
    assert (found.state, found.verdicts.get().outcome) == ("promoted", "PASS")
    assert same(memory.config, NEW)
    assert [one.arm for one in found.blocks.all()] == [""] * 8
    assert {one.weight for one in found.blocks.all()} == {0.4}
    both = found.blocks.first().statistics_to
    assert {arm: said["model"] for arm, said in both.items()} == {
        "control": "chat_fp32", "treated": "chat_int8",
    }  # fmt: skip


def test_share_of_traffic_ends_by_itself_and_is_renewed_meanwhile(waiting, memory, run, clock):
    found = run(waiting, "measuring")
    while not found.blocks.exists() or not memory.loads:
        rollout.advance(found.pk)
    first = arms_of(memory).lease_expires_at
    assert first - clock.now <= measuring.ROUTER_LEASE
    for _ in range(80):
        if not rollout.advance(found.pk):
            clock.on(0.5)
        found.refresh_from_db()
        if found.blocks.count() < 8 and found.state == "measuring":
            assert arms_of(memory).lease_expires_at > clock.now
    assert any(router.arms(one).lease_expires_at > first for one in memory.loads)


def test_dead_controller_leaves_a_router_that_reverts_and_a_snapshot_that_comes_back(
    waiting, memory, run, clock
):
    found = run(waiting, "measuring")
    while not memory.loads:
        rollout.advance(found.pk)
    clock.on(measuring.ROUTER_LEASE.total_seconds())
    assert not arms_of(memory).is_splitting(clock.now)

    from optimiser.leases import Clock
    from optimiser.models import Rollout

    gone = Clock() - timedelta(seconds=1)
    Rollout.objects.filter(pk=found.pk).update(lease_expires_at=gone, lease_holder="another")
    assert rollout.take_over() == 1
    assert same(memory.config, GATE)


def test_canary_that_does_not_answer_ends_it(waiting, memory, run):
    found = run(waiting, "measuring")
    while found.blocks.filter(measured_to__isnull=False).count() < 2:
        run_one(found)
    memory.canary_ready = False
    found = run(found)
    assert (found.state, found.reason) == (
        "rolled_back", "chat_int8 does not answer any more.",
    )  # fmt: skip
    assert same(memory.config, GATE)


def test_slow_canary_fails(waiting, memory, run):
    memory.changed = Behaviour(latency_ms=150.0, gpu_s=0.004)
    found = run(waiting)
    assert (found.state, found.verdicts.get().outcome) == ("rolled_back", "FAIL")
    assert same(memory.config, GATE)


def test_canary_that_serves_already_is_refused(begin, target, memory, run):
    memory.files = memory.config = NEW
    memory.note()
    target.kind, target.desired_config, target.live_config = "router", NEW, NEW
    target.save()
    odd = {**NEW, "max_batch_size": 16}
    advice = made.RecommendationFactory(
        target=target, lever="variant", current_config=NEW, candidate_config=odd
    )
    found = run(begin(SPLIT, advice))
    assert (found.state, found.reason) == ("refused", "The router's base is the canary already.")


def test_model_without_a_router_cannot_be_split(begin, advice, memory, run):
    found = run(begin(SPLIT, advice))
    assert found.state == "refused"
    assert "is no router" in found.reason
    assert memory.loads == []


def run_one(found):
    from django.utils import timezone

    if not rollout.advance(found.pk):
        timezone.now.on(0.5)
