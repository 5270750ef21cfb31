"""Books what a change should save and what it did save, for the period and for each day.

Knows measured minutes and the price that held. Refuses figures from whoever asks: a realised saving
is computed here, from spans, statistics and prices, against the baseline that it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from finops.costing import savings
from finops.costing.savings import Cash, Interval, Saving
from finops.models import LedgerEntry, User
from finops.models.ledger import ESTIMATE, REALISED
from finops.queries.filters import midnight
from finops.queries.measured import Measured, Minute, Scope, Window, measured
from ingest.models import DirtyHour
from ingest.store.counting import hour_of

from .entries import Booked, NotBooked, book, hash_of
from .figures import capacity_fields, cash_fields, figures, price_of

LEAST_MINUTES = 10


@dataclass(frozen=True, slots=True)
class Baseline:
    """GPU-seconds per answered request before the change, with the interval of `savings.LEVEL`."""

    gpu_seconds_per_request: float
    low: float
    high: float
    measured_from: datetime
    measured_to: datetime
    requests: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What a simulation says of the period that an estimate is for."""

    gpu_seconds_per_request_before: float
    gpu_seconds_per_request_after: float
    better_low: float
    """Share by which the ratio falls, (before − after) / before: the interval's low end."""
    better_high: float
    requests: int
    """As many as are expected in the period."""


def baseline(
    scope: Scope, windows: Sequence[Window], *, least_minutes: float = LEAST_MINUTES
) -> Baseline | NotBooked:
    """How it was in these windows, measured as a realised saving will be."""
    found = measured(scope, windows)
    ratio = savings.ratio(found.slices)
    if ratio is None or found.seconds < least_minutes * 60:
        return NotBooked(_too_little(found, least_minutes))
    return Baseline(
        gpu_seconds_per_request=ratio.value,
        low=ratio.low,
        high=ratio.high,
        measured_from=found.minutes[0].start,
        measured_to=found.minutes[-1].end,
        requests=sum(one.requests for one in found.slices),
    )


def book_estimate(
    change_ref: str,
    title: str,
    scope: Scope,
    expected: Expected,
    start: datetime,
    end: datetime,
    *,
    basis: str,
    by: User | None = None,
    via: str = "system",
) -> Booked | NotBooked:
    """What the change should save in `[start, end)`. A second one supersedes the first.

    `basis` says in words what it rests on, as in: replay of 14 March, simulator 1.2, seed 7.
    """
    freed = savings.expected(
        expected.gpu_seconds_per_request_before,
        expected.gpu_seconds_per_request_after,
        expected.better_low,
        expected.better_high,
        expected.requests,
    )
    price = price_of(scope.pool_id, [(start, expected.requests)])
    return book(
        ESTIMATE,
        change_ref,
        start,
        end,
        {
            "title": title,
            "project_id": scope.project_id,
            "pool_id": scope.pool_id,
            "requests": expected.requests,
            "gpu_seconds_per_request": expected.gpu_seconds_per_request_after,
            "counterfactual_gpu_seconds_per_request": expected.gpu_seconds_per_request_before,
            "basis": f"{basis} {price.said}".strip(),
            "facts_hash": hash_of({"expected": asdict(expected), "price": price.told}),
            **figures(freed, price),
        },
        by=by,
        via=via,
    )


def book_realised(
    change_ref: str,
    title: str,
    scope: Scope,
    before: Baseline,
    start: datetime,
    end: datetime,
    *,
    provisional: bool = True,
    held: Sequence[Window] | None = None,
    least_minutes: float = LEAST_MINUTES,
    by: User | None = None,
    via: str = "system",
) -> Booked | NotBooked:
    """What was saved in `[start, end)`, from facts and prices alone.

    `held` are the stretches of it in which the change was in force; the whole period if left out.
    Time outside them, and time that was not wholly measured, counts for nothing. An entry that lies
    within the period, such as the provisional one of the same morning, is superseded.
    """
    found = measured(scope, _within(held or [(start, end)], start, end))
    saved = savings.saving(_interval(before), found.slices)
    if saved is None or found.seconds < least_minutes * 60:
        return NotBooked(_too_little(found, least_minutes))
    price = price_of(scope.pool_id, [(one.start, one.slice.requests) for one in found.minutes])
    return book(
        REALISED,
        change_ref,
        start,
        end,
        {
            "title": title,
            "project_id": scope.project_id,
            "pool_id": scope.pool_id,
            "measured_s": saved.measured_s,
            "requests": saved.requests,
            "gpu_seconds_per_request": saved.now.value,
            "counterfactual_gpu_seconds_per_request": saved.before.value,
            "provisional": provisional,
            "basis": f"{_said(saved, before, found)} {price.said}",
            "facts_hash": hash_of(
                {
                    "scope": asdict(scope),
                    "baseline": _told(asdict(before)),
                    "minutes": [_told_minute(minute) for minute in found.minutes],
                    "price": price.told,
                }
            ),
            **figures(saved.gpu_seconds, price),
        },
        by=by,
        via=via,
    )


def book_day(
    change_ref: str,
    title: str,
    scope: Scope,
    before: Baseline,
    day: date,
    held: Sequence[Window],
    *,
    least_minutes: float = LEAST_MINUTES,
    now: datetime | None = None,
    by: User | None = None,
    via: str = "system",
) -> Booked | NotBooked:
    """The final entry of one accounting day, once it is over and all its facts are rolled up.

    Safe to repeat: the same facts are booked once, facts that came late make an adjustment.
    """
    zone = settings.ACCOUNTING_TIME_ZONE
    first, last = midnight(day, zone), midnight(day + timedelta(days=1), zone)
    inside = _within(held, first, last)
    if not inside:
        return NotBooked("The change was not in force on this day, so there is nothing to book.")
    if (now or timezone.now()) < last:
        return NotBooked("This day is not over; book it tomorrow.")
    if _is_being_rolled_up(scope, first, last):
        return NotBooked("Facts of this day are still being rolled up; try again in a minute.")
    return book_realised(
        change_ref,
        title,
        scope,
        before,
        min(start for start, _ in inside),
        max(end for _, end in inside),
        provisional=False,
        held=inside,
        least_minutes=least_minutes,
        by=by,
        via=via,
    )


def adjust(
    entry: LedgerEntry,
    reason: str,
    *,
    capacity_gpu_seconds: Interval | None,
    cash: Cash | None,
    by: User | None = None,
    via: str = "system",
) -> Booked | NotBooked:
    """Corrects an entry with a new one; `Interval(0, 0, 0)` takes back what was booked."""
    kept = {
        name: getattr(entry, name)
        for name in (
            "title", "project_id", "pool_id", "measured_s", "requests", "billed_by", "book_id",
            "gpu_seconds_per_request", "counterfactual_gpu_seconds_per_request", "method_version",
        )
    }  # fmt: skip
    told = {"entry": entry.pk, "reason": reason, "capacity": capacity_gpu_seconds, "cash": cash}
    return book(
        entry.counts_as,
        entry.change_ref,
        entry.period_from,
        entry.period_to,
        {
            **kept,
            **capacity_fields(capacity_gpu_seconds),
            **cash_fields(cash),
            "basis": reason,
            "facts_hash": hash_of({name: str(value) for name, value in told.items()}),
        },
        supersedes=entry,
        by=by,
        via=via,
    )


def _interval(before: Baseline) -> Interval:
    return Interval(before.gpu_seconds_per_request, before.low, before.high)


def _within(windows: Sequence[Window], start: datetime, end: datetime) -> list[Window]:
    cut = [(max(first, start), min(last, end)) for first, last in windows]
    return sorted((first, last) for first, last in cut if first < last)


def _is_being_rolled_up(scope: Scope, start: datetime, end: datetime) -> bool:
    waiting = DirtyHour.objects.filter(hour__gte=hour_of(start), hour__lt=end)
    of_pool = Q(owner_kind="pool", owner_id=scope.pool_id)
    found: bool = waiting.filter(of_pool | Q(owner_kind="project")).exists()
    return found


def _too_little(found: Measured, least_minutes: float) -> str:
    if not found.has_readings:
        return (
            "No Triton statistics of this pool were read in this time; connect a source of the"
            " kind Triton statistics and let it read at least once a minute."
        )
    causes = _left_out(found)
    if found.seconds >= least_minutes * 60:
        return f"{found.seconds / 60:.1f} minutes were measured, {_why_no_interval(found)}."
    return (
        f"{found.seconds / 60:.1f} minutes were measured, {least_minutes:g} are needed;"
        f" {causes or 'wait for more traffic'}."
    )


def _why_no_interval(found: Measured) -> str:
    if len(found.minutes) > 1:
        return "in which nobody asked anything; wait for traffic"
    return "in one stretch: without a second there is no interval; wait for more readings"


def _left_out(found: Measured) -> str:
    parts = []
    if found.unread:
        parts.append(f"{found.unread} had a gap in Triton's statistics or a reload in between")
    if found.untraced:
        parts.append(f"{found.untraced} had requests that spans and server count differently")
    return ", ".join(parts)


def _said(saved: Saving, before: Baseline, found: Measured) -> str:
    """The sum in words, as somebody would check it."""
    since = f"{before.measured_from.astimezone(UTC):%d %b %H:%M}"
    until = f"{before.measured_to.astimezone(UTC):%d %b %H:%M}"
    said = (
        f"{saved.requests:,} requests in {saved.measured_s / 60:.1f} measured minutes took"
        f" {saved.now.value:.4g} GPU-seconds each ({saved.now.low:.4g} to {saved.now.high:.4g});"
        f" before the change it was {saved.before.value:.4g} ({saved.before.low:.4g} to"
        f" {saved.before.high:.4g}, {before.requests:,} requests, {since} to {until} UTC)."
    )
    left_out = _left_out(found)
    return f"{said} Minutes left out: {left_out}." if left_out else said


def _told_minute(minute: Minute) -> list[Any]:
    one = minute.slice
    return [minute.start.isoformat(), one.seconds, one.requests, one.gpu_seconds]


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }
