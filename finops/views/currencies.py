"""The choice of a currency, and what a page says of figures that were converted to one.

Knows how a conversion is worded. Refuses rates and queries: an answer brings its conversion along.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from typing import Any
from urllib.parse import urlencode

from django.conf import settings

from finops.costing.exchange import HOLDS_DAYS, PIVOT, Conversion, Missing, Part, Used
from finops.money import plain
from finops.queries.filters import Filters
from finops.templatetags import words

from .navigation import address
from .page import Choice, View, currency_choices

SIX = Context(prec=6)
Others = Iterable[tuple[str, Decimal | None]]


@dataclass(frozen=True, slots=True)
class Said:
    """What was converted how, for the head of a page."""

    title: str
    lines: tuple[str, ...]
    rates_href: str
    recorded_href: str


def currency_context(view: View, others: Others, conversion: Conversion | None) -> dict[str, Any]:
    """What `page` needs of a page whose figures can be converted."""
    known = dict(others)
    return {
        "currencies": currency_choices(view, known.items(), recorded_in(conversion)),
        "converts": convert_choices(view, known),
        "conversion": said(view, known, conversion) if conversion else None,
    }


def recorded_in(conversion: Conversion | None) -> set[str]:
    """The currencies behind converted figures."""
    return {part.currency for part in conversion.parts} if conversion else set()


def convert_choices(view: View, others: Iterable[str]) -> list[Choice]:
    """What the figures can be converted to: the currencies that occur, ours and the euro."""
    filters = view.filters
    codes = {settings.REPORTING_CURRENCY, PIVOT, filters.currency, filters.convert, *others} - {""}
    recorded = replace(filters, convert="")
    return [
        Choice("As recorded", href=view.url(recorded, cursor=""), current=not filters.convert),
        *(
            Choice(
                f"To {code}",
                href=view.url(replace(filters, convert=code), cursor=""),
                current=code == filters.convert,
            )
            for code in sorted(codes)
        ),
    ]


def said(
    view: View,
    others: Mapping[str, Decimal | None],
    conversion: Conversion,
    period: Filters | None = None,
    where: str = "in no figure",
) -> Said:
    """`period` is what the figures are of, where that is not what the bar shows; `where` what has
    no rate is to be found.
    """
    lines = [part_said(part) for part in conversion.parts]
    lines += [ahead_said(one) for one in conversion.ahead]
    lines += [missing_said(one, others.get(one.currency), where) for one in conversion.missing]
    if not lines:
        lines = [f"Nothing here is in another currency than {conversion.to}."]
    sources = " and ".join(conversion.sources)
    title = f"Converted to {conversion.to}"
    if sources:
        title += f" with rates of the day from {sources}"
    first = conversion.parts[0].currency if conversion.parts else ""
    return Said(
        title,
        tuple(lines),
        rates_href(period or view.filters, first),
        view.url(replace(view.filters, convert=""), cursor=""),
    )


def rates_href(filters: Filters, currency: str) -> str:
    """The rates of the period, day by day."""
    asked = {
        "from": filters.start.isoformat(),
        "to": filters.end.isoformat(),
        "convert": filters.convert,
    }
    if currency:
        asked["of"] = currency
    return f"{address('exchange-rates')}?{urlencode(asked)}"


def rate_said(rate: Decimal) -> str:
    """In six digits, as rates are published; the exact one is in the table of rates."""
    return plain(SIX.plus(rate))


def part_said(part: Part) -> str:
    low, high = (rate_said(rate) for rate in (part.lowest, part.highest))
    at = low if low == high else f"{low} to {high}"
    days = "1 day" if part.days == 1 else f"{part.days} days"
    text = f"{part.currency} at {at}, of {days}"
    if part.carried_days:
        were = "1 of them" if part.carried_days == 1 else f"{part.carried_days} of them"
        text += f"; {were} at the last rate before, for want of one of the day"
    return f"{text}."


def ahead_said(used: Used) -> str:
    """Days to come have no rate of their own."""
    rate, day = rate_said(used.rate), words.day(used.rate_day)
    return f"What is expected: {used.currency} at {rate}, the newest rate, of {day}."


def missing_said(missing: Missing, amount: Decimal | None, where: str) -> str:
    what = words.money(amount, missing.currency) if amount else missing.currency
    when = words.day(missing.first)
    if missing.last != missing.first:
        when = f"{missing.days} days from {when} to {words.day(missing.last)}"
    return (
        f"{what} of {when} is not converted and {where}: there is no rate of that time, or of"
        f" the {HOLDS_DAYS} days before."
    )
