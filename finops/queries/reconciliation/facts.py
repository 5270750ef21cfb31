"""The rows behind a reconciliation: bill lines and priced usage of matched services, by month.

A billing month begins at midnight UTC; usage is cut there, and where the bill's charges end, to
the quarter hour. Knows SQL; refuses to interpret: rows leave here as sums.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.core.cache import cache
from redis.exceptions import RedisError

from finops.costing.reconciling import CREDITS, OTHER, USAGE

from ..book import COSTS, REQUEST_KINDS, believed, parameters, rows
from ..filters import Filters, midnight

log = logging.getLogger(__name__)


class BillRow(NamedTuple):
    """Lines of one day, SKU, kind of charge and units."""

    month: date
    provider: str
    service: str
    currency: str
    day: date
    kind: str
    sku: str
    category: str
    consumed_unit: str
    pricing_unit: str
    cost: Decimal | None
    lines: int
    unknown: int
    """Lines without this cost; they are in no amount."""
    decimals: int
    consumed: Decimal | None
    """None unless every line tells it, as `priced_by`."""
    priced_by: Decimal | None
    longer: int
    """Lines that charge more than a day."""


class UsageRow(NamedTuple):
    """Usage of one day and model, in the time that the bill covers or in the rest."""

    provider: str
    month: date
    covered: bool
    day: date
    model: str
    currency: str
    cost: Decimal
    tokens: int
    unpriced_tokens: int
    priced: int
    unpriced: int
    unpriced_gpu_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a billing month of one provider's usage, covered by the bill or not."""

    provider: str
    month: date
    covered: bool
    start: datetime
    end: datetime


def month_start(month: date) -> datetime:
    return datetime.combine(month, time(), UTC)


def month_after(month: date) -> date:
    return (month + timedelta(days=32)).replace(day=1)


KIND = f"""CASE WHEN l.charge_category = 'Credit' OR l.charge_class = 'Correction'
            OR l.charge_category = 'Usage' AND %(cost)s < 0 THEN '{CREDITS}'
        WHEN l.charge_category = 'Usage' THEN '{USAGE}' ELSE '{OTHER}' END"""


PERIODS = """
SELECT p.id, extract(epoch FROM p.known_from)::text
FROM ingest_deliveryperiod p
JOIN ingest_delivery v ON v.id = p.delivery_id AND v.complete
WHERE p.billing_month = ANY(%(months)s::date[]) AND {believed}
ORDER BY p.id"""

LINES = """
SELECT p.id, p.billing_month, l.provider_name, l.service_name, l.billing_currency,
    (l.charge_period_start AT TIME ZONE %(zone)s)::date, {kind}, l.sku_id,
    CASE WHEN l.charge_class = '' THEN l.charge_category
        ELSE l.charge_category || ', ' || lower(l.charge_class) END,
    l.consumed_unit, l.pricing_unit,
    sum({cost}), count(*), count(*) FILTER (WHERE {cost} IS NULL),
    coalesce(max(scale(trim_scale({cost}))), 0),
    CASE WHEN count(l.consumed_quantity) = count(*) THEN sum(l.consumed_quantity) END,
    CASE WHEN count(l.pricing_quantity) = count(*) THEN sum(l.pricing_quantity) END,
    count(*) FILTER (WHERE l.charge_period_end - l.charge_period_start > interval '1 day')
FROM ingest_deliveryperiod p
JOIN ingest_bill_line l ON l.source_id = p.source_id AND l.billing_month = p.billing_month
    AND l.delivery_id = p.delivery_id AND l.period_id = p.id
JOIN unnest(%(bill_provider)s::text[], %(bill_service)s::text[]) AS m (provider, service)
    ON m.provider = l.provider_name AND m.service = l.service_name
WHERE p.id = ANY(%(periods)s::bigint[])
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"""

KEPT_S = 7 * 86400
KEPT_FORM = 1
"""Raised whenever a sum of the same lines would look different."""


def bill_rows(
    filters: Filters, months: Sequence[date], services: Iterable[tuple[str, str]]
) -> list[BillRow]:
    """Every line of these services in the complete bills believed in, summed.

    The lines of a complete delivery never change, and there may be tens of thousands of them: the
    sums of a period are kept, and only of a period that nobody has looked at are lines read.
    """
    wanted = sorted(services)
    values = parameters(filters) | {"months": list(months)}
    found = rows(PERIODS.format(believed=believed(filters)), values)
    asked = [KEPT_FORM, filters.metric, filters.zone, wanted]
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    keys = {pk: f"bill-sums:{pk}:{known_from}:{digest}" for pk, known_from in found}
    kept = _kept(keys.values())
    missing = [pk for pk, key in keys.items() if key not in kept]
    if missing:
        read = _line_sums(filters, wanted, missing)
        _keep({keys[pk]: read[pk] for pk in missing})
        kept |= {keys[pk]: read[pk] for pk in missing}
    return [BillRow(*row) for key in keys.values() for row in kept[key]]


def _line_sums(
    filters: Filters, services: Sequence[tuple[str, str]], periods: list[int]
) -> dict[int, list[tuple[Any, ...]]]:
    cost = COSTS[filters.metric].replace("d.", "l.")
    sql = LINES.format(kind=KIND.replace("%(cost)s", cost), cost=cost)
    values = parameters(filters) | {
        "periods": periods,
        "bill_provider": [provider for provider, _ in services],
        "bill_service": [service for _, service in services],
    }
    found: dict[int, list[tuple[Any, ...]]] = {pk: [] for pk in periods}
    for pk, *row in rows(sql, values):
        found[pk].append(tuple(row))
    return found


def _kept(keys: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Nothing while the cache is away: then the lines are read, as they are the first time."""
    try:
        found: dict[str, list[tuple[Any, ...]]] = cache.get_many(list(keys))
    except (RedisError, OSError):
        log.warning("The cache is away; bill lines are read again")
        return {}
    return found


def _keep(sums: dict[str, list[tuple[Any, ...]]]) -> None:
    try:
        cache.set_many(sums, KEPT_S)
    except (RedisError, OSError):
        log.warning("The cache is away; sums of bill lines were not kept")


SUMS = """c.model, c.currency, sum(c.cost), sum(c.tokens - c.unpriced_tokens)::bigint,
    sum(c.unpriced_tokens)::bigint, sum(c.priced_spans)::bigint,
    sum(c.unpriced_spans + c.unknown_spans)::bigint, 0::float8"""

USED = f"""
SELECT w.provider, w.month, w.covered, c.day, {SUMS}
FROM unnest(%(day_of)s::text[], %(day_month)s::date[], %(day_covered)s::bool[],
    %(day_from)s::date[], %(day_to)s::date[]) AS w (provider, month, covered, first, last)
JOIN finops_costday c ON c.provider = w.provider AND c.day >= w.first AND c.day < w.last
GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT w.provider, w.month, w.covered, (c.at AT TIME ZONE %(zone)s)::date, {SUMS}
FROM unnest(%(edge_of)s::text[], %(edge_month)s::date[], %(edge_covered)s::bool[],
    %(edge_from)s::timestamptz[], %(edge_to)s::timestamptz[])
    AS w (provider, month, covered, first, last)
JOIN finops_costquarter c ON c.provider = w.provider AND c.at >= w.first AND c.at < w.last
GROUP BY 1, 2, 3, 4, 5, 6
UNION ALL
SELECT w.provider, w.month, w.covered, (q.at AT TIME ZONE %(zone)s)::date,
    l.hardware, q.currency, coalesce(sum(q.allocated), 0), 0::bigint, 0::bigint,
    count(q.allocated), 0::bigint,
    coalesce(900 * sum(l.gpu_count) FILTER (WHERE q.model = '' AND q.allocated IS NULL), 0)::float8
FROM unnest(%(all_of)s::text[], %(all_month)s::date[], %(all_covered)s::bool[],
    %(all_from)s::timestamptz[], %(all_to)s::timestamptz[])
    AS w (provider, month, covered, first, last)
JOIN ingest_pool l ON l.provider = w.provider
JOIN finops_poolquarter q ON q.pool_id = l.id AND q.at >= w.first AND q.at < w.last
GROUP BY 1, 2, 3, 4, 5, 6"""
"""Whole accounting days from their sums, the rest from quarter hours, and hardware by the hour."""


def usage_rows(filters: Filters, windows: Sequence[Window]) -> list[UsageRow]:
    """Usage and hardware of these windows. Rows that cost nothing and miss no price, as the spans
    that a pool of ours served, are left out: their money is the pool's."""
    values: dict[str, Any] = {"zone": filters.zone}
    days, edges = _cut(windows, filters.zone)
    for name, cut in (("day", days), ("edge", edges), ("all", windows)):
        values[f"{name}_of"] = [one.provider for one in cut]
        values[f"{name}_month"] = [one.month for one in cut]
        values[f"{name}_covered"] = [one.covered for one in cut]
        values[f"{name}_from"] = [one.start for one in cut]
        values[f"{name}_to"] = [one.end for one in cut]
    found = (UsageRow(*row) for row in rows(USED, values))
    return [row for row in found if row.cost or row.priced or row.unpriced or row.unpriced_gpu_s]


def _cut(windows: Iterable[Window], zone: str) -> tuple[list[Any], list[Window]]:
    """Each window as whole accounting days, and what is left of it at either end."""
    days: list[Any] = []
    edges: list[Window] = []
    for window in windows:
        first = window.start.astimezone(ZoneInfo(zone)).date()
        if midnight(first, zone) < window.start:
            first += timedelta(days=1)
        last = window.end.astimezone(ZoneInfo(zone)).date()
        if first < last:
            days.append(_Days(window.provider, window.month, window.covered, first, last))
            ends = [(window.start, midnight(first, zone)), (midnight(last, zone), window.end)]
        else:
            ends = [(window.start, window.end)]
        edges += (
            Window(window.provider, window.month, window.covered, start, end)
            for start, end in ends
            if start < end
        )
    return days, edges


@dataclass(frozen=True, slots=True)
class _Days:
    provider: str
    month: date
    covered: bool
    start: date
    end: date


def late_requests(windows: Iterable[Window]) -> dict[tuple[str, date], int]:
    """(provider, month) → requests that are in the sums and came after their day was sealed."""
    cut = list(windows)
    sql = """
SELECT w.provider, w.month, sum(c.spans)::bigint
FROM unnest(%(of)s::text[], %(month)s::date[], %(from)s::timestamptz[], %(to)s::timestamptz[])
    AS w (provider, month, first, last)
JOIN ingest_late_quarter c ON c.provider = w.provider AND c.at >= w.first AND c.at < w.last
    AND c.kind = ANY(%(kinds)s)
GROUP BY 1, 2"""
    found = rows(
        sql,
        {
            "kinds": list(REQUEST_KINDS),
            "of": [one.provider for one in cut],
            "month": [one.month for one in cut],
            "from": [one.start for one in cut],
            "to": [one.end for one in cut],
        },
    )
    return {(provider, month): count for provider, month, count in found}
