"""Which bill service is the book for which usage, and what could be matched. Changes nothing.

Choices come from what was seen: services in complete bills, providers in usage and hardware.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from finops.models import BillMatch, CostDay
from ingest.models import BillDay, Delivery, Pool

from .filters import today

SEEN_WITHIN_DAYS = 400


@dataclass(frozen=True, slots=True)
class Choices:
    """What a match can be made of. A provider has one service; a service may have several."""

    providers: tuple[str, ...]
    """Of usage and hardware, without a match yet."""
    services: tuple[tuple[str, str], ...]
    """(provider, service) of complete bills."""
    unmatched_services: tuple[tuple[str, str], ...]
    has_bills: bool
    """Whether any complete bill is there at all."""


def matches() -> tuple[BillMatch, ...]:
    return tuple(BillMatch.objects.order_by("bill_provider", "bill_service", "usage_provider"))


def providers() -> tuple[str, ...]:
    """Of the usage of about a year, and of the pools."""
    since = today() - timedelta(days=SEEN_WITHIN_DAYS)
    found = set(CostDay.objects.filter(day__gte=since).values_list("provider", flat=True))
    found |= set(Pool.objects.values_list("provider", flat=True))
    return tuple(sorted(found - {""}))


def services() -> tuple[tuple[str, str], ...]:
    current = BillDay.objects.filter(
        period__known_to=None, period__delivery__complete=True, charge_category="Usage"
    )
    return tuple(sorted(set(current.values_list("provider", "service").distinct())))


def choices() -> Choices:
    made = matches()
    taken = {match.usage_provider for match in made}
    billed = {(match.bill_provider, match.bill_service) for match in made}
    found = services()
    return Choices(
        providers=tuple(one for one in providers() if one not in taken),
        services=found,
        unmatched_services=tuple(one for one in found if one not in billed),
        has_bills=bool(found) or Delivery.objects.filter(complete=True).exists(),
    )
