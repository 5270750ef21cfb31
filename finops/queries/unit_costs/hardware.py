"""What an hour of a GPU costs: as it was paid for, and as it was used.

Knows the days of pools. Refuses to call unobserved time idle: what an hour in use costs is
told of observed time alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import Any

from finops.costing.exchange import Converter
from finops.money import CONTEXT
from finops.templatetags import words
from ingest.models import Pool

from .. import book, conversion, hardware_days
from ..filters import Filters
from ..hardware_days import HARDWARE_DAYS
from .units import UnitCost, per

NOT_YOURS = "GPUs are shared: their cost is for members of the organisation."

DAYS = f"""
SELECT pool_id, {{day}}, currency, sum(priced_paid),
    sum((elapsed_s - unpriced_s)::numeric), sum(observed), sum(observed_used),
    sum(observed_busy_s::numeric), sum(unpriced_s::numeric), sum(covered_s::numeric),
    sum(elapsed_s::numeric)
FROM {HARDWARE_DAYS} AS days GROUP BY 1, 2, 3"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUnits:
    pool: str
    currency: str
    paid: UnitCost
    used: UnitCost
    utilization: float | None
    """Used of what was paid and observed, as on the page of GPUs."""
    coverage: float | None
    """Observed share of the time."""
    unpriced_hours: Decimal | None
    """GPU-hours without a price: in no figure. None when the number of GPUs is unknown."""


@dataclass(slots=True)
class Sums:
    paid: Decimal = Decimal(0)
    paid_hours: Decimal | None = Decimal(0)
    observed: Decimal = Decimal(0)
    used: Decimal = Decimal(0)
    used_hours: Decimal = Decimal(0)
    unpriced_hours: Decimal | None = Decimal(0)
    covered_s: Decimal = Decimal(0)
    elapsed_s: Decimal = Decimal(0)

    def times(self, rate: Decimal) -> Sums:
        return replace(
            self,
            paid=CONTEXT.multiply(self.paid, rate),
            observed=CONTEXT.multiply(self.observed, rate),
            used=CONTEXT.multiply(self.used, rate),
        )

    def units(self) -> tuple[UnitCost, UnitCost]:
        coverage = ""
        if self.elapsed_s and self.covered_s < self.elapsed_s:
            share = self.covered_s / self.elapsed_s
            coverage = (
                f"Observed {words.percent(share)} of the time; the rest is in neither number."
            )
        no_count = (
            "It is not known how many GPUs the pool has."
            if self.paid_hours is None
            else "No GPU-hours with a price in this period."
        )
        return (
            per("gpu-paid", self.paid, self.paid_hours, nothing=no_count),
            per(
                "gpu-used",
                self.observed,
                self.used_hours,
                nothing="Nothing says that a GPU was busy.",
                coverage=coverage,
            ),
        )


Row = tuple[Pool, date | None, str, Sums]


def by_pool(
    filters: Filters, *, by_day: bool = False, converter: Converter | None = None
) -> list[Row]:
    """`converter` is one that knows the currencies of pools, and tells what it was asked."""
    if not filters.bills:
        return []
    if filters.convert:
        return _converted(_recorded(filters, by_day=True), filters, converter, by_day=by_day)
    return _recorded(filters, by_day=by_day)


def _converted(
    found: list[Row], filters: Filters, converter: Converter | None, *, by_day: bool
) -> list[Row]:
    """Each day at its rate; what has none keeps its currency, and what has no price has none."""
    codes = {currency for _, _, currency, _ in found if currency}
    converter = converter or conversion.converter_of(filters, codes)
    made: dict[tuple[Pool, date | None, str], Sums] = {}
    for pool, day, code, sums in found:
        rate = converter.rate(code, day) if code and day else None
        currency, whole = (converter.to, sums.times(rate)) if rate else (code, sums)
        key = (pool, day if by_day else None, currency)
        made[key] = _added(made[key], whole) if key in made else whole
    return [(*key, sums) for key, sums in made.items()]


def _recorded(filters: Filters, *, by_day: bool) -> list[Row]:
    pools = {
        pool.pk: pool
        for pool in Pool.objects.order_by("name", "pk")
        if not filters.providers or pool.provider in filters.providers
    }
    day = "day" if by_day else "NULL::date"
    found = book.rows(DAYS.format(day=day), hardware_days.values(filters))
    return [
        (pools[pool], point, currency, _sums(pools[pool].gpu_count, row))
        for pool, point, currency, *row in found
        if pool in pools
    ]


def _sums(gpus: int | None, row: list[Any]) -> Sums:
    paid, paid_s, observed, used, busy_s, unpriced_s, covered_s, elapsed_s = (
        Decimal(value or 0) for value in row
    )
    return Sums(
        paid=paid,
        paid_hours=None if gpus is None else _hours(paid_s * gpus),
        observed=observed,
        used=used,
        used_hours=_hours(busy_s),
        unpriced_hours=None if gpus is None else _hours(unpriced_s * gpus),
        covered_s=covered_s,
        elapsed_s=elapsed_s,
    )


def _hours(seconds: Decimal) -> Decimal:
    return CONTEXT.divide(seconds, Decimal(3600))


def _added(left: Sums, right: Sums) -> Sums:
    return Sums(
        paid=CONTEXT.add(left.paid, right.paid),
        paid_hours=_plus(left.paid_hours, right.paid_hours),
        observed=CONTEXT.add(left.observed, right.observed),
        used=CONTEXT.add(left.used, right.used),
        used_hours=CONTEXT.add(left.used_hours, right.used_hours),
        unpriced_hours=_plus(left.unpriced_hours, right.unpriced_hours),
        covered_s=CONTEXT.add(left.covered_s, right.covered_s),
        elapsed_s=CONTEXT.add(left.elapsed_s, right.elapsed_s),
    )


def _plus(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    return None if left is None or right is None else CONTEXT.add(left, right)


def pools(filters: Filters, found: list[Row]) -> tuple[PoolUnits, ...]:
    """Pools of all currencies, by name: each has its own. `found` is `by_pool` of the filters."""
    made = []
    merged: dict[tuple[str, int], dict[str, Sums]] = {}
    for pool, _, currency, sums in found:
        merged.setdefault((pool.name, pool.pk), {})[currency] = sums
    for (name, _), by_currency in sorted(merged.items()):
        # Quarter hours without a price have no currency: they stand with the pool's own.
        unpriced = by_currency.pop("", None)
        if not by_currency:
            by_currency = {filters.shown: Sums()}
        for currency, sums in sorted(by_currency.items()):
            whole = _added(sums, unpriced) if unpriced else sums
            unpriced = None
            made.append(_pool(name, currency, whole))
    return tuple(made)


def _pool(name: str, currency: str, sums: Sums) -> PoolUnits:
    paid, used = sums.units()
    return PoolUnits(
        pool=name,
        currency=currency,
        paid=paid,
        used=used,
        utilization=float(sums.used / sums.observed) if sums.observed else None,
        coverage=float(sums.covered_s / sums.elapsed_s) if sums.elapsed_s else None,
        unpriced_hours=sums.unpriced_hours,
    )


def total(filters: Filters, found: list[Row]) -> tuple[UnitCost, UnitCost]:
    """Over the pools of the currency asked for."""
    own = [sums for _, _, currency, sums in found if currency == filters.shown]
    return reduce(_added, own, Sums()).units()


def by_day(filters: Filters) -> dict[date, tuple[UnitCost, UnitCost]]:
    days: dict[date, Sums] = {}
    for _, day, currency, sums in by_pool(filters, by_day=True):
        if currency == filters.shown and day is not None:
            days[day] = _added(days[day], sums) if day in days else sums
    return {day: sums.units() for day, sums in days.items()}
