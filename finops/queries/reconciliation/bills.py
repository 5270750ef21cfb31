"""Per bill service, billing month and currency: the bill, our priced usage, and why they differ.

A row is what the book takes from one bill service; the providers whose usage it replaces are
compared with it together. Knows which usage a bill covers by the book's own rule, so the badge of
a row is the badge of the spend built on it. Refuses to add currencies and to take no bill for 0.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from django.utils import timezone

from finops.costing.reconciling import USAGE, BillSum, Item, UsageSum, reconcile
from finops.models import BillMatch
from finops.money import CONTEXT, MINOR_UNITS

from ..amounts import ZERO, minus, plus
from ..book_coverage import billed_months
from ..filters import Filters
from ..stamp import Stamped, newest, notes
from .facts import (
    BillRow,
    UsageRow,
    Window,
    bill_rows,
    late_requests,
    month_after,
    month_start,
    usage_rows,
)

DEFAULT_MONTHS, MAX_MONTHS = 3, 13
RECONCILED, PROVISIONAL, NO_BILL = "reconciled", "provisional", "no_bill"
STATES = (RECONCILED, PROVISIONAL, NO_BILL)

TOKENS_PER = {
    "token": 1, "tokens": 1,
    "1k tokens": 1_000, "1000 tokens": 1_000, "thousand tokens": 1_000,
    "1m tokens": 1_000_000, "1000000 tokens": 1_000_000, "million tokens": 1_000_000,
}  # fmt: skip
"""Units of a bill line that count tokens; any other unit is not compared with tokens."""


@dataclass(frozen=True, slots=True)
class Day:
    """One accounting day of a row; `bill` is None where no line of the bill begins."""

    day: date
    bill: Decimal | None
    usage: Decimal

    @property
    def gap(self) -> Decimal | None:
        return None if self.bill is None else minus(self.bill, self.usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One bill service, month and currency. Of what is unpriced there is a count and no amount."""

    month: date
    bill_provider: str
    bill_service: str
    providers: tuple[str, ...]
    """Whose usage is compared with the bill."""
    currency: str
    bill: Decimal | None
    """None: no complete bill speaks of this month in this currency."""
    usage: Decimal
    not_covered: Decimal
    """The part of `usage` in the time that the bill does not cover."""
    items: tuple[Item, ...]
    """Empty without a bill."""
    days: tuple[Day, ...]
    covered_until: datetime | None
    unpriced_requests: int
    """Without a price, or without known usage."""
    unpriced_tokens: int
    unpriced_gpu_hours: float
    unknown_bill_lines: int
    """Lines without the chosen cost; they are in no amount."""
    long_lines: int
    """Lines that charge more than a day; they stand on their first."""
    late_requests: int
    """In our usage, and came after their day was sealed."""

    @property
    def gap(self) -> Decimal | None:
        return None if self.bill is None else minus(self.bill, self.usage)

    def amount(self, name: str) -> Decimal | None:
        """Of one class; None without a bill."""
        if self.bill is None:
            return None
        return _sum(item.amount(name) for item in self.items)

    @property
    def unexplained(self) -> Decimal | None:
        if self.bill is None:
            return None
        return _sum(item.unexplained for item in self.items)

    @property
    def explained(self) -> Decimal | None:
        """What the classes hold together."""
        gap, rest = self.gap, self.unexplained
        return None if gap is None or rest is None else minus(gap, rest)

    @property
    def provisional(self) -> bool:
        """As the book has it: a part of the spend is usage that no complete bill covers."""
        return bool(self.not_covered)

    @property
    def provisional_share(self) -> float:
        cost = plus(self.bill or ZERO, self.not_covered)
        return float(CONTEXT.divide(self.not_covered, cost)) if cost else 0.0

    @property
    def state(self) -> str:
        if self.bill is None:
            return NO_BILL
        return PROVISIONAL if self.provisional else RECONCILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliations(Stamped):
    """Newest month first, then by what they are about."""

    months: tuple[date, ...]
    metric: str
    rows: tuple[Reconciliation, ...]


def recent_months(count: int = DEFAULT_MONTHS) -> tuple[date, ...]:
    """The billing months up to the one that is running, newest first. Bills go by UTC."""
    month = timezone.now().astimezone(UTC).date().replace(day=1)
    found = [month]
    while len(found) < count:
        found.append(date(month.year - (month.month == 1), (month.month - 2) % 12 + 1, 1))
        month = found[-1]
    return tuple(found)


def reconciliation(
    filters: Filters, months: Sequence[date] = (), provider: str = ""
) -> Reconciliations:
    """Of `filters` the cost column, the zone, the day the bills were known on and the reader's
    access count; the period is `months`, and `provider` narrows to the bill that covers its usage.
    """
    chosen = tuple(months) or recent_months()
    sources = notes(filters, usage=True, hardware=True, bills=True) if filters.bills else ()
    found = _rows(filters, chosen, provider) if filters.bills else []
    found.sort(key=lambda row: (row.bill_provider, row.bill_service, row.currency))
    found.sort(key=lambda row: row.month, reverse=True)
    last = replace(filters, end=max(map(month_after, chosen)))
    return Reconciliations(
        months=chosen,
        metric=filters.metric,
        rows=tuple(found),
        as_of=newest(last, sources),
        provisional=any(row.provisional or row.bill is None for row in found),
        sources=sources,
    )


Service = tuple[str, str]
Scope = tuple[Service, date]


def _rows(filters: Filters, months: Sequence[date], provider: str) -> list[Reconciliation]:
    services = _services(provider)
    if not services:
        return []
    service_of = {one: service for service, names in services.items() for one in names}
    until = _covered(filters, months)
    windows = [
        window
        for one in service_of
        for month in months
        for window in _windows(one, month, until.get((one, month)))
    ]
    billed: dict[Scope, list[BillRow]] = defaultdict(list)
    for line in bill_rows(filters, months, services):
        billed[(line.provider, line.service), line.month].append(line)
    used: dict[Scope, list[UsageRow]] = defaultdict(list)
    for row in usage_rows(filters, windows):
        used[service_of[row.provider], row.month].append(row)
    late = late_requests(windows)
    made = []
    for scope in sorted({*billed, *used}):
        service, month = scope
        covered = [until[one, month] for one in services[service] if (one, month) in until]
        parts = _Scope(
            service,
            month,
            services[service],
            max(covered, default=None),
            billed[scope],
            used[scope],
            sum(late.get((one, month), 0) for one in services[service]),
        )
        made += [parts.row(currency) for currency in parts.currencies(filters.currency)]
    return made


def _services(provider: str) -> dict[Service, tuple[str, ...]]:
    """Bill service → the providers whose usage it replaces; of one provider only its own."""
    found: dict[Service, tuple[str, ...]] = {}
    for match in BillMatch.objects.order_by("usage_provider"):
        service = (match.bill_provider, match.bill_service)
        found[service] = (*found.get(service, ()), match.usage_provider)
    if provider:
        found = {service: names for service, names in found.items() if provider in names}
    return found


def _covered(filters: Filters, months: Sequence[date]) -> dict[tuple[str, date], datetime]:
    """(usage provider, month) → the end of what the bill covers, as the book takes it."""
    span = replace(filters, start=min(months), end=month_after(max(months)))
    return {(one, month): until for one, month, until in billed_months(span) if month in months}


def _windows(provider: str, month: date, until: datetime | None) -> Iterable[Window]:
    start, end = month_start(month), month_start(month_after(month))
    cut = min(max(until, start), end) if until else start
    if start < cut:
        yield Window(provider, month, True, start, cut)
    if cut < end:
        yield Window(provider, month, False, cut, end)


@dataclass(frozen=True, slots=True)
class _Scope:
    """The facts of one bill service and month, in all currencies."""

    service: Service
    month: date
    providers: tuple[str, ...]
    until: datetime | None
    billed: list[BillRow]
    used: list[UsageRow]
    late: int

    def currencies(self, fallback: str) -> list[str]:
        """Usage that has no price at all has no currency either; the bill's stands for it."""
        named = {line.currency for line in self.billed}
        named |= {row.currency for row in self.used if row.currency}
        return sorted(named or {fallback})

    def row(self, currency: str) -> Reconciliation:
        lines = [line for line in self.billed if line.currency == currency]
        own = [row for row in self.used if row.currency == currency]
        known = [line.cost for line in lines if line.cost is not None]
        bill = _sum(known) if known else None
        items: tuple[Item, ...] = ()
        if bill is not None:
            digits = MINOR_UNITS.get(currency, 2)
            items = reconcile(_bill_sums(lines), self._usage_sums(currency), digits)
        return Reconciliation(
            month=self.month,
            bill_provider=self.service[0],
            bill_service=self.service[1],
            providers=self.providers,
            currency=currency,
            bill=bill,
            usage=_sum(row.cost for row in own),
            not_covered=_sum(row.cost for row in own if not row.covered),
            items=items,
            days=tuple(_days(lines, own)),
            covered_until=self.until if lines else None,
            unpriced_requests=sum(row.unpriced for row in self.used),
            unpriced_tokens=sum(row.unpriced_tokens for row in self.used),
            unpriced_gpu_hours=sum(row.unpriced_gpu_s for row in self.used) / 3600,
            unknown_bill_lines=sum(line.unknown for line in lines),
            long_lines=sum(line.longer for line in lines),
            late_requests=self.late,
        )

    def _usage_sums(self, currency: str) -> list[UsageSum]:
        """By model; of another currency only that there is some, for it is no amount here."""
        by_model: dict[str, list[UsageRow]] = defaultdict(list)
        for row in self.used:
            by_model[row.model].append(row)
        return [_usage_sum(model, rows, currency) for model, rows in by_model.items()]


def _usage_sum(model: str, rows: list[UsageRow], currency: str) -> UsageSum:
    own = [row for row in rows if row.currency == currency]
    inside = [row for row in own if row.covered]
    without = [row for row in rows if row.covered]
    return UsageSum(
        model=model,
        cost=_sum(row.cost for row in inside),
        late=_sum(row.cost for row in own if not row.covered),
        tokens=sum(row.tokens for row in inside),
        unpriced_tokens=sum(row.unpriced_tokens for row in without),
        # Hours without a price are no requests, but they too are use that has no amount.
        unpriced=sum(row.unpriced or bool(row.unpriced_gpu_s) for row in without),
        elsewhere=any(row.currency not in ("", currency) for row in rows),
    )


def _bill_sums(lines: Iterable[BillRow]) -> list[BillSum]:
    groups: dict[tuple[str, str], list[BillRow]] = defaultdict(list)
    for line in lines:
        groups[line.kind, line.sku if line.kind == USAGE else line.category].append(line)
    return [
        BillSum(
            kind=kind,
            name=name,
            cost=_sum(line.cost for line in found if line.cost is not None),
            lines=sum(line.lines - line.unknown for line in found),
            decimals=max(line.decimals for line in found),
            tokens=_tokens(found),
        )
        for (kind, name), found in groups.items()
    ]


def _tokens(lines: Iterable[BillRow]) -> Decimal | None:
    """How many tokens the lines charge for; None when any of them does not say."""
    found = ZERO
    for line in lines:
        told = _line_tokens(line)
        if told is None or line.unknown:
            return None
        found = plus(found, told)
    return found


def _line_tokens(line: BillRow) -> Decimal | None:
    for quantity, unit in (
        (line.consumed, line.consumed_unit),
        (line.priced_by, line.pricing_unit),
    ):
        per = TOKENS_PER.get(unit.casefold().strip())
        if per is not None and quantity is not None:
            return CONTEXT.multiply(quantity, Decimal(per))
    return None


def _days(lines: Iterable[BillRow], used: Iterable[UsageRow]) -> Iterable[Day]:
    billed: dict[date, Decimal] = {}
    for line in lines:
        if line.cost is not None:
            billed[line.day] = plus(billed.get(line.day, ZERO), line.cost)
    spent: dict[date, Decimal] = {}
    for row in used:
        spent[row.day] = plus(spent.get(row.day, ZERO), row.cost)
    for day in sorted({*billed, *spent}):
        yield Day(day, billed.get(day), spent.get(day, ZERO))


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    found = ZERO
    for amount in amounts:
        found = plus(found, amount)
    return found
