"""Budgets in one currency, for looking at them side by side.

Knows the rate of the day on which each was computed. Refuses to judge by it: a budget stays in its
own currency, and its state, its thresholds and its limit are of that one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.conf import settings

from finops.costing.exchange import Conversion, Converter, times
from finops.models import BudgetPeriod

from .budgets import BudgetRow
from .conversion import day_of, rates_into


@dataclass(frozen=True, slots=True)
class Converted:
    """The figures of one budget, all at one rate."""

    currency: str
    rate: Decimal
    spent: Decimal | None
    amount: Decimal | None
    expected: Decimal | None


def converted(rows: Sequence[BudgetRow], to: str) -> tuple[dict[int, Converted], Conversion]:
    """By budget; those without figures or without a rate are left out."""
    zone = settings.ACCOUNTING_TIME_ZONE
    days = {
        row.budget.pk: day_of(row.current.evaluated_at, zone)
        for row in rows
        if row.current and not row.budget.is_paused
    }
    if not days:
        return {}, Conversion(to, (), ())
    converter = _converter(to, {row.budget.currency for row in rows}, days.values())
    found = {}
    for row in rows:
        now, day = row.current, days.get(row.budget.pk)
        rate = converter.rate(row.budget.currency, day) if day else None
        if now is not None and rate is not None:
            found[row.budget.pk] = Converted(
                to,
                rate,
                times(now.spent, rate),
                times(now.amount, rate),
                times(now.expected, rate),
            )
    return found, converter.told()


def period_rates(periods: Iterable[BudgetPeriod], to: str) -> dict[int, Decimal]:
    """By budget, for one period of each; those without a rate are left out."""
    zone = settings.ACCOUNTING_TIME_ZONE
    days = {period: day_of(period.evaluated_at, zone) for period in periods}
    if not days:
        return {}
    converter = _converter(to, {period.budget.currency for period in days}, days.values())
    found = {
        period.budget_id: converter.rate(period.budget.currency, day)
        for period, day in days.items()
    }
    return {budget: rate for budget, rate in found.items() if rate is not None}


def _converter(to: str, currencies: Iterable[str], days: Collection[date]) -> Converter:
    return Converter(rates_into(to, currencies, min(days), max(days)))
