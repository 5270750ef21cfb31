"""What a recommendation would be worth in 30 days of the traffic it was worked out on.

Two figures that are never added: capacity freed, in GPU-hours, and cash, which is money only where
the hardware is paid by use. Knows the newest prices. Refuses to book: an estimate enters the ledger
when its change begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from finops.actions import pool_costs
from finops.costing import savings
from finops.costing.rates import SINCE_EVER
from finops.costing.savings import Cash, HeldPrice, Interval
from finops.models import HardwarePrice, PriceBook
from finops.models.prices import BY_USE
from optimiser.models import Recommendation

PERIOD = timedelta(days=30)
GPU_TIME = "gpu_seconds_per_request"


@dataclass(frozen=True, slots=True)
class Potential:
    gpu_hours: Interval
    cash: Cash | None
    cash_note: str
    """Why there is none, or why it is unknown."""


def potentials(found: Sequence[Recommendation]) -> dict[int, Potential]:
    """Recommendation → what it would be worth; those without an effect have none."""
    worth = [advice for advice in found if _is_worth(advice)]
    if not worth:
        return {}
    now = timezone.now()
    prices = _prices({advice.target.pool.hardware for advice in worth}, now)
    return {
        advice.pk: _potential(advice, prices.get(advice.target.pool.hardware)) for advice in worth
    }


def _is_worth(advice: Recommendation) -> bool:
    return (
        advice.outcome == "recommended"
        and advice.evidence is not None
        and GPU_TIME in (advice.effect or {})
    )


def _prices(hardware: set[str], now: datetime) -> Mapping[str, HardwarePrice | None]:
    book = PriceBook.objects.first()  # the newest; none before the first is seeded
    rows = HardwarePrice.objects.filter(book=book) if book else ()
    by_name: dict[str, list[HardwarePrice]] = {}
    for row in sorted(rows, key=lambda one: one.valid_from or SINCE_EVER, reverse=True):
        by_name.setdefault(row.hardware.casefold(), []).append(row)
    return {
        name: pool_costs.price_at(by_name.get(name.strip().casefold(), []), now)
        for name in hardware
    }


def _potential(advice: Recommendation, price: HardwarePrice | None) -> Potential:
    evidence, effect = advice.evidence, advice.effect[GPU_TIME]
    window = evidence.window_to - evidence.window_from
    requests = round(evidence.requests * (PERIOD / window))
    freed = savings.expected(
        effect["before"], effect["after"], effect["low"], effect["high"], requests
    )
    hours = Interval(*(part / 3600 for part in (freed.value, freed.low, freed.high)))
    return Potential(hours, *_cash(freed, requests, price, advice))


def _cash(
    freed: Interval, requests: int, price: HardwarePrice | None, advice: Any
) -> tuple[Cash | None, str]:
    if price is None:
        hardware = advice.target.pool.hardware or "the hardware"
        return None, f"enter a price of {hardware}"
    by_use = price.billed_by == BY_USE
    held = (HeldPrice(requests, price.hourly, by_use),)
    note = "" if by_use else "paid by the hour, busy or not"
    return savings.cash_saved(freed, held, price.currency), note
