"""The router on the real server: who answers, and that no caller sees a canary fail."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from optimiser.targets import router
from optimiser.targets.base import TargetError

from .conftest import Caller, Traffic, model_of, unload

pytestmark = pytest.mark.triton


@pytest.fixture
def gate(server):
    yield from as_it_was(server, "router")


@pytest.fixture
def hasty_gate(server):
    yield from as_it_was(server, "hasty_router")


def as_it_was(server, model):
    target = model_of(server, model)
    before = target.read()
    yield target
    target.restore(before)


def in_s(seconds):
    return datetime.now(UTC) + timedelta(seconds=seconds)


def split(gate, weight, canary="arm_canary", lease_s=60.0):
    gate.apply(router.split(gate.read(), canary, weight, in_s(lease_s)))


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.5, 1.0])
def test_weight_is_the_share_that_the_canary_answers(server, gate, weight):
    split(gate, weight)
    requests = 300
    with Caller(server, "router") as caller:
        who = Counter(caller.ask()[1] for _ in range(requests))
    assert set(who) <= {"arm_base", "arm_canary"}
    # Five standard deviations: one run in a million would fail by chance.
    slack = 5 * (weight * (1 - weight) / requests) ** 0.5
    assert abs(who["arm_canary"] / requests - weight) <= slack


def test_every_row_is_answered_in_its_place_and_signed(server, gate):
    rows = np.arange(48, dtype=np.float32).reshape(3, 16)
    with Caller(server, "router") as caller:
        output, who = caller.ask(rows)
    assert output.tolist() == [[120.0], [376.0], [632.0]]
    assert who == "arm_base"


def test_a_canary_that_vanishes_under_traffic_fails_no_request(server, gate):
    split(gate, 1.0)
    with Traffic(server, "router") as traffic:
        traffic.wait_for(more=50)
        unload(server, "arm_canary")
        traffic.wait_for(more=200)
    server.endpoints.load("arm_canary")
    assert traffic.failures == []
    assert {one.who for one in traffic.answers[:20]} == {"arm_canary"}
    assert {one.who for one in traffic.answers[-20:]} == {"arm_base"}


def test_a_canary_that_never_was_fails_no_request(server, gate):
    split(gate, 1.0, canary="arm_nobody")
    with Caller(server, "router") as caller:
        assert {caller.ask()[1] for _ in range(10)} == {"arm_base"}


def test_a_canary_that_hangs_is_answered_for_and_not_asked_again(server, hasty_gate):
    split(hasty_gate, 1.0, canary="arm_stuck")
    with Traffic(server, "hasty_router", callers=2) as traffic:
        traffic.wait_for(more=20)
    assert traffic.failures == []
    assert {one.who for one in traffic.answers} == {"arm_base"}
    asked = model_of(server, "arm_stuck").statistics()
    # Each of the router's two instances finds out for itself, once.
    assert asked.requests_ok + asked.failed <= 2


def test_a_lease_that_nobody_renews_ends_the_split_at_its_end(server, gate):
    lease_ends = in_s(4)
    gate.apply(router.split(gate.read(), "arm_canary", 1.0, lease_ends))
    with Traffic(server, "router") as traffic:
        while datetime.now(UTC) < lease_ends + timedelta(seconds=0.5):
            time.sleep(0.05)
        traffic.wait_for(more=20)
    assert traffic.failures == []
    ends = lease_ends.timestamp()
    # The router decides between the question and the answer, by the same clock as this test.
    assert min(one.at for one in traffic.answers if one.who == "arm_base") >= ends
    assert max(one.asked_at for one in traffic.answers if one.who == "arm_canary") < ends


def test_promotion_and_return_fail_no_request(server, gate):
    with Traffic(server, "router") as traffic:
        split(gate, 0.5)
        traffic.wait_for(more=20)
        gate.apply(router.promoted(gate.read(), "arm_canary"))
        promoted_at = len(traffic.answers)
        traffic.wait_for(more=50)
        assert {one.who for one in traffic.answers[-20:]} == {"arm_canary"}
        gate.apply(router.promoted(gate.read(), "arm_base"))
        traffic.wait_for(more=50)
    assert promoted_at > 0
    assert traffic.failures == []
    assert {one.who for one in traffic.answers[-20:]} == {"arm_base"}


def test_a_routing_that_cannot_be_is_refused_before_it_is_sent(gate):
    live = gate.read()
    wrong = {**live, "parameters": {**live["parameters"], "base": {"string_value": ""}}}
    with pytest.raises(TargetError, match="A router needs a base"):
        gate.apply(wrong)
    assert gate.read() == live
