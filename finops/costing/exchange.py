"""Amounts of one currency in another, at the rate of their day.

Knows pairs of currencies, days, and how long a rate holds. Refuses the database, a rate it was not
given and one that is too old: such an amount stays in its own currency, and is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal

from finops.money import CONTEXT

PIVOT = "EUR"
"""Reference rates are all of the euro: any other pair is made of two of them."""

HOLDS_DAYS = 7
"""No rates are made at weekends and on bank holidays: the last one before holds, but not longer."""

SIGNIFICANT_DIGITS = 15
"""Published rates have six. Amounts below 10**12 with 20 decimals are then converted without
rounding in 50 digits, so that the parts of a sum still add up to the whole."""

ROUNDED = Context(prec=SIGNIFICANT_DIGITS, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True)
class DayRate:
    """One unit of `base` is `rate` units of `quote` on that day."""

    day: date
    base: str
    quote: str
    rate: Decimal
    source: str = ""


@dataclass(frozen=True, slots=True)
class Used:
    """The rate that an amount of a day is multiplied by."""

    day: date
    currency: str
    rate: Decimal
    rate_day: date
    """The day it is of: earlier than `day` where that one has none."""
    sources: tuple[str, ...]

    @property
    def is_carried(self) -> bool:
        return self.rate_day != self.day


@dataclass(frozen=True, slots=True)
class Part:
    """What was converted of one currency."""

    currency: str
    days: int
    carried_days: int
    """Days converted at the rate of an earlier one."""
    lowest: Decimal
    highest: Decimal
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """What was not, for want of a rate."""

    currency: str
    days: int
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the figures of an answer came to be in one currency."""

    to: str
    parts: tuple[Part, ...]
    missing: tuple[Missing, ...]
    ahead: tuple[Used, ...] = ()
    """The rates that days to come were converted with: the newest of each currency."""

    @property
    def sources(self) -> tuple[str, ...]:
        used = [one.sources for one in self.parts] + [one.sources for one in self.ahead]
        return tuple(sorted({source for sources in used for source in sources}))


@dataclass(slots=True)
class Rates:
    """Rates into one currency, by day."""

    to: str
    quotes: dict[tuple[str, str], dict[date, DayRate]]
    found: dict[tuple[str, date], Used | None] = field(default_factory=dict)

    @classmethod
    def of(cls, to: str, rates: Iterable[DayRate]) -> Rates:
        quotes: dict[tuple[str, str], dict[date, DayRate]] = {}
        for one in rates:
            quotes.setdefault((one.base, one.quote), {})[one.day] = one
        return cls(to, quotes)

    def at(self, currency: str, day: date) -> Used | None:
        """None when neither the day nor the week before has a rate."""
        key = (currency, day)
        if key not in self.found:
            self.found[key] = self._looked_up(currency, day)
        return self.found[key]

    def _looked_up(self, currency: str, day: date) -> Used | None:
        if currency == self.to:
            return Used(day, currency, Decimal(1), day, ())
        for back in range(HOLDS_DAYS + 1):
            rate_day = day - timedelta(days=back)
            if made := self._made(currency, rate_day):
                rate, sources = made
                return Used(day, currency, rate, rate_day, sources)
        return None

    def _made(self, currency: str, day: date) -> tuple[Decimal, tuple[str, ...]] | None:
        """A rate of the pair itself; else one of the euro in each, of the same day."""
        ways = [[(currency, self.to)]]
        if PIVOT not in (currency, self.to):
            ways.append([(currency, PIVOT), (PIVOT, self.to)])
        for way in ways:
            legs = [self._leg(*pair, day) for pair in way]
            known = [leg for leg in legs if leg is not None]
            if len(known) == len(legs):
                times = product(leg.rate for leg, forwards in known if forwards)
                by = product(leg.rate for leg, forwards in known if not forwards)
                sources = tuple(sorted({leg.source for leg, _ in known}))
                return ROUNDED.plus(CONTEXT.divide(times, by)), sources
        return None

    def _leg(self, base: str, quote: str, day: date) -> tuple[DayRate, bool] | None:
        """Multiplied by where it is of this direction, divided by where it is of the other."""
        if one := self.quotes.get((base, quote), {}).get(day):
            return one, True
        if one := self.quotes.get((quote, base), {}).get(day):
            return one, False
        return None


@dataclass(slots=True)
class Converter:
    """Converts, and remembers with what."""

    rates: Rates
    used: dict[tuple[str, date], Used] = field(default_factory=dict)
    missing: dict[str, set[date]] = field(default_factory=dict)
    ahead: dict[str, Used] = field(default_factory=dict)

    @property
    def to(self) -> str:
        return self.rates.to

    @property
    def currencies(self) -> set[str]:
        """Every one that was asked for, and the one converted to."""
        return {self.to, *self.missing, *(currency for currency, _ in self.used)}

    def asked_since(self, first: date) -> set[str]:
        """Every currency that some day from then on was asked for, whether it had a rate or not."""
        return {currency for currency, day in self.rates.found if day >= first}

    def rate(self, currency: str, day: date) -> Decimal | None:
        found = self.rates.at(currency, day)
        if found is None:
            self.missing.setdefault(currency, set()).add(day)
            return None
        if currency != self.to:
            self.used[currency, day] = found
        return found.rate

    def rate_ahead(self, currency: str, today: date) -> Decimal | None:
        """Of days to come, which have none yet: the newest, as long as it holds today."""
        found = self.rates.at(currency, today)
        if found is not None and currency != self.to:
            self.ahead[currency] = found
        return None if found is None else found.rate

    def told(self) -> Conversion:
        by_currency: dict[str, list[Used]] = {}
        for (currency, _), one in self.used.items():
            by_currency.setdefault(currency, []).append(one)
        return Conversion(
            self.to,
            tuple(_part(currency, by_currency[currency]) for currency in sorted(by_currency)),
            tuple(
                Missing(currency, len(days), min(days), max(days))
                for currency, days in sorted(self.missing.items())
            ),
            tuple(used for _, used in sorted(self.ahead.items())),
        )


def _part(currency: str, used: list[Used]) -> Part:
    return Part(
        currency=currency,
        days=len(used),
        carried_days=sum(one.is_carried for one in used),
        lowest=min(one.rate for one in used),
        highest=max(one.rate for one in used),
        sources=tuple(sorted({source for one in used for source in one.sources})),
    )


def times(amount: Decimal | None, rate: Decimal) -> Decimal | None:
    return None if amount is None else CONTEXT.multiply(amount, rate)


def product(factors: Iterable[Decimal]) -> Decimal:
    made = Decimal(1)
    for factor in factors:
        made = CONTEXT.multiply(made, factor)
    return made
