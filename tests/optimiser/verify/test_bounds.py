"""The bounds against the published ones, and against chance itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimiser.verify.bounds import critical_values, critical_z, obrien_fleming, on_t, pocock

# Lan and DeMets' O'Brien-Fleming and Pocock spending, two-sided 5 %, five looks (Jennison and
# Turnbull 2000, section 7.2; the same in R's ldbounds and gsDesign).
PUBLISHED = [
    (obrien_fleming, (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
    (pocock, (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)),
]


@pytest.mark.parametrize(("spending", "bounds"), PUBLISHED)
def test_bounds_are_those_published_for_five_looks(spending, bounds):
    assert critical_values(5, 0.025, spending) == pytest.approx(bounds, abs=2e-4)


@pytest.mark.parametrize("spending", [obrien_fleming, pocock])
def test_one_look_is_the_ordinary_test(spending):
    assert critical_values(1, 0.05, spending) == pytest.approx((1.6449,), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(looks=st.integers(2, 12), alpha=st.floats(0.001, 0.1))
def test_obrien_fleming_is_strict_first_and_nearly_ordinary_last(looks, alpha):
    bounds = critical_values(looks, alpha, obrien_fleming)

    assert list(bounds) == sorted(bounds, reverse=True)
    (ordinary,) = critical_values(1, alpha, obrien_fleming)
    assert ordinary < bounds[-1] < ordinary * 1.2


@pytest.mark.parametrize("spending", [obrien_fleming, pocock])
def test_no_more_than_alpha_ever_crosses(spending):
    steps = np.random.default_rng(4).standard_normal((100_000, 6))
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, 7))

    crossed = (z > critical_values(6, 0.05, spending)).any(axis=1).mean()

    assert crossed == pytest.approx(0.05, abs=0.003)


def test_students_t_asks_for_more_and_forgets_it_with_many_blocks():
    assert on_t(1.6449, 3) == pytest.approx(2.353, abs=1e-3)
    assert on_t(1.6449, 1e7) == pytest.approx(1.6449, abs=1e-3)


@pytest.mark.parametrize(("looks", "alpha"), [(0, 0.05), (51, 0.05), (3, 0.0), (3, 0.5)])
def test_a_plan_without_meaning_is_refused(looks, alpha):
    with pytest.raises(ValueError, match=r"looks|error to spend"):
        critical_values(looks, alpha, pocock)


@pytest.mark.parametrize("look", [0, 6])
def test_a_look_outside_the_plan_is_refused(look):
    with pytest.raises(ValueError, match=f"Look {look} of 5"):
        critical_z(5, look, 0.05, pocock)
