"""What was agreed with a provider, applied to the prices of one request.

Knows discounts, fixed prices and regions of purchase with their dates. Refuses to add discounts up:
of all terms that fit a price exactly one holds, and none comes off a price that was agreed as it
stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from finops.money import CONTEXT

from .lines import MOST_DECIMALS
from .rates import SINCE_EVER, Rate, RateCard, rates_at, tier_of

SMALLEST_PRICE = Decimal(1).scaleb(-MOST_DECIMALS)
WHOLE = Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Buying:
    """From which region a provider is bought; `project` None: by every project."""

    region: str
    provider: str
    project: int | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def holds(self, project: int | None, provider: str, at: datetime) -> bool:
        return (
            self.provider == provider
            and self.project in (None, project)
            and _in_force(self.valid_from, self.valid_to, at)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A percentage off the list price or an amount instead of it; empty names fit every one."""

    uid: str
    contract: str
    provider: str
    model: str = ""
    tier: str = ""
    region: str = ""
    unit: str = ""
    project: int | None = None
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def fits(
        self, project: int | None, name: tuple[str, str], tier: str, region: str, at: datetime
    ) -> bool:
        """`name` is provider and model as the book names them."""
        return (
            self.provider == name[0]
            and self.project in (None, project)
            and self.model in ("", name[1])
            and self.tier in ("", tier)
            and self.region in ("", region)
            and _in_force(self.valid_from, self.valid_to, at)
        )

    def rank(self, unit: str) -> tuple[bool, bool, bool, int, bool, datetime, str]:
        """Of two that fit, the one for the project wins; then for the model, tier, token class and
        region; then the one that starts latest. The last part only makes the order whole."""
        return (
            self.project is not None,
            self.model != "",
            self.tier != "",
            (self.unit != "") + (self.unit == unit),
            self.region != "",
            self.valid_from or SINCE_EVER,
            self.uid,
        )

    @property
    def scope(self) -> tuple[object, ...]:
        """Two terms with one scope may not start at the same time."""
        return self.project, self.provider, self.model, self.tier, self.region, self.unit

    def off(self, listed: Decimal) -> Decimal:
        """What is paid. At most `MOST_DECIMALS` decimals, so that costs stay exact."""
        if self.amount is not None:
            return self.amount
        paid = CONTEXT.multiply(listed, (WHOLE - (self.percent or 0)) / WHOLE)
        if -int(paid.as_tuple().exponent) <= MOST_DECIMALS:
            return paid
        return paid.quantize(SMALLEST_PRICE, context=CONTEXT)


@dataclass(frozen=True, slots=True)
class Agreed:
    """All terms and regions of one version of the book."""

    terms: tuple[Term, ...] = ()
    buying: tuple[Buying, ...] = ()

    @property
    def projects(self) -> frozenset[int]:
        """Those that have something of their own; all others pay the same."""
        owners = {*(one.project for one in self.terms), *(one.project for one in self.buying)}
        return frozenset(owner for owner in owners if owner is not None)

    def region(self, project: int | None, provider: str, at: datetime) -> str:
        """The project's own before everybody's, then the latest start; empty when none is said."""
        found = [one for one in self.buying if one.holds(project, provider, at)]
        if not found:
            return ""
        return max(
            found,
            key=lambda one: (one.project is not None, one.valid_from or SINCE_EVER, one.region),
        ).region


NOTHING_AGREED = Agreed()


@dataclass(frozen=True, slots=True)
class Offer:
    """A card, and which term holds for which of its units."""

    card: RateCard
    region: str
    terms: Mapping[str, Term]


def card_at(
    rates: Iterable[Rate],
    agreed: Agreed,
    project: int | None,
    name: tuple[str, str],
    tier: str,
    input_band: int,
    at: datetime,
) -> RateCard | None:
    """What a request of a project pays, by unit; None when this tier has no price."""
    found = offer_at(rates, agreed, project, name, tier, input_band, at)
    return found.card if found else None


def offer_at(
    rates: Iterable[Rate],
    agreed: Agreed,
    project: int | None,
    name: tuple[str, str],
    tier: str,
    input_band: int,
    at: datetime,
) -> Offer | None:
    """`card_at` with its reasons."""
    region = agreed.region(project, name[0], at) if agreed.buying else ""
    card = rates_at(rates, tier, input_band, at, region)
    if card is None:
        return None
    wanted = tier_of(tier)
    fitting = [one for one in agreed.terms if one.fits(project, name, wanted, region, at)]
    terms = _terms_by_unit(card, fitting)
    if any(term.currency not in ("", card.currency) for term in terms.values()):
        return None  # one currency per card: what was agreed in another one is not to be guessed
    if not terms:
        return Offer(card, region, {})
    paid = {unit: term.off(card.rate_of(unit) or Decimal(0)) for unit, term in terms.items()}
    return Offer(replace(card, amounts={**card.amounts, **paid}), region, terms)


def _terms_by_unit(card: RateCard, fitting: Collection[Term]) -> dict[str, Term]:
    """For each unit of the card, and those that a term names although the list bills them wider,
    the term with the highest rank."""
    if not fitting:
        return {}
    found = {}
    for unit in {*card.amounts, *(one.unit for one in fitting if one.unit)}:
        own = [one for one in fitting if _may_change(one, unit, card)]
        if own:
            found[unit] = max(own, key=lambda one: one.rank(unit))
    return found


def _may_change(term: Term, unit: str, card: RateCard) -> bool:
    """1. A term means the unit it names, and what has no price of its own and is billed as it.
    2. An amount stands by itself; a percentage needs a price that it may come off."""
    billed_as = card.unit_of(unit)
    if term.amount is not None:
        return term.unit in (unit, billed_as)
    if billed_as is None or billed_as in card.net:
        return False
    return term.unit in ("", unit, billed_as)


def _in_force(start: datetime | None, end: datetime | None, at: datetime) -> bool:
    return (start is None or start <= at) and (end is None or at < end)
