"""How one request's prices come about: the list's, our own, the region, the contract.

Knows one version of the price book and one moment. Refuses arithmetic of its own: the answer is the
card that prices such a request, with its reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from finops.actions.book_rates import BookRates, quarter_of
from finops.costing.rates import REQUEST, Rate, tier_of
from finops.costing.terms import Offer, Term
from finops.models import PriceBook, PricedHour
from finops.money import plain
from ingest.models import Project
from ingest.records import TOKEN_CLASSES, input_band
from ingest.store.counting import hour_of

NO_BOOK = "There is no price book yet."
NO_NAME = "The book has no price of this model."
NO_TIER = "The book has no price of this model and tier at this moment."


@dataclass(frozen=True, slots=True)
class ExplainedPrice:
    """One token class; amounts per million tokens, or per thousand requests."""

    unit: str
    billed_as: str
    """Under which price of the book; empty when it has none."""
    listed: Decimal | None
    paid: Decimal | None
    source: str
    """Where what is paid comes from."""
    term: Term | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    book: PriceBook | None
    provider: str
    """As the book names it."""
    model: str
    tier: str
    input_over: int
    """The step of prompt size that holds."""
    at: datetime
    """The quarter hour."""
    region: str = ""
    """Where the project buys; empty when none is said."""
    currency: str = ""
    prices: tuple[ExplainedPrice, ...] = ()
    reason: str = ""
    """Why there is no price; empty when there is one."""


def pinned_book(project: Project | None, at: datetime) -> PriceBook | None:
    """The version that this project's hour was priced with; None if it was not priced."""
    if project is None:
        return None
    hour: PricedHour | None = (
        PricedHour.objects.select_related("book")
        .filter(owner_kind="project", owner_id=project.pk, hour=hour_of(at))
        .first()
    )
    return hour.book if hour else None


def explain(
    book: PriceBook | None,
    project: Project | None,
    provider: str,
    model: str,
    *,
    tier: str,
    prompt_tokens: int,
    at: datetime,
) -> Explained:
    """What a request of this project would pay; without a project, what everybody pays."""
    name = (provider, model)
    answer = Explained(
        book=book,
        provider=provider,
        model=model,
        tier=tier_of(tier),
        input_over=input_band(prompt_tokens),
        at=quarter_of(at),
    )
    if book is None:
        return replace(answer, reason=NO_BOOK)
    rates = BookRates(book, [name], store=False, resolve=True)
    priced = rates.priced_as(name)
    if priced is None:
        return replace(answer, reason=NO_NAME)
    answer = replace(answer, provider=priced[0], model=priced[1])
    payer = project.pk if project else None
    offer = rates.offer(payer, name, answer.tier, answer.input_over, answer.at)
    if offer is None:
        return replace(answer, reason=NO_TIER)
    units = [*TOKEN_CLASSES, *([REQUEST] if REQUEST in offer.card.amounts else [])]
    return replace(
        answer,
        region=offer.region,
        currency=offer.card.currency,
        prices=tuple(_explained(unit, offer, rates.rates(name), answer) for unit in units),
    )


def _explained(unit: str, offer: Offer, rates: Sequence[Rate], answer: Explained) -> ExplainedPrice:
    card = offer.card
    billed_as = card.unit_of(unit) or ""
    return ExplainedPrice(
        unit,
        billed_as,
        card.list_rate_of(unit),
        card.rate_of(unit),
        _source(billed_as, offer, rates, answer),
        offer.terms.get(billed_as),
    )


def _source(billed_as: str, offer: Offer, rates: Sequence[Rate], answer: Explained) -> str:
    term = offer.terms.get(billed_as)
    if not billed_as or answer.book is None:
        return "No price"
    if term is not None and term.percent is None:
        return f"Fixed by {term.contract}"
    if term is not None and term.percent is not None:
        said = "off" if term.percent >= 0 else "on top"
        return f"{plain(abs(term.percent).normalize())}% {said} by {term.contract}"
    if billed_as in offer.card.net:
        return "Price of our own"
    ours = any(
        rate.is_own
        and rate.unit == billed_as
        and rate.tier == answer.tier
        and rate.region in ("", offer.region)
        and rate.input_over <= answer.input_over
        and rate.holds_at(answer.at)
        for rate in rates
    )
    return "List price of our own" if ours else f"List price, {answer.book.source}"
