"""How many requests, users and sessions were there at once. Knows its rollup, see docs/measures.md.

Refuses to guess: a step with requests and nothing known of their ends is unknown. Peaks of several
projects, or of several services and models, may lie at different moments: added they are the most
it can have been, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from .. import book
from ..filters import Filters, midnight, today
from ..spend import NoSuchSeries
from ..stamp import Stamped
from .summary import MAX_HOURLY_DAYS, stamp
from .where import condition, narrowed, requests_by_day, values

WINDOW_MS = 300_000.0
"""Who asked anything within five minutes, from :00 to :05 and so on, was there at once."""

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """Over one step, or over all of them. None is unknown."""

    in_flight_mean: float | None
    in_flight_peak: int | None
    users_mean: float | None
    users_peak: int | None
    sessions_mean: float | None
    sessions_peak: int | None


UNKNOWN = AtOnce(
    in_flight_mean=None,
    in_flight_peak=None,
    users_mean=None,
    users_peak=None,
    sessions_mean=None,
    sessions_peak=None,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency(Stamped):
    step: str
    points: tuple[date | datetime, ...]
    steps: tuple[AtOnce, ...]
    total: AtOnce
    requests: int
    """Requests of the window that this is about; those that came late are not in it."""
    timed: int
    """Of these, the ones whose end is known."""
    naming_user: int
    naming_session: int
    peak_at_most: bool
    """The peak of requests is a sum of peaks: the most it can have been."""
    users_at_most: bool
    """Users and sessions too: one user may have asked several models."""


@dataclass(slots=True)
class _Sums:
    busy_ms: float = 0.0
    peak: int = 0
    users: int = 0
    users_peak: int = 0
    sessions: int = 0
    sessions_peak: int = 0
    requests: int = 0
    timed: int = 0
    naming_user: int = 0
    naming_session: int = 0
    rows_at_once: int = 0
    elapsed_ms: float = 0.0


SQL = """
WITH quarters AS (
    SELECT c.at, sum(c.busy_ms) AS busy_ms, sum(c.peak) AS peak,
        coalesce(sum(c.users_1), 0) AS u1, coalesce(sum(c.users_2), 0) AS u2,
        coalesce(sum(c.users_3), 0) AS u3,
        coalesce(sum(c.sessions_1), 0) AS s1, coalesce(sum(c.sessions_2), 0) AS s2,
        coalesce(sum(c.sessions_3), 0) AS s3,
        sum(c.requests) AS requests, sum(c.timed) AS timed,
        sum(c.user_requests) AS naming_user, sum(c.session_requests) AS naming_session,
        count(*) AS rows_at_once
    FROM ingest_concurrency_quarter c
    WHERE c.at >= %(start_at)s AND c.at < %(end_at)s AND {scope} GROUP BY c.at
)
SELECT {point}, sum(busy_ms), max(peak), sum(u1 + u2 + u3), max(greatest(u1, u2, u3)),
    sum(s1 + s2 + s3), max(greatest(s1, s2, s3)), sum(requests), sum(timed), sum(naming_user),
    sum(naming_session), max(rows_at_once)
FROM quarters GROUP BY 1"""

POINTS = {
    "day": "(at AT TIME ZONE %(zone)s)::date",
    "hour": "date_bin('1 hour', at, %(start_at)s)",
}


def concurrency(filters: Filters, step: str = "day") -> Concurrency:
    """`step` is `day`, or `hour` for at most 14 days."""
    if step == "hour" and filters.days > MAX_HOURLY_DAYS:
        raise NoSuchSeries(f"Ask for hours of at most {MAX_HOURLY_DAYS} days, or use step=day.")
    now = timezone.now()
    points, edges = _points(filters, step, now)
    sql = SQL.format(point=POINTS[step], scope=_scope(filters))
    found = {row[0]: _Sums(*map(_plain, row[1:])) for row in book.rows(sql, values(filters))}
    asked = _requests(filters, step)
    sums = []
    for at, point in enumerate(points):
        one = found.get(point)
        # No row and no request: nothing was under way. No row of a request: nothing is known.
        if one is None and not asked.get(point):
            one = _Sums()
        if one is not None:
            one.elapsed_ms = (min(edges[at + 1], now) - edges[at]) / MILLISECOND
        sums.append(one)
    known = [one for one in sums if one is not None]
    whole = _whole(known)
    steps = tuple(_row(one, whole) for one in sums)
    return Concurrency(
        step=step,
        points=tuple(points),
        steps=steps,
        total=_row(whole if any(one.requests or one.busy_ms for one in known) else None, whole),
        requests=whole.requests,
        timed=whole.timed,
        naming_user=whole.naming_user,
        naming_session=whole.naming_session,
        peak_at_most=whole.rows_at_once > 1,
        users_at_most=whole.rows_at_once > 1 and _is_narrowed(filters),
        **stamp(filters),
    )


def _points(filters: Filters, step: str, now: datetime) -> tuple[list[Any], list[datetime]]:
    """The steps up to now, and the instants between which they lie."""
    if step == "hour":
        end = min(filters.end_at, now + timedelta(hours=1))
        hours = book.hours(filters.start_at, max(end, filters.start_at))
        return hours, [*hours, *(hour + timedelta(hours=1) for hour in hours[-1:])]
    days = book.days(filters.start, min(filters.end, today() + timedelta(days=1)))
    ends = [day + timedelta(days=1) for day in days[-1:]]
    return days, [midnight(day, filters.zone) for day in (*days, *ends)]


def _is_narrowed(filters: Filters) -> bool:
    return bool(filters.providers or filters.models or filters.services)


def _scope(filters: Filters) -> str:
    """Rows of whole projects where that is asked, for their peaks are exact."""
    which = "NOT c.whole" if _is_narrowed(filters) else "c.whole"
    return " AND ".join((which, *narrowed(filters, "c")))


def _requests(filters: Filters, step: str) -> dict[Any, int]:
    point, source = "r.day", requests_by_day(filters)
    if step == "hour":
        point = "date_bin('1 hour', r.at, %(start_at)s)"
        within = "r.at >= %(start_at)s AND r.at < %(end_at)s"
        source = f"ingest_span_hour r WHERE {within} AND {condition(filters, 'r')}"
    found = book.rows(f"SELECT {point}, sum(r.spans) FROM {source} GROUP BY 1", values(filters))
    return dict(found)


def _plain(number: Any) -> Any:
    return number if isinstance(number, float) else int(number)


def _whole(parts: list[_Sums]) -> _Sums:
    return _Sums(
        busy_ms=sum(one.busy_ms for one in parts),
        peak=max((one.peak for one in parts), default=0),
        users=sum(one.users for one in parts),
        users_peak=max((one.users_peak for one in parts), default=0),
        sessions=sum(one.sessions for one in parts),
        sessions_peak=max((one.sessions_peak for one in parts), default=0),
        requests=sum(one.requests for one in parts),
        timed=sum(one.timed for one in parts),
        naming_user=sum(one.naming_user for one in parts),
        naming_session=sum(one.naming_session for one in parts),
        rows_at_once=max((one.rows_at_once for one in parts), default=0),
        elapsed_ms=sum(one.elapsed_ms for one in parts if not _untimed(one)),
    )


def _untimed(one: _Sums) -> bool:
    """There were requests, and of none is it known when it ended."""
    return one.requests > 0 and one.timed == 0


def _row(one: _Sums | None, whole: _Sums) -> AtOnce:
    if one is None or one.elapsed_ms <= 0:
        return UNKNOWN
    windows = one.elapsed_ms / WINDOW_MS
    has_time, users, sessions = not _untimed(one), whole.naming_user, whole.naming_session
    return AtOnce(
        in_flight_mean=one.busy_ms / one.elapsed_ms if has_time else None,
        in_flight_peak=one.peak if has_time else None,
        users_mean=one.users / windows if users else None,
        users_peak=one.users_peak if users else None,
        sessions_mean=one.sessions / windows if sessions else None,
        sessions_peak=one.sessions_peak if sessions else None,
    )
