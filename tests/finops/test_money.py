from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.money import (
    CurrencyMismatch,
    Money,
    exact,
    format_card,
    format_money,
    format_unit_price,
    percent_better,
    plain,
    total,
)

amounts = st.decimals(-(10**15), 10**15, places=20)


def usd(amount: str) -> Money:
    return Money(Decimal(amount), "USD")


def test_two_currencies_never_add():
    with pytest.raises(CurrencyMismatch, match="USD and EUR cannot be added"):
        usd("1") + Money(Decimal(1), "EUR")
    with pytest.raises(CurrencyMismatch):
        usd("1") < Money(Decimal(1), "EUR")  # noqa: B015  comparing is what must fail


@pytest.mark.parametrize("amount", [0.1, 1, "1"])
def test_only_decimals_are_money(amount):
    with pytest.raises(TypeError):
        Money(amount, "USD")


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_only_finite_amounts_are_money(amount):
    with pytest.raises(ValueError, match="finite"):
        usd(amount)


def test_money_needs_a_currency():
    with pytest.raises(ValueError, match="currency"):
        Money(Decimal(1), "")


def test_float_factor_is_refused():
    with pytest.raises(TypeError):
        usd("1") * 0.5


@given(st.lists(amounts, max_size=20))
def test_sum_is_exact_in_any_order(values):
    forward = total((Money(value, "USD") for value in values), "USD")
    backward = total((Money(value, "USD") for value in reversed(values)), "USD")
    assert forward == backward
    assert Fraction(forward.amount) == sum(map(Fraction, values))


@given(amounts, amounts)
def test_difference_undoes_the_sum(one, other):
    assert (Money(one, "EUR") + Money(other, "EUR") - Money(other, "EUR")).amount == one


@given(amounts)
def test_negation_keeps_every_digit(amount):
    assert Fraction((-Money(amount, "EUR")).amount) == -Fraction(amount)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("1234.5", "$1,234.50"),
        ("1234.567", "$1,234.57"),
        ("-1234.5", "−$1,234.50"),
        ("0.004", "<$0.01"),
        ("-0.004", "−<$0.01"),
        ("0.01", "$0.01"),
        ("8e-07", "<$0.01"),
        ("2.675", "$2.68"),
    ],
)
def test_total_has_two_decimals_and_never_hides_a_small_one(amount, shown):
    assert format_money(usd(amount)) == shown


@pytest.mark.parametrize(
    ("currency", "shown"),
    [
        ("EUR", "€1,234.50"),
        ("JPY", "¥1,234"),
        ("KWD", "KWD\xa01,234.500"),
        ("CHF", "CHF\xa01,234.50"),
        ("Credits", "Credits\xa01,234.50"),
    ],
)
def test_total_follows_its_currency(currency, shown):
    assert format_money(Money(Decimal("1234.5"), currency)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("9999.99", "$9,999.99"),
        ("12345", "$12.3K"),
        ("-12345", "−$12.3K"),
        ("999950", "$1.00M"),
        ("1234567", "$1.23M"),
        ("45600000000", "$45.6B"),
    ],
)
def test_card_is_short(amount, shown):
    assert format_card(usd(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("2.5", "$2.50"),
        ("0.15", "$0.15"),
        ("0.000375", "$0.000375"),
        ("0.00000123456789", "$0.00000123457"),
        ("1234.56789", "$1,234.57"),
        ("0", "$0.00"),
        ("-0.25", "−$0.25"),
    ],
)
def test_unit_price_keeps_six_digits(amount, shown):
    assert format_unit_price(usd(amount)) == shown


def test_unknown_is_not_zero():
    shown = {write(None) for write in (format_money, format_card, format_unit_price, exact)}
    assert shown == {"unknown"}


def test_exact_value_has_every_digit_and_no_exponent():
    assert exact(usd("8e-07")) == "0.0000008 USD"
    assert exact(usd("1234.50000")) == "1234.5 USD"
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("-0.00")) == "0"


def test_percent_better_is_the_share_that_was_saved():
    assert percent_better(Decimal(4), Decimal(3)) == Decimal("0.25")
    assert percent_better(100.0, 110.0) == pytest.approx(-0.1)
    assert percent_better(Decimal(0), Decimal(3)) is None
