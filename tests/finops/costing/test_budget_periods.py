"""Periods touch without gap or overlap, whatever the calendar does."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.budget_periods import (
    DAILY,
    MONTHLY,
    QUARTERLY,
    ROLLING,
    UNTIL,
    WEEKLY,
    Period,
    Rhythm,
    planned,
)

START = date(2026, 1, 15)
days = st.dates(date(2020, 1, 1), date(2035, 12, 31))
rhythms = st.one_of(
    st.builds(Rhythm, st.sampled_from((DAILY, WEEKLY, MONTHLY, QUARTERLY)), days),
    st.builds(Rhythm, st.just(ROLLING), days, days=st.integers(1, 400)),
)


@given(rhythms, st.integers(0, 3000))
def test_periods_hold_their_day_and_touch_the_next_one(rhythm, later):
    day = rhythm.start + timedelta(days=later)
    period = rhythm.at(day)
    assert period.start <= day < period.end
    assert rhythm.at(period.end).start == period.end
    assert rhythm.at(period.last_day) == period


@given(rhythms, st.integers(0, 900), st.integers(1, 5))
def test_periods_that_are_over_are_the_newest_in_a_row(rhythm, later, most):
    day = rhythm.start + timedelta(days=later)
    found = rhythm.over_before(day, rhythm.start, most)
    assert len(found) <= most
    assert [period.end for period in found[:-1]] == [period.start for period in found[1:]]
    if found:
        assert found[-1].end == rhythm.at(day).start
        assert rhythm.at(found[0].start) == found[0]


@given(rhythms, st.integers(0, 900), st.integers(1, 6))
def test_periods_before_are_whole_and_lie_back_to_back(rhythm, later, count):
    period = rhythm.at(rhythm.start + timedelta(days=later))
    found = rhythm.before(period, count)
    assert len(found) == count
    assert found[0].end <= period.start
    assert [one.start for one in found[:-1]] == [one.end for one in found[1:]]


@given(days, st.integers(1, 400), st.integers(0, 2000))
def test_rolling_window_is_the_block_on_its_last_day(start, length, later):
    rhythm = Rhythm(ROLLING, start, days=length)
    block = rhythm.at(start + timedelta(days=later))
    assert rhythm.window(block.last_day) == block
    assert rhythm.window(start + timedelta(days=later)).days == length


@pytest.mark.parametrize(
    ("kind", "day", "period"),
    [
        (DAILY, date(2026, 3, 1), Period(date(2026, 3, 1), date(2026, 3, 2))),
        (WEEKLY, date(2026, 3, 1), Period(date(2026, 2, 23), date(2026, 3, 2))),
        (MONTHLY, date(2026, 2, 28), Period(date(2026, 2, 1), date(2026, 3, 1))),
        (MONTHLY, date(2026, 1, 20), Period(START, date(2026, 2, 1))),
        (QUARTERLY, date(2026, 12, 31), Period(date(2026, 10, 1), date(2027, 1, 1))),
    ],
)
def test_calendar_periods_begin_where_people_expect(kind, day, period):
    assert Rhythm(kind, START).at(day) == period


def test_budget_until_a_date_has_one_period_and_none_after():
    rhythm = Rhythm(UNTIL, START, last_day=date(2026, 6, 30))
    only = Period(START, date(2026, 7, 1))
    assert (rhythm.at(START), rhythm.at(date(2026, 6, 30))) == (only, only)
    assert rhythm.at(date(2026, 7, 1)) is None
    assert rhythm.over_before(date(2026, 9, 1), START, 5) == [only]
    assert rhythm.before(only, 3) == []


def test_before_the_start_there_is_no_period():
    assert Rhythm(DAILY, START).at(START - timedelta(days=1)) is None


def test_plan_of_a_quarter_is_the_sum_of_its_months():
    months = [Decimal(n) for n in range(1, 13)]
    assert planned(Period(date(2026, 4, 1), date(2026, 7, 1)), months) == 4 + 5 + 6
    assert planned(Period(date(2026, 12, 1), date(2027, 1, 1)), months) == 12


def test_plan_of_a_month_begun_late_is_the_part_of_its_days():
    months = [Decimal(310)] * 12
    assert planned(Period(date(2026, 1, 22), date(2026, 2, 1)), months) == 100
