"""What pricing a range again would change, computed without writing anything; and how far one is.

Knows pinned hours, their stored costs and the prices of another version. Refuses to estimate: each
hour is priced from its facts, by the code that prices it for good.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from finops.actions import pool_costs
from finops.actions.book_rates import QUARTER, BookRates, quarters_of
from finops.actions.pricing import (
    TO_BE_REPRICED,
    cost_of_row,
    names_to_price,
    pool_providers,
    usage_of,
)
from finops.costing.lines import ZERO
from finops.models import PoolQuarter, PriceBook, Repricing
from finops.money import CONTEXT, plain
from ingest.models import Pool
from ingest.models.rollups import DIMENSIONS

from .repricing_plan import NOTHING, CostChange, Gap, Plan, Scope, Total, Volume

MOST_ROWS = 100_000
"""Rows of costs that are priced again while somebody waits: some five seconds, and reading."""

HOURS_AT_ONCE = 24 * 14

BILLED = "usage"
HARDWARE = "hardware"
REPRICED_KINDS = (BILLED, HARDWARE)


class TooMuch(ValueError):
    """The range holds more than somebody should wait for; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A confirmed re-pricing, and how far it is."""

    repricing: Repricing
    waiting: int

    @property
    def done(self) -> int:
        return self.repricing.hours - self.waiting

    @property
    def share(self) -> float:
        return self.done / self.repricing.hours

    @property
    def totals(self) -> tuple[Total, ...]:
        pairs = sorted(self.repricing.totals.items())
        return tuple(
            Total(currency, Decimal(before), Decimal(after)) for currency, (before, after) in pairs
        )

    @property
    def said(self) -> str:
        hours = self.repricing.hours
        if not self.waiting:
            return f"All {hours:,} hours are priced again."
        return f"{self.done:,} of {hours:,} hours are priced again."


def preview(scope: Scope, book: PriceBook, most_rows: int | None = MOST_ROWS) -> Plan:
    """What moving these hours to this book would change. Raises TooMuch."""
    pinned = list(
        scope.hours.order_by("owner_kind", "owner_id", "hour").values_list(
            "owner_kind", "owner_id", "hour", "book_id"
        )
    )
    if most_rows is not None:
        _bounded(scope, most_rows)
    tally = _Tally()
    by_owner: dict[tuple[str, int], list[datetime]] = {}
    for kind, owner, hour, _ in pinned:
        by_owner.setdefault((kind, owner), []).append(hour)
    for (kind, owner), hours in by_owner.items():
        for some in _batches(hours):
            if kind == "project":
                _compare_usage(tally, owner, some, book)
            else:
                _compare_hardware(tally, owner, some, book, scope.end)
    changes, gaps = tally.changes(), tally.found_gaps()
    return Plan(
        scope,
        book,
        hours=len(pinned),
        already=sum(pin == book.pk for *_, pin in pinned),
        changes=changes,
        gaps=gaps,
        digest=_digest(scope, book, pinned, changes, gaps),
    )


def progress(limit: int = 10) -> list[Progress]:
    """The newest re-pricings first."""
    return [progress_of(one) for one in _confirmed()[:limit]]


def repricing(pk: int) -> Progress | None:
    found = _confirmed().filter(pk=pk).first()
    return progress_of(found) if found else None


def progress_of(found: Repricing) -> Progress:
    """An hour that was moved on to yet another book waits for that one."""
    ids = None if found.project_ids is None else tuple(found.project_ids)
    hours = Scope(found.start, found.end, ids).hours
    waiting = hours.filter(book_id=found.book_id, revision=TO_BE_REPRICED).count()
    return Progress(found, min(waiting, found.hours))


def _confirmed() -> Any:
    return Repricing.objects.select_related("book", "created_by")


def _bounded(scope: Scope, most: int) -> None:
    condition = "" if scope.project_ids is None else "AND project_id = ANY(%s)"
    values: list[Any] = [scope.start, scope.end]
    if scope.project_ids is not None:
        values.append(list(scope.project_ids))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT FROM finops_costquarter"
            f" WHERE at >= %s AND at < %s {condition} LIMIT %s) AS found",
            [*values, most + 1],
        )
        if cursor.fetchone()[0] > most:
            raise TooMuch(
                f"This range has more than {most:,} rows of costs, too many to wait for here."
                " Choose fewer days or projects, or use manage.py reprice, which has no limit."
            )


def _batches(hours: Sequence[datetime]) -> Iterator[Sequence[datetime]]:
    for first in range(0, len(hours), HOURS_AT_ONCE):
        yield hours[first : first + HOURS_AT_ONCE]


class _Tally:
    """Amounts per model and currency, and unpriced usage per model, before and after."""

    def __init__(self) -> None:
        self.amounts: dict[tuple[str, str, str, str], list[Decimal | None]] = {}
        self.gaps: dict[tuple[str, str, str], list[Volume]] = {}

    def add(self, kind: str, name: tuple[str, str], when: int, currency: str, cost: Decimal):
        """`when` is 0 for before and 1 for after."""
        if not currency:
            return
        pair = self.amounts.setdefault((kind, *name, currency), [None, None])
        pair[when] = CONTEXT.add(pair[when] or ZERO, cost)

    def compare(self, kind: str, name: tuple[str, str], before: Volume, after: Volume) -> None:
        """Unpriced volumes of one row: what is in one of them only gained or lost its price."""
        gained, lost = before.beyond(after), after.beyond(before)
        if gained != NOTHING or lost != NOTHING:
            pair = self.gaps.setdefault((kind, *name), [NOTHING, NOTHING])
            pair[0] += gained
            pair[1] += lost

    def changes(self) -> tuple[CostChange, ...]:
        found = [CostChange(*key, *pair) for key, pair in sorted(self.amounts.items())]
        return tuple(sorted(found, key=lambda change: -abs(change.difference)))

    def found_gaps(self) -> tuple[Gap, ...]:
        return tuple(Gap(*key, *pair) for key, pair in sorted(self.gaps.items()))


def _compare_usage(tally: _Tally, project: int, hours: Sequence[datetime], book: PriceBook) -> None:
    quarters = [at for hour in hours for at in quarters_of(hour)]
    unpriced: dict[tuple[Any, ...], list[Volume]] = {}
    with connection.cursor() as cursor:
        for key, currency, cost, volume in _stored(cursor, project, quarters):
            tally.add(BILLED, key[3:5], 0, currency, cost)
            pair = unpriced.setdefault(key, [NOTHING, NOTHING])
            pair[0] += volume
        rows = usage_of(cursor, project, quarters)
    served = pool_providers()
    rates = BookRates(book, names_to_price(rows, served), store=False, resolve=True)
    for row in rows:
        found, key = cost_of_row(project, row, rates, served), row[:7]
        tally.add(BILLED, key[3:5], 1, found.line.currency, found.line.total)
        pair = unpriced.setdefault(key, [NOTHING, NOTHING])
        pair[1] += Volume(found.unpriced_spans, found.line.unpriced_tokens)
    for key, (before, after) in unpriced.items():
        tally.compare(BILLED, key[3:5], before, after)


def _stored(cursor: Any, project: int, quarters: list[datetime]) -> Iterator[tuple[Any, ...]]:
    """(time and dimensions, currency, cost, unpriced volume) as the hours are priced now."""
    keys = ("at", *DIMENSIONS)
    cursor.execute(
        f"SELECT {', '.join(keys)}, currency, cost, unpriced_spans, unpriced_tokens"
        " FROM finops_costquarter WHERE project_id = %s AND at = ANY(%s)",
        [project, quarters],
    )
    for row in cursor.fetchall():
        *key, currency, cost, spans, tokens = row
        yield tuple(key), currency, cost, Volume(spans, tokens)


def _compare_hardware(
    tally: _Tally, pool_id: int, hours: Sequence[datetime], book: PriceBook, now: datetime
) -> None:
    """`now` is the end of the range, so every quarter in it is a whole one."""
    pool = Pool.objects.get(pk=pool_id)
    quarters = [at for hour in hours for at in quarters_of(hour)]
    unpriced: dict[datetime, list[Volume]] = {}
    stored = PoolQuarter.objects.filter(pool_id=pool_id, at__in=quarters)
    with connection.cursor() as cursor:
        priced = pool_costs.priced(cursor, pool_id, dict.fromkeys(hours, book), now)
        after = [(row[1], row[2], row[7], row[8]) for row in priced]
    before = list(stored.values_list("at", "model", "allocated", "currency"))
    for when, rows in enumerate((before, after)):
        for at, model, allocated, currency in rows:
            if allocated is not None:
                tally.add(HARDWARE, (pool.name, model), when, currency, allocated)
            elif not model:
                # The row of the idle rest: there is one for each quarter.
                pair = unpriced.setdefault(at, [NOTHING, NOTHING])
                pair[when] = Volume(hardware_hours=Decimal(QUARTER.seconds) / 3600)
    for was, will in unpriced.values():
        tally.compare(HARDWARE, (pool.name, ""), was, will)


def _digest(
    scope: Scope,
    book: PriceBook,
    pinned: Iterable[tuple[Any, ...]],
    changes: Iterable[CostChange],
    gaps: Iterable[Gap],
) -> str:
    """Over all that a confirmation would do: which hours leave which book, and what that costs."""
    said = {
        "from": scope.start.astimezone(UTC).isoformat(),
        "to": scope.end.astimezone(UTC).isoformat(),
        "projects": scope.project_ids,
        "book": book.pk,
        "hours": [[*owner, hour.timestamp(), pin] for *owner, hour, pin in pinned],
        "changes": [
            [one.kind, one.provider, one.model, one.currency, _text(one.before), _text(one.after)]
            for one in changes
        ],
        "gaps": [
            [one.kind, one.provider, one.model, repr(one.newly_priced), repr(one.newly_unpriced)]
            for one in gaps
        ],
    }
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text(amount: Decimal | None) -> str:
    return "" if amount is None else plain(amount.normalize(CONTEXT))
