"""Releases, config changes and incidents: what stood in a period, and what stood near a day.

Knows who may see which: those of one's own projects, and those about the whole estate. Refuses to
say that one thing caused another; it says what was when.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from finops import access
from finops.models import AnomalyMark
from finops.templatetags import words
from ingest.events import CONFIG_CHANGE, INCIDENT, KINDS, RELEASE
from ingest.models import Event

from . import cursors
from .filters import Filters, midnight

MOST_MARKED = 2_000
"""A chart groups what it marks; more than this is a log, not a list of events."""
BEFORE = timedelta(hours=24)
"""How long before an unexpected day an event is still named with it."""
MOST_NAMED = 3

KIND_WORDS = {RELEASE: "release", CONFIG_CHANGE: "config change", INCIDENT: "incident"}


@dataclass(frozen=True, slots=True)
class EventPage:
    rows: tuple[Event, ...]
    """Newest first, each with its project and source."""
    next: str | None


@dataclass(frozen=True, slots=True)
class Near:
    """An event near an unexpected day, and how near."""

    event: Event
    said: str
    """As in: 2 h after release search 1.4.2."""


def said(event: Event) -> str:
    """`release search 1.4.2`."""
    return f"{KIND_WORDS[event.kind]} {event.title}"


def events(
    filters: Filters,
    *,
    kind: str = "",
    environment: str = "",
    limit: int = 50,
    cursor: str | None = None,
) -> EventPage:
    """What happened, or was still going on, in the period. `limit` rows, newest first."""
    found = _in_period(filters)
    if kind in KINDS:
        found = found.filter(kind=kind)
    if environment:
        found = found.filter(environment=environment)
    if cursor:
        at, pk = cursors.decode(cursor, cursors.instant, cursors.identity)
        found = found.filter(Q(happened_at__lt=at) | Q(happened_at=at, pk__lt=pk))
    rows: list[Event] = list(found[: limit + 1])
    page = tuple(rows[:limit])
    more = len(rows) > limit
    last = cursors.encode(page[-1].happened_at.isoformat(), page[-1].pk) if more else None
    return EventPage(page, last)


def marked(filters: Filters) -> list[Event]:
    """What a chart over this period marks, oldest first."""
    return list(reversed(_in_period(filters)[:MOST_MARKED]))


def open_incidents(filters: Filters) -> list[Event]:
    """Those of the period that nobody has ended, newest first."""
    return list(_in_period(filters).filter(kind=INCIDENT, ended_at=None)[:MOST_MARKED])


def environments(filters: Filters) -> list[str]:
    """The environments that events of the period name."""
    named = _in_period(filters).exclude(environment="").order_by("environment")
    return list(named.values_list("environment", flat=True).distinct())


def one(user: Any, pk: int) -> Event | None:
    """An event that this reader may see."""
    visible = access.visible_projects(user)
    if not visible.all and not visible.everything:
        return None
    reach = _reach(None if visible.everything else tuple(visible.ids))
    found: Event | None = _shown().filter(reach, pk=pk).first()
    return found


def near(marks: Sequence[AnomalyMark], zone: str) -> dict[int, tuple[Near, ...]]:
    """By mark: the events of its scope on its day and in the day before, nearest first.

    The marks are ones the reader may see, and an event of a project is as visible as its cost.
    """
    if not marks:
        return {}
    first = midnight(min(mark.day for mark in marks), zone) - BEFORE
    last = _end(max(mark.day for mark in marks), zone)
    found = list(_shown().filter(happened_at__lt=last).filter(_lasts_into(first))[:MOST_MARKED])
    return {mark.pk: tuple(_near(mark, found, zone)) for mark in marks}


def _near(mark: AnomalyMark, found: Iterable[Event], zone: str) -> list[Near]:
    begin, end = midnight(mark.day, zone), _end(mark.day, zone)
    project_id = int(mark.scope.partition(":")[2] or 0)
    named = []
    for event in found:
        if project_id and event.project_id not in (None, project_id):
            continue
        goes_on = event.happened_at < begin and _is_on(event, begin)
        if begin - BEFORE <= event.happened_at < end or goes_on:
            named.append((abs(event.happened_at - begin), event.pk, event))
    named.sort(key=lambda entry: entry[:2])
    return [Near(event, _near_said(event, begin)) for *_, event in named[:MOST_NAMED]]


def _near_said(event: Event, begin: datetime) -> str:
    if event.happened_at >= begin:
        return f"on the day of {said(event)}, at {words.local(event.happened_at):%H:%M}"
    if event.kind == INCIDENT and _is_on(event, begin):
        return f"during {said(event)}"
    passed = begin - event.happened_at
    hours = passed // timedelta(hours=1)
    apart = f"{hours} h" if hours else f"{max(passed // timedelta(minutes=1), 1)} min"
    return f"{apart} after {said(event)}"


def _is_on(event: Event, at: datetime) -> bool:
    if event.ended_at is not None:
        return bool(event.ended_at > at)
    return event.is_open


def _end(day: date, zone: str) -> datetime:
    return midnight(day + timedelta(days=1), zone)


def _shown() -> QuerySet[Event]:
    found = Event.objects.filter(removed_at=None).select_related("project", "source")
    return found.order_by("-happened_at", "-pk")


def _reach(project_ids: tuple[int, ...] | None) -> Q:
    """What is about the whole estate is for everybody who sees a part of it."""
    return Q() if project_ids is None else Q(project=None) | Q(project_id__in=project_ids)


def _lasts_into(start: datetime) -> Q:
    goes_on = Q(kind=INCIDENT, ended_at=None)
    return Q(happened_at__gte=start) | Q(ended_at__gt=start) | goes_on


def _in_period(filters: Filters) -> QuerySet[Event]:
    found = _shown().filter(_reach(filters.project_ids), happened_at__lt=filters.end_at)
    found = found.filter(_lasts_into(filters.start_at))
    if filters.services:
        found = found.filter(service__in=("", *filters.services))
    return found
