"""Bills: a delivery is kept whole, and supersedes an earlier one only when it is complete."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from ingest import failpoints, partitions
from ingest.jobs import Lease
from ingest.models import Delivery, DeliveryPeriod, Source
from ingest.records import BillRecord, Reject
from ingest.sources.base import Reading

from .counting import (
    Counts,
    copy_rows,
    delivery_transaction,
    make_staging,
    note_success,
    quarantine_rejects,
)

FIELDS = BillRecord._fields
JSON_FIELDS = ("tags", "extra", "repairs")
TYPES = {
    **dict.fromkeys(FIELDS, "text"),
    **dict.fromkeys(
        (
            "billing_period_start", "billing_period_end",
            "charge_period_start", "charge_period_end",
        ),
        "timestamptz",
    ),
    **dict.fromkeys(
        (
            "billed_cost", "effective_cost", "list_cost", "contracted_cost",
            "consumed_quantity", "pricing_quantity",
        ),
        "numeric",
    ),
    **dict.fromkeys(JSON_FIELDS, "jsonb"),
    "line": "int8",
    "content_hash": "bytea",
}  # fmt: skip
STAGED = {"billing_month": "date", **{name: TYPES[name] for name in FIELDS}}
COPIED = {**STAGED, **dict.fromkeys(JSON_FIELDS, "bytea")}
"""As they go over the wire: a binary COPY takes jsonb as its text behind a mark of one byte. Made
here, each text is made once for many rows; psycopg would make it anew for each."""
COSTS = ("billed", "effective", "list", "contracted")
REJECTS_AT_ONCE = 1000


@dataclass(frozen=True)
class BillResult:
    """What became of one file. `repeated`: the very same file was here before."""

    delivery: Delivery
    counts: Counts
    repeated: bool


def bill(
    source: Source,
    *,
    name: str,
    sha256: bytes,
    complete: bool,
    rows: Iterable[BillRecord | Reject] | Reading,
    note: str = "",
    lease: Lease | None = None,
    position: dict[str, Any] | None = None,
) -> BillResult:
    """Store one billing file, or several that are one delivery.

    The same delivery again changes nothing. A complete one becomes the current one for each
    (billing account, month) it speaks of; what it supersedes stays readable as known before. A row
    is "unchanged" when the superseded delivery held the same content, "inserted" otherwise. `note`
    says why a delivery is not complete, `position` is the cursor to move in the same transaction.
    """
    with delivery_transaction(lease) as cursor:
        # Two files of one source at once: the later one supersedes the earlier, in commit order.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"bill:{source.pk}"]
        )
        earlier = _same(source, sha256, complete)
        if earlier is not None:
            note_success(cursor, source, None, position)
            counts = Counts(unchanged=earlier.rows_in - earlier.rejected, rejected=earlier.rejected)
            return BillResult(earlier, counts, repeated=True)
        cursor.execute("SET LOCAL statement_timeout = '10min'")
        delivery, _ = Delivery.objects.update_or_create(
            source=source,
            sha256=sha256,
            defaults={
                "name": name, "received_at": timezone.now(), "complete": complete, "note": note,
            },
        )  # fmt: skip
        _forget_incomplete_copy(cursor, delivery)
        rejected = _stage(cursor, source, delivery, rows)
        failpoints.hit("bill.staged")
        cursor.execute("SELECT DISTINCT billing_month FROM bill_in")
        partitions.ensure(partitions.BILL_LINE, [month for (month,) in cursor.fetchall()])
        counts = Counts(rejected=rejected)
        for scope in _scopes(cursor):
            counts += _store_period(cursor, source, delivery, *scope)
            failpoints.hit("bill.period")
        for field, value in counts.as_dict().items():
            setattr(delivery, field, value)
        # A reading's warnings are whole only now that its rows were read.
        found = rows.warnings if isinstance(rows, Reading) else []
        delivery.warnings = [*found, *_told_twice(cursor, delivery)]
        delivery.save()
        cursor.execute("SELECT max(charge_period_end) FROM bill_in")
        note_success(cursor, source, cursor.fetchone()[0], position)
        failpoints.hit("bill.before_commit")
    failpoints.hit("bill.after_commit")
    with connection.cursor() as cursor:
        # Autovacuum never looks at so few rows, and one in two hundred would be taken for believed.
        cursor.execute("ANALYZE ingest_delivery, ingest_deliveryperiod")
    return BillResult(delivery, counts, repeated=False)


def _same(source: Source, sha256: bytes, complete: bool) -> Delivery | None:
    """This very delivery, here already; one that was complete stays so."""
    found = Delivery.objects.filter(source=source, sha256=sha256).first()
    return found if found is not None and (found.complete or not complete) else None


def _told_twice(cursor: Any, delivery: Delivery) -> list[str]:
    """Bills of the same account and month from another source would be counted twice."""
    cursor.execute(
        "SELECT s.name, own.billing_account_id, to_char(min(own.billing_month), 'YYYY-MM')"
        " FROM ingest_deliveryperiod own"
        " JOIN ingest_deliveryperiod other USING (billing_account_id, billing_month)"
        " JOIN ingest_source s ON s.id = other.source_id"
        " WHERE own.delivery_id = %s AND own.known_to IS NULL AND other.known_to IS NULL"
        " AND other.source_id <> own.source_id GROUP BY 1, 2 ORDER BY 1, 2",
        [delivery.pk],
    )
    return [
        f"The source {name} also has bills of account {account} from {month} on; totals count"
        " both, so keep one of the two."
        for name, account, month in cursor.fetchall()
    ]


def _forget_incomplete_copy(cursor: Any, delivery: Delivery) -> None:
    """The same file, announced as complete at last, takes the place of itself."""
    cursor.execute(
        "DELETE FROM ingest_bill_line WHERE source_id = %s AND delivery_id = %s",
        [delivery.source_id, delivery.pk],
    )
    delivery.rejects.all().delete()
    delivery.periods.all().delete()


def _stage(
    cursor: Any, source: Source, delivery: Delivery, rows: Iterable[BillRecord | Reject]
) -> int:
    """Copy the rows that could be read, quarantine the others; how many were quarantined."""
    make_staging(cursor, "bill_in", STAGED)
    rejects: list[Reject] = []

    def good() -> Iterator[tuple[Any, ...]]:
        for row in rows:
            if isinstance(row, Reject):
                rejects.append(row)
            else:
                yield _copied(row)

    copy_rows(cursor, "bill_in", COPIED, good())
    for start in range(0, len(rejects), REJECTS_AT_ONCE):
        quarantine_rejects(source, rejects[start : start + REJECTS_AT_ONCE], delivery)
    return len(rejects)


def _copied(row: BillRecord) -> tuple[Any, ...]:
    """In the order of COPIED."""
    *plain, tags, extra, repairs, content_hash = row
    return (
        row.billing_month,
        *plain,
        _json_object(tuple(tags.items())),
        _json_object(tuple(extra.items())),
        _json_list(repairs),
        content_hash,
    )


JSONB = b"\x01"


@lru_cache(maxsize=20_000)
def _json_object(items: tuple[tuple[str, str], ...]) -> bytes:
    return JSONB + json.dumps(dict(items)).encode()


@lru_cache(maxsize=1_000)
def _json_list(items: tuple[str, ...]) -> bytes:
    return JSONB + json.dumps(items).encode()


def _scopes(cursor: Any) -> list[tuple[str, date, int, datetime]]:
    """(billing account, month, lines, end of the newest charge) of what is staged."""
    cursor.execute(
        "SELECT billing_account_id, billing_month, count(*), max(charge_period_end)"
        " FROM bill_in GROUP BY 1, 2 ORDER BY 1, 2"
    )
    return cursor.fetchall()


def _store_period(
    cursor: Any,
    source: Source,
    delivery: Delivery,
    account: str,
    month: date,
    lines: int,
    last_charge: datetime,
) -> Counts:
    current = DeliveryPeriod.objects.filter(
        source_id=source.pk, billing_account_id=account, billing_month=month, known_to=None
    ).first()
    unchanged = _lines_known(cursor, current, account, month) if current else 0
    if current and delivery.complete:
        current.known_to = delivery.received_at
        current.save(update_fields=["known_to"])
    period = DeliveryPeriod.objects.create(
        delivery=delivery,
        source_id=source.pk,
        billing_account_id=account,
        billing_month=month,
        line_count=lines,
        last_charge_at=last_charge,
        known_from=delivery.received_at,
        # What is not complete is kept for reading and never believed.
        known_to=None if delivery.complete else delivery.received_at,
    )
    _insert_lines(cursor, source, delivery, period)
    _sum_days(cursor, period)
    return Counts(inserted=lines - unchanged, unchanged=unchanged)


def _lines_known(cursor: Any, current: DeliveryPeriod, account: str, month: date) -> int:
    """How many staged lines the current delivery holds too, equal lines counted as often."""
    cursor.execute(
        "SELECT coalesce(sum(least(fresh.n, known.n)), 0)::bigint FROM"
        " (SELECT content_hash, count(*) n FROM bill_in"
        "  WHERE billing_account_id = %s AND billing_month = %s GROUP BY 1) fresh"
        " JOIN (SELECT content_hash, count(*) n FROM ingest_bill_line"
        "  WHERE source_id = %s AND billing_month = %s AND period_id = %s GROUP BY 1) known"
        " USING (content_hash)",
        [account, month, current.source_id, month, current.pk],
    )
    return cursor.fetchone()[0]


def _insert_lines(cursor: Any, source: Source, delivery: Delivery, period: DeliveryPeriod) -> None:
    cursor.execute(
        f"INSERT INTO ingest_bill_line (source_id, delivery_id, period_id, {', '.join(STAGED)})"
        f" SELECT %s, %s, %s, {', '.join(STAGED)} FROM bill_in"
        " WHERE billing_account_id = %s AND billing_month = %s",
        [source.pk, delivery.pk, period.pk, period.billing_account_id, period.billing_month],
    )


def _sum_days(cursor: Any, period: DeliveryPeriod) -> None:
    cursor.execute(
        "INSERT INTO ingest_billday (period_id, day, currency, provider, service_category,"
        " service, sku, sub_account, region, charge_category, lines,"
        " billed_cost, effective_cost, list_cost, contracted_cost, charged_until)"
        " SELECT period_id, (charge_period_start AT TIME ZONE %s)::date, billing_currency,"
        " provider_name, service_category, service_name, sku_id, sub_account_name, region_id,"
        " charge_category, count(*),"
        " sum(billed_cost), sum(effective_cost), sum(list_cost), sum(contracted_cost),"
        " max(least(charge_period_end, charge_period_start + interval '1 day'))"
        " FROM ingest_bill_line"
        " WHERE source_id = %s AND billing_month = %s AND period_id = %s"
        " GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        [settings.ACCOUNTING_TIME_ZONE, period.source_id, period.billing_month, period.pk],
    )
    _sum_skus(cursor, period)


def _sum_skus(cursor: Any, period: DeliveryPeriod) -> None:
    summed = [f"sum(d.{name}_cost)" for name in COSTS]
    unknown = [f"coalesce(sum(d.lines) FILTER (WHERE d.{name}_cost IS NULL), 0)" for name in COSTS]
    cursor.execute(
        "INSERT INTO ingest_billskuday (period_id, day, currency, provider, service, sku, is_used,"
        f" {', '.join(f'{name}_cost' for name in COSTS)},"
        f" {', '.join(f'unknown_{name}' for name in COSTS)})"
        " SELECT d.period_id, d.day, d.currency, d.provider, d.service, d.sku,"
        f" bool_or(used.sku IS NOT NULL), {', '.join([*summed, *unknown])}"
        " FROM ingest_billday d LEFT JOIN ("
        "  SELECT DISTINCT provider, service, sku FROM ingest_billday WHERE period_id = %s"
        "  AND charge_category NOT IN ('Credit', 'Tax', 'Adjustment')"
        " ) AS used USING (provider, service, sku)"
        " WHERE d.period_id = %s GROUP BY 1, 2, 3, 4, 5, 6",
        [period.pk, period.pk],
    )
