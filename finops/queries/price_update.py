"""What a newer price list would change in the newest book. Writes nothing.

Knows the installed genai-prices and files of its form that were handed in. Refuses to compare our
own prices: they stay as they are, above any list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from finops.actions import price_book
from finops.costing.rates import Rate
from finops.models import Price, PriceBook, PriceList
from finops.money import CONTEXT, plain

ADDED, REMOVED, CHANGED = "added", "removed", "changed"

Case = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One price of the list; old and new are per million tokens, or per thousand requests."""

    provider: str
    model: str
    old: Rate | None
    new: Rate | None
    is_covered: bool
    """A price of our own lies above it for this unit, so it is not what is paid."""

    @property
    def kind(self) -> str:
        if self.old is None:
            return ADDED
        return REMOVED if self.new is None else CHANGED

    @property
    def rate(self) -> Rate:
        """The case it is for: unit, tier, step and start are the same in both."""
        found = self.new or self.old
        assert found is not None
        return found

    @property
    def share(self) -> float | None:
        """The new price over the old one, less one."""
        if self.old is None or self.new is None or not self.old.amount:
            return None
        if self.old.currency != self.new.currency:
            return None
        return float(CONTEXT.divide(self.new.amount - self.old.amount, self.old.amount))


@dataclass(frozen=True, slots=True)
class PriceDiff:
    book: PriceBook | None
    """The newest version; None while there is none, and the first is seeded without a review."""
    source: str
    changes: tuple[PriceChange, ...]
    same: int
    own: int
    """Prices of our own that are kept."""
    left_out: Mapping[str, int]
    digest: str
    terms: int = 0
    """Contracts that are kept."""
    without_price: tuple[str, ...] = ()
    """Of them, those of a model that has no price any more: they come off nothing then."""

    def count(self, kind: str) -> int:
        return sum(change.kind == kind for change in self.changes)

    @property
    def said(self) -> str:
        if not self.changes:
            return f"The newest book has every price of {self.source}: {self.same:,} are the same."
        lost = ""
        if self.without_price:
            names = ", ".join(self.without_price)
            lost = f" Then these contracts are of a model without a price: {names}."
        kept = f" and {self.own:,} of our own"
        if self.terms:
            kept = f", {self.own:,} of our own and {self.terms:,} contracts"
        return (
            f"{self.source} adds {self.count(ADDED):,} prices, removes {self.count(REMOVED):,}"
            f" and changes {self.count(CHANGED):,}; {self.same:,} stay the same"
            f"{kept} are kept.{lost}"
        )


def price_diff(wanted: PriceList | None = None) -> PriceDiff:
    """The newest book against that file, or against the installed release."""
    return diff_of(read(wanted), PriceBook.objects.first())


def read(wanted: PriceList | None) -> Any:
    """A snapshot. Raises BadPriceList for a file that this release cannot read (any more)."""
    from finops.costing import snapshot  # 0.4 s and 40 MB that most processes never need

    if wanted is None:
        return snapshot.read()
    return snapshot.read_file(bytes(wanted.content), source_of(wanted))


def source_of(wanted: PriceList) -> str:
    """As the book will name it, in at most 100 characters."""
    return f"{wanted.name[:70]} {wanted.digest[:12]}"


def price_list(pk: int) -> PriceList | None:
    found: PriceList | None = PriceList.objects.filter(pk=pk).first()
    return found


def price_lists(limit: int = 10) -> list[PriceList]:
    """The newest first, without their content."""
    return list(PriceList.objects.defer("content").select_related("created_by")[:limit])


def diff_of(snapshot: Any, book: PriceBook | None) -> PriceDiff:
    old = _by_case(price_book.list_prices(book) if book else ())
    new = _by_case(snapshot.rates)
    own = set()
    if book is not None:
        own = set(
            Price.objects.filter(book=book, is_own=True).values_list("provider", "model", "unit")
        )
    changes = tuple(
        PriceChange(case[0], case[1], old.get(case), new.get(case), case[:3] in own)
        for case in sorted(old.keys() | new.keys(), key=_order)
        if old.get(case) != new.get(case)
    )
    return PriceDiff(
        book,
        snapshot.source,
        changes,
        same=len(new) - sum(change.new is not None for change in changes),
        own=Price.objects.filter(book=book, is_own=True).count() if book else 0,
        left_out=snapshot.left_out,
        digest=_digest(book, snapshot.source, changes),
        terms=book.terms.count() if book else 0,
        without_price=_without_price(book, {(case[0], case[1]) for case in new}),
    )


def _without_price(book: PriceBook | None, listed: Collection[tuple[str, str]]) -> tuple[str, ...]:
    if book is None:
        return ()
    own = set(book.prices.filter(is_own=True).values_list("provider", "model"))
    named = book.terms.exclude(model="").values_list("contract", "provider", "model")
    lost = {contract for contract, *name in named if tuple(name) not in {*listed, *own}}
    return tuple(sorted(lost))


def _by_case(rows: Iterable[tuple[str, str, Rate]]) -> dict[Case, Rate]:
    return {
        (
            provider,
            model,
            rate.unit,
            rate.tier,
            rate.input_over,
            rate.valid_from,
            rate.time_from,
            rate.time_to,
        ): rate
        for provider, model, rate in rows
    }


def _order(case: Case) -> tuple[Any, ...]:
    return tuple("" if part is None else str(part) for part in case)


def _digest(book: PriceBook | None, source: str, changes: Iterable[PriceChange]) -> str:
    said = [
        book.version if book else 0,
        source,
        [[one.provider, one.model, _told(one.old), _told(one.new)] for one in changes],
    ]
    return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def _told(rate: Rate | None) -> list[str] | None:
    if rate is None:
        return None
    starts = (rate.valid_from, rate.time_from, rate.time_to)
    case = [rate.unit, rate.tier, str(rate.input_over), *(str(one or "") for one in starts)]
    return [*case, plain(rate.amount), rate.currency]
