"""What pools were paid, in one currency: each day's at the rate of that day.

Knows which pools have a rate on each of their days. Refuses to convert a part of a pool: its
figures are divided by each other, so one without a rate on some day stays as it was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from finops.costing.exchange import Conversion, Converter

from . import book, conversion
from .filters import Filters
from .hardware_days import HARDWARE_DAYS

DAYS = """
SELECT DISTINCT pool_id, currency, day
FROM finops_poolday WHERE day >= %(start)s AND day < %(end)s AND currency <> ''"""

AT_RATES = f"""LEFT JOIN {conversion.joined("q")} AND q.pool_id = ANY(%(fx_pools)s)"""
CURRENCY = "CASE WHEN fx.rate IS NULL THEN q.currency ELSE %(to)s END AS currency"

HARDWARE_CONVERTED = f"""(
    SELECT q.pool_id, q.covered_s, q.elapsed_s, q.unpriced_s, {CURRENCY},
        q.paid * coalesce(fx.rate, 1) AS paid, q.used * coalesce(fx.rate, 1) AS used,
        q.unobserved * coalesce(fx.rate, 1) AS unobserved
    FROM {HARDWARE_DAYS} AS q {AT_RATES}
)"""

MODELS_CONVERTED = f"""(
    SELECT q.pool_id, q.day, q.model, q.requests, q.counted_quarters, q.busy_s,
        q.allocated * coalesce(fx.rate, 1) AS allocated, q.used * coalesce(fx.rate, 1) AS used
    FROM finops_poolday AS q {AT_RATES}
)"""


@dataclass(frozen=True, slots=True)
class PoolCosts:
    """Where costs of pools and of their models are read from, and what that needs."""

    hardware: str = HARDWARE_DAYS
    models: str = "finops_poolday"
    values: tuple[tuple[str, Any], ...] = ()
    told: Conversion | None = None


def pool_costs(filters: Filters) -> PoolCosts:
    if not filters.convert:
        return PoolCosts()
    found = book.rows(DAYS, book.parameters(filters))
    converter = conversion.converter_of(filters, {code for _, code, _ in found})
    rates = converter.rates
    without = {pool for pool, code, day in found if rates.at(code, day) is None}
    for pool, code, day in found:
        # Of a pool that stays as recorded no rate was used.
        if pool not in without or rates.at(code, day) is None:
            converter.rate(code, day)
    values = {
        "to": filters.convert,
        "fx_pools": sorted({pool for pool, _, _ in found} - without),
        **conversion.joined_values(rates, _codes(converter), filters),
    }
    converted = (HARDWARE_CONVERTED, MODELS_CONVERTED)
    return PoolCosts(*converted, tuple(values.items()), converter.told())


def _codes(converter: Converter) -> set[str]:
    return {code for code, _ in converter.rates.found}
