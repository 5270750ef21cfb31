"""Prices hours of rolled-up facts, each with the price book it is pinned to.

Knows `RolledHour` (what was summed, and how often) and `PricedHour` (what was priced, with which
book). Refuses increments: an hour is computed anew from its rollup and written over, so doing it
twice, or dying in the middle, changes nothing.

How a `CostQuarter` row says what it covers. There is one for every dimension of a quarter hour,
spans that came late for a closed day included:

- `currency` is empty when the row carries no amount.
- `priced_spans`, `unpriced_spans` (used, but the book has no price) and `unknown_spans` (did not
  say what they used) never overlap. Spans in none of the three are not charged by usage: tools,
  agents, and whatever a pool of ours served.
- Spans whose provider is a pool's are paid for by the hour. They keep their token counts, have no
  amount here and are not unpriced; their money is in `PoolQuarter`, and only there.
- `list_cost` is what the list asks for what `cost` covers; NULL where it is unknown.
- `unpriced_tokens` may be above zero beside an amount, when a model has a price for some classes.

A new hour takes the latest book and stays with it. `reprice` moves hours to another book; its
caller writes the audit record.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from finops.actions import pool_costs, price_book
from finops.actions.book_rates import BookRates, Name, quarters_of
from finops.actions.in_turn import in_turn
from finops.costing.lines import (
    PAID_BY_REQUEST,
    PAID_BY_USAGE,
    CostLine,
    SpansCost,
    Usage,
    cost_of_spans,
)
from finops.costing.rates import RateCard
from finops.models import PriceBook, PricedHour, PricedUserDay
from ingest.models import Pool, RolledHour
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import EVERY_QUARTER, accounting_days, day_start
from ingest.store.counting import copy_rows, hour_of

SUMS = (
    "spans",
    "priced_spans",
    "unpriced_spans",
    "unknown_spans",
    "tokens",
    "unpriced_tokens",
    "input_cost",
    "cache_cost",
    "output_cost",
    "other_cost",
    "cost",
    "list_cost",
)
WHOLE_OR_UNKNOWN = "CASE WHEN count(list_cost) = count(*) THEN sum(list_cost) END"
"""Of several rows: unknown as soon as one of them is."""

KEYS = (*DIMENSIONS, "currency")
COLUMNS = {
    "project_id": "int4",
    "at": "timestamptz",
    **dict.fromkeys(KEYS, "text"),
    "input_band": "int4",
    **dict.fromkeys(SUMS[:6], "int8"),
    **dict.fromkeys(SUMS[6:], "numeric"),
    "book_id": "int8",
}

DUE_PROJECTS = """
SELECT owner_id, hour FROM (
    SELECT r.owner_id, r.hour,
        row_number() OVER (PARTITION BY r.owner_id ORDER BY r.hour DESC) AS place
    FROM ingest_rolledhour r
    LEFT JOIN finops_pricedhour p USING (owner_kind, owner_id, hour)
    WHERE r.owner_kind = 'project' AND p.revision IS DISTINCT FROM r.revision
) AS due WHERE place <= %(limit)s ORDER BY owner_id, hour"""

PAID = PAID_BY_USAGE | {PAID_BY_REQUEST}

ALL_HOURS = 1_000_000
"""Of an owner: more than there are in a century."""

TO_BE_REPRICED = -1
"""A revision that no rollup has, so the hour is due again."""


def price_hours(limit: int = 200, now: datetime | None = None) -> int:
    """Price up to `limit` hours of each owner, the newest first; how many it did.

    Each owner is one transaction under its own lock. One owner's error does not keep the others
    from being priced; it is raised at the end.
    """
    now = now or timezone.now()
    due = {"project": _due_projects(limit), "pool": pool_costs.due(limit, now)}
    work = (
        (f"{kind} {owner}", partial(_price_owner, kind, owner, hours, now))
        for kind, owners in due.items()
        for owner, hours in owners.items()
    )
    return in_turn(work, "Some hours could not be priced")


def is_priced(until: datetime) -> bool:
    """Whether every summed hour before `until` has its prices: `price_hours` also finds nothing to
    do where another worker is still at it."""
    due = (*_due_projects(ALL_HOURS).values(), *pool_costs.due(ALL_HOURS, until).values())
    return not any(hour < until for hours in due for hour in hours)


def reprice(
    owner_kind: str,
    owner_ids: Iterable[int],
    start: datetime,
    end: datetime,
    book: PriceBook | None = None,
) -> int:
    """Move the hours in `[start, end)` to another book (the latest); how many will be re-priced.

    Only marks them: `price_hours` does the work. The audit record is the caller's.
    """
    hours = PricedHour.objects.filter(
        owner_kind=owner_kind, owner_id__in=list(owner_ids), hour__gte=start, hour__lt=end
    )
    moved: int = hours.update(book=book or price_book.latest_book(), revision=TO_BE_REPRICED)
    return moved


def _due_projects(limit: int) -> dict[int, list[datetime]]:
    with connection.cursor() as cursor:
        cursor.execute(DUE_PROJECTS, {"limit": limit})
        rows = cursor.fetchall()
    return {owner: [hour for _, hour in group] for owner, group in groupby(rows, lambda r: r[0])}


def _price_owner(kind: str, owner: int, hours: Sequence[datetime], now: datetime) -> int:
    """Revisions first, rollups after: a rollup that comes between leaves the hour due again."""
    latest = price_book.latest_book()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"price:{kind}:{owner}"]
        )
        if not cursor.fetchone()[0]:
            return 0  # another worker is at it, and what it leaves stays due
        revisions = _revisions(kind, owner, hours)
        priced = {
            hour.hour: hour
            for hour in PricedHour.objects.select_related("book").filter(
                owner_kind=kind, owner_id=owner, hour__in=hours
            )
        }
        pins = {hour: priced[hour].book if hour in priced else latest for hour in hours}
        if kind == "project":
            # Another worker may have priced some since they were found due.
            pins = {
                hour: book
                for hour, book in pins.items()
                if hour not in priced or priced[hour].revision != revisions[hour]
            }
            if pins:
                _write_quarters(cursor, owner, pins)
                _write_days(cursor, owner, list(pins))
                moved = [hour for hour in pins if _was_moved(priced.get(hour))]
                if moved:
                    _forget_users(owner, moved)
        else:
            pool_costs.write(cursor, owner, pins, now)
        _pin(cursor, kind, owner, pins, revisions, now)
    return len(pins)


def _revisions(kind: str, owner: int, hours: Sequence[datetime]) -> dict[datetime, int]:
    """0 for an hour of which nothing was ever observed."""
    known = RolledHour.objects.filter(owner_kind=kind, owner_id=owner, hour__in=hours)
    return dict.fromkeys(hours, 0) | dict(known.values_list("hour", "revision"))


def _write_quarters(cursor: Any, project: int, pins: dict[datetime, PriceBook]) -> None:
    quarters = [at for hour in pins for at in quarters_of(hour)]
    cursor.execute(
        "DELETE FROM finops_costquarter WHERE project_id = %s AND at = ANY(%s)",
        [project, quarters],
    )
    rows = usage_of(cursor, project, quarters)
    served = pool_providers()
    rates = {}
    for book in {book.pk: book for book in pins.values()}.values():
        names = names_to_price((row for row in rows if pins[hour_of(row[0])] == book), served)
        rates[book.pk] = BookRates(book, names, store=True)
    copy_rows(
        cursor,
        "finops_costquarter",
        COLUMNS,
        (_cost_row(project, row, rates[pins[hour_of(row[0])].pk], served) for row in rows),
    )


def names_to_price(rows: Iterable[tuple[Any, ...]], served: frozenset[str]) -> set[Name]:
    """The reported names in rows of `usage_of` that a price is looked up for."""
    return {
        (provider, model)
        for _, _, kind, provider, model, *_, tokens in rows
        if provider.casefold() not in served and (any(tokens) or kind in PAID)
    }


def usage_of(cursor: Any, project: int, quarters: list[datetime]) -> list[tuple[Any, ...]]:
    """(time, dimensions…, spans, errors, usage unknown, token counts) of each quarter hour."""
    keys = ("at", *DIMENSIONS)
    counts = ("spans", "errors", "usage_unknown", *TOKEN_FIELDS)
    cursor.execute(
        f"SELECT {', '.join(keys)}, {', '.join(f'sum({name})::bigint' for name in counts)}"
        f" FROM {EVERY_QUARTER} WHERE project_id = %s AND at = ANY(%s)"
        f" GROUP BY {', '.join(keys)}",
        [project, quarters],
    )
    width = len(keys) + 3
    return [(*row[:width], row[width:]) for row in cursor.fetchall()]


def _cost_row(
    project: int, row: tuple[Any, ...], rates: BookRates, served: frozenset[str]
) -> tuple[Any, ...]:
    cost = cost_of_row(project, row, rates, served)
    line = cost.line
    return (
        project, *row[:7], line.currency,
        row[7], cost.priced_spans, cost.unpriced_spans, cost.unknown_spans,
        line.tokens, line.unpriced_tokens,
        line.input, line.cache, line.output, line.other, line.total,
        line.listed if line.currency else None, rates.book.pk,
    )  # fmt: skip


def cost_of_row(
    project: int, row: tuple[Any, ...], rates: BookRates, served: frozenset[str]
) -> SpansCost:
    """What a row of `usage_of` costs its project with the prices of one book."""
    at, _, kind, provider, model, tier, band, spans, errors, unknown, tokens = row
    usage = Usage(kind, dict(zip(TOKEN_CLASSES, tokens, strict=True)), spans, errors, unknown)
    card = rates.card(project, (provider, model), tier, band, at)
    return usage_cost(usage, card, provider, served)


def usage_cost(
    usage: Usage, card: RateCard | None, provider: str, served: frozenset[str]
) -> SpansCost:
    """What some usage of one dimension costs, unless a pool is paid for it by the hour."""
    if provider.casefold() in served:
        return SpansCost(CostLine(tokens=sum(usage.tokens.values())))
    return cost_of_spans(usage, card)


def pool_providers() -> frozenset[str]:
    """The providers whose spans are served by hardware of ours, and paid for by the hour."""
    names = Pool.objects.exclude(provider="").values_list("provider", flat=True)
    return frozenset(name.casefold() for name in names)


def _write_days(cursor: Any, project: int, hours: list[datetime]) -> None:
    """Every accounting day that has a moment in these hours, summed from its quarters."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    days = accounting_days(hours, zone)
    values = {
        "project": project,
        "zone": zone.key,
        "days": days,
        "from": day_start(days[0], zone),
        "to": day_start(days[-1] + timedelta(days=1), zone),
    }
    cursor.execute(
        "DELETE FROM finops_costday WHERE project_id = %(project)s AND day = ANY(%(days)s)", values
    )
    keys, sums = ", ".join(KEYS), ", ".join(SUMS)
    cursor.execute(
        f"INSERT INTO finops_costday (project_id, day, {keys}, {sums})"
        f" SELECT project_id, (at AT TIME ZONE %(zone)s)::date AS day, {keys},"
        f" {', '.join(f'sum({name})' for name in SUMS[:-1])}, {WHOLE_OR_UNKNOWN}"
        " FROM finops_costquarter WHERE project_id = %(project)s"
        " AND at >= %(from)s AND at < %(to)s"
        " AND (at AT TIME ZONE %(zone)s)::date = ANY(%(days)s)"
        f" GROUP BY project_id, (at AT TIME ZONE %(zone)s)::date, {keys}",
        values,
    )


def _was_moved(hour: PricedHour | None) -> bool:
    return hour is not None and hour.revision == TO_BE_REPRICED


def _forget_users(project: int, hours: list[datetime]) -> None:
    """The users of these hours' days were priced with another book."""
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    days = accounting_days(hours, zone)
    PricedUserDay.objects.filter(project_id=project, day__in=days).delete()


def _pin(
    cursor: Any,
    kind: str,
    owner: int,
    pins: dict[datetime, PriceBook],
    revisions: dict[datetime, int],
    now: datetime,
) -> None:
    cursor.execute(
        "INSERT INTO finops_pricedhour"
        " (owner_kind, owner_id, hour, revision, book_id, priced_at)"
        " SELECT %s, %s, hour, revision, book_id, %s"
        " FROM unnest(%s::timestamptz[], %s::bigint[], %s::bigint[])"
        " AS t (hour, revision, book_id)"
        " ON CONFLICT (owner_kind, owner_id, hour) DO UPDATE SET"
        " revision = excluded.revision, book_id = excluded.book_id,"
        " priced_at = excluded.priced_at",
        [
            kind,
            owner,
            now,
            list(pins),
            [revisions[hour] for hour in pins],
            [book.pk for book in pins.values()],
        ],
    )
