"""Decimal amounts with a currency, and how they are written for people.

Knows currencies and rounding. Refuses binary floats, NaN, infinity, and adding two currencies;
amounts stay exact until one of the `format_*` functions rounds them for display.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import lru_cache
from typing import TypeVar

PRECISION = 50

CONTEXT = Context(
    prec=PRECISION,
    rounding=ROUND_HALF_EVEN,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""Real exports hold 19 decimals; the default of 28 digits would round their sums."""

SCALE = Decimal(1).scaleb(-20)
"""The last decimal that `numeric(38, 20)` keeps."""

UNKNOWN = "unknown"

MINUS = "−"

SYMBOLS = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "CNY": "CN¥",
    "INR": "₹",
    "KRW": "₩",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "BRL": "R$",
    "MXN": "MX$",
    "HKD": "HK$",
    "SGD": "S$",
    "ILS": "₪",
    "TRY": "₺",
    "VND": "₫",
}
"""Symbols that name one currency; every other amount is written behind its code."""

MINOR_UNITS = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "OMR": 3}
"""Decimals of a total, where they are not two (ISO 4217)."""

COMPACT_FROM = Decimal(10_000)
"""Cards write amounts from here on as K, M or B."""

COMPACT_UNITS = ((Decimal(10**9), "B"), (Decimal(10**6), "M"), (Decimal(10**3), "K"))

Number = TypeVar("Number", Decimal, float)


class CurrencyMismatch(ValueError):
    """Two currencies were about to be added or compared. Convert one first, at a dated rate."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(f"{left} and {right} cannot be added; convert one at a dated rate first.")


@dataclass(frozen=True, slots=True)
class Money:
    """An exact amount in one currency: an ISO 4217 code or a FOCUS virtual currency."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal):
            raise TypeError(f"Money needs a Decimal, not {type(self.amount).__name__}.")
        if not self.amount.is_finite():
            raise ValueError("Money must be a finite amount.")
        if not self.currency:
            raise ValueError("Money needs a currency.")

    def __add__(self, other: Money) -> Money:
        return Money(CONTEXT.add(self.amount, self._same(other)), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(CONTEXT.subtract(self.amount, self._same(other)), self.currency)

    def __neg__(self) -> Money:
        return Money(self.amount.copy_negate(), self.currency)

    def __mul__(self, factor: int | Decimal) -> Money:
        if not isinstance(factor, int | Decimal):
            raise TypeError(f"Multiply money by an int or a Decimal, not {type(factor).__name__}.")
        return Money(CONTEXT.multiply(self.amount, Decimal(factor)), self.currency)

    __rmul__ = __mul__

    def __truediv__(self, divisor: int | Decimal) -> Money:
        if not isinstance(divisor, int | Decimal):
            raise TypeError(f"Divide money by an int or a Decimal, not {type(divisor).__name__}.")
        return Money(CONTEXT.divide(self.amount, Decimal(divisor)), self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: Money) -> bool:
        return self.amount <= self._same(other)

    def __str__(self) -> str:
        return f"{plain(self.amount)} {self.currency}"

    def _same(self, other: Money) -> Decimal:
        if not isinstance(other, Money):
            raise TypeError(f"Money and {type(other).__name__} do not add up.")
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.amount


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum, in the currency that an empty sum needs as well."""
    result = Money(Decimal(0), currency)
    for amount in amounts:
        result = result + amount
    return result


def percent_better(before: Number, after: Number) -> Number | None:
    """How much less `after` is, as a share of `before`: the one definition, for costs and latency.

    0.25 is 25 % better, -0.1 is 10 % worse. Against nothing there is no share: None.
    """
    if before == 0:
        return None
    return (before - after) / before


def plain(amount: Decimal) -> str:
    """Every digit and no exponent: what the API, a CSV cell and a title attribute hold."""
    text = f"{amount:f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def format_money(money: Money | None) -> str:
    """A total as on a bill: `$1,234.50`, `−€3.00`, `<$0.01`, and `unknown` for None."""
    return UNKNOWN if money is None else format_amount(money.amount, money.currency)


def format_amount(amount: Decimal, currency: str) -> str:
    """As `format_money`, for the thousand amounts of a page."""
    smallest = _step(MINOR_UNITS.get(currency, 2))
    size = amount.copy_abs()
    if size < smallest and size:
        bound = f"<{_with_symbol(f'{smallest:f}', currency)}"
        return bound if amount > 0 else f"{MINUS}{bound}"
    return _signed(amount, f"{size.quantize(smallest, context=CONTEXT):,f}", currency)


def format_card(money: Money | None) -> str:
    """A total short enough for a card: `$12.3K`, `$4.56M`. Put `exact` into its title."""
    if money is None:
        return UNKNOWN
    size = money.amount.copy_abs()
    if size < COMPACT_FROM:
        return format_money(money)
    # 999,950 rounds to 1000K, which is better said as 1.00M: round first, then choose the letter.
    size = _rounded(size, 2 - size.adjusted())
    unit, letter = next(pair for pair in COMPACT_UNITS if size >= pair[0])
    digits = max(0, 2 - (size / unit).adjusted())
    return _signed(money.amount, f"{_rounded(size / unit, digits):,f}{letter}", money.currency)


def format_unit_price(money: Money | None) -> str:
    """A price per unit in up to six significant digits: `$0.15`, `$2.50`, `$0.000375`."""
    if money is None:
        return UNKNOWN
    size = money.amount.copy_abs()
    decimals = max(2, 5 - size.adjusted()) if size else 2
    text = f"{_rounded(size, decimals):,f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(2, "0")
    return _signed(money.amount, f"{whole}.{fraction}", money.currency)


def exact(money: Money | None) -> str:
    """Every digit with the currency's code, for title attributes and exports."""
    return UNKNOWN if money is None else str(money)


def _signed(amount: Decimal, digits: str, currency: str) -> str:
    text = _with_symbol(digits, currency)
    return f"{MINUS}{text}" if amount < 0 else text


def _with_symbol(digits: str, currency: str) -> str:
    symbol = SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{currency}\N{NO-BREAK SPACE}{digits}"


def _rounded(amount: Decimal, decimals: int) -> Decimal:
    return amount.quantize(_step(decimals), context=CONTEXT)


@lru_cache(maxsize=64)
def _step(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)
