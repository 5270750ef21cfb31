"""The price book as it can be read: versions, prices, hardware. Changes nothing in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from finops.actions import price_book as price_book_actions
from finops.costing.terms import NOTHING_AGREED, Agreed, Term
from finops.models import HardwarePrice, Price, PriceBook

from . import cursors

ORDER = ("provider", "model", "tier", "input_over", "unit", "pk")


@dataclass(frozen=True, slots=True)
class PricePage:
    book: PriceBook | None
    """None while no book has been seeded."""
    rows: tuple[Price, ...]
    next: str | None


def books() -> list[PriceBook]:
    """Newest first."""
    return list(PriceBook.objects.order_by("-version")[:200])


def price_book(version: int | None = None) -> PriceBook | None:
    """That version, or the latest."""
    found = PriceBook.objects.order_by("-version")
    return (found if version is None else found.filter(version=version)).first()


def price_page(
    book: PriceBook | None,
    *,
    search: str = "",
    provider: str = "",
    model: str = "",
    own_only: bool = False,
    limit: int = 100,
    cursor: str | None = None,
) -> PricePage:
    """Prices by provider and model; `search` looks in both names."""
    if book is None:
        return PricePage(None, (), None)
    found = book.prices.order_by(*ORDER)
    if search:
        found = found.filter(Q(model__icontains=search) | Q(provider__icontains=search))
    if provider:
        found = found.filter(provider=provider)
    if model:
        found = found.filter(model=model)
    if own_only:
        found = found.filter(is_own=True)
    rows = list(_after(found, cursor)[: limit + 1])
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        following = cursors.encode(*(getattr(page[-1], name) for name in ORDER))
    return PricePage(book, tuple(page), following)


def hardware_prices(book: PriceBook | None) -> list[HardwarePrice]:
    if book is None:
        return []
    return list(book.hardware.order_by("hardware", "valid_from"))


def agreed(book: PriceBook | None) -> Agreed:
    return NOTHING_AGREED if book is None else price_book_actions.agreed_of(book)


def everybodys_term(price: Price, agreed: Agreed) -> Term | None:
    """Which contract comes off this price now for projects without one of their own."""
    if price.is_own and not price.is_list_price:
        return None
    now = timezone.now()
    region = price.region or agreed.region(None, price.provider, now)
    asked = (None, (price.provider, price.model), price.tier, region, now)
    fitting = [
        one
        for one in agreed.terms
        if one.unit in ("", price.unit)
        and one.currency in ("", price.currency)
        and one.fits(*asked)
    ]
    return max(fitting, key=lambda one: one.rank(price.unit), default=None)


def providers(book: PriceBook | None) -> list[str]:
    return _distinct(book, "provider")


def tiers(book: PriceBook | None) -> list[str]:
    return _distinct(book, "tier")


def _distinct(book: PriceBook | None, name: str) -> list[str]:
    if book is None:
        return []
    return list(book.prices.order_by(name).values_list(name, flat=True).distinct())


def _after(found: QuerySet[Price], cursor: str | None) -> QuerySet[Price]:
    """Rows behind the cursor in `ORDER`: a row comparison, spelled out for the ORM."""
    if not cursor:
        return found
    text = _plain_text
    types = (text, text, text, cursors.small, text, cursors.identity)
    values = dict(zip(ORDER, cursors.decode(cursor, *types), strict=True))
    behind = Q(pk__in=())
    equal: dict[str, Any] = {}
    for name in ORDER:
        behind |= Q(**equal, **{f"{name}__gt": values[name]})
        equal[name] = values[name]
    return found.filter(behind)


def _plain_text(value: Any) -> str:
    if type(value) is str and "\0" not in value:
        return value
    raise cursors.BadCursor
