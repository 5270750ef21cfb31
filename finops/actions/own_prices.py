"""Enters, changes and removes prices of our own, with the audit record that this needs.

Each makes the next version of the price book; hours that are priced already keep theirs.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from finops import audit
from finops.actions import price_book
from finops.actions.price_book import OwnPrice
from finops.models import PriceBook, User
from finops.models.prices import BY_HOURS
from finops.money import plain


def set_price(price: OwnPrice, note: str, *, by: User, via: str) -> PriceBook:
    """Raises BadPrice."""
    with transaction.atomic():
        book = price_book.set_own_price(price, note)
        audit.record(by, via, "price.set", book, _told(price))
    return book


def set_hardware_price(
    hardware: str,
    hourly: Decimal,
    currency: str,
    valid_from: datetime | None,
    note: str,
    *,
    billed_by: str = BY_HOURS,
    by: User,
    via: str,
) -> PriceBook:
    """Raises BadPrice."""
    with transaction.atomic():
        book = price_book.set_hardware_price(
            hardware, hourly, currency, valid_from, note, billed_by
        )
        detail = {
            "hardware": hardware,
            "hourly": plain(hourly),
            "currency": currency,
            "billed_by": billed_by,
        }
        audit.record(by, via, "hardware_price.set", book, detail)
    return book


def _told(price: OwnPrice) -> dict[str, Any]:
    return {
        "provider": price.provider,
        "model": price.model,
        "unit": price.unit,
        "amount": plain(price.amount),
        "currency": price.currency,
        "tier": price.tier,
        "region": price.region,
        "is_list_price": price.is_list_price,
        "valid_from": price.valid_from.isoformat() if price.valid_from else "",
    }
