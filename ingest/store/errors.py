"""Errors that services logged, counted into quarter hours: pushed ones add up, pulled ones are set.

A pushed error is counted once, however often its batch is sent: its identity is remembered for as
long as an error of its time is still taken. A pulled window replaces the quarter hours that the
log store still answers for, so reading it again changes nothing; a quarter hour about which nothing
is said any more stays as it was read, for a log store forgets and unknown is not zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from ingest.error_records import (
    MOST_COUNTED,
    OTHER,
    REMEMBERED_FOR,
    ErrorRecord,
    ErrorTally,
    ErrorWindow,
    quarter_of,
)
from ingest.jobs import Lease
from ingest.models import ErrorCount, ErrorSeen, Source
from ingest.records import MAX_FUTURE, Reject

from .counting import (
    Counts,
    count_into_hour,
    delivery_transaction,
    note_success,
    project_of,
    quarantine_rejects,
)

MOST_SERVICES = 500
MOST_TYPES = 100
"""Of a service in a quarter hour, and of services in one: the rest is counted as `other`."""
MOST_NAME_CHARS = 200

Key = tuple[datetime, str, str]
"""(quarter hour, service, type)"""

SEEN = (
    "INSERT INTO ingest_error_seen (source_id, identity, at)"
    " SELECT %(source)s, * FROM unnest(%(identities)s::uuid[], %(times)s::timestamptz[])"
    " ON CONFLICT DO NOTHING RETURNING identity"
)
WRITE = (
    "INSERT INTO ingest_error_count AS c"
    " (project_id, source_id, at, service, type, count, exemplar, trace_id, changed_at)"
    " SELECT %(project)s, %(source)s, at, service, type, count, exemplar, trace_id, now()"
    " FROM unnest(%(ats)s::timestamptz[], %(services)s::text[], %(types)s::text[],"
    " %(counts)s::bigint[], %(exemplars)s::text[], %(traces)s::text[])"
    " AS told (at, service, type, count, exemplar, trace_id)"
    " ON CONFLICT (source_id, at, service, type) DO UPDATE SET changed_at = now(), "
)
ADD = (
    WRITE + "count = c.count + excluded.count,"
    " exemplar = CASE WHEN excluded.exemplar <> '' THEN excluded.exemplar ELSE c.exemplar END,"
    " trace_id = CASE WHEN excluded.exemplar <> '' THEN excluded.trace_id ELSE c.trace_id END"
)
# An exemplar is one of many and which one is chance: a new one alone is no change of the facts.
SET = (
    WRITE + "count = excluded.count,"
    " exemplar = CASE WHEN excluded.exemplar <> '' THEN excluded.exemplar ELSE c.exemplar END,"
    " trace_id = CASE WHEN excluded.exemplar <> '' THEN excluded.trace_id ELSE c.trace_id END"
    " WHERE c.count <> excluded.count OR (c.exemplar = '' AND excluded.exemplar <> '')"
    " RETURNING old.count IS NULL"
)


@dataclass(slots=True)
class _Counted:
    count: int = 0
    exemplar: str = ""
    trace_id: str = ""


def take(
    source: Source,
    records: Sequence[ErrorRecord],
    rejects: Sequence[Reject] = (),
    *,
    lease: Lease | None = None,
    position: dict[str, Any] | None = None,
) -> Counts:
    """Count errors that were pushed, each once. One transaction, and it may run inside another.

    `records` and `rejects` are those of `ingest.sources.otlp.logs.error_records`. Rows in are the
    errors: inserted when counted now, unchanged when counted before, rejected when they cannot be.
    """
    now = timezone.now()
    refused = list(rejects)
    sound: dict[UUID, ErrorRecord] = {}
    again = 0
    for record in records:
        problem = record.problem(now)
        if problem is not None:
            refused.append(problem)
            continue
        identity = UUID(bytes=record.identity)
        again += identity in sound
        sound[identity] = record
    with delivery_transaction(lease) as cursor:
        fresh = _not_seen(cursor, source, sound)
        _add(cursor, source, fresh)
        quarantine_rejects(source, refused)
        counts = Counts(
            inserted=len(fresh),
            unchanged=len(sound) - len(fresh) + again,
            rejected=len(refused),
        )
        count_into_hour(cursor, source, counts)
        newest = max((record.at for record in sound.values()), default=None)
        note_success(cursor, source, newest, position)
    return counts


def settle(
    source: Source,
    windows: Sequence[ErrorWindow],
    rejects: Sequence[Reject] = (),
    *,
    lease: Lease | None = None,
    position: dict[str, Any] | None = None,
) -> Counts:
    """Set what was counted in these windows, each quarter hour that is spoken of as a whole."""
    now = timezone.now()
    refused = list(rejects)
    sound: dict[Key, ErrorTally] = {}
    rows = 0
    for window in windows:
        for tally in window.tallies:
            problem = _problem(tally, window, now)
            if problem is not None:
                refused.append(problem)
                continue
            rows += 1
            key = (tally.at, tally.service, tally.type)
            sound[key] = tally
    told = {
        key: _Counted(tally.count, tally.exemplar, tally.trace_id) for key, tally in sound.items()
    }
    with delivery_transaction(lease) as cursor:
        _hold(cursor, source)
        kept = _folded(told, {})
        _forget_unspoken(cursor, source, kept)
        written = _write(cursor, SET, source, kept)
        quarantine_rejects(source, refused)
        inserted = sum(is_new for (is_new,) in written)
        updated = len(written) - inserted
        counts = Counts(
            inserted=inserted,
            updated=updated,
            unchanged=rows - inserted - updated,
            rejected=len(refused),
        )
        count_into_hour(cursor, source, counts)
        newest = max((at for at, _, _ in sound), default=None)
        note_success(cursor, source, newest, position)
    return counts


def forget(now: datetime) -> int:
    """Drop counts with their exemplars when their facts' time is over, and what was seen long ago.

    How many counts went. Exemplars are words of somebody, so they stay no longer than spans do.
    """
    cutoff = now - timedelta(days=settings.RETENTION_DAYS["span"])
    ErrorSeen.objects.filter(at__lt=now - REMEMBERED_FOR - timedelta(hours=1)).delete()
    gone: int = ErrorCount.objects.filter(at__lt=cutoff).delete()[0]
    return gone


# ---- pushed -----------------------------------------------------------------------------------


def _not_seen(cursor: Any, source: Source, sound: Mapping[UUID, ErrorRecord]) -> list[ErrorRecord]:
    """Those never counted. Whoever brings the same at once waits here for the other's commit."""
    if not sound:
        return []
    ordered = sorted(sound)
    cursor.execute(
        SEEN,
        {
            "source": source.pk,
            "identities": ordered,
            "times": [sound[identity].at for identity in ordered],
        },
    )
    return [sound[identity] for (identity,) in cursor.fetchall()]


def _add(cursor: Any, source: Source, fresh: Iterable[ErrorRecord]) -> None:
    told: dict[Key, _Counted] = defaultdict(_Counted)
    # In order of time, so that the exemplar is the newest one whatever the order they came in.
    for record in sorted(fresh, key=lambda record: (record.at, record.identity)):
        counted = told[quarter_of(record.at), _name(record.service), _name(record.type)]
        counted.count += 1
        if record.exemplar:
            counted.exemplar, counted.trace_id = record.exemplar, record.trace_id
    if told:
        _hold(cursor, source)
        _write(cursor, ADD, source, _folded(told, _known(cursor, source, told)))


def _known(cursor: Any, source: Source, told: Iterable[Key]) -> dict[datetime, dict[str, set[str]]]:
    """The services and their types that these quarter hours hold already."""
    known: dict[datetime, dict[str, set[str]]] = {}
    cursor.execute(
        "SELECT at, service, type FROM ingest_error_count"
        " WHERE source_id = %s AND at = ANY(%s::timestamptz[])",
        [source.pk, sorted({at for at, _, _ in told})],
    )
    for at, service, kind in cursor:
        known.setdefault(at, {}).setdefault(service, set()).add(kind)
    return known


# ---- pulled -----------------------------------------------------------------------------------


def _problem(tally: ErrorTally, window: ErrorWindow, now: datetime) -> Reject | None:
    name = f"{tally.service}/{tally.type}/{tally.at.isoformat()}"
    if not window.start <= tally.at < window.end or tally.at != quarter_of(tally.at):
        detail = "It was counted for a time that was not asked for; check the log store's answer."
        return Reject("outside_window", "at", detail, external_id=name)
    if tally.at > now + MAX_FUTURE:
        return Reject("in_the_future", "at", "It is yet to come. Check its clock.", name)
    if not 0 < tally.count <= MOST_COUNTED:
        detail = f"{tally.count} errors; a count is from 1 to {MOST_COUNTED}."
        return Reject("impossible_count", "count", detail, external_id=name)
    if tally.at < now - timedelta(days=settings.RETENTION_DAYS["span"]):
        detail = f"{tally.at:%Y-%m-%d} is past the retention; it would be dropped at once."
        return Reject("past_retention", "at", detail, external_id=name)
    return None


def _forget_unspoken(cursor: Any, source: Source, kept: Mapping[Key, _Counted]) -> None:
    """Types that a quarter hour no longer has: a narrower query, or one now among `other`."""
    if kept:
        cursor.execute(
            "DELETE FROM ingest_error_count c WHERE source_id = %(source)s"
            " AND at = ANY(%(spoken)s::timestamptz[]) AND NOT EXISTS ("
            "SELECT FROM unnest(%(ats)s::timestamptz[], %(services)s::text[], %(types)s::text[])"
            " AS told (at, service, type)"
            " WHERE (told.at, told.service, told.type) = (c.at, c.service, c.type))",
            {
                "source": source.pk,
                "spoken": sorted({at for at, _, _ in kept}),
                "ats": [at for at, _, _ in kept],
                "services": [service for _, service, _ in kept],
                "types": [kind for _, _, kind in kept],
            },
        )


# ---- both -------------------------------------------------------------------------------------


def _hold(cursor: Any, source: Source) -> None:
    """One writer of a source's counts at a time, so that the limit on names holds."""
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"error counts:{source.pk}"]
    )


def _folded(
    told: Mapping[Key, _Counted], known: dict[datetime, dict[str, set[str]]]
) -> dict[Key, _Counted]:
    """Under the names there is room for: the most frequent keep theirs, the rest is `other`."""
    kept: dict[Key, _Counted] = {}
    # Largest first, then by name: which ones keep theirs must not depend on the order they came in.
    for key in sorted(told, key=lambda key: (-told[key].count, key)):
        at, service, kind = key[0], _name(key[1]), _name(key[2])
        services = known.setdefault(at, {})
        if service not in services and len(services) >= MOST_SERVICES:
            service = OTHER
        types = services.setdefault(service, set())
        if kind not in types and len(types) >= MOST_TYPES:
            kind = OTHER
        types.add(kind)
        counted, before = told[key], kept.get((at, service, kind))
        kept[at, service, kind] = (
            replace(counted)
            if before is None
            else replace(before, count=before.count + counted.count)
        )
    return kept


def _name(said: str) -> str:
    """PostgreSQL's text holds no NUL, and no name needs more than this."""
    return said[:MOST_NAME_CHARS].replace("\0", "\ufffd")


def _write(cursor: Any, statement: str, source: Source, kept: Mapping[Key, _Counted]) -> list[Any]:
    if not kept:
        return []
    rows = sorted(kept.items())
    cursor.execute(
        statement,
        {
            "project": project_of(source),
            "source": source.pk,
            "ats": [at for (at, _, _), _ in rows],
            "services": [service for (_, service, _), _ in rows],
            "types": [kind for (_, _, kind), _ in rows],
            "counts": [counted.count for _, counted in rows],
            "exemplars": [_name(counted.exemplar) for _, counted in rows],
            "traces": [counted.trace_id for _, counted in rows],
        },
    )
    return cursor.fetchall() if cursor.description else []
