"""Records as a source would make them, with only what a test cares about spelled out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ingest.records import BillRecord, MetricRecord, SeriesKey, SpanRecord

NOON = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)


def span(number: int = 1, **changes) -> SpanRecord:
    start = changes.get("started_at", NOON)
    usual = {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "started_at": start,
        "ended_at": start + timedelta(milliseconds=250),
        "version": 1,
        "kind": "llm",
        "service": "search",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "input_tokens": 100,
        "output_tokens": 20,
    }
    return SpanRecord(**{**usual, **changes})


def metric(
    name: str, value: float, at: datetime, kind: str = "counter", **labels: str
) -> MetricRecord:
    return MetricRecord(SeriesKey(name, kind, labels=tuple(sorted(labels.items()))), at, value)


def bill_line(line: int = 1, **changes) -> BillRecord:
    usual = {
        "line": line,
        "billing_account_id": "account-1",
        "billing_period_start": datetime(2026, 10, 1, tzinfo=UTC),
        "billing_period_end": datetime(2026, 11, 1, tzinfo=UTC),
        "charge_period_start": datetime(2026, 10, 5, tzinfo=UTC),
        "charge_period_end": datetime(2026, 10, 6, tzinfo=UTC),
        "billing_currency": "USD",
        "billed_cost": Decimal("12.5"),
        "effective_cost": Decimal("12.5"),
        "list_cost": Decimal("15"),
        "contracted_cost": Decimal("12.5"),
        "charge_category": "Usage",
        "provider_name": "AWS",
        "service_name": "Amazon EC2",
        "content_hash": f"row {line}".encode(),
    }
    return BillRecord(**{**usual, **changes})
