import math
from datetime import date, timedelta

import numpy as np
import pytest

from finops.series import forecast
from finops.series.forecast import ETS, NONE, SEASONAL_NAIVE, forecast_daily

MONDAY = date(2026, 6, 1)
WEEK = [100, 105, 103, 104, 98, 40, 35]


def daily(count, noise=2.0, growth=0.0, seed=1):
    """A weekly rhythm with noise, from a Monday on."""
    dice = np.random.default_rng(seed)
    return {
        MONDAY + timedelta(days=n): WEEK[n % 7] * (1 + growth * n) + float(dice.normal(0, noise))
        for n in range(count)
    }


def test_forecast_follows_the_weekly_rhythm():
    made = forecast_daily(daily(84), 14)
    assert (made.method, made.as_of) == (ETS, MONDAY + timedelta(days=83))
    assert made.points[0].day == MONDAY + timedelta(days=84)
    assert [point.mean for point in made.points] == pytest.approx(WEEK * 2, abs=5)


def test_wider_intervals_hold_the_narrower_ones():
    for point in forecast_daily(daily(84), 28).points:
        assert point.low95 < point.low80 < point.mean < point.high80 < point.high95


def test_uncertainty_grows_with_the_days_ahead():
    points = forecast_daily(daily(84, noise=5, growth=0.01), 28).points
    assert points[27].high95 - points[27].low95 > points[0].high95 - points[0].low95


def test_intervals_hold_about_what_they_promise():
    inside80 = inside95 = 0
    for seed in range(20):
        values = daily(98, noise=5, seed=seed)
        held_back = {day: values.pop(day) for day in sorted(values)[-14:]}
        for point in forecast_daily(values, 14).points:
            inside80 += point.low80 <= held_back[point.day] <= point.high80
            inside95 += point.low95 <= held_back[point.day] <= point.high95
    assert 0.74 < inside80 / (20 * 14) < 0.90
    assert 0.90 < inside95 / (20 * 14) < 0.99


def test_lower_bound_of_a_cost_is_not_below_zero():
    values = {day: max(0.0, value - 60) for day, value in daily(84, noise=20).items()}
    assert min(point.low95 for point in forecast_daily(values, 28).points) == 0
    signed = forecast_daily(values, 28, non_negative=False)
    assert min(point.low95 for point in signed.points) < 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "Not enough data: no day observed yet, 14 are needed."),
        (daily(13), "Not enough data: 13 of the 14 days needed."),
        (
            {day: v if n % 3 else None for n, (day, v) in enumerate(daily(60).items())} | daily(1),
            "Not enough data: 19 of 60 days are missing.",
        ),
    ],
)
def test_too_little_data_is_an_outcome_with_a_reason(values, reason):
    made = forecast_daily(values, 28)
    assert (made.method, made.points, made.backtest, made.reason) == (NONE, (), None, reason)


def test_two_weeks_fall_back_to_a_simpler_method_by_name():
    made = forecast_daily(daily(20), 7)
    assert made.method == SEASONAL_NAIVE
    assert made.reason == "Less than 21 days: the same weekday of last week."
    assert [point.mean for point in made.points] == list(daily(20).values())[-7:]


def test_three_weeks_are_smoothed():
    assert forecast_daily(daily(21), 7).method == ETS


def test_flat_series_is_flat():
    made = forecast_daily(dict.fromkeys(daily(60), 12.5), 7)
    assert {(point.low95, point.mean, point.high95) for point in made.points} == {
        (12.5, 12.5, 12.5)
    }
    assert made.reason == "Every day cost the same."


def test_missing_day_is_missing_and_not_zero():
    values = daily(84)
    whole = forecast_daily(values, 7)
    gone = [MONDAY + timedelta(days=n) for n in (20, 41, 42, 60)]
    holey = forecast_daily({day: v for day, v in values.items() if day not in gone}, 7)
    zero = forecast_daily(values | dict.fromkeys(gone, 0.0), 7)
    assert [p.mean for p in holey.points] == pytest.approx([p.mean for p in whole.points], abs=2)
    assert zero.points[0].high95 - zero.points[0].low95 > 2 * (
        holey.points[0].high95 - holey.points[0].low95
    )


def test_forecast_starts_after_the_last_day_that_was_observed():
    values = daily(60) | {MONDAY + timedelta(days=60): None}
    assert forecast_daily(values, 3).points[0].day == MONDAY + timedelta(days=60)


def test_backtest_is_published_with_the_forecast():
    backtest = forecast_daily(daily(120, noise=5), 28).backtest
    assert backtest.origins == forecast.BACKTEST_ORIGINS
    assert backtest.days == 7 + 14 + 21 + 28 * 3
    assert 0.6 < backtest.coverage80 <= backtest.coverage95 <= 1
    assert backtest.skill < 1
    assert backtest.mase == pytest.approx(backtest.skill, rel=0.3)


def test_backtest_does_not_score_missing_days():
    values = daily(120)
    del values[MONDAY + timedelta(days=115)]
    assert forecast_daily(values, 28).backtest.days == 7 + 14 + 21 + 28 * 3 - 4


def test_series_that_cannot_be_smoothed_falls_back_by_name(monkeypatch):
    monkeypatch.setattr(forecast, "fit", lambda values: None)
    made = forecast_daily(daily(60), 7)
    assert (made.method, made.reason) == (
        SEASONAL_NAIVE,
        "Smoothing did not converge on this series.",
    )


def test_closed_form_agrees_with_the_variance_of_simulated_paths():
    """The intervals are statsmodels' own; a simulation by hand checks that we read them right."""
    values = np.array(list(daily(84, noise=5).values()))
    predicted = forecast.ets(values, 8)
    fitted = forecast.fit(values)
    dice = np.random.default_rng(7)
    steps = dice.normal(0, math.sqrt(fitted.mse * 84 / 75), size=(20_000, 8))
    level, season = np.zeros(20_000), np.zeros((20_000, 7))
    for n in range(8):
        path = level + season[:, n % 7] + steps[:, n]
        assert np.std(path) == pytest.approx(predicted.sigma[n], rel=0.03)
        level += fitted.alpha * steps[:, n]
        season[:, n % 7] += fitted.gamma * steps[:, n]
