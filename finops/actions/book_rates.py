"""One version of the price book, asked about many reported names at once.

Knows aliases, dated rates and what was agreed with providers, of one book. Refuses to mix versions:
each asker names its book, and the project that pays.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from finops.actions import price_book, price_names
from finops.costing.rates import Rate, RateCard
from finops.costing.terms import Agreed, Offer, card_at, offer_at
from finops.models import ModelAlias, PriceBook

QUARTER = timedelta(minutes=15)

Name = tuple[str, str]
"""Provider and model as reported."""


class BookRates:
    """Loads what is asked for once. Cards are kept, for many rows share model, tier and time."""

    def __init__(
        self,
        book: PriceBook,
        names: Collection[Name],
        *,
        store: bool,
        resolve: bool = False,
        agreed: Agreed | None = None,
    ):
        """`store` also resolves new names and keeps the answer; without it nothing is written.

        `resolve` finds for new names what `store` would keep, and forgets it again. `agreed` is
        used instead of the book's own, to see what a change of it would do.
        """
        find = price_names.stored_aliases
        if store or resolve:
            find = price_names.resolve_all if store else price_names.look_up
        self.book = book
        self._aliases: dict[Name, ModelAlias] = find(book, names)
        self._rates: dict[Name, list[Rate]] = price_book.rates_of(
            book, {self._priced(alias) for alias in self._aliases.values() if alias.price_model}
        )
        self._agreed = price_book.agreed_of(book) if agreed is None else agreed
        self._apart = self._agreed.projects
        self._cards: dict[tuple[int | None, Name, str, int, datetime], RateCard | None] = {}

    def knows(self, name: Name) -> bool:
        """Whether this name has been looked up in this book, priced or not."""
        return name in self._aliases or not price_names.can_be_kept(name)

    def card(
        self, project: int | None, name: Name, tier: str, input_band: int, at: datetime
    ) -> RateCard | None:
        """What this project pays at the start of the quarter hour `at`, the grain of costs."""
        payer = project if project in self._apart else None
        key = (payer, name, tier, input_band, at)
        if key not in self._cards:
            alias = self._aliases.get(name)
            self._cards[key] = None
            if alias and alias.price_model:
                asked = (payer, self._priced(alias), tier, input_band, at)
                self._cards[key] = card_at(self._rates[self._priced(alias)], self._agreed, *asked)
        return self._cards[key]

    def offer(
        self, project: int | None, name: Name, tier: str, input_band: int, at: datetime
    ) -> Offer | None:
        """The same with its reasons."""
        alias = self._aliases.get(name)
        if alias is None or not alias.price_model:
            return None
        priced = self._priced(alias)
        asked = (project, priced, tier, input_band, at)
        return offer_at(self._rates[priced], self._agreed, *asked)

    def priced_as(self, name: Name) -> Name | None:
        """Provider and model as the book names them."""
        alias = self._aliases.get(name)
        return self._priced(alias) if alias and alias.price_model else None

    def rates(self, name: Name) -> Sequence[Rate]:
        priced = self.priced_as(name)
        return self._rates[priced] if priced else ()

    @staticmethod
    def _priced(alias: ModelAlias) -> Name:
        return alias.price_provider, alias.price_model


def quarter_of(at: datetime) -> datetime:
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def quarters_of(hour: datetime) -> list[datetime]:
    return [hour + n * QUARTER for n in range(4)]
