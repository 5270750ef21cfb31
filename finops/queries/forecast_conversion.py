"""Forecasts and unexpected days of every currency in one.

Knows that days to come have no rate: they take the newest one of each currency, and say so. Refuses
a sum that leaves a currency out: with no forecast of one of them, nothing is expected of the whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from finops.costing.exchange import Converter, Used, times
from finops.models import AnomalyMark, Forecast
from finops.money import CONTEXT, plain

from .conversion import rates_into
from .filters import Filters

AMOUNTS = ("mean", "low80", "high80", "low95", "high95")


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected in the currency converted to; None where no stored forecast speaks of it."""

    forecast: Forecast | None = None
    ahead: tuple[Used, ...] = ()
    """The rates that days to come were converted with."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A stored forecast and its points that have a rate, by day."""

    forecast: Forecast
    points: dict[date, dict[str, Decimal]]


def expected_in_one(
    filters: Filters,
    scope: str,
    found: Sequence[Forecast],
    spent_in: Collection[str],
    today: date,
) -> Expectation:
    """Of the newest forecast in each currency; `spent_in` names those that this month was paid in.

    A currency without any rate is in no figure of the page, and so in none of these.
    """
    known = {one.currency: one for one in found if one.currency in spent_in or _reaches(one, today)}
    codes = sorted({*known, *spent_in})
    first = min([today, *(one.as_of for one in known.values())])
    converter = Converter(rates_into(filters.convert, codes, first, today))
    rated = [code for code in codes if converter.rate_ahead(code, today) is not None]
    if not rated:
        return Expectation()
    without = next((code for code in rated if code not in known), None)
    if without is not None:
        return Expectation(_none(filters, scope, f"No forecast of {without} has been made yet."))
    unable = next((known[code] for code in rated if known[code].reason), None)
    if unable is not None:
        reason = f"Of {unable.currency}: {unable.reason}"
        return Expectation(_none(filters, scope, reason, unable.as_of))
    parts = [_part(known[code], converter, today) for code in rated]
    made = Forecast(
        scope=scope,
        currency=converter.to,
        as_of=min(part.forecast.as_of for part in parts),
        method=parts[0].forecast.method,
        method_version=parts[0].forecast.method_version,
        points=_added(parts),
        backtest={},
        reason="",
    )
    return Expectation(made, converter.told().ahead)


def marks_in_one(
    filters: Filters, found: Iterable[AnomalyMark]
) -> tuple[list[AnomalyMark], dict[int, str]]:
    """Copies at the rate of their day, and the currency each was recorded in; others are dropped.

    A mark speaks of what one currency cost that day, and so of a part of the figures beside it.
    """
    marks = list(found)
    codes = {mark.currency for mark in marks}
    converter = Converter(rates_into(filters.convert, codes, filters.start, filters.end))
    made, recorded = [], {}
    for mark in marks:
        rate = converter.rate(mark.currency, mark.day)
        if rate is None:
            continue
        one = copy(mark)
        for name in ("actual", "expected", "low", "high"):
            setattr(one, name, times(getattr(mark, name), rate))
        recorded[mark.pk] = mark.currency
        one.currency = converter.to
        made.append(one)
    return made, recorded


def _reaches(one: Forecast, today: date) -> bool:
    return bool(one.points) and date.fromisoformat(one.points[-1]["day"]) >= today


def _none(filters: Filters, scope: str, reason: str, as_of: date | None = None) -> Forecast:
    """No forecast, and why: as a stored one says it."""
    return Forecast(
        scope=scope,
        currency=filters.convert,
        as_of=as_of,
        method_version=0,
        points=[],
        backtest={},
        reason=reason,
    )


def _part(one: Forecast, converter: Converter, today: date) -> _Part:
    points = {}
    for point in one.points:
        day = date.fromisoformat(point["day"])
        ahead = day > today
        rate = (converter.rate_ahead if ahead else converter.rate)(
            one.currency, today if ahead else day
        )
        if rate is not None:
            points[day] = {
                name: CONTEXT.multiply(Decimal(point[name]), rate)
                for name in AMOUNTS
                if name in point
            }
    return _Part(one, points)


def _added(parts: Sequence[_Part]) -> list[dict[str, str]]:
    """Days that every part speaks of.

    Edges of bands are added as they are, as if all erred the same way: too wide, never too narrow.
    """
    days = sorted(set.intersection(*(set(part.points) for part in parts)))
    made = []
    for day in days:
        names = [name for name in AMOUNTS if all(name in part.points[day] for part in parts)]
        sums = dict.fromkeys(names, Decimal(0))
        for part in parts:
            for name in names:
                sums[name] = CONTEXT.add(sums[name], part.points[day][name])
        made.append({"day": day.isoformat(), **{name: plain(sums[name]) for name in names}})
    return made
