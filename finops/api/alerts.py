"""Alerts for a company's own bot: list, read, acknowledge, snooze, resolve, and follow."""

from __future__ import annotations

import time
from threading import BoundedSemaphore
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from finops.actions import alerting
from finops.models import Alert
from finops.models.alerts import ALERT_KINDS, SEVERITIES
from finops.problems import Problem
from finops.queries import alerts as queries
from finops.queries.alerts import STATE_CHOICES, EventPage, Wanted
from finops.queries.filters import FilterError

from .alert_shapes import (
    AlertEventPageShape,
    AlertPageShape,
    AlertShape,
    ResolveRequest,
    SnoozeRequest,
    WholeAlertShape,
)
from .base import Api, told
from .parameters import (
    PAGE,
    choice_of,
    limit_of,
    number_of,
    only,
    refuse,
    text_of,
    text_parameter,
)
from .people import body_of

READ = "finops.view_spend"
GROUP = "Alerts"
LONGEST_WAIT_S = 25
LOOK_EVERY_S = 1.0
MOST_WAITING = 4
"""Of each process: those that wait must not take the threads of those that ask."""

_waiting = BoundedSemaphore(MOST_WAITING)

CHOICES = [
    text_parameter("state", "`current` is whatever is not resolved.", enum=STATE_CHOICES),
    text_parameter("kind", "Only this kind.", enum=ALERT_KINDS),
    text_parameter("severity", "Only this severity.", enum=SEVERITIES),
    text_parameter("project", "Only of this project; its slug."),
]


class Alerts(Api):
    permissions = {"GET": READ}

    @told(
        "Alerts, open ones first, of them the worst, of those the newest",
        AlertPageShape,
        parameters=[*CHOICES, *PAGE],
        name="alerts",
        group=GROUP,
    )
    def get(self, request: Request) -> Response:
        only(request, "state", "kind", "severity", "project", "limit", "cursor")
        wanted = Wanted(
            state=choice_of(request, "state", STATE_CHOICES),
            kind=_one_of(request, "kind", ALERT_KINDS),
            severity=_one_of(request, "severity", SEVERITIES),
            project=text_of(request, "project"),
        )
        found = queries.alerts(
            request.user,
            wanted,
            limit=limit_of(request),
            cursor=text_of(request, "cursor") or None,
        )
        held = queries.silenced(found.rows, timezone.now())
        for alert in found.rows:
            alert.is_silenced = alert.pk in held
        return self.answer(AlertPageShape, found)


class OneAlert(Api):
    permissions = {"GET": READ}

    @told("One alert, its history and what channels were told", WholeAlertShape, name="alert",
          group=GROUP)  # fmt: skip
    def get(self, request: Request, pk: str) -> Response:
        only(request)
        return self.answer(WholeAlertShape, whole(visible(request, pk)))


class Acknowledge(Api):
    permissions = {"POST": alerting.HANDLE}

    @told("Acknowledge an alert: no reminder, no escalation", AlertShape,
          name="alert_acknowledge", group=GROUP)  # fmt: skip
    def post(self, request: Request, pk: str) -> Response:
        alert = handled(request, pk)
        return _acted(self, lambda: alerting.acknowledge(alert, by=request.user, via="api"))


class Snooze(Api):
    permissions = {"POST": alerting.HANDLE}

    @told("Put an alert off; it comes back by itself", AlertShape, body=SnoozeRequest,
          name="alert_snooze", group=GROUP)  # fmt: skip
    def post(self, request: Request, pk: str) -> Response:
        until = body_of(SnoozeRequest, request)["until"]
        alert = handled(request, pk)
        return _acted(self, lambda: alerting.snooze(alert, until, by=request.user, via="api"))


class Resolve(Api):
    permissions = {"POST": alerting.HANDLE}

    @told("Resolve an alert by hand, with the reason", AlertShape, body=ResolveRequest,
          name="alert_resolve", group=GROUP)  # fmt: skip
    def post(self, request: Request, pk: str) -> Response:
        why = body_of(ResolveRequest, request)["why"]
        alert = handled(request, pk)
        return _acted(
            self, lambda: alerting.resolve_by_hand(alert, why, by=request.user, via="api")
        )


class Stream(Api):
    permissions = {"GET": READ}

    @told(
        "What became of alerts after a cursor, oldest first; waits for the first one",
        AlertEventPageShape,
        parameters=[
            text_parameter("after", "`next` of the answer before; `now` begins behind the newest,"
                           " and without it with the first there is."),
            text_parameter("wait", f"Seconds to wait while there is none, 0 to {LONGEST_WAIT_S};"
                           " 0 if left out."),
            PAGE[0],
        ],
        name="alerts_stream",
        group=GROUP,
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        only(request, "after", "wait", "limit")
        wait_s = number_of(request, "wait") or 0
        if wait_s > LONGEST_WAIT_S:
            refuse([FilterError("wait", f"Use a whole number from 0 to {LONGEST_WAIT_S}.")])
        after, limit = text_of(request, "after"), limit_of(request)
        return self.answer(AlertEventPageShape, follow(request.user, after, limit, wait_s))


def follow(user: Any, after: str, limit: int, wait_s: float) -> EventPage:
    """What there is at once, or the first that comes within the time; else nothing, and where to
    go on."""
    found = queries.events_after(user, after, limit)
    if found.rows or not wait_s:
        return found
    if not _waiting.acquire(blocking=False):
        raise Problem(
            429,
            f"{MOST_WAITING} callers wait already; ask again in a few seconds, or with wait=0.",
            headers={"Retry-After": "5"},
        )
    try:
        until = time.monotonic() + wait_s
        while not found.rows and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(LOOK_EVERY_S, left_s))
            found = queries.events_after(user, found.next or "", limit)
        return found
    finally:
        _waiting.release()


def whole(alert: Alert) -> Alert:
    alert.is_silenced = bool(queries.silenced([alert], timezone.now()))
    alert.history = queries.timeline(alert)
    alert.deliveries = queries.deliveries(alert)
    return alert


def visible(request: Request, pk: str) -> Alert:
    alert = queries.one(request.user, int(pk))
    if alert is None:
        raise Problem(404, "There is no such alert that you may see.")
    return alert


def handled(request: Request, pk: str) -> Alert:
    alert = visible(request, pk)
    if not alerting.may_handle(request.user, alert):
        raise Problem(403, "Your role over its project does not allow handling this alert.")
    return alert


def _acted(view: Api, act: Any) -> Response:
    try:
        alert = act()
    except alerting.Refused as refused:
        raise wrong(refused) from refused
    alert.is_silenced = bool(queries.silenced([alert], timezone.now()))
    return view.answer(AlertShape, alert)


def wrong(refused: alerting.Refused) -> Problem:
    if not refused.field:
        return Problem(409, str(refused))
    return Problem(400, "Some fields are wrong.", [FilterError(refused.field, str(refused))])


def _one_of(request: Request, name: str, choices: tuple[str, ...]) -> str:
    return choice_of(request, name, ("", *choices))
