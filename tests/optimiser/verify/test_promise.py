"""The sample that is promised beforehand."""

import statistics

import pytest

from optimiser.verify import CONTROL, SPLIT, Policy, Promise, promised_sample

from .made import block, experiment

POLICY = Policy(looks=4)


def pilot(blocks=16, **more):
    return [one for one in experiment(blocks, **more) if one.arm == CONTROL]


def test_promise_names_blocks_and_requests():
    said = promised_sample(POLICY, pilot(spread=0.08))

    assert said.blocks_per_arm % POLICY.looks == 0
    assert said.requests_per_arm == said.blocks_per_arm * 400
    assert said.assumptions["pilot_blocks"] == 16
    assert sum(1 - power for power in said.assumptions["power_by_metric"].values()) <= 0.2
    assert said.reason.startswith(
        f"{said.blocks_per_arm} blocks and about {said.requests_per_arm} requests of each arm"
    )


def test_the_same_pilot_gets_the_same_promise():
    assert promised_sample(POLICY, pilot()) == promised_sample(POLICY, pilot())


def needed(policy=POLICY, **more):
    return promised_sample(policy, pilot(**more)).blocks_per_arm


def test_more_noise_needs_more_blocks():
    assert needed(spread=0.02) < needed(spread=0.1) < needed(spread=0.2)


def test_a_smaller_saving_needs_more_blocks():
    noisy = {"spread": 0.15}

    assert needed(**noisy) < needed(Policy(looks=4, worthwhile_saving=0.05), **noisy)


def test_a_short_pilot_is_trusted_less():
    long, short = (
        statistics.median(needed(blocks=blocks, spread=0.08, seed=seed) for seed in range(15))
        for blocks in (40, 6)
    )

    assert long < short


def test_few_requests_need_more_blocks_for_the_error_rate():
    said = promised_sample(POLICY, pilot(requests=(50, 50)))

    assert said.blocks_per_arm > needed(requests=(4000, 4000))
    assert "Error rate decides the number" in said.reason


def test_a_split_needs_more_than_a_switchback_and_more_the_smaller_its_canary():
    noisy = {"spread": 0.08}
    half = Policy(looks=4, design=SPLIT, treated_share=0.5)
    tenth = Policy(looks=4, design=SPLIT, treated_share=0.1)

    assert needed(**noisy) < needed(half, **noisy) < needed(tenth, **noisy)


def test_a_trial_without_a_change_is_a_pilot_too():
    said = promised_sample(
        Policy(looks=4, design=SPLIT, treated_share=0.2), experiment(16, requests=(400, 100))
    )

    assert said.requests_per_arm == said.blocks_per_arm * 100


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ([], "cannot be foreseen from 0 pilot blocks"),
        (pilot(3), "cannot be foreseen from 3 pilot blocks"),
        ([block(gpu_seconds=None, seed=n) for n in range(9)], "see whether GPU-seconds are"),
        (pilot(spread=3.0), "varies too much between blocks: use longer blocks"),
    ],
)
def test_what_cannot_be_promised_says_why(seen, reason):
    said = promised_sample(POLICY, seen)

    assert said == Promise(None, None, said.reason)
    assert reason in said.reason


def test_scores_are_foreseen_where_they_are_required():
    scored = experiment(16, scores=((20, 0), (20, 0)))
    policy = Policy(needs_quality=True)

    assert promised_sample(policy, pilot()).reason.startswith("Share of good answers cannot be")
    assert "Share of good answers decides" in promised_sample(policy, scored).reason
