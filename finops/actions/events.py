"""Events that people and their scripts tell by hand: added, corrected, ended and removed.

Every act has its audit record in the same transaction; telling the same thing again changes nothing
and leaves none. Refuses whoever has no role over what the event is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.models import User
from ingest import store
from ingest.events import INCIDENT, EventRecord
from ingest.models import Event, Project
from ingest.records import MAX_FUTURE
from ingest.store.events import INSERTED, UPDATED, Kept

MANAGE = "finops.manage_events"


class Refused(Exception):
    """One field that is wrong, and a sentence with the fix; without a field, the act itself."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def may_manage(user: Any, project: Project | None) -> bool:
    """What is about the whole estate asks for a role over the whole organisation."""
    return bool(user.has_perm(MANAGE, project) if project else user.has_perm(MANAGE))


def add(record: EventRecord, project: Project | None, *, by: User | None, via: str) -> Kept:
    """A new event, a known one with what is new about it, or a known one as it was."""
    with transaction.atomic():
        name = by.get_username() if by else "command line"
        [kept] = store.events.keep(
            project.pk if project else None, [record], created_by=name, revives=True
        )
        if kept.reject is not None:
            raise Refused(kept.reject.field, kept.reject.detail)
        if kept.event is not None and kept.outcome in (INSERTED, UPDATED):
            act = "event.add" if kept.outcome == INSERTED else "event.change"
            audit.record(by, via, act, kept.event, _told(kept.event))
    return kept


def add_all(records: Sequence[EventRecord], project: Project | None) -> list[Kept]:
    """Events that a program found, such as Git tags; what is wrong with one costs only that one.

    No audit of each; one that was removed by hand stays removed.
    """
    with transaction.atomic():
        return store.events.keep(
            project.pk if project else None, records, created_by="command line"
        )


def end(event: Event, at: datetime | None, *, by: User | None, via: str) -> None:
    """`at` is now unless it is said. Ending it again at the same time changes nothing."""
    now = timezone.now()
    when = at or now
    if event.kind != INCIDENT:
        raise Refused("", "Only an incident goes on until it is ended; this one just happened.")
    if when < event.happened_at:
        began = f"{event.happened_at:%Y-%m-%d %H:%M:%S} UTC"
        raise Refused("ended_at", f"It began at {began}; give a later time.")
    if when > now + MAX_FUTURE:
        raise Refused("ended_at", "This is yet to come; end an incident when it is over.")
    with transaction.atomic():
        if store.events.end(event, when):
            audit.record(by, via, "event.end", event, _told(event))
            return
    event.refresh_from_db()
    if event.ended_at != at:
        raise Refused("", f"It ended at {event.ended_at:%Y-%m-%d %H:%M:%S} UTC already.")


def remove(event: Event, *, by: User | None, via: str) -> None:
    with transaction.atomic():
        if store.events.remove(event):
            audit.record(by, via, "event.remove", event, _told(event))


def _told(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "title": event.title,
        "project": event.project.slug if event.project else "",
        "happened_at": event.happened_at.isoformat(),
        "ended_at": event.ended_at.isoformat() if event.ended_at else "",
    }
