"""Amounts in another currency: the rate of their day, and nothing without one."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.exchange import (
    HOLDS_DAYS,
    Converter,
    DayRate,
    Missing,
    Part,
    Rates,
    Used,
    times,
)
from finops.money import CONTEXT

MONDAY = date(2026, 11, 16)
FRIDAY = MONDAY - timedelta(days=3)


def euro(code: str, rate: str, day: date = MONDAY) -> DayRate:
    return DayRate(day, "EUR", code, Decimal(rate), "ECB")


def rate(to: str, currency: str, *known: DayRate, day: date = MONDAY) -> Decimal | None:
    found = Rates.of(to, known).at(currency, day)
    return found.rate if found else None


def test_rate_is_multiplied_inverted_or_crossed_through_the_euro():
    dollar, yen = euro("USD", "1.25"), euro("JPY", "160")

    assert rate("USD", "EUR", dollar) == Decimal("1.25")
    assert rate("EUR", "USD", dollar) == Decimal("0.8")
    assert rate("JPY", "USD", dollar, yen) == Decimal("128")
    assert rate("USD", "JPY", dollar, yen) == Decimal("0.0078125")
    assert rate("USD", "USD") == 1


def test_rate_of_the_pair_itself_comes_before_one_through_the_euro():
    own = DayRate(MONDAY, "USD", "JPY", Decimal("150"), "contract")

    found = Rates.of("JPY", [euro("USD", "1.25"), euro("JPY", "160"), own]).at("USD", MONDAY)

    assert found == Used(MONDAY, "USD", Decimal("150"), MONDAY, ("contract",))


def test_rate_has_fifteen_digits():
    assert rate("EUR", "USD", euro("USD", "1.0956")) == Decimal("0.912741876597298")


def test_rate_of_a_day_without_one_is_the_last_before_for_a_week():
    known = euro("USD", "1.25", FRIDAY)

    sunday = Rates.of("EUR", [known]).at("USD", FRIDAY + timedelta(days=2))
    assert sunday is not None
    assert (sunday.rate, sunday.rate_day, sunday.is_carried) == (Decimal("0.8"), FRIDAY, True)
    assert rate("EUR", "USD", known, day=FRIDAY + timedelta(days=HOLDS_DAYS)) == Decimal("0.8")
    assert rate("EUR", "USD", known, day=FRIDAY + timedelta(days=HOLDS_DAYS + 1)) is None
    assert rate("EUR", "USD", known, day=FRIDAY - timedelta(days=1)) is None


def test_cross_rate_takes_both_legs_of_one_day():
    known = [euro("USD", "1.25", FRIDAY), euro("JPY", "150", FRIDAY), euro("JPY", "160", MONDAY)]

    found = Rates.of("JPY", known).at("USD", MONDAY)

    assert found == Used(MONDAY, "USD", Decimal("120"), FRIDAY, ("ECB",))


def test_converter_tells_what_it_used_and_what_it_missed():
    tuesday = MONDAY + timedelta(days=1)
    converter = Converter(Rates.of("EUR", [euro("USD", "1.25"), euro("USD", "1.6", FRIDAY)]))

    asked = [("USD", FRIDAY), ("USD", MONDAY), ("USD", tuesday), ("EUR", MONDAY), ("XTS", MONDAY)]
    rates = [converter.rate(*one) for one in asked]

    assert rates == [Decimal("0.625"), Decimal("0.8"), Decimal("0.8"), 1, None]
    told = converter.told()
    assert told.parts == (Part("USD", 3, 1, Decimal("0.625"), Decimal("0.8"), ("ECB",)),)
    assert told.missing == (Missing("XTS", 1, MONDAY, MONDAY),)
    assert told.sources == ("ECB",)


amounts = st.lists(
    st.decimals(-(10**11), 10**11, places=20, allow_nan=False), min_size=1, max_size=6
)


@given(parts=amounts, code=st.sampled_from(["1.0956", "17643.5", "0.00091", "161.27"]))
@pytest.mark.parametrize("towards", ["EUR", "USD"])
def test_parts_of_a_sum_still_add_up_when_converted(towards, parts, code):
    """No digit is lost, so a table's rows are its total whatever it is grouped by."""
    other = "USD" if towards == "EUR" else "EUR"
    found = rate(towards, other, euro("USD", code))
    assert found is not None

    whole = Decimal(0)
    apart = Decimal(0)
    for part in parts:
        whole = CONTEXT.add(whole, part)
        apart = CONTEXT.add(apart, times(part, found) or Decimal(0))

    assert apart == times(whole, found)


def test_unknown_amount_stays_unknown():
    assert times(None, Decimal("0.8")) is None
