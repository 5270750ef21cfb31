"""Hands promoted changes to the ledger: what was expected, what came of it, day by day.

Knows when a change was in force: from its promotion until it was rolled back or another change took
its place, without the time in which the live config was another one or unknown. Refuses to compute
an amount: that is the ledger's, from facts and prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.utils import timezone

from finops.actions import ledger
from finops.actions.ledger import Baseline, Booked, Expected, NotBooked, Scope
from finops.models import LedgerEntry
from finops.models.ledger import ESTIMATE, REALISED
from finops.queries.measured import Window
from optimiser.models import Change, ChangeEvent, Rollout
from optimiser.policy import Policy
from optimiser.targets import router

log = structlog.get_logger()

COST = "gpu_seconds_per_request"
ESTIMATE_FOR = timedelta(days=30)
BASELINE_BEFORE = timedelta(hours=1)
"""Where the control blocks are too short to measure, the time right before the experiment is."""

DAYS_BACK = 7
"""Days that are booked late: facts of a day may come in for so long."""


def ref(change: Change) -> str:
    """How the ledger names a change."""
    return str(change.pk)


def book_all(now: datetime | None = None) -> int:
    """Whatever can be booked now; safe to repeat. How many entries were new."""
    now = now or timezone.now()
    recent = now - timedelta(days=DAYS_BACK + 1)
    promoted = Rollout.objects.filter(change__state__in=("promoted", "rolled_back", "failed"))
    found = promoted.filter(change__events__kind="promoted").distinct()
    new = 0
    for rollout in found.select_related("change__target__server", "change__evidence", "target"):
        ended = rollout.change.state != "promoted"
        if ended and rollout.finished_at is not None and rollout.finished_at < recent:
            continue
        new += sum(_is_new(one) for one in _book(rollout, now))
    return new


def _is_new(result: Booked | NotBooked) -> bool:
    return isinstance(result, Booked) and result.is_new


def _book(rollout: Rollout, now: datetime) -> list[Booked | NotBooked]:
    change = rollout.change
    windows = held(rollout, now)
    done: list[Booked | NotBooked] = []
    if not _has(change, ESTIMATE):
        done += _estimate(rollout, windows)
    before = baseline(rollout)
    if isinstance(before, NotBooked):
        log.info("not_booked", change=change.pk, why=before.reason)
        return [*done, before]
    done += _realised(rollout, before, windows, now)
    for one in done:
        if isinstance(one, NotBooked):
            log.info("not_booked", change=change.pk, why=one.reason)
    return done


def _has(change: Change, counts_as: str) -> bool:
    found: bool = LedgerEntry.objects.filter(change_ref=ref(change), counts_as=counts_as).exists()
    return found


# What was expected


def _estimate(rollout: Rollout, windows: Sequence[Window]) -> list[Booked | NotBooked]:
    change = rollout.change
    effect, evidence = (change.effect or {}).get(COST), change.evidence
    if effect is None or evidence is None or not windows:
        return []  # proposed without a figure: there is nothing to compare with
    seconds = (evidence.window_to - evidence.window_from).total_seconds()
    start = windows[0][0]
    expected = Expected(
        effect["before"],
        effect["after"],
        effect["low"],
        effect["high"],
        round(evidence.requests * ESTIMATE_FOR.total_seconds() / seconds),
    )
    basis = (
        f"{evidence.kind.capitalize()} of {evidence.requests:,} requests from"
        f" {evidence.window_from:%d %b %H:%M} to {evidence.window_to:%d %b %H:%M} UTC,"
        f" seed {evidence.seed}, as if each month were like it."
    )
    return [
        ledger.book_estimate(
            ref(change),
            change.title,
            _scope_after(rollout),
            expected,
            start,
            start + ESTIMATE_FOR,
            basis=basis,
        )
    ]


# What came of it


def _realised(
    rollout: Rollout, before: Baseline, windows: Sequence[Window], now: datetime
) -> list[Booked | NotBooked]:
    """The first minutes at once, provisionally; each whole day when it is over."""
    change, scope = rollout.change, _scope_after(rollout)
    if not windows:
        return []
    done: list[Booked | NotBooked] = []
    least = Policy.from_json(change.policy).book_least_minutes
    if not _has(change, REALISED):
        start = windows[0][0]
        # Within one day, so that the day's final entry supersedes it.
        end = min(windows[-1][1], _next_midnight(start))
        done.append(
            ledger.book_realised(
                ref(change),
                change.title,
                scope,
                before,
                start,
                end,
                held=windows,
                least_minutes=least,
            )
        )
    for day in _days(windows, now):
        done.append(
            ledger.book_day(
                ref(change), change.title, scope, before, day, windows, least_minutes=least, now=now
            )
        )
    return done


def _zone() -> ZoneInfo:
    return ZoneInfo(settings.ACCOUNTING_TIME_ZONE)


def _day(at: datetime) -> date:
    return at.astimezone(_zone()).date()


def _next_midnight(at: datetime) -> datetime:
    return datetime.combine(_day(at) + timedelta(days=1), datetime.min.time(), _zone())


def _days(windows: Sequence[Window], now: datetime) -> list[date]:
    """The days that are over and had the change in force, the newest week of them."""
    first = max(_day(windows[0][0]), _day(now) - timedelta(days=DAYS_BACK))
    last = min(_day(windows[-1][1]), _day(now) - timedelta(days=1))
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def held(rollout: Rollout, now: datetime) -> list[Window]:
    """The stretches in which the change was in force, and nothing else was tried out."""
    events = list(rollout.change.events.filter(kind__in=KINDS).order_by("at", "id"))
    start = next((one.at for one in events if one.kind == "promoted"), None)
    if start is None:
        return []
    after = [one for one in events if one.at >= start]
    gaps = [*_other_configs(after, now), *_other_changes(rollout, start, now)]
    gaps += [(one.at, now) for one in after if one.kind in ENDED]
    return _without((start, now), gaps)


LEFT = ("drifted", "away")
BACK = ("in_step", "reapplied")
ENDED = ("restoring", "roll_back")
KINDS = ("promoted", *LEFT, *BACK, *ENDED)


def _other_configs(events: Sequence[ChangeEvent], now: datetime) -> list[Window]:
    """From when it was last seen as it should be until it was seen so again."""
    gaps: list[Window] = []
    gone: datetime | None = None
    for one in events:
        if one.kind in LEFT and gone is None:
            seen = one.detail.get("since")
            gone = datetime.fromisoformat(seen) if seen else one.at
        elif one.kind in BACK and gone is not None:
            gaps.append((gone, one.at))
            gone = None
    return gaps if gone is None else [*gaps, (gone, now)]


def _other_changes(rollout: Rollout, start: datetime, now: datetime) -> list[Window]:
    """What a later change brings is its own: a saving is not booked twice."""
    later = Rollout.objects.filter(
        target=rollout.target_id, started_at__gt=start, snapshot__isnull=False
    ).exclude(pk=rollout.pk)
    return [
        (one.started_at, now if one.state == "promoted" else one.finished_at or now)
        for one in later
        if one.started_at is not None
    ]


def _without(whole: Window, gaps: Sequence[Window]) -> list[Window]:
    left, end = whole
    parts: list[Window] = []
    for first, last in sorted(gaps):
        if first > left:
            parts.append((left, min(first, end)))
        left = max(left, last)
    if left < end:
        parts.append((left, end))
    return [(first, last) for first, last in parts if first < last]


def baseline(rollout: Rollout) -> Baseline | NotBooked:
    """How it was before: in the blocks of the old config, or right before the experiment."""
    scope = _scope_before(rollout)
    arms = ("",) if _is_split(rollout) else ("control",)
    windows = [
        (one.measured_from, one.measured_to)
        for one in rollout.blocks.filter(arm__in=arms, dropped_reason="").order_by("index")
        if one.measured_from is not None and one.measured_to is not None
    ]
    minutes = sum((last - first).total_seconds() for first, last in windows) / 60
    least = min(Policy.from_json(rollout.change.policy).book_least_minutes, minutes / 2)
    found = ledger.baseline(scope, windows, least_minutes=least)
    if isinstance(found, Baseline) or rollout.started_at is None:
        return found
    before = (rollout.started_at - BASELINE_BEFORE, rollout.started_at)
    return ledger.baseline(scope, [before], least_minutes=least)


def _is_split(rollout: Rollout) -> bool:
    return Policy.from_json(rollout.change.policy).experiment == "split"


def _scope_before(rollout: Rollout) -> Scope:
    return _scope(rollout, rollout.snapshot or {})


def _scope_after(rollout: Rollout) -> Scope:
    return _scope(rollout, rollout.change.desired_config)


def _scope(rollout: Rollout, config: Mapping[str, Any]) -> Scope:
    """A router's requests are answered by another model, under whose name spans know them."""
    target = rollout.target
    if router.is_router(config):
        name = router.arms(config).base
        return Scope(target.project_id, target.pool_id, (name,), (name,))
    names = tuple(dict.fromkeys((target.request_model, target.model)))
    return Scope(target.project_id, target.pool_id, (target.model,), names)
