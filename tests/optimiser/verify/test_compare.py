"""Intervals that stay honest with few blocks, no errors, clusters and memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimiser.verify import SPLIT, SWITCHBACK, bounds
from optimiser.verify.compare import (
    Level,
    newcombe,
    of_ratios,
    of_shares,
    paired,
    wilson,
)
from optimiser.verify.measures import Shares

ORDINARY = Level(1, 1, 0.05 / 0.8, bounds.obrien_fleming)
"""Exactly 5 % once the reserve is taken off."""


def shares(control_bad, treated_bad, requests=500):
    every = np.full(len(control_bad), float(requests))
    return Shares(np.array(control_bad, float), every, np.array(treated_bad, float), every)


def test_interval_of_few_pairs_is_students():
    seen = of_ratios(np.array([0.1, 0.2, 0.3, 0.4]), SWITCHBACK)

    low, high = seen.interval(ORDINARY)

    assert (low, high) == pytest.approx((0.25 - 0.1519, 0.25 + 0.1519), abs=1e-4)


def test_blocks_that_agree_exactly_are_not_certain():
    low, high = of_ratios(np.zeros(4), SWITCHBACK).interval(ORDINARY)

    assert (low, high) == pytest.approx((-0.0059, 0.0059), abs=1e-4)


def test_newcombe_is_the_published_one():
    # Newcombe 1998, table II, case (a): 56/70 against 48/80, 95 % two-sided.
    control, treated = np.array([[48.0], [80.0]]), np.array([[56.0], [70.0]])

    found = newcombe(Shares(*control, *treated), 1.96, burstiness=0.0)

    assert found == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_no_error_at_all_leaves_room_for_some():
    low, high = of_shares(shares([0] * 4, [0] * 4), SWITCHBACK).interval(ORDINARY)

    assert high == pytest.approx(2.353**2 / (2000 + 2.353**2), rel=1e-3)
    assert low == pytest.approx(-high)


def test_errors_in_bursts_know_less_than_as_many_spread_out():
    spread_out = of_shares(shares([2] * 10, [4] * 10), SWITCHBACK)
    bursts = of_shares(shares([2] * 10, [0] * 8 + [20, 20]), SWITCHBACK)

    assert spread_out.mean == pytest.approx(bursts.mean)
    assert spread_out.burstiness == 0.0
    assert bursts.burstiness > 1
    assert bursts.interval(ORDINARY)[1] > 2 * spread_out.interval(ORDINARY)[1]


def test_a_variance_that_grows_with_the_share_pushes_the_upper_limit_out_most():
    calm, wild = wilson(0.01, 0.002, 0.3, 0.0), wilson(0.01, 0.002, 0.3, 1.0)

    assert wild[0] < calm[0] < 0.01 < calm[1] < wild[1]
    assert wild[1] - calm[1] > calm[0] - wild[0]
    assert wilson(0.01, 0.002, 0.3, 5.0)[1] == 1.0


def test_memory_between_slices_of_a_split_counts_as_fewer_slices():
    slow = np.sin(np.arange(24) / 4)
    quick = np.tile([1.0, -1.0], 12)

    assert paired(slow, SPLIT)[2] < 5
    assert paired(quick, SPLIT)[2] == pytest.approx(23)
    assert paired(slow, SWITCHBACK)[2] == pytest.approx(23)


@given(st.lists(st.floats(-1, 1), min_size=4, max_size=30), st.floats(-1, 1))
def test_a_shift_moves_the_interval_and_nothing_else(differences, shift):
    for design in (SWITCHBACK, SPLIT):
        seen = of_ratios(np.array(differences), design)
        moved = of_ratios(np.array(differences) + shift, design)

        assert moved.mean == pytest.approx(seen.mean + shift, abs=1e-9)
        # A sum of squares of 1e-16 is rounding, not spread.
        if np.ptp(differences) > 1e-3:
            assert moved.error == pytest.approx(seen.error, rel=1e-4)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=4, max_size=20),
    st.floats(0.001, 0.2),
)
def test_the_arms_can_change_places(counts, alpha):
    control, treated = zip(*counts, strict=True)
    level = Level(2, 3, alpha, bounds.obrien_fleming)

    low, high = of_shares(shares(control, treated), SWITCHBACK).interval(level)
    back = of_shares(shares(treated, control), SWITCHBACK).interval(level)

    assert (-high, -low) == pytest.approx(back, abs=1e-9)
    assert low <= high
