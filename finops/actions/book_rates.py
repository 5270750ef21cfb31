"""One version of the price book, asked about many reported names at once.

Knows aliases and dated rates of one book. Refuses to mix versions: each asker names its book.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from finops.actions import price_book
from finops.costing.rates import Rate, RateCard, rates_at
from finops.models import ModelAlias, PriceBook

QUARTER = timedelta(minutes=15)

Name = tuple[str, str]
"""Provider and model as reported."""


class BookRates:
    """Loads what is asked for once. Cards are kept, for many rows share model, tier and time."""

    def __init__(
        self, book: PriceBook, names: Collection[Name], *, store: bool, resolve: bool = False
    ):
        """`store` also resolves new names and keeps the answer; without it nothing is written.

        `resolve` finds for new names what `store` would keep, and forgets it again.
        """
        find = price_book.stored_aliases
        if store or resolve:
            find = price_book.resolve_all if store else price_book.look_up
        self.book = book
        self._aliases: dict[Name, ModelAlias] = find(book, names)
        self._rates: dict[Name, list[Rate]] = price_book.rates_of(
            book, {self._priced(alias) for alias in self._aliases.values() if alias.price_model}
        )
        self._cards: dict[tuple[Name, str, int, datetime], RateCard | None] = {}

    def knows(self, name: Name) -> bool:
        """Whether this name has been looked up in this book, priced or not."""
        return name in self._aliases or not price_book.can_be_kept(name)

    def card(self, name: Name, tier: str, input_band: int, at: datetime) -> RateCard | None:
        """The rates at the start of the quarter hour `at`, the grain at which costs are kept."""
        key = (name, tier, input_band, at)
        if key not in self._cards:
            alias = self._aliases.get(name)
            rates = self._rates.get(self._priced(alias), []) if alias else []
            self._cards[key] = rates_at(rates, tier, input_band, at)
        return self._cards[key]

    @staticmethod
    def _priced(alias: ModelAlias) -> Name:
        return alias.price_provider, alias.price_model


def quarter_of(at: datetime) -> datetime:
    return at - timedelta(minutes=at.minute % 15, seconds=at.second, microseconds=at.microsecond)


def quarters_of(hour: datetime) -> list[datetime]:
    return [hour + n * QUARTER for n in range(4)]
