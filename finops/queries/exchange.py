"""Exchange rates as they can be read: day by day, who brought them, and where they are missing.

Knows every version that was brought in. Refuses to convert: `conversion` does that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q, QuerySet

from finops.costing.exchange import HOLDS_DAYS, Used
from finops.models import ExchangeImport, ExchangeRate

from . import book, cursors
from .conversion import rates_into

IN_FORCE, ALL = "in-force", "all"
VERSIONS = (IN_FORCE, ALL)
MOST_IMPORTS = 20


@dataclass(frozen=True, slots=True)
class RatePage:
    rows: tuple[ExchangeRate, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class DayUsed:
    """The rate that amounts of a day are multiplied by; None where there is none."""

    day: date
    used: Used | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of which days there are rates of one currency in another."""

    base: str
    quote: str
    first: date
    last: date
    days: int
    gaps: int
    """Times that so many days had no rate that none before holds any more."""
    gap_from: date | None
    """The newest of them, `[gap_from, gap_before)`."""
    gap_before: date | None

    @property
    def holds_until(self) -> date:
        """The last day that the newest rate can be used for."""
        return self.last + timedelta(days=HOLDS_DAYS)


def rates(
    first: date, before: date, *, currency: str = "", versions: str = IN_FORCE
) -> QuerySet[ExchangeRate]:
    """Of the days `[first, before)`, newest first; of `currency` on either side.

    An import numbers them so that the rates of a day come in the order of the alphabet.
    """
    found = ExchangeRate.objects.filter(day__gte=first, day__lt=before)
    if currency:
        found = found.filter(Q(base=currency) | Q(quote=currency))
    if versions == IN_FORCE:
        found = found.filter(replaced_at=None)
    return found.select_related("brought_by__created_by").order_by("-day", "-pk")


def rate_page(
    found: QuerySet[ExchangeRate], *, limit: int = 100, cursor: str | None = None
) -> RatePage:
    if cursor:
        day, pk = cursors.decode(cursor, date.fromisoformat, cursors.identity)
        found = found.filter(Q(day__lt=day) | Q(day=day, pk__lt=pk))
    rows = tuple(found[: limit + 1])
    if len(rows) <= limit:
        return RatePage(rows, None)
    last = rows[limit - 1]
    return RatePage(rows[:limit], cursors.encode(last.day.isoformat(), last.pk))


def used_by_day(currency: str, to: str, first: date, before: date) -> tuple[DayUsed, ...]:
    """What each day of `[first, before)` would be converted with."""
    known = rates_into(to, [currency], first, before)
    return tuple(DayUsed(day, known.at(currency, day)) for day in book.days(first, before))


def currencies() -> list[str]:
    """Every one that has a rate."""
    pairs = ExchangeRate.objects.filter(replaced_at=None).order_by().values_list("base", "quote")
    return sorted({code for pair in pairs.distinct() for code in pair})


def coverage() -> tuple[Coverage, ...]:
    found = book.rows(COVERED, {"holds": HOLDS_DAYS})
    return tuple(Coverage(*row) for row in found)


def imports() -> Sequence[ExchangeImport]:
    """The newest first."""
    return list(ExchangeImport.objects.select_related("created_by")[:MOST_IMPORTS])


COVERED = """
SELECT base, quote, min(day), max(day), count(*),
    count(*) FILTER (WHERE following - day > %(holds)s + 1),
    max(day) FILTER (WHERE following - day > %(holds)s + 1) + %(holds)s + 1,
    max(following) FILTER (WHERE following - day > %(holds)s + 1)
FROM (
    SELECT base, quote, day, lead(day) OVER (PARTITION BY base, quote ORDER BY day) AS following
    FROM finops_exchangerate WHERE replaced_at IS NULL
) AS days
GROUP BY base, quote ORDER BY max(day) DESC, base, quote"""
