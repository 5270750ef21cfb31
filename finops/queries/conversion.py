"""Sums of the book in one currency: each day's at the rate of that day.

Knows the rates in force. Refuses to touch the sums themselves: they are read as they are, by day,
and what has no rate stays in its own currency, where it is shown beside the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from finops.costing.exchange import HOLDS_DAYS, PIVOT, Converter, DayRate, Rates, times
from finops.models import ExchangeRate

from . import book
from .amounts import added
from .book import Split, Sum
from .filters import Filters

NO_CURRENCY = ""
"""Of usage without a price, or paid for by the hour: there is no amount to convert."""

MONEY = ("cost", "reconciled", "usage_cost", "api_cost", "hardware_cost")
"""The measures of the book that are amounts; the others are counts."""


def rates_into(to: str, currencies: Iterable[str], first: date, last: date) -> Rates:
    """In force now, of the days `[first, last]` and of those before that they may be taken from."""
    codes = {to, PIVOT, *currencies}
    found = ExchangeRate.objects.filter(
        replaced_at=None,
        base__in=codes,
        quote__in=codes,
        day__gte=first - timedelta(days=HOLDS_DAYS),
        day__lte=last,
    ).values_list("day", "base", "quote", "rate", "brought_by__source")
    return Rates.of(to, (DayRate(*row) for row in found))


def converter_of(filters: Filters, currencies: Iterable[str]) -> Converter:
    """For the days of these filters, into the currency they ask for."""
    rates = rates_into(filters.convert, currencies, filters.start, filters.end)
    return Converter(rates)


def sums(
    filters: Filters,
    splits: Sequence[Split],
    read: Callable[[Sequence[Split]], list[list[Sum]]],
) -> tuple[list[list[Sum]], Converter]:
    """As `read(splits)` has it, in the currency of `filters.convert`; and what it was done with.

    Everything is read by day, for a rate is of a day, and summed again.
    """
    daily = list(dict.fromkeys(replace(split, by_time=True) for split in splits))
    found = dict(zip(daily, read(daily), strict=True))
    currencies = {one.currency for rows in found.values() for one in rows}
    converter = converter_of(filters, currencies - {NO_CURRENCY})
    made = {
        split: [_in_one(one, converter, filters.zone) for one in rows]
        for split, rows in found.items()
    }
    answers = [_summed(made[replace(split, by_time=True)], split) for split in splits]
    return answers, converter


def _in_one(one: Sum, converter: Converter, zone: str) -> Sum:
    if one.currency == NO_CURRENCY:
        return one
    rate = converter.rate(one.currency, day_of(one.point, zone))
    if rate is None:
        return one
    money = {name: times(one.measures[name], rate) for name in MONEY if name in one.measures}
    return one._replace(currency=converter.to, measures={**one.measures, **money})


def _summed(found: Iterable[Sum], split: Split) -> list[Sum]:
    groups: dict[tuple[tuple[str, ...], Any, str], list[dict[str, Any]]] = {}
    for one in found:
        point = one.point if split.by_time else None
        groups.setdefault((one.keys, point, one.currency), []).append(one.measures)
    return [Sum(*key, added(parts)) for key, parts in groups.items()]


def day_of(point: date | datetime, zone: str) -> date:
    return point.astimezone(ZoneInfo(zone)).date() if isinstance(point, datetime) else point


def joined(column: str) -> str:
    """SQL that finds the rate `fx.rate` of a row with `day` and `currency` under this alias."""
    return (
        "unnest(%(fx_days)s::date[], %(fx_codes)s::text[], %(fx_rates)s::numeric[])"
        f" AS fx (of_day, code, rate) ON fx.of_day = {column}.day AND fx.code = {column}.currency"
    )


def joined_values(rates: Rates, currencies: Iterable[str], filters: Filters) -> dict[str, Any]:
    """What `joined` names: every day and currency of the range that has a rate."""
    known = [
        used
        for code in sorted({*currencies, rates.to})
        for day in book.days(filters.start, filters.end)
        if (used := rates.at(code, day))
    ]
    return {
        "fx_days": [used.day for used in known],
        "fx_codes": [used.currency for used in known],
        "fx_rates": [used.rate for used in known],
    }


def converter_of_usage(filters: Filters, more: Iterable[str] = ()) -> Converter:
    """Asked for every day and currency that priced usage of this scope has; knows `more` as well.

    For what converts within SQL, with `joined`: it tells what was converted there.
    """
    pairs = book.rows(
        "SELECT DISTINCT c.day, c.currency FROM finops_costday c WHERE c.day >= %(start)s"
        f" AND c.day < %(end)s AND c.currency <> '' {book.usage_in_scope(filters)}",
        book.parameters(filters),
    )
    converter = converter_of(filters, {*more, *(code for _, code in pairs)})
    for day, code in pairs:
        converter.rate(code, day)
    return converter


def currencies_used(filters: Filters) -> list[str]:
    """Of priced usage in this scope."""
    found = book.rows(
        "SELECT DISTINCT c.currency FROM finops_costday c WHERE c.day >= %(start)s"
        f" AND c.day < %(end)s AND c.currency <> '' {book.usage_in_scope(filters)}",
        book.parameters(filters),
    )
    return sorted(code for (code,) in found)


def newest_rates(filters: Filters) -> dict[str, float]:
    """The last rate that each currency used here has in the range: enough to put rows in order."""
    codes = currencies_used(filters)
    rates = rates_into(filters.convert, codes, filters.start, filters.end)
    days = [filters.end - timedelta(days=back) for back in range(1, filters.days + 1)]
    found = {
        code: next(filter(None, (rates.at(code, day) for day in days)), None) for code in codes
    }
    return {code: float(used.rate) for code, used in found.items() if used}
