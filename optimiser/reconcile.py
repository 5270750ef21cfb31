"""Compares what each target has with what it is meant to have, and repairs what was forgotten.

Knows the desired config of each target and the promoted changes behind it. Refuses to overrule
people: only a config that Triton lost at a restart, or that a late load of ours undid, is put
right; everything else is drift, which is shown, pauses booking and makes approvals void. A server
that does not answer is `away`, never `in step`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from finops import audit
from optimiser import adapters, alarms, approvals
from optimiser.leases import LEASE, SPARE_S, LeaseLost, Repair, claim_repair, holder
from optimiser.models import Change, Rollout, Target
from optimiser.models.rollouts import OPEN_ROLLOUTS
from optimiser.plan import Moved, difference, listed
from optimiser.targets.base import Config, TargetError

log = structlog.get_logger()

EVERY = timedelta(seconds=15)
READ_WITHIN_S = 10.0

LATE_LOADS = timedelta(minutes=10)
"""A load that we gave up waiting for may still be carried out, after the old config was back."""


@dataclass(frozen=True)
class _Cause:
    """Why the live config is not the desired one, where that is our own to put right."""

    change: Change
    said: str


def due(now: datetime) -> list[int]:
    """The targets that were not looked at for a while; a rollout looks after its own."""
    late = Q(checked_at=None) | Q(checked_at__lte=now - EVERY)
    busy = Rollout.objects.filter(state__in=OPEN_ROLLOUTS).values("target")
    found = Target.objects.filter(late).exclude(pk__in=busy)
    return list(found.order_by("pk").values_list("pk", flat=True))


def reconcile(target_id: int) -> None:
    """Read one target and say, or mend, how it stands."""
    target = Target.objects.select_related("server").get(pk=target_id)
    try:
        live = adapters.of(target, most_s=READ_WITHIN_S).read()
    except TargetError as error:
        _note(target, "away", error.reason)
        return
    if target.desired_config is None:
        _adopt(target, live)
        return
    moved = _moved(target, target.desired_config, live)
    if not moved:
        _note(target, "in_step", "", live)
    elif (cause := _ours(target, live)) is not None:
        _mend(target, live, moved, cause)
    else:
        _note(target, "drifted", listed(moved), live)
    _compare_plans(target, live)


def _moved(target: Target, expected: Config, live: Config) -> list[Moved]:
    spelling = adapters.of(target, most_s=READ_WITHIN_S)
    return difference(spelling.canonical(expected), spelling.canonical(live))


# What is said of the target


def _adopt(target: Target, live: Config) -> None:
    """At first sight what is there is what is meant to be."""
    with transaction.atomic():
        row = Target.objects.select_for_update().get(pk=target.pk)
        if row.desired_config is not None:
            return
        now = timezone.now()
        row.desired_config, row.desired_since = live, now
        _say(row, "in_step", "", live, now)
        audit.record(None, "system", "target.adopt", row, {"config": live})


def _note(target: Target, state: str, detail: str, live: Config | None = None) -> None:
    """Keep what was seen, unless a rollout or somebody else has moved the target meanwhile."""
    with transaction.atomic():
        row = Target.objects.select_for_update().get(pk=target.pk)
        if _is_outdated(target, row):
            return
        before, since, now = row.live_state, row.checked_at, timezone.now()
        _say(row, state, detail, live, now)
        if state != before:
            said = {"from": before, "detail": detail}
            audit.record(None, "system", f"target.{state}", row, said)
        # A server that does not answer is neither: what was so stays so.
        if state == "drifted":
            alarms.drifted(row, detail, now)
        elif state == "in_step":
            alarms.in_step(row, now)
    if state != before:
        _tell_promoted(row, state, detail, since)


def _is_outdated(seen: Target, row: Target) -> bool:
    if row.desired_since != seen.desired_since:
        return True
    busy: bool = Rollout.objects.filter(target=row, state__in=OPEN_ROLLOUTS).exists()
    return busy


def _say(row: Target, state: str, detail: str, live: Config | None, now: datetime) -> None:
    if state != row.live_state:
        row.live_state, row.live_state_since = state, now
    row.live_config = row.live_config if live is None else live
    row.live_detail, row.checked_at = detail, now
    row.save(
        update_fields=[
            *("desired_config", "desired_since", "live_config", "live_state"),
            *("live_state_since", "live_detail", "checked_at"),
        ]
    )


SAID = {
    "in_step": "The live config is the promoted one again.",
    "drifted": "The live config is not the promoted one any more, and booking pauses: {detail}.",
    "away": "The server does not answer, so nothing is known of the live config: {detail}",
}


def _tell_promoted(target: Target, state: str, detail: str, since: datetime | None) -> None:
    """The timeline of the change that is in force; `since` it was last seen as it should be."""
    for change in _in_force(target)[-1:]:
        told: dict[str, Any] = {"since": None if since is None else since.isoformat()}
        approvals.tell(change, state, SAID[state].format(detail=detail), told)


def _in_force(target: Target) -> list[Change]:
    """The promoted changes of a target, the oldest first."""
    found = Rollout.objects.filter(target=target, state="promoted", change__state="promoted")
    return [one.change for one in found.select_related("change").order_by("finished_at")]


# What is ours to mend


def _ours(target: Target, live: Config) -> _Cause | None:
    desired = target.desired_config
    assert desired is not None
    promoted = Rollout.objects.filter(target=target, state="promoted", change__state="promoted")
    in_force = list(promoted.select_related("change").order_by("finished_at"))
    if in_force and not _moved(target, desired, in_force[-1].change.desired_config):
        for one in in_force:
            if one.snapshot is not None and not _moved(target, one.snapshot, live):
                said = "The server has forgotten it, as Triton does at a restart"
                return _Cause(in_force[-1].change, said)
    lately = timezone.now() - LATE_LOADS
    gone = Rollout.objects.filter(target=target, state="rolled_back", finished_at__gte=lately)
    for one in gone.select_related("change"):
        if (
            one.snapshot is not None
            and not _moved(target, one.snapshot, desired)
            and not _moved(target, one.change.desired_config, live)
        ):
            said = "A load from before the rollback was carried out after it"
            return _Cause(one.change, said)
    return None


def _mend(target: Target, live: Config, moved: list[Moved], cause: _Cause) -> None:
    """1. The record and a lease. 2. Load what was approved. 3. Say so; a failure is drift."""
    repair = _begin_repair(target, live, moved, cause)
    if repair is None:
        return
    most_s = min(READ_WITHIN_S, LEASE.total_seconds() - SPARE_S)
    assert target.desired_config is not None
    try:
        back = adapters.of(target, most_s=most_s).restore(target.desired_config)
        with repair.held() as row:
            _say(row, "in_step", "", back, timezone.now())
            approvals.tell(cause.change, "reapplied", f"{cause.said}. It was loaded again.")
            alarms.in_step(row, timezone.now())
    except TargetError as error:
        log.warning("repair_failed", target=target.pk, why=error.reason)
        _note(target, "drifted", f"{listed(moved)}; loading it again failed: {error.reason}", live)
    except LeaseLost as lost:
        log.warning("lease_lost", target=target.pk, detail=str(lost))
    finally:
        repair.release()


def _begin_repair(target: Target, live: Config, moved: list[Moved], cause: _Cause) -> Repair | None:
    with transaction.atomic():
        row = Target.objects.select_for_update().get(pk=target.pk)
        if _is_outdated(target, row):
            return None
        repair = claim_repair(row, holder())
        if repair is not None:
            detail = {
                "change": cause.change.pk,
                "why": cause.said,
                "moved": [str(one) for one in moved],
                "config": target.desired_config,
            }
            audit.record(None, "system", "target.reapply", row, detail)
    return repair


# Plans that were made on another config


def _compare_plans(target: Target, live: Config) -> None:
    """A change whose baseline is not there any more loses its approvals, and advice is closed."""
    row = Target.objects.get(pk=target.pk)
    if row.live_config is None or _is_outdated(target, row):
        return
    approvals.close_outdated(row)
    waiting = Change.objects.filter(target=target, state__in=("proposed", "approved"))
    for pk in waiting.values_list("pk", flat=True):
        with transaction.atomic():
            change = approvals.locked(pk)
            if change.state not in ("proposed", "approved"):
                continue
            moved = _moved(target, change.live_config, row.live_config)
            if moved and _is_news(change):
                approvals.live_moved(change, moved)


def _is_news(change: Change) -> bool:
    """Said once for each time that somebody relied on the old config."""
    return (
        change.state == "approved"
        or change.approvals.filter(voided_at=None).exists()
        or not change.events.filter(kind="drift").exists()
    )
