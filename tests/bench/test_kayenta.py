"""The judge that ours is compared with behaves as its documentation and its known issue say."""

import numpy as np

from tests.bench.kayenta import HIGH, NO_DATA, PASSES, classify, score, verdict

SAME = np.linspace(9, 11, 10)


def test_a_clear_rise_is_high():
    assert classify(SAME, SAME * 2) == HIGH


def test_equal_data_passes():
    assert classify(SAME, SAME.copy()) == PASSES


def test_seven_of_ten_samples_a_hundred_times_worse_pass():
    """spinnaker/spinnaker#6278: the tolerance grows with the shift it is to tolerate."""
    assert classify(SAME, np.where(np.arange(10) < 7, SAME * 100, SAME)) == PASSES


def test_no_data_is_left_out_of_the_score_until_half_is_missing():
    assert classify(SAME, np.full(10, np.nan)) == NO_DATA
    assert score([PASSES, PASSES, NO_DATA]) == 100
    assert score([PASSES, HIGH, NO_DATA]) == 50
    assert score([PASSES, NO_DATA]) == 0


def test_it_ends_at_the_first_bad_look():
    good, bad = [(SAME, SAME)], [(SAME, SAME * 3)]

    assert verdict([good, good]) == "PASS"
    assert verdict([good, bad]) == "FAIL"
    assert verdict([bad, good]) == "FAIL"
