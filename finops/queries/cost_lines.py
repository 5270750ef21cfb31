"""The rows behind a figure: the same pass over the book, split as finely as it is kept by day.

Knows one line per day, origin, project, provider, service, model, SKU, kind and tier. Refuses to
group: lines add up to their figure, to the last digit, because both are sums of the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce

from . import cursors
from .amounts import ZERO, plus
from .book import Split, Sum, counted
from .book_coverage import Coverage
from .filters import Filters
from .spend import DRAWN, NO_AMOUNT, Answers
from .stamp import Stamped

KEYS = ("origin", "project", "provider", "service", "model", "sku", "kind", "tier")
NARROWED = ("origin", "sku", "kind", "tier")
"""What a group of the costs page may be and no filter is: a parameter of the lines alone."""
EVERY_LINE = 1_000_000
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
    count: int
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
    first = cursors.decode(cursor, cursors.identity)[0] if cursor else 0
    whole = Answers(filters, [Split()], asked=DRAWN)
    if filters.convert or limit == EVERY_LINE:
        every, others = _lines(filters, wanted)
        found = _Page(
            tuple(every[first : first + limit]),
            len(every),
            reduce(plus, (line.cost or ZERO for line in every), ZERO),
            others,
        )
    else:
        found = _page(filters, wanted, first, limit, whole.covered)
    return CostLines(
        currency=filters.shown,
        total=found.total,
        others=tuple(sorted(found.others.items())),
        count=found.count,
        rows=found.lines,
        next=cursors.encode(first + limit) if first + limit < found.count else None,
        **whole.stamp(),
    )


@dataclass(frozen=True, slots=True)
class _Page:
    lines: tuple[CostLine, ...]
    count: int
    total: Decimal
    others: Mapping[str, Decimal]


def _page(
    filters: Filters, wanted: Mapping[str, str], first: int, limit: int, covered: Coverage
) -> _Page:
    """All lines are counted, and those of the days on the page are read.

    Not of what is converted: there lines of several currencies become one.
    """
    total, others, days = ZERO, dict[str, Decimal](), dict[date, int]()
    for one in counted(filters, KEYS, TELLING, wanted, covered):
        if one.currency in (filters.shown, NO_AMOUNT):
            total = plus(total, one.cost)
            days[one.day] = days.get(one.day, 0) + one.count
        else:
            others[one.currency] = plus(others.get(one.currency, ZERO), one.cost)
    count, skipped, shown = sum(days.values()), 0, list[date]()
    passed = 0
    for day in sorted(days, reverse=True):
        if passed + days[day] <= first:
            skipped += days[day]
        elif passed < first + limit:
            shown.append(day)
        passed += days[day]
    if not shown:
        return _Page((), count, total, others)
    narrow = replace(filters, start=shown[-1], end=shown[0] + timedelta(days=1), preset="")
    lines, _ = _lines(narrow, wanted)
    return _Page(tuple(lines[first - skipped :][:limit]), count, total, others)


def _lines(
    filters: Filters, wanted: Mapping[str, str]
) -> tuple[list[CostLine], dict[str, Decimal]]:
    """In order, and what the lines in other currencies come to."""
    split = Split(KEYS, by_time=True)
    answers = Answers(filters, [split])
    lines, others = [], dict[str, Decimal]()
    for one in answers.answers[split]:
        line = _line(answers, one)
        if not _says_something(one) or any(line.keys[at] != wanted[at] for at in wanted):
            continue
        if one.currency in (filters.shown, NO_AMOUNT):
            lines.append(line)
        else:
            others[one.currency] = plus(others.get(one.currency, ZERO), line.cost or ZERO)
    lines.sort(key=lambda line: (-line.day.toordinal(), -(line.cost or ZERO), *line.keys.values()))
    return lines, others


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
