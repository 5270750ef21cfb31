"""Evaluations of spans and traces, by (project, source, external id)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ingest import kept
from ingest.jobs import Lease
from ingest.models import Source
from ingest.records import Reject, ScoreRecord

from .counting import (
    Counts,
    count_into_hour,
    delivery_transaction,
    note_success,
    project_of,
    quarantine_rejects,
)

VALUES = ("version", "trace_id", "span_id", "name", "at", "number", "label", "truth")


def scores(
    source: Source,
    records: Sequence[ScoreRecord],
    rejects: Sequence[Reject] = (),
    *,
    lease: Lease | None = None,
    position: dict | None = None,
) -> Counts:
    """Store scores; a lower version of one that is known is stale."""
    refused = list(rejects)
    latest: dict[str, ScoreRecord] = {}
    sound = [record for record in records if not _refused(record, refused)]
    for record in sound:
        before = latest.get(record.external_id)
        if before is None or record.version >= before.version:
            latest[record.external_id] = record
    with delivery_transaction(lease) as cursor:
        counts = Counts(stale=len(sound) - len(latest), rejected=len(refused))
        for record in sorted(latest.values(), key=lambda r: r.external_id):
            counts += _write(cursor, project_of(source), source.pk, record)
        quarantine_rejects(source, refused)
        newest = max((record.at for record in latest.values()), default=None)
        count_into_hour(cursor, source, counts)
        note_success(cursor, source, newest, position)
    return counts


def _refused(record: ScoreRecord, refused: list[Reject]) -> bool:
    given = [v for v in (record.number, record.label, record.truth) if v is not None]
    detail = ""
    if not record.external_id or not record.trace_id or not record.name:
        detail = "A score needs an id, a trace id and a name."
    elif len(given) != 1:
        detail = "Send exactly one of number, label and truth."
    elif record.number is not None and not math.isfinite(record.number):
        detail = "NaN and infinity are no scores."
    if detail:
        problem = Reject("impossible_score", "value", detail, record.external_id)
        refused.append(kept.with_record(problem, record))
    return bool(detail)


def _write(cursor, project: int, source: int, record: ScoreRecord) -> Counts:
    cursor.execute(
        f"INSERT INTO ingest_score AS s (project_id, source_id, external_id, {', '.join(VALUES)})"
        f" VALUES (%s, %s, %s, {', '.join(['%s'] * len(VALUES))})"
        " ON CONFLICT (project_id, source_id, external_id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in VALUES)
        + " WHERE excluded.version >= s.version AND"
        f" ({', '.join(f's.{name}' for name in VALUES[1:])}) IS DISTINCT FROM"
        f" ({', '.join(f'excluded.{name}' for name in VALUES[1:])})"
        " RETURNING old.version IS NULL",
        [project, source, record.external_id, *(getattr(record, name) for name in VALUES)],
    )
    row = cursor.fetchone()
    if row is not None:
        return Counts(inserted=1) if row[0] else Counts(updated=1)
    cursor.execute(
        "SELECT version > %s FROM ingest_score"
        " WHERE project_id = %s AND source_id = %s AND external_id = %s",
        [record.version, project, source, record.external_id],
    )
    return Counts(stale=1) if cursor.fetchone()[0] else Counts(unchanged=1)
