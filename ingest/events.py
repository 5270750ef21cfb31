"""What an event is: a release, a config change or an incident, and what makes one impossible.

Plain values: no database, no network, no clock. Every door (API, page, command, OTLP, Git tags)
makes the same record and has it judged here. Unknown is empty, never made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ingest.records import EARLIEST, MAX_FUTURE, Reject

RELEASE, CONFIG_CHANGE, INCIDENT = "release", "config_change", "incident"
KINDS = (RELEASE, CONFIG_CHANGE, INCIDENT)
ORIGINS = ("api", "page", "command", "otlp", "git")

OF_CONTENT = "content:"
"""How an id begins that we made of an event's content."""

LONGEST = {
    "external_id": 200,
    "title": 200,
    "version": 100,
    "service": 200,
    "environment": 60,
    "link": 500,
}
"""Characters of each text; the columns are as wide."""
TIMES = ("happened_at", "ended_at")
TEXTS = ("title", "version", "service", "environment", "link")
"""What a later word about the same event may replace."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One telling of one event. Times are aware UTC."""

    kind: str
    external_id: str = ""
    """The sender's own; empty: it is made from the content, see `identified`."""
    title: str = ""
    version: str = ""
    service: str = ""
    environment: str = ""
    happened_at: datetime | None = None
    """None: now, or as known already."""
    ended_at: datetime | None = None
    link: str = ""
    origin: str = "api"
    stamp: int = 0
    """The sender's own time in microseconds; a lower one never overwrites a higher."""
    is_partial: bool = False
    """One of several messages about the same event, in any order: its times widen what is known
    instead of replacing it."""

    @property
    def called(self) -> str:
        """What people read when nobody gave it a title."""
        named = " ".join(filter(None, (self.service, self.version)))
        return self.title or named[: LONGEST["title"]] or self.external_id.rpartition(":")[2]

    def identified(self, now: datetime) -> EventRecord:
        """With a time and an id: the same content told again has the same id."""
        if self.external_id:
            return self
        at = self.happened_at or now
        parts = (self.kind, at.isoformat(), *(getattr(self, name) for name in TEXTS))
        digest = hashlib.sha256("\x1f".join(parts).encode()).hexdigest()
        return replace(self, happened_at=at, external_id=f"{OF_CONTENT}{digest[:32]}")

    def problem(self, now: datetime) -> Reject | None:
        """Why this event cannot be taken, or None."""
        if self.kind not in KINDS:
            return self._reject("unknown_kind", "kind", f"Use one of {', '.join(KINDS)}.")
        has_own_id = self.external_id and not self.external_id.startswith(OF_CONTENT)
        if not (self.title or self.version or self.service or has_own_id):
            detail = "Say what it was: give a title, or a service and a version."
            return self._reject("missing_title", "title", detail)
        for name, most in LONGEST.items():
            text = getattr(self, name)
            if len(text) > most:
                detail = f"{len(text)} characters; give at most {most}."
                return self._reject("too_long", name, detail)
            if not text.isprintable():
                detail = "Holds a line break or a control character; give one line of plain text."
                return self._reject("not_plain", name, detail)
        return self._bad_link() or self._bad_times(now)

    def _bad_link(self) -> Reject | None:
        if not self.link or is_web_address(self.link):
            return None
        detail = "Must be an address that begins with https:// or http://, or be left out."
        return self._reject("bad_link", "link", detail)

    def _bad_times(self, now: datetime) -> Reject | None:
        for name in TIMES:
            at = getattr(self, name)
            if at is None:
                continue
            if at > now + MAX_FUTURE:
                detail = f"{at.isoformat()} is yet to come; tell an event when it has happened."
                return self._reject("in_the_future", name, detail)
            if at < EARLIEST:
                detail = f"{at.isoformat()} is before the year 2000; send real times."
                return self._reject("too_old", name, detail)
        if self.happened_at and self.ended_at and self.ended_at < self.happened_at:
            return self.ends_early()
        return None

    def ends_early(self) -> Reject:
        return self._reject(
            "ends_before_start", "ended_at", "Ends before it began; give a time after happened_at."
        )

    def _reject(self, reason: str, name: str, detail: str) -> Reject:
        return Reject(reason, name, detail, external_id=self.external_id)


def row_of(record: EventRecord) -> dict[str, Any]:
    """As quarantine keeps it; what says nothing is left out."""
    told = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in told.items()
        if value not in ("", None)
    }


def of_row(row: Mapping[str, Any]) -> EventRecord:
    """The same record again. Raises TypeError or ValueError for what is none."""
    told: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in TIMES else value
        for name, value in row.items()
    }
    return EventRecord(**told)


def is_web_address(link: str) -> bool:
    """Only these are safe behind a link on a page: `javascript:` would run in the reader's name."""
    if not link.isprintable() or any(sign in link for sign in ' "<>\\'):
        return False
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
