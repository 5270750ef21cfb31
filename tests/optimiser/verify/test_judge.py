"""The rules of the verdict: what passes, what fails, and all that stays open."""

import json

import numpy as np
import pytest

from optimiser.verify import (
    CONTROL,
    FAIL,
    INCONCLUSIVE,
    JUDGE_VERSION,
    PASS,
    SPLIT,
    TREATED,
    BadInput,
    Block,
    Judgement,
    Policy,
    Promise,
    Summary,
    judge,
    promised_sample,
    summarise,
)

from .made import block, experiment

POLICY = Policy()
COST, LATENCY, ERRORS, QUALITY = (
    "gpu_seconds_per_request",
    "p95_latency_ms",
    "error_rate",
    "quality",
)


def outcomes(said):
    return {metric.name: metric.outcome for metric in said.metrics}


def metric(said, name):
    (found,) = (one for one in said.metrics if one.name == name)
    return found


def test_a_saving_that_harms_nothing_passes():
    said = judge(experiment(cost=0.8), POLICY, 1, 1)

    assert (said.outcome, said.stop, said.version) == (PASS, True, JUDGE_VERSION)
    assert outcomes(said) == {COST: PASS, LATENCY: PASS, ERRORS: PASS}


def test_effect_is_percent_better_of_control():
    cost = metric(judge(experiment(cost=0.8, spread=1e-6), POLICY, 1, 1), COST)

    assert cost.before == pytest.approx(0.01, rel=1e-4)
    assert cost.after == pytest.approx(0.008, rel=1e-4)
    assert cost.effect == pytest.approx((cost.before - cost.after) / cost.before)
    assert cost.low < cost.effect < cost.high
    assert cost.seen == 12


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"cost": 1.3}, COST),
        ({"cost": 0.8, "latency": 1.5}, LATENCY),
        ({"cost": 0.8, "errors": (1, 40)}, ERRORS),
        ({"cost": 0.8, "scores": ((300, 3), (300, 60))}, QUALITY),
    ],
)
def test_one_metric_shown_worse_fails_everything(change, name):
    said = judge(experiment(**change), POLICY, 1, 1)

    assert (said.outcome, said.stop) == (FAIL, True)
    assert outcomes(said)[name] == FAIL
    assert list(outcomes(said).values()).count(FAIL) == 1
    assert metric(said, name).effect < 0
    assert "shown to be worse" in said.reason


def test_harm_ends_the_experiment_early():
    said = judge(experiment(8, latency=1.6), POLICY, 2, 5)

    assert (said.outcome, said.stop) == (FAIL, True)


def test_alike_is_not_a_failure_but_ends_when_the_saving_is_out_of_reach():
    said = judge(experiment(40), POLICY, 4, 5)

    assert (said.outcome, said.stop) == (INCONCLUSIVE, True)
    assert outcomes(said) == {COST: INCONCLUSIVE, LATENCY: PASS, ERRORS: PASS}
    assert "a saving of 10 % is out of reach" in said.reason


def test_a_small_regression_within_the_margin_passes():
    said = judge(experiment(40, cost=0.8, latency=1.04, spread=0.02), POLICY, 1, 1)

    assert metric(said, LATENCY).outcome == PASS
    assert metric(said, LATENCY).high < 0


def test_noise_leaves_it_open_and_says_how_much_is_needed():
    said = judge(experiment(8, cost=0.95, spread=0.2), POLICY, 3, 5)

    cost = metric(said, COST)
    assert (said.outcome, said.stop) == (INCONCLUSIVE, False)
    assert (cost.outcome, cost.seen) == (INCONCLUSIVE, 8)
    assert cost.needed > 8
    assert f"8 of about {cost.needed} blocks of each arm seen" in cost.reason


def test_the_last_look_stops_whatever_it_says():
    said = judge(experiment(8, cost=0.95, spread=0.2), POLICY, 5, 5)

    assert (said.outcome, said.stop) == (INCONCLUSIVE, True)
    assert said.reason.startswith("No verdict at the last look.")


def test_early_looks_are_stricter():
    blocks = experiment(8, cost=0.88, spread=0.04)

    assert metric(judge(blocks, POLICY, 1, 5), COST).outcome == INCONCLUSIVE
    assert metric(judge(blocks, POLICY, 5, 5), COST).outcome == PASS


# What never promotes


def test_nothing_at_all_is_not_enough():
    said = judge([], POLICY, 1, 4)

    assert (said.outcome, said.stop) == (INCONCLUSIVE, False)
    assert set(outcomes(said).values()) == {INCONCLUSIVE}
    assert "not enough data" in said.reason


def test_three_pairs_are_not_enough_however_clear():
    said = judge(experiment(3, cost=0.3, spread=1e-6), POLICY, 1, 1)

    assert said.outcome == INCONCLUSIVE
    assert "not enough data, 3 of 3 pairs of blocks can be used and 4 are the least" in said.reason


def test_an_arm_without_requests_is_not_enough():
    starved = [
        one if one.arm == CONTROL else Summary(TREATED, 0, 0, None, None)
        for one in experiment(12, cost=0.5)
    ]

    said = judge(starved, POLICY, 4, 4)

    assert (said.outcome, said.stop) == (INCONCLUSIVE, True)
    assert said.reason.count("not enough data") == 3


@pytest.mark.parametrize(("lost", "outcome"), [(1, PASS), (3, PASS), (4, INCONCLUSIVE)])
def test_an_arm_that_is_often_starved_is_not_judged_on_its_good_hours(lost, outcome):
    """Of twelve pairs one may be under way; of the other eleven four fifths must be usable."""
    blocks = experiment(12, cost=0.8)
    for pair in range(lost):
        blocks[2 * pair + 1] = Summary(TREATED, 3, 0, 20.0, 0.008)

    said = judge(blocks, POLICY, 1, 1)

    assert (said.outcome, said.metrics[0].seen) == (outcome, 12 - lost)
    enough = "8 of 12 pairs of blocks can be used and 9 are the least" not in said.reason
    assert enough == (outcome == PASS)


def test_a_treated_arm_that_fails_every_request_fails():
    dead = [
        one if one.arm == CONTROL else Summary(TREATED, 0, 400, None, None) for one in experiment(4)
    ]

    said = judge(dead, POLICY, 1, 4)

    assert (said.outcome, said.stop) == (FAIL, True)
    assert outcomes(said) == {COST: INCONCLUSIVE, LATENCY: INCONCLUSIVE, ERRORS: FAIL}


def test_cost_that_was_not_measured_never_passes():
    blocks = [
        Summary(one.arm, one.answered, one.errors, one.p95_ms, None) for one in experiment(cost=0.5)
    ]

    said = judge(blocks, POLICY, 1, 1)

    assert outcomes(said) == {COST: INCONCLUSIVE, LATENCY: PASS, ERRORS: PASS}
    assert said.outcome == INCONCLUSIVE


def test_identical_answers_pass_and_too_few_of_them_do_not():
    equal = experiment(12, cost=0.8, scores=((100, 0), (100, 0)))
    few = experiment(12, cost=0.8, scores=((10, 0), (10, 0)))

    assert judge(equal, POLICY, 1, 1).outcome == PASS
    said = judge(few, POLICY, 1, 1)
    assert (said.outcome, outcomes(said)[QUALITY]) == (INCONCLUSIVE, INCONCLUSIVE)


def test_scores_that_are_required_and_missing_never_pass():
    said = judge(experiment(cost=0.8), Policy(needs_quality=True), 1, 1)

    assert outcomes(said)[QUALITY] == INCONCLUSIVE
    assert said.outcome == INCONCLUSIVE
    assert "answers of both configs are scored" in said.reason


def test_wrong_answers_are_told_as_a_fall():
    said = judge(experiment(cost=0.8, scores=((300, 3), (300, 60))), POLICY, 1, 1)

    quality = metric(said, QUALITY)
    assert (quality.before, quality.after) == pytest.approx((0.99, 0.80))
    assert quality.effect == pytest.approx(-0.19)
    assert "Share of good answers changed by -19.00 points" in quality.reason


def test_a_split_that_did_not_divide_as_planned_never_passes():
    planned = Policy(design=SPLIT, treated_share=0.2)
    kept = experiment(20, cost=0.5, requests=(800, 200))
    fallen_back = experiment(20, cost=0.5, requests=(900, 100))

    assert judge(kept, planned, 1, 1).outcome == PASS
    said = judge(fallen_back, planned, 1, 1)
    assert said.outcome == INCONCLUSIVE
    assert "10.0 % of the requests where 20 % were planned" in said.reason


def test_correlated_requests_do_not_make_a_verdict_sure():
    """Ten thousand requests in each of four blocks are four blocks."""
    dice = np.random.default_rng(8)
    blocks = [
        block(
            arm,
            requests=10_000,
            gpu_seconds=100 * mood * (0.9 if arm == TREATED else 1),
            p95_ms=20 * mood,
            seed=int(mood * 1e6),
        )
        for arm in (CONTROL, TREATED) * 4
        for mood in [float(np.exp(0.3 * dice.standard_normal()))]
    ]

    assert judge(blocks, POLICY, 1, 1).outcome == INCONCLUSIVE


def test_blocks_and_their_summaries_are_judged_alike():
    blocks = [block(arm, seed=n) for n, arm in enumerate((CONTROL, TREATED) * 5)]

    assert judge(blocks, POLICY, 1, 2) == judge(summarise(blocks), POLICY, 1, 2)


def test_an_unfinished_pair_is_left_for_the_next_look():
    blocks = experiment(10, cost=0.8)

    assert judge(blocks[:-1], POLICY, 1, 1).metrics == judge(blocks[:-2], POLICY, 1, 1).metrics


def test_a_bound_that_is_none_is_told_as_none():
    said = judge(experiment(4, spread=0.1), POLICY, 1, 10)

    assert (metric(said, COST).low, metric(said, COST).high) == (None, None)
    assert "unbounded to unbounded" in metric(said, COST).reason
    json.dumps(said.to_json(), allow_nan=False)


# JSON, and what is refused


def test_everything_survives_json():
    said = judge(experiment(cost=0.8, scores=((100, 0), (100, 0))), POLICY, 2, 3)
    promise = promised_sample(POLICY, experiment(12))
    policy = Policy(design=SPLIT, treated_share=0.2, looks=3)
    one = experiment(1)[0]

    assert Judgement.from_json(json.loads(json.dumps(said.to_json()))) == said
    assert Promise.from_json(json.loads(json.dumps(promise.to_json()))) == promise
    assert Policy.from_json(json.loads(json.dumps(policy.to_json()))) == policy
    assert Summary.from_json(json.loads(json.dumps(one.to_json()))) == one


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"design": "coin toss"}, "design"),
        ({"alpha": 0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"latency_margin": "10 %"}, "latency_margin"),
        ({"looks": 2.5}, "looks"),
        ({"looks": True}, "looks"),
        ({"min_blocks_per_arm": 3}, "min_blocks_per_arm"),
        ({"most_blocks_per_arm": 5, "min_blocks_per_arm": 6}, "most_blocks_per_arm"),
        ({"cost_margin": 0.2}, "worthwhile_saving"),
        ({"treated_share": 1.0}, "treated_share"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_policy_names_the_term_that_cannot_work(said, name):
    with pytest.raises(BadInput, match=f"^{name}:"):
        Policy.from_json(said)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"arm": "canary"}, "arm"),
        ({"errors": -1}, "errors"),
        ({"latencies_ms": np.array([1.0, np.nan])}, "latencies_ms"),
        ({"latencies_ms": np.array([-1.0])}, "latencies_ms"),
        ({"gpu_seconds": float("inf")}, "gpu_seconds"),
        ({"scores": np.array([0.5])}, "scores"),
    ],
)
def test_block_names_what_cannot_be(said, name):
    with pytest.raises(BadInput, match=f"^{name}:"):
        Block(**{"arm": CONTROL, "latencies_ms": np.array([1.0]), **said})


@pytest.mark.parametrize(("look", "looks"), [(0, 3), (4, 3), (1, 51)])
def test_a_look_outside_the_plan_is_refused(look, looks):
    with pytest.raises(ValueError, match=r"[Ll]ook"):
        judge(experiment(4), POLICY, look, looks)
