"""Events, by (project, external id). The one place that writes them, whatever door they came by.

Knows what a second telling of the same event changes. Refuses to decide who may tell: a push token
speaks for its source's project, people are judged by `finops`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from ingest import quarantine
from ingest.events import TEXTS, EventRecord, row_of
from ingest.models import Event, Source
from ingest.records import Reject

from .counting import (
    Counts,
    count_into_hour,
    delivery_transaction,
    note_success,
    quarantine_rejects,
)

INSERTED, UPDATED, UNCHANGED, STALE, REJECTED = (
    "inserted", "updated", "unchanged", "stale", "rejected",
)  # fmt: skip
FORM = "record.event"
"""Of a refused event in quarantine, see `ingest.again`."""
SAID = ("kind", *TEXTS)
WRITTEN = (*SAID, "happened_at", "ended_at", "removed_at")
UPDATE = (
    f"UPDATE ingest_event SET {', '.join(f'{name} = %s' for name in WRITTEN)},"
    " stamps = %s::jsonb WHERE id = %s"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of one telling."""

    outcome: str
    event: Event | None = None
    reject: Reject | None = None


def take(source: Source, records: Sequence[EventRecord], rejects: Sequence[Reject] = ()) -> Counts:
    """Events that a machine pushed, with the bookkeeping of its source.

    A source without a project speaks for the whole estate.
    """
    with delivery_transaction(None) as cursor:
        kept = keep(source.project_id, records, source=source)
        refused = [
            *rejects,
            *(
                _to_try_again(one.reject, record)
                for one, record in zip(kept, records, strict=True)
                if one.reject is not None
            ),
        ]
        counts = counts_of(kept) + Counts(rejected=len(rejects))
        quarantine_rejects(source, refused)
        newest = max((one.event.happened_at for one in kept if one.event), default=None)
        count_into_hour(cursor, source, counts)
        note_success(cursor, source, newest)
    return counts


def hold(project_id: int | None) -> None:
    """One writer of a project's events at a time, until the transaction ends.

    Events are few, so it costs nothing, and the same event told twice at once is then one event
    told twice. Whoever stores more in the same transaction holds this first: the count of the hour,
    which every store ends with, must be the last lock, or two deliveries wait for each other.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('events', %s))", [project_id or 0]
        )


def keep(
    project_id: int | None,
    records: Sequence[EventRecord],
    *,
    source: Source | None = None,
    created_by: str = "",
    revives: bool = False,
) -> list[Kept]:
    """Each record's outcome, in order. `revives`: a person tells it, so a removed one comes back.

    Needs a transaction of the caller's, which also holds what else belongs to the act.
    """
    now = timezone.now()
    hold(project_id)
    told = [record.identified(now) for record in records]
    ids = {record.external_id for record in told}
    known = {
        event.external_id: event
        for event in Event.objects.filter(project_id=project_id, external_id__in=ids)
    }
    old = set(known)
    changed: set[str] = set()
    outcomes = []
    for record in told:
        reject = record.problem(now)
        event = known.get(record.external_id)
        if reject is not None:
            outcomes.append(Kept(REJECTED, reject=reject))
        elif event is None:
            event = known[record.external_id] = _made(record, now, project_id, source, created_by)
            outcomes.append(Kept(INSERTED, event))
        else:
            one = _retold(event, record, revives)
            if one.outcome == UPDATED:
                changed.add(record.external_id)
            outcomes.append(one)
    fresh = [event for external_id, event in known.items() if external_id not in old]
    Event.objects.bulk_create(fresh)
    _update([known[one] for one in sorted(changed & old)])
    return outcomes


def _update(events: Sequence[Event]) -> None:
    """One small statement a row, sent together: bulk_update takes a minute for 20,000 of them."""
    rows = [
        (*(getattr(event, name) for name in WRITTEN), json.dumps(event.stamps), event.pk)
        for event in events
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(UPDATE, rows)


def _to_try_again(reject: Reject, record: EventRecord) -> Reject:
    return replace(reject, form=FORM, payload=quarantine.payload(row_of(record)))


def counts_of(kept: Sequence[Kept]) -> Counts:
    outcomes = [one.outcome for one in kept]
    return Counts(
        *(outcomes.count(name) for name in (INSERTED, UPDATED, UNCHANGED, STALE, REJECTED))
    )


def end(event: Event, at: datetime) -> bool:
    """False: somebody has ended it before."""
    ended = Event.objects.filter(pk=event.pk, ended_at=None, removed_at=None)
    if ended.update(ended_at=at) != 1:
        return False
    event.ended_at = at
    return True


def remove(event: Event) -> bool:
    """False: it was removed before."""
    now = timezone.now()
    removed = Event.objects.filter(pk=event.pk, removed_at=None).update(removed_at=now)
    return bool(removed)


def _made(
    record: EventRecord,
    now: datetime,
    project_id: int | None,
    source: Source | None,
    created_by: str,
) -> Event:
    return Event(
        kind=record.kind,
        title=record.called,
        **{name: getattr(record, name) for name in TEXTS if name != "title"},
        project_id=project_id,
        happened_at=record.happened_at or record.ended_at or now,
        ended_at=record.ended_at,
        origin=record.origin,
        external_id=record.external_id,
        stamps={name: record.stamp for name in SAID if getattr(record, name)},
        source=source,
        created_by=created_by,
    )


def _retold(event: Event, record: EventRecord, revives: bool) -> Kept:
    """The known event after one more telling; an empty text says nothing and erases nothing."""
    if event.removed_at is not None and not revives:
        return Kept(UNCHANGED, event)
    happened_at, ended_at = _times(event, record)
    if ended_at is not None and ended_at < happened_at:
        return Kept(REJECTED, reject=record.ends_early())
    said = {name: text for name in SAID if (text := getattr(record, name))}
    # Each text by itself, so that messages about one event give the same in any order.
    newer = {name: text for name, text in said.items() if record.stamp >= _stamp(event, name)}
    stamps = {**event.stamps, **dict.fromkeys(newer, record.stamp)}
    wanted: dict[str, Any] = {"happened_at": happened_at, "ended_at": ended_at, "removed_at": None}
    wanted |= newer
    if "title" not in stamps:
        told = {name: wanted.get(name, getattr(event, name)) for name in ("service", "version")}
        wanted["title"] = EventRecord(record.kind, event.external_id, **told).called
    has_changed = any(getattr(event, name) != value for name, value in wanted.items())
    for name, value in {**wanted, "stamps": stamps}.items():
        setattr(event, name, value)
    if has_changed:
        return Kept(UPDATED, event)
    is_stale = any(getattr(event, name) != text for name, text in said.items())
    return Kept(STALE if is_stale else UNCHANGED, event)


def _stamp(event: Event, name: str) -> int:
    """Of whoever said this last; nobody did where it was made up from the rest."""
    return int(event.stamps.get(name, -1))


def _times(event: Event, record: EventRecord) -> tuple[datetime, datetime | None]:
    happened_at, ended_at = record.happened_at, record.ended_at
    if not record.is_partial:
        return happened_at or event.happened_at, ended_at or event.ended_at
    begins = [at for at in (event.happened_at, happened_at, ended_at) if at is not None]
    ends = [at for at in (event.ended_at, ended_at) if at is not None]
    return min(begins), max(ends, default=None)
