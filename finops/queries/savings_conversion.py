"""Entries of the ledger in another currency, each at the rate of its own day.

Knows which day that is. Refuses to touch an entry: what is converted is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import Min, QuerySet

from finops.costing.exchange import Converter, times
from finops.models import LedgerEntry
from finops.models.ledger import ESTIMATE, PROGRAMME_COST, REALISED
from finops.money import CONTEXT

from .conversion import day_of, rates_into
from .filters import Filters


def converter(
    filters: Filters, standing: QuerySet[LedgerEntry], currencies: Iterable[str]
) -> Converter | None:
    """Payback looks back to the first entry, so rates do as well."""
    if not filters.convert:
        return None
    oldest = standing.aggregate(begun=Min("period_from"), made=Min("created_at"))
    known = [day_of(at, filters.zone) for at in oldest.values() if at]
    first = min([*known, filters.start])
    last = max([*known, filters.end])
    return Converter(rates_into(filters.convert, currencies, first, last))


def in_one(found: list[LedgerEntry], converter: Converter | None, zone: str) -> list[LedgerEntry]:
    """Copies with their cash converted; an entry without a rate stays as it is booked."""
    if converter is None:
        return found
    made = []
    for entry in found:
        rate = _rate_of(entry, converter, zone) if entry.cash is not None else None
        if rate is not None:
            entry = copy(entry)
            entry.currency = converter.to
            for name in ("cash", "cash_low", "cash_high"):
                setattr(entry, name, times(getattr(entry, name), rate))
        made.append(entry)
    return made


@dataclass(frozen=True, slots=True)
class ConvertedEntry:
    """The cash of an entry in another currency, beside what is booked."""

    currency: str
    cash: Decimal
    cash_low: Decimal | None
    cash_high: Decimal | None
    rate: Decimal
    rate_day: date


def beside(rows: Iterable[LedgerEntry], filters: Filters) -> dict[int, ConvertedEntry]:
    """By entry; without cash or a rate there is none."""
    held = [row for row in rows if row.cash is not None]
    if not filters.convert or not held:
        return {}
    days = {row.pk: _day_of(row, filters.zone) for row in held}
    codes = {row.currency for row in held}
    rates = rates_into(filters.convert, codes, min(days.values()), max(days.values()))
    found = {}
    for row in held:
        used = rates.at(row.currency, days[row.pk])
        if used is not None and row.cash is not None:
            found[row.pk] = ConvertedEntry(
                filters.convert,
                CONTEXT.multiply(row.cash, used.rate),
                times(row.cash_low, used.rate),
                times(row.cash_high, used.rate),
                used.rate,
                used.rate_day,
            )
    return found


def _rate_of(entry: LedgerEntry, converter: Converter, zone: str) -> Decimal | None:
    return converter.rate(entry.currency, _day_of(entry, zone))


def _day_of(entry: LedgerEntry, zone: str) -> date:
    """A saving is of the last day of its period, a cost of its day, a promise of when it was made.

    So a promise about days to come has a rate as well.
    """
    at = {
        REALISED: entry.period_to - timedelta(microseconds=1),
        PROGRAMME_COST: entry.period_from,
        ESTIMATE: entry.created_at,
    }[entry.counts_as]
    return day_of(at, zone)
