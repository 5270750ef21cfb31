"""Prompts and answers of projects that keep text: apart from the facts, for as long as each says.

Knows the text table alone. Refuses text of a project that does not keep any, whoever brings it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from ingest import partitions
from ingest.models import Project, SpanText
from ingest.partitions import SPAN_TEXT
from ingest.records import SpanRecord, span_key

from .counting import copy_rows, make_staging

MAX_TEXT_CHARS = 100_000
"""Of each text; the rest is cut off."""
COLUMNS = {"key": "uuid", "version": "int8", "texts": "jsonb"}

# A newer version goes over an older one; what only one of them says stays either way.
KEEP = """
INSERT INTO ingest_span_text AS t (project_id, day, key, version, texts, received_at)
SELECT %(project)s, s.day, i.key, i.version, i.texts, now()
FROM span_text_in i JOIN span_in s USING (key)
ON CONFLICT (project_id, day, key) DO UPDATE SET
    version = greatest(t.version, excluded.version),
    texts = CASE WHEN excluded.version >= t.version THEN t.texts || excluded.texts
        ELSE excluded.texts || t.texts END
WHERE t.texts <> CASE WHEN excluded.version >= t.version THEN t.texts || excluded.texts
    ELSE excluded.texts || t.texts END"""
KEEPING = "SELECT pg_advisory_xact_lock_shared(hashtextextended('span texts', 0))"
PURGING = "SELECT pg_advisory_xact_lock(hashtextextended('span texts', 0))"
"""No day's partition goes while somebody writes text."""

EXPIRED = (
    "USING ingest_project p WHERE p.id = t.project_id"
    " AND t.received_at < %(now)s - make_interval(days => p.text_days)"
)


def keep(cursor: Any, project: int, records: Sequence[SpanRecord]) -> None:
    """Store the texts of spans that are staged in `span_in`, on the days they have there."""
    rows = _rows(project, records)
    if not rows or not Project.objects.filter(pk=project, keeps_text=True).exists():
        return
    cursor.execute(KEEPING)
    make_staging(cursor, "span_text_in", COLUMNS)
    copy_rows(cursor, "span_text_in", COLUMNS, rows)
    cursor.execute("SELECT DISTINCT s.day FROM span_text_in i JOIN span_in s USING (key)")
    partitions.forget(SPAN_TEXT.table)
    partitions.ensure(SPAN_TEXT, [day for (day,) in cursor.fetchall()])
    cursor.execute(KEEP, {"project": project})


def _rows(project: int, records: Iterable[SpanRecord]) -> list[tuple[Any, ...]]:
    """One row a span, in key order; of several versions in one delivery the newest."""
    newest: dict[UUID, SpanRecord] = {}
    for record in records:
        if record.texts:
            key = span_key(project, record.trace_id, record.span_id)
            if key not in newest or record.version >= newest[key].version:
                newest[key] = record
    return [(key, newest[key].version, _cut(newest[key].texts or {})) for key in sorted(newest)]


def _cut(texts: Mapping[str, str]) -> dict[str, str]:
    """jsonb holds neither NUL nor half of a surrogate pair."""
    return {
        name: text[:MAX_TEXT_CHARS].replace("\0", "\ufffd").encode("utf-8", "replace").decode()
        for name, text in texts.items()
    }


def of_span(project: int, day: date, key: UUID) -> dict[str, str]:
    """What was kept of one span, by the name it came under; empty when nothing was."""
    found = SpanText.objects.filter(project_id=project, day=day, key=key).first()
    return found.texts if found is not None else {}


def purge(now: datetime) -> int:
    """Delete what is past its project's days. How many spans lost their text."""
    return _delete(EXPIRED, {"now": now})


def forget(project: int, *, before: date | None = None, user_id: str = "") -> int:
    """Delete a project's text at once: all of it, of days before one, or of one user."""
    wanted = "USING ingest_project p WHERE p.id = t.project_id AND t.project_id = %(project)s"
    if before is not None:
        wanted += " AND t.day < %(before)s"
    if user_id:
        wanted += (
            " AND EXISTS (SELECT FROM ingest_span s WHERE s.project_id = t.project_id"
            " AND s.day = t.day AND s.key = t.key AND s.user_id = %(user)s)"
        )
    return _delete(wanted, {"project": project, "before": before, "user": user_id})


def _delete(wanted: str, given: Mapping[str, Any]) -> int:
    """Day by day, so that no lock is held for long; an empty day's table is dropped."""
    deleted = 0
    for name in partitions.existing(SPAN_TEXT):
        with _purging(name) as cursor:
            if cursor is not None:
                cursor.execute(f"DELETE FROM {name} t {wanted}", given)
                deleted += cursor.rowcount
        # On its own: a drop waits for whoever reads, and must hold nothing that they may want.
        with _purging(name) as cursor:
            if cursor is not None and _is_empty(cursor, name):
                partitions.drop(name)
    return deleted


@contextmanager
def _purging(name: str) -> Iterator[Any]:
    """A cursor while nobody writes text; None when another purge has dropped the table."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PURGING)
        yield cursor if name in partitions.existing(SPAN_TEXT) else None


def _is_empty(cursor: Any, name: str) -> bool:
    cursor.execute(f"SELECT NOT EXISTS (SELECT FROM {name})")
    return bool(cursor.fetchone()[0])
