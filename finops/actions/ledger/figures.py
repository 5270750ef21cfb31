"""What a saving is worth: capacity and cash as the columns of an entry.

Knows which price held when, and how the hardware is paid for. Refuses to guess a price: without one
the cash is unknown, and the entry says what to enter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from finops.actions import pool_costs, price_book
from finops.costing import savings
from finops.costing.savings import Cash, HeldPrice, Interval
from finops.models import PriceBook, PricedHour
from finops.models.prices import BY_HOURS, BY_USE
from finops.money import Money, format_money, plain
from ingest.models import Pool
from ingest.store.counting import hour_of


@dataclass(frozen=True, slots=True)
class Price:
    """What the hardware cost while the requests were answered; no `prices`: unknown, and why."""

    prices: tuple[HeldPrice, ...]
    currency: str
    billed_by: str
    book: PriceBook | None
    said: str

    @property
    def told(self) -> list[Any]:
        return [[p.requests, plain(p.hourly), p.paid_by_use, self.currency] for p in self.prices]


def price_of(pool_id: int, seen: Sequence[tuple[datetime, int]]) -> Price:
    """Each moment's price comes from the book that its hour is pinned to."""
    pool = Pool.objects.get(pk=pool_id)
    books = _books(pool_id, [at for at, _ in seen])
    prices = pool_costs.hardware_prices(pool.hardware, set(books.values()))
    held: dict[tuple[Decimal, str, str], int] = {}
    newest = max(books.values(), key=lambda book: book.version)
    for at, requests in seen:
        price = pool_costs.price_at(prices[books[hour_of(at)].pk], at)
        if price is None:
            said = f"The cash is unknown: enter a price of {pool.hardware or 'the hardware'}."
            return Price((), "", "", newest, said)
        case = (price.hourly, price.currency, price.billed_by)
        held[case] = held.get(case, 0) + requests
    currencies = {currency for _, currency, _ in held}
    ways = {billed_by for _, _, billed_by in held}
    if len(currencies) > 1:
        names = " and ".join(sorted(currencies))
        said = f"The cash is unknown: the price was in {names}, which are not added."
        return Price((), "", "", newest, said)
    found = tuple(
        HeldPrice(requests, hourly, billed_by == BY_USE)
        for (hourly, _, billed_by), requests in sorted(held.items())
    )
    return Price(
        found,
        currencies.pop(),
        ways.pop() if len(ways) == 1 else "",
        newest,
        f"{_paid_said(held)} Price book version {newest.version}.",
    )


def _books(pool_id: int, moments: Sequence[datetime]) -> dict[datetime, PriceBook]:
    """Hour → the book it is pinned to; the latest for an hour that is not priced yet."""
    hours = {hour_of(at) for at in moments}
    pinned = PricedHour.objects.filter(owner_kind="pool", owner_id=pool_id, hour__in=hours)
    books = {row.hour: row.book for row in pinned.select_related("book")}
    if hours - set(books):
        latest = price_book.latest_book()
        books |= {hour: latest for hour in hours - set(books)}
    return books


def _paid_said(held: Mapping[tuple[Decimal, str, str], int]) -> str:
    ways = {billed_by for _, _, billed_by in held}
    prices = " and ".join(
        format_money(Money(hourly, currency)) for hourly, currency, _ in sorted(held)
    )
    if ways == {BY_HOURS}:
        return (
            f"The pool is paid by the hour ({prices} per GPU) whether busy or not: capacity is"
            " freed, and no cash is saved until the pool is made smaller."
        )
    if ways == {BY_USE}:
        return f"The pool is paid by use, at {prices} per GPU-hour: what is not used is not paid."
    return f"How the pool is paid changed in the period ({prices} per GPU-hour)."


def figures(freed: Interval, price: Price) -> dict[str, Any]:
    cash = savings.cash_saved(freed, price.prices, price.currency) if price.prices else None
    return {
        **capacity_fields(freed),
        **cash_fields(cash),
        "billed_by": price.billed_by,
        "book": price.book,
        "method_version": savings.METHOD_VERSION,
    }


def capacity_fields(freed: Interval | None) -> dict[str, Any]:
    return {
        "capacity_gpu_seconds": None if freed is None else freed.value,
        "capacity_gpu_seconds_low": None if freed is None else freed.low,
        "capacity_gpu_seconds_high": None if freed is None else freed.high,
    }


def cash_fields(cash: Cash | None) -> dict[str, Any]:
    return {
        "cash": None if cash is None else cash.amount,
        "cash_low": None if cash is None else cash.low,
        "cash_high": None if cash is None else cash.high,
        "currency": "" if cash is None else cash.currency,
    }
