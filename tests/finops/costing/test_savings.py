"""The sum of a saving and its interval, on numbers that can be checked by hand."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops.costing.savings import (
    HeldPrice,
    Interval,
    Slice,
    cash_saved,
    expected,
    ratio,
    saving,
)

BEFORE = Interval(0.5, 0.49, 0.51)
STEADY = [Slice(60, 100, 20)] * 12


def noisy(seed, gpu_s=0.2, minutes=60, spread=0.3):
    """Minutes whose requests take `gpu_s` each on average, more in some minutes than in others."""
    dice = np.random.default_rng(seed)
    requests = dice.poisson(100, minutes)
    each = gpu_s * dice.lognormal(-(spread**2) / 2, spread, minutes)
    return [Slice(60, int(n), float(n * one)) for n, one in zip(requests, each, strict=True)]


def test_saving_is_requests_times_the_fall_of_the_ratio():
    found = saving(BEFORE, STEADY)
    assert (found.requests, found.measured_s, found.now) == (1200, 720, Interval(0.2, 0.2, 0.2))
    assert found.gpu_seconds.value == pytest.approx(1200 * 0.3)


def test_doubt_about_the_time_before_is_doubt_about_the_saving():
    found = saving(BEFORE, STEADY).gpu_seconds
    assert found.low == pytest.approx(1200 * 0.29, abs=1)
    assert found.high == pytest.approx(1200 * 0.31, abs=1)


def test_lopsided_baseline_makes_a_lopsided_interval():
    found = saving(Interval(0.5, 0.49, 0.60), STEADY).gpu_seconds
    assert (found.high - found.value) > 5 * (found.value - found.low)


def test_doubt_about_the_time_now_widens_the_interval():
    sure, unsure = saving(BEFORE, noisy(1, spread=0.05)), saving(BEFORE, noisy(1, spread=0.5))
    assert width(unsure.gpu_seconds) > 2 * width(sure.gpu_seconds)


def width(interval):
    return interval.high - interval.low


def test_minutes_that_come_in_bursts_are_less_sure_than_mixed_ones():
    """Blocks keep what belongs together: the same minutes, sorted, say less."""
    minutes = noisy(3, minutes=216, spread=0.5)
    sorted_minutes = sorted(minutes, key=lambda one: one.gpu_seconds / max(1, one.requests))
    assert width(ratio(sorted_minutes)) > 1.5 * width(ratio(minutes))


def test_interval_holds_the_truth_about_as_often_as_it_says():
    """90 % of 200 periods, less what a bootstrap of 60 minutes is known to lack."""
    held = [ratio(noisy(seed)) for seed in range(200)]
    hits = sum(one.low <= 0.2 <= one.high for one in held)
    assert 160 <= hits <= 195


def test_same_facts_give_the_same_figure_to_the_last_digit():
    assert saving(BEFORE, noisy(5)) == saving(BEFORE, noisy(5))


def test_change_for_the_worse_is_a_negative_saving():
    found = saving(Interval(0.1, 0.09, 0.11), STEADY).gpu_seconds
    assert found.value == pytest.approx(-120)
    assert found.low < found.value < found.high < 0


def test_without_a_request_nothing_is_claimed():
    silent = [Slice(60, 0, 0.0)] * 20
    assert (ratio(silent), saving(BEFORE, silent)) == (None, None)


def test_single_slice_shows_no_spread_and_makes_no_claim():
    assert saving(BEFORE, STEADY[:1]) is None
    assert saving(BEFORE, STEADY[:2]) is not None


def test_minutes_without_requests_change_no_ratio():
    quiet = [*STEADY, *[Slice(60, 0, 0.0)] * 5]
    assert ratio(quiet).value == pytest.approx(0.2)


def test_estimate_is_the_simulated_fall_on_the_expected_requests():
    assert expected(0.5, 0.2, 0.55, 0.65, 1000) == Interval(300, 275, 325)


# Cash

FREED = Interval(3600.0, 1800.0, 7200.0)


def test_paid_by_use_a_freed_hour_is_an_hour_not_paid():
    cash = cash_saved(FREED, [HeldPrice(10, Decimal("2.50"), True)], "EUR")
    assert (cash.amount, cash.low, cash.high, cash.currency) == (
        Decimal("2.5"),
        Decimal("1.25"),
        Decimal(5),
        "EUR",
    )


def test_paid_by_the_hour_a_freed_hour_saves_no_cash():
    cash = cash_saved(FREED, [HeldPrice(10, Decimal("2.50"), False)], "EUR")
    assert (cash.amount, cash.low, cash.high) == (0, 0, 0)


def test_each_price_of_a_period_weighs_its_requests():
    prices = [HeldPrice(30, Decimal(2), True), HeldPrice(10, Decimal(6), True)]
    assert cash_saved(FREED, prices, "USD").amount == 3


def test_hours_that_were_paid_anyway_for_a_while_save_nothing_in_it():
    prices = [HeldPrice(30, Decimal(2), False), HeldPrice(10, Decimal(6), True)]
    assert cash_saved(FREED, prices, "USD").amount == Decimal("1.5")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(Slice, st.just(60.0), st.integers(0, 10_000), st.floats(0, 120, allow_nan=False)),
        min_size=1,
        max_size=50,
    )
)
def test_interval_always_holds_its_figure(slices):
    found = saving(BEFORE, slices)
    if found is not None:
        assert found.gpu_seconds.low <= found.gpu_seconds.value <= found.gpu_seconds.high
        assert found.now.low <= found.now.value <= found.now.high
