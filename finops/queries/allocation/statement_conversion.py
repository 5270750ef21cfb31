"""A statement in another currency, for looking at it beside its own.

Knows the rate of the month's last day, at which all its lines are converted. Refuses to touch them:
a statement stays as it was closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from finops.costing.exchange import Conversion, Converter, Used, times
from finops.models import ChargebackLine
from finops.queries.amounts import ZERO, plus
from finops.queries.conversion import rates_into


@dataclass(frozen=True, slots=True)
class Converted:
    """What an amount of a statement is in another currency; None: there is no rate."""

    currency: str
    amount: Decimal
    rate: Decimal
    rate_day: date


@dataclass(frozen=True, slots=True)
class InOne:
    """The lines of a statement that have a rate, by their number, and what they come to."""

    currency: str
    day: date
    """Whose rate was asked for: the month's last one."""
    lines: dict[int, Converted]
    total: Decimal
    conversion: Conversion


def subtotal(found: InOne, lines: Sequence[ChargebackLine]) -> Converted | None:
    """Of lines of one currency, all of which have the same rate or none."""
    known = [found.lines[line.pk] for line in lines if line.pk in found.lines]
    if not known:
        return None
    return replace(known[0], amount=reduce(plus, (one.amount for one in known), ZERO))


def in_one(lines: Sequence[ChargebackLine], month: date, to: str) -> InOne:
    day = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    converter = Converter(rates_into(to, {line.currency for line in lines}, day, day))
    found = {}
    for line in lines:
        rate = converter.rate(line.currency, day)
        if rate is not None:
            amount = times(line.amount, rate) or ZERO
            used: Used | None = converter.rates.at(line.currency, day)
            found[line.pk] = Converted(to, amount, rate, used.rate_day if used else day)
    total = reduce(plus, (one.amount for one in found.values()), ZERO)
    return InOne(to, day, found, total, converter.told())
