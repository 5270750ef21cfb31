"""Alerts as people and their bots read them: lists, counts, history, what channels were told.

Knows who may see which: alerts of one's own projects, and for members of the organisation those
without a project. Refuses changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When

from finops import access
from finops.models import Alert, AlertEvent, Channel, Message, Silence
from finops.models.alerts import ALERT_STATES, OPEN, RESOLVED, SEVERITIES
from finops.models.channels import REMOVED

from . import cursors

CURRENT, EVERY = "current", "all"
STATE_CHOICES = (CURRENT, *ALERT_STATES, EVERY)
"""`current` is everything that is not resolved."""

KIND_WORDS = {
    "budget": "Budget",
    "unpriced": "Usage without a price",
    "source_lag": "Silent source",
    "anomaly": "Unexpected spend",
    "slo": "Objective",
    "threshold": "Watched threshold",
    "drift": "Drift",
    "verdict": "Verdict",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asks for; an empty value is no condition."""

    state: str = CURRENT
    kind: str = ""
    severity: str = ""
    project: str = ""
    """A slug."""


@dataclass(frozen=True, slots=True)
class AlertPage:
    rows: tuple[Alert, ...]
    """Open ones first, of them the worst, of those the newest."""
    next: str | None


@dataclass(frozen=True, slots=True)
class EventPage:
    rows: tuple[AlertEvent, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Told:
    """One notice to one channel."""

    channel: str
    event: str
    at: datetime
    state: str
    attempts: int
    problem: str


RANK = Case(
    *(
        When(state=state, severity=severity, then=Value(rank))
        for rank, (state, severity) in enumerate(product(ALERT_STATES, reversed(SEVERITIES)))
    ),
    output_field=IntegerField(),
)
"""By state, and the worst first within one."""


def alerts(user: Any, wanted: Wanted, *, limit: int = 50, cursor: str | None = None) -> AlertPage:
    found = _wanted(user, wanted).annotate(rank=RANK).order_by("rank", "-opened_at", "-pk")
    found = found.select_related("project", "owner", "acknowledged_by", "resolved_by")
    if cursor:
        rank, at, pk = cursors.decode(cursor, cursors.small, cursors.instant, cursors.identity)
        older = Q(opened_at__lt=at) | Q(opened_at=at, pk__lt=pk)
        found = found.filter(Q(rank__gt=rank) | Q(rank=rank) & older)
    rows = list(found[: limit + 1])
    page = tuple(rows[:limit])
    if len(rows) <= limit:
        return AlertPage(page, None)
    last = page[-1]
    return AlertPage(page, cursors.encode(last.rank, last.opened_at.isoformat(), last.pk))


def counts(user: Any, wanted: Wanted) -> dict[str, int]:
    """By state, under the other conditions; each state there is."""
    others = Wanted(EVERY, wanted.kind, wanted.severity, wanted.project)
    found = _wanted(user, others).order_by().values_list("state").annotate(Count("pk"))
    return {**dict.fromkeys(ALERT_STATES, 0), **dict(found)}


def open_count(user: Any) -> int:
    """For the badge in the navigation of every page: one look into a small index."""
    return int(visible(user).filter(state=OPEN).count())


def one(user: Any, pk: int) -> Alert | None:
    """An alert that this reader may see."""
    shown = visible(user).select_related("project", "owner", "acknowledged_by", "resolved_by")
    found: Alert | None = shown.filter(pk=pk).first()
    return found


def some(user: Any, ids: Iterable[int]) -> list[Alert]:
    """Those of them that this reader may see."""
    return list(visible(user).filter(pk__in=list(ids)).select_related("project").order_by("pk"))


def visible(user: Any) -> QuerySet[Alert]:
    projects = access.visible_projects(user)
    if projects.everything:
        return Alert.objects.all()
    return Alert.objects.filter(project_id__in=projects.ids)


def _wanted(user: Any, wanted: Wanted) -> QuerySet[Alert]:
    found = visible(user)
    if wanted.state == CURRENT:
        found = found.exclude(state=RESOLVED)
    elif wanted.state != EVERY:
        found = found.filter(state=wanted.state)
    for name, value in (
        ("kind", wanted.kind),
        ("severity", wanted.severity),
        ("project__slug", wanted.project),
    ):
        if value:
            found = found.filter(**{name: value})
    return found


# What became of them


def timeline(alert: Alert) -> list[AlertEvent]:
    """Newest first."""
    return list(alert.events.order_by("-pk"))


def deliveries(alert: Alert) -> list[Told]:
    """What channels were told of it, newest first."""
    channels = {pk for told in alert.events.values_list("told", flat=True) for pk in told}
    # By channel, so that the unique index of messages finds them.
    found = Message.objects.filter(channel_id__in=channels, alert_id=alert.ref)
    return [
        Told(
            message.channel.name,
            message.event,
            message.at,
            message.state,
            message.attempts,
            message.last_problem,
        )
        for message in found.select_related("channel").order_by("-pk")
    ]


def history(user: Any, wanted: Wanted, *, limit: int, cursor: str | None) -> EventPage:
    """What became of all of them, newest first."""
    found = _events(user, wanted).order_by("-pk")
    if cursor:
        [pk] = cursors.decode(cursor, cursors.identity)
        found = found.filter(pk__lt=pk)
    rows = list(found[: limit + 1])
    page = tuple(rows[:limit])
    return EventPage(page, cursors.encode(page[-1].pk) if len(rows) > limit else None)


def events_after(user: Any, after: str, limit: int) -> EventPage:
    """The next events, oldest first, and the cursor to go on from; always one.

    `after` is a cursor, `now` to begin behind the newest, or empty to begin with the first.
    """
    if after == "now":
        newest = AlertEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
        return EventPage((), cursors.encode(newest or 0))
    position = cursors.decode(after, cursors.identity)[0] if after else 0
    found = _events(user, Wanted(EVERY)).filter(pk__gt=position).order_by("pk")
    page = tuple(found[:limit])
    return EventPage(page, cursors.encode(page[-1].pk if page else position))


def _events(user: Any, wanted: Wanted) -> QuerySet[AlertEvent]:
    asked = _wanted(user, wanted)
    found = AlertEvent.objects.select_related("alert", "alert__project", "by")
    return found.filter(alert__in=asked.order_by())


# Silences, channels


def silences(user: Any, now: datetime, *, over: bool = False) -> list[Silence]:
    """Those that are on or to come, and with `over` those that were, newest start first."""
    projects = access.visible_projects(user)
    found = Silence.objects.select_related("project", "created_by", "ended_by")
    if not projects.everything:
        found = found.filter(Q(project=None) | Q(project_id__in=projects.ids))
    coming = Q(ends_at__gt=now, ended_at=None)
    return list((found.exclude(coming) if over else found.filter(coming))[:MOST_SILENCES])


MOST_SILENCES = 500


def one_silence(user: Any, pk: int) -> Silence | None:
    projects = access.visible_projects(user)
    found = Silence.objects.select_related("project")
    if not projects.everything:
        found = found.filter(Q(project=None) | Q(project_id__in=projects.ids))
    silence: Silence | None = found.filter(pk=pk).first()
    return silence


def silenced(rows: Sequence[Alert], now: datetime) -> dict[int, Silence]:
    """By alert, the silence that keeps it from channels now; resolved ones need none."""
    on = list(Silence.objects.filter(starts_at__lte=now, ends_at__gt=now).order_by("pk"))
    found = {}
    for alert in rows:
        held = next((silence for silence in on if silence.covers(alert, now)), None)
        if held is not None and alert.state != RESOLVED:
            found[alert.pk] = held
    return found


def channel_names() -> dict[int, str]:
    """Those that can be chosen, by name."""
    there = Channel.objects.exclude(state=REMOVED).order_by("name", "pk")
    return dict(there.values_list("pk", "name"))
