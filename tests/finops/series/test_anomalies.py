from datetime import timedelta

import pytest

from finops.series.anomalies import THRESHOLD, WARM_UP_DAYS, find_anomalies
from tests.finops.series.test_forecast import MONDAY, daily


def day(n):
    return MONDAY + timedelta(days=n)


def marked(values):
    return [(mark.day - MONDAY).days for mark in find_anomalies(values)]


def test_quiet_series_has_no_marks():
    assert [marked(daily(365, noise=5, seed=seed)) for seed in range(3)] == [[]] * 3


def test_spike_is_marked_with_what_was_expected():
    values = daily(120)
    values[day(100)] += 80
    (mark,) = find_anomalies(values)
    assert (mark.day, mark.actual) == (day(100), values[day(100)])
    assert mark.expected == pytest.approx(103, abs=4)
    assert mark.low < mark.expected < mark.high < mark.actual
    assert mark.score > THRESHOLD


def test_drop_is_marked_as_cheaper():
    values = daily(120)
    values[day(100)] = 5.0
    (mark,) = find_anomalies(values)
    assert mark.score < -THRESHOLD


def test_spike_leaves_no_echo_in_the_days_and_weeks_after():
    values = daily(160)
    values[day(100)] += 500
    assert marked(values) == [100]


def test_new_level_is_marked_at_first_and_then_is_the_normal():
    values = {d: v * (2 if d >= day(100) else 1) for d, v in daily(200).items()}
    marks = marked(values)
    assert marks[:3] == [100, 101, 102]
    assert all(n < 121 for n in marks)


def test_weekend_is_expected():
    assert marked(daily(90, noise=1)) == []


def test_warm_up_weeks_are_not_judged():
    values = daily(120)
    values[day(WARM_UP_DAYS - 1)] += 500
    assert marked(values) == []


def test_missing_day_is_not_a_drop_to_zero():
    values = daily(120)
    del values[day(80)]
    values[day(90)] = None
    assert marked(values) == []


def test_small_change_of_a_calm_series_is_no_anomaly():
    values = dict.fromkeys(daily(120), 100.0) | {day(100): 104.0}
    assert marked(values) == []
    assert marked(values | {day(100): 106.0}) == [100]


def test_mark_does_not_change_when_later_days_arrive():
    values = daily(200)
    values[day(100)] += 80
    early = {d: v for d, v in values.items() if d <= day(110)}
    assert find_anomalies(early) == find_anomalies(values)


def test_too_little_data_has_no_marks():
    assert find_anomalies(daily(WARM_UP_DAYS)) == []
    assert find_anomalies({}) == []
