"""The savings ledger as it can be read: promised and kept apart, capacity and cash apart.

Knows entries that stand, and sums them per change. Refuses to add an estimate to a realised saving,
two currencies, or capacity to cash; unknown stays unknown and is counted beside the sum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import reduce

from django.db.models import Q, QuerySet

from finops.costing.exchange import Converter
from finops.models import LedgerEntry
from finops.models.ledger import ESTIMATE, PROGRAMME_COST, REALISED
from finops.money import CONTEXT

from . import cursors, savings_conversion
from .filters import Filters, midnight
from .savings_conversion import ConvertedEntry, in_one
from .stamp import Stamped, newest, notes

DAYS_PER_MONTH = 365.25 / 12

NO_COST, NO_CASH, NOT_YET, PAID_BACK = "no_cost", "no_cash", "not_yet", "paid_back"
PAYBACKS = (NO_COST, NO_CASH, NOT_YET, PAID_BACK)


@dataclass(frozen=True, slots=True)
class Capacity:
    """GPU-seconds with their interval. Sums add the ends, which is wider than the sum's own."""

    gpu_seconds: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class CashSum:
    """Money with its interval, in the currency that was asked for."""

    amount: Decimal
    low: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Entries of one sort. None is unknown; `unknown_cash` entries are in no amount."""

    entries: int
    capacity: Capacity | None
    cash: CashSum | None
    unknown_cash: int
    others: tuple[tuple[str, Decimal], ...]
    """Cash in other currencies, never added."""
    provisional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Sum):
    """What is said of one change: its estimate, or what was realised."""

    counts_as: str
    start: datetime
    end: datetime
    requests: int
    measured_s: float | None
    gpu_seconds_before: float | None
    """Per request: as it would have been, over these requests."""
    gpu_seconds_now: float | None
    billed_by: str
    basis: str
    """Of the newest entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    change_ref: str
    title: str
    project: str
    project_slug: str
    pool: str
    estimated: Claim | None
    realised: Claim | None


@dataclass(frozen=True, slots=True)
class Payback:
    """Whether all cash saved so far has paid for all that was spent, in one currency."""

    state: str
    cost: Decimal
    cash: Decimal
    months: float | None = None
    """From the first cost until it was paid back."""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """Where things stood at the end of a day, from the beginning."""

    day: date
    cash: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings(Stamped):
    currency: str
    changes: tuple[ChangeRow, ...]
    estimated: Sum
    realised: Sum
    programme_cost: Decimal | None
    """Of the period; None when none was booked in it."""
    other_costs: tuple[tuple[str, Decimal], ...]
    payback: Payback
    currencies: tuple[str, ...]
    days: tuple[Day, ...]
    """Empty while there is neither cash nor cost."""


@dataclass(frozen=True, slots=True)
class EntryPage:
    rows: tuple[LedgerEntry, ...]
    next: str | None
    converted: Mapping[int, ConvertedEntry]
    """By entry, when another currency is asked for; entries themselves stay as they are booked."""


def savings(filters: Filters) -> Savings:
    """What stands in the books for this reader and period.

    A realised entry belongs to the period in which it begins, an estimate to any that it touches,
    and to that of what was realised. Payback looks at everything up to the end of the period.
    """
    now = list(
        _standing(filters)
        .filter(
            counts_as__in=(REALISED, PROGRAMME_COST),
            period_from__gte=filters.start_at,
            period_from__lt=filters.end_at,
        )
        .select_related("project", "pool")
    )
    currencies = _currencies(filters)
    converter = savings_conversion.converter(filters, _standing(filters), currencies)
    now = in_one(now, converter, filters.zone)
    realised = [entry for entry in now if entry.counts_as == REALISED]
    refs = {entry.change_ref for entry in realised}
    touches = Q(period_from__lt=filters.end_at, period_to__gt=filters.start_at)
    promised = list(
        _standing(filters)
        .filter(Q(change_ref__in=refs) | touches, counts_as=ESTIMATE)
        .select_related("project", "pool")
    )
    promised = in_one(promised, converter, filters.zone)
    spent = _cash_by_currency(entry for entry in now if entry.counts_as == PROGRAMME_COST)
    moves = _moves(filters, converter)
    sources = notes(filters, usage=True, hardware=True)
    return Savings(
        currency=filters.shown,
        changes=_changes(promised, realised, filters.shown),
        estimated=_sum(promised, filters.shown),
        realised=_sum(realised, filters.shown),
        programme_cost=spent.pop(filters.shown, None),
        other_costs=tuple(sorted(spent.items())),
        payback=_payback(moves),
        currencies=currencies,
        days=_days(moves, filters),
        as_of=newest(filters, sources),
        provisional=any(entry.provisional for entry in realised),
        sources=sources,
        conversion=converter.told() if converter else None,
    )


def entries(
    filters: Filters,
    *,
    change: str = "",
    counts_as: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> EntryPage:
    """Every entry that touches the period, superseded ones too, the newest first."""
    found = _mine(filters).filter(period_from__lt=filters.end_at, period_to__gt=filters.start_at)
    if change:
        found = found.filter(change_ref=change)
    if counts_as:
        found = found.filter(counts_as=counts_as)
    if cursor:
        start, pk = cursors.decode(cursor, cursors.instant, cursors.identity)
        found = found.filter(Q(period_from__lt=start) | Q(period_from=start, pk__lt=pk))
    found = found.select_related("project", "pool", "book", "created_by", "superseded_by")
    rows = tuple(found.order_by("-period_from", "-pk")[: limit + 1])
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = cursors.encode(rows[-1].period_from.isoformat(), rows[-1].pk)
    return EntryPage(rows, following, savings_conversion.beside(rows, filters))


def entries_of(change_ref: str) -> tuple[LedgerEntry, ...]:
    """Every entry of one change, newest first. Whoever asks knows that the reader may see it."""
    found = LedgerEntry.objects.filter(change_ref=change_ref).exclude(change_ref="")
    found = found.select_related("project", "pool", "book", "created_by", "superseded_by")
    return tuple(found.order_by("-period_from", "-pk"))


def standing_costs(filters: Filters) -> list[LedgerEntry]:
    """Programme costs that nothing corrects yet, whatever their day; the newest first."""
    found = _standing(filters).filter(counts_as=PROGRAMME_COST).select_related("project")
    return list(found.order_by("-period_from", "-pk")[:200])


def _mine(filters: Filters) -> QuerySet[LedgerEntry]:
    if filters.project_ids is None:
        return LedgerEntry.objects.all()
    return LedgerEntry.objects.filter(project__in=filters.project_ids)


def _standing(filters: Filters) -> QuerySet[LedgerEntry]:
    return _mine(filters).filter(superseded_by__isnull=True)


def _currencies(filters: Filters) -> tuple[str, ...]:
    named = _standing(filters).exclude(currency="").order_by("currency")
    return tuple(named.values_list("currency", flat=True).distinct())


# Sums


def _changes(
    promised: Sequence[LedgerEntry], realised: Sequence[LedgerEntry], currency: str
) -> tuple[ChangeRow, ...]:
    """The newest work first."""
    grouped: dict[str, tuple[list[LedgerEntry], list[LedgerEntry]]] = {}
    for entry in promised:
        grouped.setdefault(entry.change_ref, ([], []))[0].append(entry)
    for entry in realised:
        grouped.setdefault(entry.change_ref, ([], []))[1].append(entry)
    rows = []
    for change_ref, (estimates, measured) in grouped.items():
        newest_entry = max([*estimates, *measured], key=lambda entry: entry.created_at)
        row = ChangeRow(
            change_ref=change_ref,
            title=newest_entry.title,
            project=newest_entry.project.name,
            project_slug=newest_entry.project.slug,
            pool=newest_entry.pool.name if newest_entry.pool else "",
            estimated=_claim(ESTIMATE, estimates, currency),
            realised=_claim(REALISED, measured, currency),
        )
        rows.append((newest_entry.created_at, row))
    rows.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(row for _, row in rows)


def _claim(counts_as: str, found: Sequence[LedgerEntry], currency: str) -> Claim | None:
    if not found:
        return None
    last = max(found, key=lambda entry: entry.period_to)
    measured = [entry.measured_s for entry in found if entry.measured_s is not None]
    summed = _sum(found, currency)
    return Claim(
        entries=summed.entries,
        capacity=summed.capacity,
        cash=summed.cash,
        unknown_cash=summed.unknown_cash,
        others=summed.others,
        provisional=summed.provisional,
        counts_as=counts_as,
        start=min(entry.period_from for entry in found),
        end=last.period_to,
        requests=sum(entry.requests or 0 for entry in found),
        measured_s=sum(measured) if measured else None,
        gpu_seconds_before=_mean(found, "counterfactual_gpu_seconds_per_request"),
        gpu_seconds_now=_mean(found, "gpu_seconds_per_request"),
        billed_by=last.billed_by if len({entry.billed_by for entry in found}) == 1 else "",
        basis=last.basis,
    )


def _mean(found: Iterable[LedgerEntry], name: str) -> float | None:
    """Each entry weighs its requests."""
    known = [
        (entry.requests, getattr(entry, name))
        for entry in found
        if entry.requests and getattr(entry, name) is not None
    ]
    requests = sum(weight for weight, _ in known)
    return sum(weight * value for weight, value in known) / requests if requests else None


def _sum(found: Sequence[LedgerEntry], currency: str) -> Sum:
    freed = [entry for entry in found if entry.capacity_gpu_seconds is not None]
    others = _cash_by_currency(found)
    others.pop(currency, None)
    return Sum(
        entries=len(found),
        capacity=Capacity(
            sum(entry.capacity_gpu_seconds for entry in freed),
            sum(entry.capacity_gpu_seconds_low for entry in freed),
            sum(entry.capacity_gpu_seconds_high for entry in freed),
        )
        if freed
        else None,
        cash=_cash_sum([entry for entry in found if entry.currency == currency]),
        unknown_cash=sum(entry.cash is None for entry in found),
        others=tuple(sorted(others.items())),
        provisional=any(entry.provisional for entry in found),
    )


def _cash_sum(found: Sequence[LedgerEntry]) -> CashSum | None:
    if not found:
        return None
    return CashSum(
        _total(entry.cash for entry in found),
        _total(entry.cash_low for entry in found),
        _total(entry.cash_high for entry in found),
    )


def _cash_by_currency(found: Iterable[LedgerEntry]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for entry in found:
        if entry.cash is not None:
            so_far = sums.get(entry.currency, Decimal(0))
            sums[entry.currency] = CONTEXT.add(so_far, entry.cash)
    return sums


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(CONTEXT.add, amounts, Decimal(0))


# Payback


@dataclass(frozen=True, slots=True)
class _Move:
    """Money that came or went; cash counts when its period is over, a cost from its day on."""

    at: datetime
    cash: Decimal
    cost: Decimal


def _moves(filters: Filters, converter: Converter | None) -> list[_Move]:
    """All of them up to the end of the period, in order."""
    standing = (
        _standing(filters)
        .filter(counts_as__in=(REALISED, PROGRAMME_COST), cash__isnull=False)
        .exclude(cash=0)
        .only("counts_as", "period_from", "period_to", "cash", "currency")
    )
    if converter is None:
        standing = standing.filter(currency=filters.currency)
    found = in_one(list(standing.filter(period_from__lt=filters.end_at)), converter, filters.zone)
    moves = [
        _Move(entry.period_from, Decimal(0), entry.cash)
        if entry.counts_as == PROGRAMME_COST
        else _Move(entry.period_to, entry.cash, Decimal(0))
        for entry in found
        if entry.currency == filters.shown
    ]
    return sorted(moves, key=lambda move: move.at)


def _payback(moves: Sequence[_Move]) -> Payback:
    cost, cash = _total(move.cost for move in moves), _total(move.cash for move in moves)
    if not cost:
        return Payback(NO_COST, cost, cash)
    if cash <= 0:
        return Payback(NO_CASH, cost, cash)
    if cash < cost:
        return Payback(NOT_YET, cost, cash)
    first = next(move.at for move in moves if move.cost)
    at = max(first, _out_of_the_red(moves))
    return Payback(PAID_BACK, cost, cash, (at - first) / timedelta(days=DAYS_PER_MONTH), at)


def _out_of_the_red(moves: Sequence[_Move]) -> datetime:
    """When it came out for the last time."""
    balance, at = Decimal(0), moves[0].at
    for move in moves:
        before = balance
        balance = CONTEXT.add(balance, CONTEXT.subtract(move.cash, move.cost))
        if before < 0 <= balance:
            at = move.at
    return at


def _days(moves: Sequence[_Move], filters: Filters) -> tuple[Day, ...]:
    """The two curves that payback is about; they start with what was there before."""
    if not moves:
        return ()
    days = []
    cash = cost = Decimal(0)
    waiting = list(reversed(moves))
    for offset in range(filters.days):
        day = filters.start + timedelta(days=offset)
        end = midnight(day + timedelta(days=1), filters.zone)
        while waiting and waiting[-1].at <= end:
            move = waiting.pop()
            cash, cost = CONTEXT.add(cash, move.cash), CONTEXT.add(cost, move.cost)
        days.append(Day(day=day, cash=cash, cost=cost))
    return tuple(days)
