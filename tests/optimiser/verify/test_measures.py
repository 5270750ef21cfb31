"""From requests to one number per block, and which blocks are compared."""

import numpy as np
import pytest

from optimiser.verify import (
    CONTROL,
    TREATED,
    BadInput,
    Block,
    Policy,
    Summary,
    randomised_order,
    summarise,
)
from optimiser.verify.measures import cost, errors, latency, match, neighbours, p95, ratio

from .made import block


def summary(arm, cost=0.01, pair=None, **more):
    known = {"answered": 100, "errors": 0, "p95_ms": 20.0, **more}
    return Summary(arm, gpu_seconds_per_request=cost, pair=pair, **known)


def test_summary_counts_cost_per_answered_request():
    (said,) = summarise([Block(TREATED, np.full(80, 5.0), errors=20, gpu_seconds=4.0, pair=3)])

    assert said == Summary(
        TREATED,
        answered=80,
        errors=20,
        p95_ms=pytest.approx(5.0),
        gpu_seconds_per_request=0.05,
        pair=3,
    )
    assert said.requests == 100


def test_summary_leaves_unknown_what_was_not_measured():
    (said,) = summarise([Block(CONTROL, np.array([]), errors=7, gpu_seconds=4.0)])

    assert said == Summary(CONTROL, 0, 7, p95_ms=None, gpu_seconds_per_request=None)


def test_summary_counts_bad_scores():
    (said,) = summarise([block(scores=np.array([1, 0, 1, 1, 0]))])

    assert (said.scored, said.scored_bad) == (5, 2)


def test_p95_is_that_of_all_requests_where_the_arms_have_as_many():
    latencies = np.random.default_rng(1).exponential(size=200)

    expected = np.quantile(latencies, 0.95, method="median_unbiased")
    assert p95(latencies, 200) == pytest.approx(expected)


def test_p95_of_clumped_latencies_favours_neither_arm_of_an_uneven_split():
    """Six in a hundred requests take three times as long: a small sample often misses them."""
    dice = np.random.default_rng(2)
    clumped = np.where(dice.random((4000, 640)) < 0.06, 30.0, 10.0) * dice.uniform(
        0.95, 1.05, (4000, 640)
    )
    few = clumped[:, :100]

    alone = np.log(p95(few, 100)).mean() - np.log(p95(clumped, 640)).mean()
    alike = np.log(p95(few, 100)).mean() - np.log(p95(clumped, 100)).mean()

    assert alone < -0.1
    assert alike == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("count", "size"), [(100, 100), (101, 100), (250, 100), (640, 160)])
def test_every_request_counts_when_a_block_is_dealt_out(count, size):
    largest = [
        float(p95(np.where(np.arange(count) == at, 1e9, 1.0), min(size, 10))) for at in range(count)
    ]

    assert min(largest) > 1.0


def test_a_pair_is_measured_on_equally_many_requests():
    control, treated = block(CONTROL, requests=640, seed=1), block(TREATED, requests=160, seed=2)

    said = summarise([control, treated])

    assert [one.p95_ms for one in said] == [
        pytest.approx(float(p95(one.latencies_ms, 160))) for one in (control, treated)
    ]
    assert [one.answered for one in said] == [640, 160]


def test_a_block_of_no_time_at_all_has_no_p95():
    policy = Policy()
    still = Block(CONTROL, np.zeros(100)), Block(TREATED, np.zeros(100))

    assert len(ratio(match(summarise(still)), latency, policy).differences) == 0


def test_blocks_pair_up_in_order_of_time():
    blocks = [summary(TREATED, 1), summary(CONTROL, 2), summary(CONTROL, 3), summary(TREATED, 4)]

    costs = [
        (one.gpu_seconds_per_request, other.gpu_seconds_per_request)
        for one, other in match(blocks).matched
    ]

    assert costs == [(2, 1), (3, 4)]


def test_numbered_blocks_pair_up_by_number_when_one_was_dropped():
    blocks = [summary(CONTROL, 1, pair=0), summary(CONTROL, 2, pair=1), summary(TREATED, 3, pair=1)]

    pairs = match(blocks)

    assert [one.gpu_seconds_per_request for one, _ in pairs.matched] == [2]
    assert pairs.expected == 2


def test_the_same_number_twice_is_refused():
    with pytest.raises(BadInput, match="number the blocks"):
        match([summary(CONTROL, pair=1), summary(CONTROL, pair=1)])


@pytest.mark.parametrize(
    ("short", "usable"),
    [
        ({}, (1, 1, 1)),
        ({"p95_ms": None}, (1, 0, 1)),
        ({"cost": None}, (0, 1, 1)),
        ({"cost": 0.0}, (0, 1, 1)),
        ({"answered": 5, "errors": 95}, (0, 0, 1)),
        ({"answered": 5}, (0, 0, 0)),
    ],
)
def test_a_pair_counts_where_both_arms_measured_enough(short, usable):
    policy = Policy(min_requests_per_block=30)
    pairs = match([summary(CONTROL), summary(TREATED, **short)])

    seen = (
        ratio(pairs, cost, policy).differences,
        ratio(pairs, latency, policy).differences,
        errors(pairs, policy).differences,
    )

    assert tuple(map(len, seen)) == usable


def test_a_pilot_of_one_config_compares_each_block_with_the_next():
    pairs = neighbours([summary(CONTROL, 1), summary(CONTROL, 2), summary(CONTROL, 4)])

    assert ratio(pairs, cost, Policy()).differences == pytest.approx(np.log([2, 2]))


def test_the_order_of_a_switchback_is_by_lot_within_each_pair():
    order = randomised_order(200, seed=7)

    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert {frozenset(pair) for pair in pairs} == {frozenset((CONTROL, TREATED))}
    assert 70 < sum(first == TREATED for first, _ in pairs) < 130
    assert order == randomised_order(200, seed=7) != randomised_order(200, seed=8)
