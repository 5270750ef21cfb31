"""The rows behind a figure: the same pass over the book, split as finely as it is kept by day.

Knows one line per day, origin, project, provider, service, model, SKU, kind and tier. Refuses to
group: lines add up to their figure, to the last digit, because both are sums of the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from . import cursors
from .amounts import ZERO, plus
from .book import Split, Sum
from .filters import Filters
from .spend import DRAWN, NO_AMOUNT, Answers
from .stamp import Stamped

KEYS = ("origin", "project", "provider", "service", "model", "sku", "kind", "tier")
NARROWED = ("origin", "sku", "kind", "tier")
"""What a group of the costs page may be and no filter is: a parameter of the lines alone."""
EVERY_LINE = 1_000_000
FEW_DAYS = 3
"""Read at first for a page; as many again until it is full."""
TELLING = (
    "cost",
    "usage_cost",
    "requests",
    "tokens",
    "unpriced_spans",
    "unknown_spans",
    "unknown_lines",
    "unpriced_gpu_s",
)
"""A row without any of these is no line."""


@dataclass(frozen=True, slots=True)
class CostLine:
    day: date
    keys: Mapping[str, str]
    """By the names in `KEYS`, as filters take them."""
    labels: Mapping[str, str]
    """The same for people."""
    cost: Decimal | None
    """None when all there is has no price."""
    by_the_hour: bool
    """Usage of our own hardware: a line of hardware says what it cost."""
    requests: int | None
    """None for bills, which know of none."""
    tokens: int | None
    unpriced_spans: int | None
    unknown_spans: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLines(Stamped):
    currency: str
    total: Decimal
    """Of all lines, not of this page."""
    others: tuple[tuple[str, Decimal], ...]
    """What they come to in other currencies, whose lines are not among these."""
    rows: tuple[CostLine, ...]
    """Newest day first, in it the dearest."""
    next: str | None


def cost_lines(
    filters: Filters,
    narrowed: Mapping[str, str] | None = None,
    *,
    limit: int = 50,
    cursor: str | None = None,
) -> CostLines:
    """What the scope consists of; `narrowed` names one value of some of `NARROWED`."""
    wanted = {name: value for name, value in (narrowed or {}).items() if value}
    day, skipped = cursors.decode(cursor, date.fromisoformat, cursors.identity) if cursor else (
        filters.end - timedelta(days=1), 0
    )  # fmt: skip
    if cursor and not filters.start <= day < filters.end:
        raise cursors.BadCursor
    if limit == EVERY_LINE:
        lines = _lines(filters, wanted)
    else:
        lines = _newest(filters, wanted, day, skipped + limit)
    total, others, stamp = _total(filters, wanted)
    return CostLines(
        currency=filters.shown,
        total=total,
        others=others,
        rows=tuple(lines[skipped : skipped + limit]),
        next=_cursor_at(lines, skipped + limit),
        **stamp,
    )


def _newest(filters: Filters, wanted: Mapping[str, str], day: date, count: int) -> list[CostLine]:
    """The lines of this day and those before, until there are more than so many; of whole days.

    To count the lines of months takes longer than to read those of a few days.
    """
    lines, end, days = list[CostLine](), day + timedelta(days=1), FEW_DAYS
    while end > filters.start and len(lines) <= count:
        start = max(filters.start, end - timedelta(days=days))
        lines += _lines(replace(filters, start=start, end=end, preset=""), wanted)
        end, days = start, 2 * days
    return lines


def _cursor_at(lines: Sequence[CostLine], place: int) -> str | None:
    """Where the line at this place is: its day, and how many of the day come before it."""
    if place >= len(lines):
        return None
    day = lines[place].day
    return cursors.encode(day.isoformat(), sum(line.day == day for line in lines[:place]))


def _total(
    filters: Filters, wanted: Mapping[str, str]
) -> tuple[Decimal, tuple[tuple[str, Decimal], ...], dict[str, Any]]:
    """Of all lines; beside it what those in other currencies come to, and what it rests on."""
    whole, split = Split(), Split(tuple(wanted))
    answers = Answers(filters, list(dict.fromkeys((whole, split))), asked=DRAWN)
    own = tuple(wanted.values())
    totals: dict[str, Decimal] = {}
    for one in answers.answers[split]:
        if one.keys == own:
            code = filters.shown if one.currency == NO_AMOUNT else one.currency
            totals[code] = plus(totals.get(code, ZERO), one.measures["cost"] or ZERO)
    total = totals.pop(filters.shown, ZERO)
    return total, tuple(sorted(totals.items())), answers.stamp()


def _lines(filters: Filters, wanted: Mapping[str, str]) -> list[CostLine]:
    """In order; those in other currencies are not among them."""
    split = Split(KEYS, by_time=True)
    answers = Answers(filters, [split])
    lines = [
        _line(answers, one)
        for one in answers.answers[split]
        if one.currency in (filters.shown, NO_AMOUNT)
        and _says_something(one)
        and all(one.keys[KEYS.index(name)] == value for name, value in wanted.items())
    ]
    lines.sort(key=lambda line: (-line.day.toordinal(), -(line.cost or ZERO), *line.keys.values()))
    return lines


def _says_something(one: Sum) -> bool:
    """What a rule of allocation moved away leaves a row of nothing behind."""
    return any(one.measures.get(name) for name in TELLING)


def _line(answers: Answers, one: Sum) -> CostLine:
    found = answers.key(KEYS, one.keys)
    measures = one.measures
    cost = measures.get("cost") or ZERO
    return CostLine(
        day=one.point,
        keys=dict(zip(KEYS, found, strict=True)),
        labels=dict(zip(KEYS, answers.labels(KEYS, found), strict=True)),
        cost=None if not cost and _is_unknown(one) else cost,
        by_the_hour=one.currency == NO_AMOUNT and not _is_unknown(one),
        requests=_count(measures.get("requests")),
        tokens=_count(measures.get("tokens")),
        unpriced_spans=_count(measures.get("unpriced_spans")),
        unknown_spans=_count(measures.get("unknown_spans")),
    )


def _is_unknown(one: Sum) -> bool:
    measures = one.measures
    if measures.get("usage_cost"):
        return False
    missing = ("unpriced_spans", "unknown_spans", "unknown_lines", "unpriced_gpu_s")
    return any(measures.get(name) for name in missing)


def _count(value: object) -> int | None:
    return None if value is None else int(str(value))
