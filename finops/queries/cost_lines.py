"""The rows behind a figure: the same pass over the book, split as finely as it is kept by day.

Knows one line per day, origin, project, provider, service, model, SKU, kind and tier. Refuses to
group: lines add up to their figure, to the last digit, because both are sums of the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import reduce

from . import cursors
from .amounts import ZERO, plus
from .book import Split, Sum
from .filters import Filters
from .spend import NO_AMOUNT, Answers
from .stamp import Stamped

KEYS = ("origin", "project", "provider", "service", "model", "sku", "kind", "tier")
NARROWED = ("origin", "sku", "kind", "tier")
"""What a group of the costs page may be and no filter is: a parameter of the lines alone."""
EVERY_LINE = 1_000_000


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
    split = Split(KEYS, by_time=True)
    answers = Answers(filters, [Split(), split])
    lines = [
        _line(answers, one)
        for one in answers.answers[split]
        if one.currency in (filters.shown, NO_AMOUNT) and _says_something(one)
    ]
    wanted = {name: value for name, value in (narrowed or {}).items() if value}
    lines = [line for line in lines if all(line.keys[at] == wanted[at] for at in wanted)]
    lines.sort(key=lambda line: (-line.day.toordinal(), -(line.cost or ZERO), *line.keys.values()))
    first = cursors.decode(cursor, cursors.identity)[0] if cursor else 0
    page = lines[first : first + limit]
    whole = answers.total()
    return CostLines(
        currency=filters.shown,
        total=reduce(plus, (line.cost or ZERO for line in lines), ZERO),
        count=len(lines),
        rows=tuple(page),
        next=cursors.encode(first + limit) if first + limit < len(lines) else None,
        as_of=whole.as_of,
        provisional=whole.provisional,
        sources=whole.sources,
        conversion=whole.conversion,
    )


def _says_something(one: Sum) -> bool:
    """What a rule of allocation moved away leaves a row of nothing behind."""
    measures = one.measures
    names = ("cost", "usage_cost", "requests", "tokens", "unpriced_spans", "unknown_spans")
    return any(measures.get(name) for name in (*names, "unknown_lines", "unpriced_gpu_s"))


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
