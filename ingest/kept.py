"""A record that cannot be true, as quarantine keeps it, and the same record again.

Pure but for the encryption of what is kept elsewhere. Knows how each field of a record is written
as JSON. Refuses texts: a record tried again says nothing of what its prompt was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from ingest import quarantine
from ingest.quarantine import BeyondUse
from ingest.records import MetricRecord, Reject, ScoreRecord, SeriesKey, SpanRecord

Kept = SpanRecord | ScoreRecord | MetricRecord

FORMS: dict[type[Any], str] = {
    SpanRecord: "record.span",
    ScoreRecord: "record.score",
    MetricRecord: "record.metric",
}
TIMES = ("started_at", "ended_at", "at")
HASHES = ("prompt_hash", "parameters_hash", "prompt_signature")
FROM_TEXT = "texts"


def with_record(problem: Reject, record: Kept) -> Reject:
    """The reject with what it refuses, so that it can be tried again."""
    return replace(problem, form=FORMS[type(record)], payload=quarantine.payload(row_of(record)))


def row_of(record: Kept) -> dict[str, Any]:
    if isinstance(record, MetricRecord):
        key = record.series
        labels = [[name, value] for name, value in key.labels]
        return {
            "name": key.name, "kind": key.kind, "unit": key.unit, "labels": labels,
            "at": record.at.isoformat(), "reading": record.value,
        }  # fmt: skip
    told = {field.name: getattr(record, field.name) for field in fields(record)}
    told.pop(FROM_TEXT, None)
    return {name: _said(value) for name, value in told.items() if value is not None}


def _said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, tuple):
        return [_said(one) for one in value]
    return dict(value) if isinstance(value, Mapping) else value


def span(row: Mapping[str, Any]) -> SpanRecord:
    """Raises BeyondUse."""
    made: SpanRecord = _made(SpanRecord, row)
    return made


def score(row: Mapping[str, Any]) -> ScoreRecord:
    """Raises BeyondUse."""
    made: ScoreRecord = _made(ScoreRecord, row)
    return made


def metric(row: Mapping[str, Any]) -> MetricRecord:
    """Raises BeyondUse."""
    try:
        labels = tuple((name, value) for name, value in row["labels"])
        key = SeriesKey(row["name"], row["kind"], row.get("unit", ""), labels)
        return MetricRecord(key, datetime.fromisoformat(row["at"]), float(row["reading"]))
    except (KeyError, TypeError, ValueError):
        raise _not_enough() from None


def _made(kind: Callable[..., Any], row: Mapping[str, Any]) -> Any:
    try:
        return kind(**{name: _read(name, value) for name, value in row.items()})
    except (TypeError, ValueError, ArithmeticError):
        raise _not_enough() from None


def _read(name: str, value: Any) -> Any:
    if name in TIMES:
        return datetime.fromisoformat(value)
    if name in HASHES:
        return bytes.fromhex(value)
    if name == "prefix_hashes":
        return tuple(bytes.fromhex(one) for one in value)
    return Decimal(value) if name == "source_cost_usd" else value


def _not_enough() -> BeyondUse:
    return BeyondUse("what was kept of it is not the whole record")
