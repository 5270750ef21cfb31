"""Service times: measured, interpolated, never extrapolated, and drawn anew for intervals."""

import json

import numpy as np
import pytest

from optimiser.simulate import ServiceCurve, Timing, Unsupported

from . import made


def test_measured_sizes_have_their_mean_and_others_lie_between():
    found = ServiceCurve.fit([Timing(1, (0.02, 0.02, 0.05)), Timing(3, (0.05,) * 3)], 0.001)
    assert found.seconds(1) == pytest.approx(0.03)
    assert found.seconds(2) == pytest.approx(0.04)
    assert found.seconds(3) == pytest.approx(0.05)


@pytest.mark.parametrize("size", [0, 33])
def test_sizes_beyond_the_calibration_are_refused(size):
    with pytest.raises(Unsupported, match="calibrate again"):
        made.curve().seconds(size)


def test_larger_batch_that_looked_quicker_shares_the_mean_of_its_neighbour():
    found = ServiceCurve.fit(
        [Timing(1, (0.02,) * 3), Timing(2, (0.04,) * 3), Timing(4, (0.03,) * 3)], 0.0
    )
    assert [found.seconds(size) for size in (1, 2, 3, 4)] == pytest.approx([0.02] + [0.035] * 3)


@pytest.mark.parametrize(
    ("timings", "overhead"),
    [
        ([Timing(2, (0.02,) * 3)], 0.0),
        ([Timing(1, (0.02, 0.02))], 0.0),
        ([Timing(1, (0.02, 0.02, 0.0))], 0.0),
        ([Timing(1, (0.02, 0.02, float("nan")))], 0.0),
        ([Timing(1, (0.02,) * 3), Timing(0, (0.02,) * 3)], 0.0),
        ([Timing(1, (0.02,) * 3)], -0.1),
        ([Timing(1, (0.02,) * 3)], ()),
    ],
)
def test_measurements_that_make_no_curve_are_refused(timings, overhead):
    with pytest.raises(ValueError, match=r"\."):
        ServiceCurve.fit(timings, overhead)


def test_curve_travels_as_json():
    before = made.calibrated(np.random.default_rng(1))
    after = ServiceCurve.from_json(json.loads(json.dumps(before.to_json())))
    assert after == before


def test_residuals_are_those_of_the_nearest_measured_size():
    found = ServiceCurve.fit([Timing(1, (0.02,) * 3), Timing(8, (0.04, 0.05, 0.06))], 0.0)
    assert found.residual_row[[1, 4, 5, 8]].tolist() == [0, 0, 1, 1]
    assert found.residuals[1].tolist() == pytest.approx([-0.01, 0.0, 0.01])


def test_curve_drawn_anew_holds_only_what_was_measured_and_the_seed_decides():
    measured = made.calibrated(np.random.default_rng(1))
    one, same, other = (measured.resampled(np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one == same
    assert one != other
    for drawn, timing in zip(one.timings, measured.timings, strict=True):
        assert set(drawn.seconds) <= set(timing.seconds)
        assert len(drawn.seconds) == len(timing.seconds)
