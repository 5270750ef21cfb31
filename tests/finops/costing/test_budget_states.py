"""What a budget comes to and how it does; unknown stays unknown."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.budget_states import (
    AT_RISK,
    HARD,
    NO_SIGNAL,
    NOTHING,
    OK,
    ON_TRACK,
    OVER,
    PACE,
    SOFT,
    UNKNOWN,
    Expected,
    adjusted,
    from_forecast,
    from_pace,
    judge,
    pace,
    quantile,
    reached,
    share,
    signal,
)

TODAY = date(2026, 11, 21)
amounts = st.decimals(0, 10**9, places=4)
NO_FORECAST = Expected(None, None, None, NOTHING, "Not enough data.")


def days(*values: str) -> dict[date, Decimal]:
    """Ending today."""
    first = TODAY - timedelta(days=len(values) - 1)
    return {first + timedelta(days=at): Decimal(value) for at, value in enumerate(values)}


def ahead(count: int) -> list[date]:
    return [TODAY + timedelta(days=at) for at in range(count)]


def expecting(mean: str) -> Expected:
    amount = Decimal(mean)
    return Expected(amount, amount, amount, PACE, "Pace.")


@given(st.decimals(1, 10**9, places=2), st.integers(0, 10**7), st.integers(1, 10**7))
def test_pace_grows_from_nothing_to_the_whole_amount(amount, passed, length):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = start + timedelta(seconds=length)
    now = pace(amount, start, end, start + timedelta(seconds=passed))
    later = pace(amount, start, end, start + timedelta(seconds=passed + 1))
    assert 0 <= now <= later <= amount
    assert pace(amount, start, end, start) == 0
    assert pace(amount, start, end, end) == amount


@given(st.lists(amounts, min_size=7, max_size=28), amounts, st.integers(1, 60))
def test_projection_lies_in_its_range_and_never_below_what_is_spent(history, spent, left):
    made = from_pace({TODAY: spent}, history, ahead(left), TODAY)
    assert spent <= made.low <= made.mean <= made.high


@given(st.lists(amounts, min_size=1, max_size=30))
def test_quantiles_lie_between_the_least_and_the_most(values):
    assert quantile(values, Decimal(0)) == min(values)
    assert quantile(values, Decimal(1)) == max(values)
    assert min(values) <= quantile(values, Decimal("0.9")) <= max(values)


def test_even_days_are_projected_to_the_cent():
    made = from_pace(days("10", "10", "4"), [Decimal(10)] * 7, ahead(3), TODAY)
    assert (made.low, made.mean, made.high) == (50, 50, 50)
    assert made.method == PACE
    assert "mean of the last 7 known days" in made.said


def test_fewer_than_seven_days_project_nothing():
    made = from_pace(days("10"), [Decimal(10)] * 6, ahead(3), TODAY)
    assert (made.mean, made.low, made.high) == (None, None, None)
    assert made.said == "Not enough data: 6 of the 7 whole days needed are known."


def test_today_counts_once_and_never_less_than_it_cost():
    points = {day: (Decimal(10), Decimal(8), Decimal(12)) for day in ahead(2)}
    made = from_forecast(days("5", "4"), ahead(2), TODAY, points, "")
    assert (made.mean, made.low, made.high) == (25, 21, 29)
    dear = from_forecast(days("5", "90"), ahead(1), TODAY, points, "")
    assert (dear.mean, dear.low, dear.high) == (95, 95, 95)


@pytest.mark.parametrize(
    ("spent", "expected", "pace_now", "state"),
    [
        ("101", expecting("200"), "50", OVER),
        ("100", expecting("100"), "50", ON_TRACK),
        ("60", expecting("120"), "50", AT_RISK),
        ("60", NO_FORECAST, "50", AT_RISK),
        ("40", NO_FORECAST, "50", ON_TRACK),
        ("40", NO_FORECAST, None, UNKNOWN),
        (None, NO_FORECAST, "50", UNKNOWN),
    ],
)
def test_state_follows_spend_then_forecast_then_pace(spent, expected, pace_now, state):
    told = judge(
        Decimal(100),
        None if spent is None else Decimal(spent),
        expected,
        None if pace_now is None else Decimal(pace_now),
        "",
        0.0,
    )
    assert told.state == state
    assert told.why


def test_unpriced_usage_is_said_and_keeps_from_saying_on_track():
    missing = "30 of 100 requests have no price."
    close = judge(Decimal(100), Decimal(10), expecting("71"), Decimal(50), missing, 0.3)
    assert (close.state, close.why) == (UNKNOWN, missing)
    early = judge(Decimal(100), Decimal(36), NO_FORECAST, Decimal(50), missing, 0.3)
    assert early.state == UNKNOWN
    nothing = judge(Decimal(100), Decimal(10), expecting("20"), Decimal(50), missing, 1.0)
    assert nothing.state == UNKNOWN
    over = judge(Decimal(100), Decimal(101), expecting("150"), Decimal(50), missing, 0.3)
    assert over.state == OVER
    assert missing in over.why
    few = judge(Decimal(100), Decimal(10), expecting("70"), Decimal(50), "30 of 100.", 0.3)
    assert (few.state, few.why) == (
        ON_TRACK,
        "It is expected to end within the budget. 30 of 100.",
    )


@pytest.mark.parametrize(
    ("before", "amount"),
    [((), 500), (("100", "200"), 150), (("900",), 500), (("0",), 500)],
)
def test_adjusting_budget_is_the_average_and_at_most_its_cap(before, amount):
    found, said = adjusted([Decimal(value) for value in before], Decimal(500))
    assert found == amount
    assert said.endswith(".")


@given(st.lists(amounts, max_size=12), st.decimals(1, 10**6, places=2))
def test_adjusting_budget_is_above_nothing_and_at_most_its_cap(before, cap):
    assert 0 < adjusted(before, cap)[0] <= cap


@pytest.mark.parametrize(
    ("wanted", "spent", "told"),
    [
        (NO_SIGNAL, "200", OK),
        (SOFT, "99.99", OK),
        (SOFT, "100", SOFT),
        (HARD, "100", HARD),
        (HARD, None, OK),
    ],
)
def test_signal_is_given_from_the_whole_amount_on(wanted, spent, told):
    assert signal(wanted, Decimal(100), None if spent is None else Decimal(spent)) == told


def test_threshold_is_reached_exactly_and_by_nothing_unknown():
    assert reached(Decimal(80), Decimal(100), Decimal(80))
    assert not reached(Decimal("79.999"), Decimal(100), Decimal(80))
    assert not reached(None, Decimal(100), Decimal(80))
    assert not reached(Decimal(80), None, Decimal(80))


def test_share_of_nothing_is_unknown():
    assert share(Decimal(5), None) is None
    assert share(None, Decimal(5)) is None
    assert share(Decimal(5), Decimal(10)) == Decimal("0.5")
