"""How often the judge errs, on a few hundred experiments with wide limits; the bench does more."""

import numpy as np
import pytest

from optimiser.verify import CONTROL, FAIL, PASS, SPLIT, SWITCHBACK, Policy, judge, promised_sample

from .made import experiment

RUNS = 150
LOOKS = 4


def run(design, seed, **change):
    """One experiment of its promised size, looked at four times."""
    policy = Policy(design=design, looks=LOOKS)
    pilot = experiment(12, spread=0.06, seed=seed + 10_000)
    if design == SWITCHBACK:
        pilot = [one for one in pilot if one.arm == CONTROL]
    blocks = experiment(
        promised_sample(policy, pilot).blocks_per_arm, spread=0.06, seed=seed, **change
    )
    for look in range(1, LOOKS + 1):
        said = judge(blocks[: len(blocks) * look // LOOKS], policy, look, LOOKS)
        if said.stop:
            return said.outcome
    raise AssertionError


@pytest.mark.parametrize("design", [SWITCHBACK, SPLIT])
def test_what_is_just_not_acceptable_is_seldom_promoted(design):
    said = [run(design, seed, cost=0.6, latency=1.1) for seed in range(RUNS)]

    assert np.mean([one == PASS for one in said]) < 0.11


@pytest.mark.parametrize("design", [SWITCHBACK, SPLIT])
def test_what_is_alike_is_hardly_ever_failed_or_promoted(design):
    said = [run(design, seed) for seed in range(RUNS)]

    assert np.mean([one == FAIL for one in said]) < 0.04
    assert np.mean([one == PASS for one in said]) < 0.11


@pytest.mark.parametrize("design", [SWITCHBACK, SPLIT])
def test_the_promised_sample_keeps_its_promise(design):
    said = [run(design, seed, cost=0.9) for seed in range(RUNS)]

    assert np.mean([one == PASS for one in said]) > 0.72
