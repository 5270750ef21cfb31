"""What each pool cost per quarter hour, and which of its models used it.

Knows Triton's compute counters and hardware prices. Refuses to take a gap for idleness.

Busy time is that of `triton_statistics` where a model has it. Elsewhere it is Triton's Prometheus
counters, which count the time of a batch once for each request in it: a model that answers in
batches of eight then seems eight times as busy as it was.

How `PoolQuarter` rows are to be read:

- A finished quarter is 900 s of all GPUs of the pool, observed or not: they were paid for. The
  quarter still running counts only the seconds observed so far, until it is finished. Hardware
  billed by use costs what its models used, and nothing while it waits.
- `allocated` summed over all rows of a quarter is what was paid: a model's row holds what it used,
  the row with the empty model the rest. `used` is the busy share, 0 on the idle row.
- `covered_s` of the empty model's row says how much of the quarter was observed. So, of a finished
  quarter, paid × (1 − covered_s / 900) was paid unobserved, and the remainder of the empty row was
  truly idle. Without telemetry its `busy_s` and `used` are NULL.
- `allocated` is NULL when the number of GPUs or the price of the hardware is unknown.
- A pool is paid for from its first telemetry, or from when it was entered if that was earlier.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from finops.actions import hardware_sums
from finops.actions.book_rates import QUARTER, quarters_of
from finops.costing.pools import Busy, share_out
from finops.costing.rates import SINCE_EVER
from finops.models import HardwarePrice, PriceBook
from finops.models.prices import BY_USE
from finops.money import Money
from ingest.models import Pool
from ingest.rollup.spans import accounting_days
from ingest.sources.triton_statistics import EXECUTION_SECONDS, REQUESTS_OK
from ingest.store.counting import copy_rows

QUARTER_S = QUARTER.total_seconds()

BUSY_US = (
    "nv_inference_compute_input_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_inference_compute_output_duration_us",
)
"""Triton's counters of the time a model's instances worked: moving data in, computing, moving out.
Waiting in the queue is not work."""

ANSWERED = "nv_inference_request_success"

COLUMNS = {
    "pool_id": "int4",
    "at": "timestamptz",
    "model": "text",
    "requests": "float8",
    "busy_s": "float8",
    "covered_s": "float8",
    "used": "numeric",
    "allocated": "numeric",
    "currency": "text",
    "book_id": "int8",
}

DUE = """
WITH since AS (
    SELECT p.id, date_trunc('hour', least(p.created_at, min(r.hour))) AS first
    FROM ingest_pool p
    LEFT JOIN ingest_rolledhour r ON r.owner_kind = 'pool' AND r.owner_id = p.id
    GROUP BY p.id
), due AS (
    SELECT s.id, h.hour, row_number() OVER (PARTITION BY s.id ORDER BY h.hour DESC) AS place
    FROM since s
    CROSS JOIN generate_series(s.first, %(now)s, interval '1 hour') AS h (hour)
    LEFT JOIN ingest_rolledhour r
        ON r.owner_kind = 'pool' AND r.owner_id = s.id AND r.hour = h.hour
    LEFT JOIN finops_pricedhour p
        ON p.owner_kind = 'pool' AND p.owner_id = s.id AND p.hour = h.hour
    WHERE p.revision IS NULL
        OR p.revision <> coalesce(r.revision, p.revision)
        OR p.revision < 0
        -- A quarter was running when it was priced, and has been finished since.
        OR (p.priced_at < h.hour + interval '1 hour'
            AND date_bin('15 minutes', p.priced_at, 'epoch')
                < date_bin('15 minutes', %(now)s, 'epoch'))
)
SELECT id, hour FROM due WHERE place <= %(limit)s ORDER BY id, hour"""

BUSY = """
SELECT q.at, k.labels ->> 'model',
    coalesce(
        sum(q.increase) FILTER (WHERE k.name = %(exact)s),
        sum(q.increase) FILTER (WHERE k.name = ANY(%(busy)s)) / 1e6),
    -- Prometheus' count goes on over a reload of the model, that of the statistics begins again.
    coalesce(
        sum(q.increase) FILTER (WHERE k.name = %(answered)s),
        sum(q.increase) FILTER (WHERE k.name = %(exact_answered)s)),
    coalesce(max(q.covered_s) FILTER (WHERE k.name = %(exact)s), max(q.covered_s))
FROM ingest_series_quarter q
JOIN ingest_series k ON k.id = q.series_id
WHERE q.pool_id = %(pool)s AND q.at = ANY(%(quarters)s)
    AND (k.name = ANY(%(busy)s)
        OR k.name IN (%(answered)s, %(exact)s, %(exact_answered)s))
    AND k.labels ->> 'model' <> '' AND q.increase IS NOT NULL
GROUP BY q.at, k.labels ->> 'model'
HAVING count(*) FILTER (WHERE k.name = ANY(%(busy)s) OR k.name = %(exact)s) > 0"""


def due(limit: int, now: datetime) -> dict[int, list[datetime]]:
    """Hours to price per pool, the newest `limit` of each: unlike spans, also unobserved ones."""
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"limit": limit, "now": now})
        rows = cursor.fetchall()
    return {pool: [hour for _, hour in group] for pool, group in groupby(rows, lambda r: r[0])}


def write(cursor: Any, pool_id: int, pins: Mapping[datetime, PriceBook], now: datetime) -> None:
    """All quarters of these hours, written over."""
    quarters = [at for hour in pins for at in quarters_of(hour)]
    cursor.execute(
        "DELETE FROM finops_poolquarter WHERE pool_id = %s AND at = ANY(%s)", [pool_id, quarters]
    )
    # Read before the COPY begins: it has the connection to itself.
    rows = priced(cursor, pool_id, pins, now)
    copy_rows(cursor, "finops_poolquarter", COLUMNS, rows)
    zone = ZoneInfo(settings.ACCOUNTING_TIME_ZONE)
    hardware_sums.write_paid(cursor, pool_id, accounting_days(list(pins), zone))


def priced(
    cursor: Any, pool_id: int, pins: Mapping[datetime, PriceBook], now: datetime
) -> list[tuple[Any, ...]]:
    """What `write` would write for these hours, as values of `COLUMNS`.

    A list, because nothing can be asked of the database while rows are being copied into it.
    """
    pool = Pool.objects.get(pk=pool_id)
    busy = _busy(cursor, pool_id, [at for hour in pins for at in quarters_of(hour)])
    prices = hardware_prices(pool.hardware, pins.values())
    return [
        row
        for hour, book in pins.items()
        for at in quarters_of(hour)
        for row in _rows(pool, at, book, prices[book.pk], busy[at], now)
    ]


def _rows(
    pool: Pool,
    at: datetime,
    book: PriceBook,
    prices: list[HardwarePrice],
    busy: Mapping[str, Busy],
    now: datetime,
) -> Iterable[tuple[Any, ...]]:
    elapsed_s = QUARTER_S
    if at + QUARTER > now:
        elapsed_s = min(QUARTER_S, max((model.covered_s for model in busy.values()), default=0.0))
    if not elapsed_s:
        return
    price = price_at(prices, at)
    hourly = Money(price.hourly, price.currency) if price else None
    by_use = price is not None and price.billed_by == BY_USE
    currency = price.currency if price and (by_use or pool.gpu_count is not None) else ""
    for line in share_out(elapsed_s, pool.gpu_count, hourly, busy, by_use=by_use):
        yield (
            pool.pk, at, line.model, line.requests, line.busy_s, line.covered_s,
            line.used, line.allocated, currency, book.pk,
        )  # fmt: skip


def _busy(cursor: Any, pool_id: int, quarters: list[datetime]) -> dict[datetime, dict[str, Busy]]:
    cursor.execute(
        BUSY,
        {
            "pool": pool_id,
            "quarters": quarters,
            "busy": list(BUSY_US),
            "answered": ANSWERED,
            "exact": EXECUTION_SECONDS,
            "exact_answered": REQUESTS_OK,
        },
    )
    found: dict[datetime, dict[str, Busy]] = defaultdict(dict)
    for at, model, busy_s, requests, covered_s in cursor.fetchall():
        found[at][model] = Busy(busy_s, requests, covered_s)
    return found


def hardware_prices(hardware: str, books: Iterable[PriceBook]) -> dict[int, list[HardwarePrice]]:
    """Per book, the prices of this hardware; the newest start comes first, since ever last."""
    prices: dict[int, list[HardwarePrice]] = {book.pk: [] for book in books}
    rows = HardwarePrice.objects.filter(book_id__in=prices, hardware__iexact=hardware.strip())
    for price in sorted(rows, key=lambda row: row.valid_from or SINCE_EVER, reverse=True):
        prices[price.book_id].append(price)
    return prices


def price_at(prices: list[HardwarePrice], at: datetime) -> HardwarePrice | None:
    """The one that held then; `prices` come newest first."""
    return next((p for p in prices if p.valid_from is None or p.valid_from <= at), None)
