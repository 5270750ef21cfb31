"""Which usage a complete bill covers, and the values that every statement of the book may name.

Knows bills, their matches and days. Refuses sums: `book` makes them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from finops.models import LandedUsage
from ingest.models.owners import UNALLOCATED, Pool

from .filters import Filters, midnight

REQUEST_KINDS = ("llm", "embedding", "rerank", "inference")
"""Spans that a model answered; tools, agents and chains are not requests of their own."""


@dataclass(frozen=True, slots=True)
class Window:
    """Usage of one provider that a bill covers for whole days, or that fills a day's rest."""

    provider: str
    start: Any
    end: Any


@dataclass(frozen=True, slots=True)
class Coverage:
    """What complete bills cover of the usage in a range, and whether rules moved any."""

    days: tuple[Window, ...] = ()
    """Accounting days `[start, end)` whose daily usage is left out."""
    edges: tuple[Window, ...] = ()
    """Instants `[start, end)` inside those days that no bill covers."""
    of_pools: bool = False
    """Whether any of these is what a pool of ours served, which is paid by the hour."""
    moves_usage: bool = True
    """False where rules moved no usage of the range: to plan how they did takes as long as to add
    up a month."""


def asks_whose(filters: Filters, keys: Collection[str]) -> bool:
    """Whether it matters which project something stands under."""
    return filters.project_ids is not None or "project" in keys or "rule" in keys


def coverage(filters: Filters, keys: Collection[str] = ("project",)) -> Coverage:
    """Empty unless the book is asked for: usage alone is all usage, a bill alone has none.

    `keys` are what the book is to be split by.
    """
    if filters.basis != "book":
        return Coverage()
    within = LandedUsage.objects.filter(day__gte=filters.start, day__lt=filters.end)
    moved = not asks_whose(filters, keys) or within.exists()
    if not filters.bills:
        return Coverage(moves_usage=moved)
    covered: dict[str, list[tuple[datetime, datetime]]] = {}
    for provider, month, until in billed_months(filters):
        start = datetime.combine(month, time(), UTC)
        if start < until:
            covered.setdefault(provider, []).append((start, until))
    days: list[Window] = []
    edges: list[Window] = []
    for provider, spans in covered.items():
        for first, last in _whole_days(spans, filters):
            days.append(Window(provider, first, last))
            edges += (
                Window(provider, start, end)
                for start, end in _gaps(
                    spans, midnight(first, filters.zone), midnight(last, filters.zone)
                )
            )
    of_pools = bool(days) and Pool.objects.filter(provider__in=list(covered)).exists()
    return Coverage(tuple(days), tuple(edges), of_pools, moved)


def billed_months(filters: Filters) -> list[tuple[str, date, datetime]]:
    """(usage provider, billing month, covered until) of the bills believed in.

    Covered until: the bill's newest charge, but no later than a day after the newest usage line of
    the matched service began. A subscription charged for the whole month in advance must not hide
    usage that is not billed yet.
    """
    sql = f"""
        SELECT m.usage_provider, p.billing_month, least(max(p.last_charge_at), max(d.until))
        FROM ingest_deliveryperiod p
        JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
        CROSS JOIN finops_billmatch m
        -- One look into the index for each: a bill has thousands of such days.
        CROSS JOIN LATERAL (
            SELECT max(charged_until) AS until FROM ingest_billday
            WHERE period_id = p.id AND charge_category = 'Usage'
                AND provider = m.bill_provider AND service = m.bill_service
        ) AS d
        WHERE {believed(filters)} AND d.until IS NOT NULL
            AND p.billing_month >= %(start)s::date - 62 AND p.billing_month < %(end)s
        GROUP BY 1, 2"""
    return list(rows(sql, parameters(filters)))


def believed(filters: Filters) -> str:
    if filters.known_on is None:
        return "p.known_to IS NULL"
    return "p.known_from < %(known)s AND (p.known_to IS NULL OR p.known_to >= %(known)s)"


def _whole_days(
    spans: Iterable[tuple[datetime, datetime]], filters: Filters
) -> Iterator[tuple[date, date]]:
    """The accounting days that the spans touch, inside the range, as ranges that do not meet."""
    zone = ZoneInfo(filters.zone)
    open_range: list[date] = []
    for start, end in sorted(spans):
        first = max(start.astimezone(zone).date(), filters.start)
        last = (end - timedelta(microseconds=1)).astimezone(zone).date() + timedelta(days=1)
        last = min(last, filters.end)
        if first >= last:
            continue
        if open_range and first <= open_range[1]:
            open_range[1] = max(open_range[1], last)
            continue
        if open_range:
            yield open_range[0], open_range[1]
        open_range = [first, last]
    if open_range:
        yield open_range[0], open_range[1]


def _gaps(
    spans: Iterable[tuple[datetime, datetime]], start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The parts of `[start, end)` outside every span."""
    inside = sorted((max(a, start), min(b, end)) for a, b in spans if a < end and b > start)
    reached = start
    for a, b in inside:
        if a > reached:
            yield reached, a
        reached = max(reached, b)
    if reached < end:
        yield reached, end


def parameters(filters: Filters, covered: Coverage = Coverage()) -> dict[str, Any]:
    """Every value the SQL below may name; text never enters the statement itself."""
    known = filters.known_on and midnight(filters.known_on + timedelta(days=1), filters.zone)
    return {
        "zone": filters.zone,
        "start": filters.start,
        "end": filters.end,
        "start_at": filters.start_at,
        "end_at": filters.end_at,
        "known": known,
        "project_ids": None if filters.project_ids is None else list(filters.project_ids),
        "unclaimed": UNALLOCATED,
        "kinds": list(REQUEST_KINDS),
        "provider": list(filters.providers),
        "model": list(filters.models),
        "service": list(filters.services),
        "label": filters.split_label,
        "labels": list(filters.labels),
        "day_provider": [window.provider for window in covered.days],
        "day_from": [window.start for window in covered.days],
        "day_to": [window.end for window in covered.days],
        "edge_provider": [window.provider for window in covered.edges],
        "edge_from": [window.start for window in covered.edges],
        "edge_to": [window.end for window in covered.edges],
        **{
            f"billed{n}{name}": value
            for n, window in enumerate(covered.days)
            for name, value in (
                ("", window.provider), ("_from", window.start), ("_to", window.end)
            )
        },
    }  # fmt: skip


def rows(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
