"""Which prices hold for a request of one tier and prompt size at one moment.

Knows dated rates of one model in one price book. Refuses to guess: a tier without a price of its
own has no card, and its usage is unpriced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from decimal import Decimal
from itertools import groupby

STANDARD = "standard"

TIER_NOT_SAID = frozenset({"", "auto", "default", "on_demand", "standard_only"})
"""What providers and SDKs say for the ordinary tier, or when they do not say which it was."""

REQUEST = "request"

BILLED_AS: Mapping[str, tuple[str, ...]] = {
    "input": ("input",),
    "cache_read": ("cache_read", "input"),
    "cache_write_5m": ("cache_write_5m", "input"),
    "cache_write_1h": ("cache_write_1h", "cache_write_5m", "input"),
    "output": ("output",),
    "reasoning": ("reasoning", "output"),
    "audio_input": ("audio_input", "input"),
    "audio_output": ("audio_output", "output"),
    "image_input": ("image_input", "input"),
}
"""Under which listed prices a token class is billed, the most special first.

A provider that lists no special price for a class bills it as the wider class it belongs to:
reasoning is output, a cached token without a discount is input. This is genai-prices' own rule
(usage falls to the nearest priced ancestor of its unit), so both agree to the last digit.
"""


class BadPriceList(ValueError):
    """Says in one sentence why a file is no price list, and which one would be."""


SINCE_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rate:
    """One price: per million tokens, or per thousand requests for the unit `request`."""

    unit: str
    amount: Decimal
    currency: str = "USD"
    tier: str = STANDARD
    input_over: int = 0
    valid_from: datetime | None = None
    time_from: time | None = None
    time_to: time | None = None
    is_own: bool = False
    region: str = ""
    """Empty: everywhere."""
    is_list_price: bool = False
    """Of an own rate: it is asked of everybody, so discounts come off it as off the list's."""

    def holds_at(self, at: datetime) -> bool:
        if self.valid_from is not None and at < self.valid_from:
            return False
        if self.time_from is None or self.time_to is None:
            return True
        clock = at.astimezone(UTC).time()
        if self.time_to < self.time_from:  # over midnight
            return clock >= self.time_from or clock < self.time_to
        return self.time_from <= clock < self.time_to

    @property
    def precedence(self) -> tuple[bool, bool, datetime]:
        """Of two rates in force, that of the region wins, then one with a time of day; then the
        one that starts latest."""
        return self.region != "", self.time_from is not None, self.valid_from or SINCE_EVER


@dataclass(frozen=True, slots=True)
class RateCard:
    """What one request pays per unit, in one currency."""

    currency: str
    amounts: Mapping[str, Decimal]
    """What is paid."""
    listed: Mapping[str, Decimal] = field(default_factory=dict)
    """What the list asks of everybody; a unit that only a price of ours covers is not in it."""
    net: frozenset[str] = frozenset()
    """Units whose amount was agreed as it stands, so that no discount comes off it."""

    def rate_of(self, token_class: str) -> Decimal | None:
        """The price per million tokens of this class, or None when nothing covers it."""
        unit = self.unit_of(token_class)
        return None if unit is None else self.amounts[unit]

    def unit_of(self, token_class: str) -> str | None:
        """Under which price of the card a class is billed."""
        units = BILLED_AS.get(token_class, (token_class,))
        return next((unit for unit in units if unit in self.amounts), None)

    def list_rate_of(self, token_class: str) -> Decimal | None:
        """The same before any discount; None when no list says it."""
        units = BILLED_AS.get(token_class, (token_class,))
        return next((self.listed[unit] for unit in units if unit in self.listed), None)

    @property
    def per_request(self) -> Decimal | None:
        """The price per thousand requests."""
        return self.amounts.get(REQUEST)

    @property
    def is_at_list(self) -> bool:
        """Whether what is paid is what the list asks, so that one sum says both."""
        return self.amounts is self.listed

    @property
    def needs_usage(self) -> bool:
        return any(unit != REQUEST for unit in self.amounts)


def tier_of(said: str) -> str:
    """The book's name of a tier as a source said it."""
    tier = said.strip().casefold()
    return STANDARD if tier in TIER_NOT_SAID else tier


def rates_at(
    rates: Iterable[Rate], tier: str, input_band: int, at: datetime, region: str = ""
) -> RateCard | None:
    """The prices of one model that hold for a request, or None when this tier has none.

    1. The book's rates of one start and time of day are one complete set, for a provider that
       stops listing a unit stops charging for it; of the sets in force, the latest wins.
    2. Our own rates lie above it, unit by unit: those of the region where it is bought before
       those for everywhere, then by the same precedence.
    3. Of a unit's prompt-size steps, the highest one that the prompt exceeds.
    4. One currency per card: that of the newest own rate, else the book's. A rate in another
       currency is left off the card, so its usage shows as unpriced instead of being added.
    5. The list's price of a unit is the book's, or an own one that is a list price.
    """
    wanted = tier_of(tier)
    in_force = [
        rate
        for rate in rates
        if rate.tier == wanted and rate.region in ("", region) and rate.holds_at(at)
    ]
    book = _latest([rate for rate in in_force if not rate.is_own])
    own = [rate for rate in in_force if rate.is_own]
    if not book and not own:
        return None
    currency = (_latest(own) or book)[0].currency
    listed = _ladder([rate for rate in book if rate.currency == currency], input_band)
    if not own:
        return RateCard(currency, listed, listed) if listed else None
    amounts = listed | _own_amounts(own, currency, input_band)
    listed |= _own_amounts([rate for rate in own if rate.is_list_price], currency, input_band)
    net = _own_units(own, currency, input_band)
    return RateCard(currency, amounts, listed, net) if amounts else None


def _own_amounts(own: Iterable[Rate], currency: str, input_band: int) -> dict[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    for latest in _latest_by_unit(own):
        amounts |= _ladder([rate for rate in latest if rate.currency == currency], input_band)
    return amounts


def _own_units(own: Iterable[Rate], currency: str, input_band: int) -> frozenset[str]:
    """Of which units the winning own rate is no list price."""
    return frozenset(
        rate.unit
        for latest in _latest_by_unit(own)
        for rate in latest
        if rate.currency == currency and rate.input_over <= input_band and not rate.is_list_price
    )


def _latest_by_unit(own: Iterable[Rate]) -> Iterator[list[Rate]]:
    for _, same_unit in groupby(sorted(own, key=lambda rate: rate.unit), lambda rate: rate.unit):
        yield _latest(list(same_unit))


def _latest(rates: list[Rate]) -> list[Rate]:
    """All rates that share region, start and time of day of the one with highest precedence."""
    if not rates:
        return []
    first = max(rates, key=lambda rate: rate.precedence)
    return [
        rate
        for rate in rates
        if (rate.region, rate.valid_from, rate.time_from, rate.time_to)
        == (first.region, first.valid_from, first.time_from, first.time_to)
    ]


def _ladder(rates: Iterable[Rate], input_band: int) -> dict[str, Decimal]:
    reached = sorted(
        (rate for rate in rates if rate.input_over <= input_band), key=lambda rate: rate.input_over
    )
    return {rate.unit: rate.amount for rate in reached}
