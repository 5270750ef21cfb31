"""What a sum of the book says: amounts, counts, and what one unit cost.

Knows measures by name. Refuses the database and the filters; unknown stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from functools import cache
from typing import Any, overload

from finops.money import CONTEXT

from .stamp import Stamped

ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """Sums of one currency over some scope."""

    cost: Decimal = ZERO
    reconciled: Decimal = ZERO
    """The part of `cost` from complete bills; the rest is provisional."""
    usage_cost: Decimal = ZERO
    """All priced usage and hardware of the same scope, covered by a bill or not."""
    requests: int | None = 0
    """None, as the other counts of usage, where only bills speak: they know of no requests."""
    tokens: int | None = 0
    unpriced_spans: int | None = 0
    """Usage known, no price: in no amount, and never $0."""
    unpriced_tokens: int | None = 0
    unknown_spans: int | None = 0
    """Spans that did not say what they used."""
    unknown_bill_lines: int = 0
    """Bill lines without the chosen cost column."""
    unpriced_gpu_hours: float = 0.0
    per_million_tokens: Decimal | None = None
    """Priced usage per 1M priced tokens; hardware counts only where the scope is all hardware."""
    per_thousand_requests: Decimal | None = None
    """Priced usage and hardware per 1K requests that have a price."""
    tokens_counted: int = 0
    """What `per_million_tokens` divides by; `tokens` holds those without a price too."""
    requests_counted: int = 0
    """What `per_thousand_requests` divides by; hardware's by its own count, traced or not."""
    requests_elsewhere: int = 0
    """Requests that hardware answered whose cost is not in here, as that of a shared pool is not
    in a project's usage."""

    @property
    def provisional(self) -> bool:
        return self.cost != self.reconciled

    @property
    def provisional_share(self) -> float:
        return float((self.cost - self.reconciled) / self.cost) if self.cost else 0.0


@dataclass(frozen=True, kw_only=True)
class Spend(Stamped, Amounts):
    """One total in one currency, what it leaves out, and the other currencies beside it."""

    currency: str
    others: tuple[tuple[str, Decimal], ...]
    """Totals of the same scope in other currencies: shown beside, never added."""
    late_requests: int
    """Requests in it that came after their day was closed."""


@dataclass(frozen=True, kw_only=True)
class SpendRow(Amounts):
    """One group. Costs of all rows add up to the table's total, to the last digit."""

    keys: tuple[str, ...]
    """One key per `group_by`, as `Filters.drill` takes it."""
    labels: tuple[str, ...]
    share: float | None
    """Of the total; None when the total is zero."""
    previous: Decimal | None
    """Cost in the period before; None unless compared, or when nothing is known of it."""

    @property
    def change(self) -> float | None:
        """(now − before) / before; None without a before."""
        if not self.previous:
            return None
        return float((self.cost - self.previous) / self.previous)


class SpendRows(Sequence[SpendRow]):
    """Rows in an order, each made when it is looked at: a page shows fifty of hundreds."""

    def __init__(
        self, keys: Iterable[tuple[str, ...]], make: Callable[[tuple[str, ...]], SpendRow]
    ):
        self._keys = tuple(keys)
        self._known = frozenset(self._keys)
        self._make = cache(make)

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> SpendRow: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[SpendRow, ...]: ...
    def __getitem__(self, at: int | slice) -> SpendRow | tuple[SpendRow, ...]:
        if isinstance(at, slice):
            return tuple(map(self._make, self._keys[at]))
        return self._make(self._keys[at])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SpendRows) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def of(self, keys: tuple[str, ...]) -> SpendRow | None:
        return self._make(keys) if keys in self._known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendTable(Stamped):
    group_by: tuple[str, ...]
    currency: str
    rows: SpendRows
    """Dearest first."""
    total: SpendRow
    others: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One group over the points of a series; None where nothing at all is known of the point."""

    keys: tuple[str, ...]
    label: str
    values: tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(Stamped):
    """Cost per step and group; `points[i]` belongs to `values[i]` of every line."""

    step: str
    currency: str
    points: tuple[date | datetime, ...]
    """Accounting days up to today, or aware UTC hours up to now."""
    lines: tuple[Line, ...]
    """Dearest first; the last one is `Other` when there were more than `top`."""
    reconciled: tuple[Decimal | None, ...]
    """Per point, the part of the cost that a complete bill covers."""


def added(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Measure by measure; an amount that no part knows stays None."""
    told = list(parts)
    if len(told) < 2:
        return dict(told[0]) if told else {}
    # Of hundreds of users by model, sums in one go take a fifth of the time.
    with localcontext(CONTEXT):
        return {name: _sum([part[name] for part in told]) for name in told[0]}


def _sum(values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def plus(left: Any, right: Any) -> Any:
    return CONTEXT.add(left, right) if isinstance(left, Decimal) else left + right


def minus(left: Any, right: Any) -> Any:
    return CONTEXT.subtract(left, right) if isinstance(left, Decimal) else left - right


def amounts(sums: dict[str, Any], *, counts_usage: bool) -> dict[str, Any]:
    """The fields of `Amounts`. Of usage, no rows are 0, unless only bills were asked."""
    none = 0 if counts_usage else None

    def count(name: str) -> int | None:
        found = sums.get(name, none)
        return None if found is None else int(found)

    return {
        "cost": sums.get("cost") or ZERO,
        "reconciled": sums.get("reconciled") or ZERO,
        "usage_cost": sums.get("usage_cost") or ZERO,
        "requests": count("requests"),
        "tokens": count("tokens"),
        "unpriced_spans": count("unpriced_spans"),
        "unpriced_tokens": count("unpriced_tokens"),
        "unknown_spans": count("unknown_spans"),
        "unknown_bill_lines": int(sums.get("unknown_lines") or 0),
        "unpriced_gpu_hours": (sums.get("unpriced_gpu_s") or 0.0) / 3600,
        "per_million_tokens": _per_million(sums),
        "per_thousand_requests": _per_thousand(sums),
        "tokens_counted": of_tokens(sums)[1],
        "requests_counted": of_requests(sums)[1],
        "requests_elsewhere": 0
        if sums.get("hardware_cost")
        else int(sums.get("pool_requests") or 0),
    }


def _per_million(sums: dict[str, Any]) -> Decimal | None:
    cost, tokens = of_tokens(sums)
    return _per(cost, 1_000_000, tokens) if tokens else None


def of_tokens(sums: dict[str, Any]) -> tuple[Decimal, int]:
    """Priced usage and the tokens it was priced for; without any, hardware and its tokens."""
    priced, pooled = sums.get("priced_tokens"), sums.get("pool_tokens")
    if priced:
        return sums["api_cost"] or ZERO, int(priced)
    if not pooled or not sums.get("hardware_cost"):
        return ZERO, 0
    traced = CONTEXT.divide(Decimal(sums["pool_requests"]), Decimal(answered(sums)))
    return CONTEXT.multiply(sums["hardware_cost"], traced), int(pooled)


def _per_thousand(sums: dict[str, Any]) -> Decimal | None:
    cost, counted = of_requests(sums)
    return _per(cost, 1000, counted) if counted else None


def of_requests(sums: dict[str, Any]) -> tuple[Decimal, int]:
    """Priced usage and hardware, and the requests that they were paid for."""
    pooled = answered(sums) if sums.get("hardware_cost") else 0
    return sums.get("usage_cost") or ZERO, int(sums.get("priced_requests") or 0) + pooled


def answered(sums: dict[str, Any]) -> int:
    """What a pool answered by its own count: traces may tell of a part of it only."""
    return max(round(sums.get("answered") or 0), sums.get("pool_requests") or 0)


def _per(cost: Decimal | None, unit: int, count: Any) -> Decimal | None:
    if not cost:
        return None
    return CONTEXT.divide(CONTEXT.multiply(cost, Decimal(unit)), Decimal(count))


def known_before(sums: dict[str, Any]) -> Decimal | None:
    """None when all there was had no price: no cost to compare with, and not a cost of zero."""
    if sums["cost"] or sums["usage_cost"]:
        return sums["cost"] or ZERO
    without = (sums.get("unpriced_spans") or 0) + (sums.get("unknown_spans") or 0)
    return None if without and without >= (sums.get("requests") or 0) else ZERO
