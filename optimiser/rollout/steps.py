"""One step per call: who may take it, which one it is, and what becomes of a rollout left alone.

Knows the table of steps. Refuses to go on where another controller stopped: once a lease has run
out while something was applied, the old config comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import datetime

import structlog
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from optimiser.failpoints import hit
from optimiser.leases import Clock, LeaseLost, claim, holder
from optimiser.models import Rollout
from optimiser.models.rollouts import OPEN_ROLLOUTS

from . import asked, beginning, ending, measuring
from .step import FINISHED, Step

log = structlog.get_logger()

STEPS: Mapping[str, Callable[[Step], bool]] = {
    "waiting": beginning.wait,
    "snapshot": beginning.snapshot,
    "measuring": measuring.measure,
    "promoting": ending.promote,
    "restoring": ending.restore,
    "rollback_failed": ending.restore,
}

ATTENDED = frozenset({"measuring", "promoting"})
"""The new config may be serving: somebody must be there, or the old one comes back."""

MOST_STEPS = 20
"""Of one taking over; whoever comes next goes on."""


_here: set[int] = set()
"""What this process works on: a lease is the process's, so its threads exclude each other here."""
_entry = threading.Lock()


def advance(rollout_id: int, now: datetime | None = None) -> bool:
    """One step, if it is due and nobody else holds the rollout; whether something was done."""
    with _entry:
        if rollout_id in _here:
            return False
        _here.add(rollout_id)
    try:
        return _advance(rollout_id, now)
    finally:
        with _entry:
            _here.discard(rollout_id)


def _advance(rollout_id: int, now: datetime | None) -> bool:
    lease = claim(rollout_id, holder())
    if lease is None:
        return False
    hit("rollout.claimed")
    rollout = Rollout.objects.select_related(
        "change__evidence", "target__server__statistics_source"
    ).get(pk=rollout_id)
    rollout.change.target = rollout.target
    step = Step(lease, rollout, now or timezone.now())
    try:
        done = _take(step)
    except LeaseLost as lost:
        log.warning("lease_lost", rollout=rollout_id, detail=str(lost))
        return False
    except DatabaseError:
        raise
    except Exception as mistake:
        if rollout.state not in ATTENDED:
            raise
        # Nobody may be left with a new config because of a mistake in this program.
        log.exception("step_failed", rollout=rollout_id)
        done = ending.restore_instead(step, f"The controller failed: {mistake!r}.")
    lease.release(unless=ATTENDED)
    return done


def _take(step: Step) -> bool:
    rollout = step.rollout
    if rollout.state in ATTENDED and step.lease.gone_s is not None:
        reason = (
            f"The controller was gone: its lease had run out {step.lease.gone_s:.1f} s before"
            " somebody took over."
        )
        return ending.restore_instead(step, reason, {"gone_s": step.lease.gone_s})
    if rollout.not_before and rollout.not_before > step.now:
        return False
    return STEPS[rollout.state](step)


def due(now: datetime) -> list[int]:
    """The rollouts that want attention; one being measured always does, to keep its lease."""
    asked.start_waiting_rollbacks()
    is_due = Q(not_before=None) | Q(not_before__lte=now)
    found = Rollout.objects.filter(Q(state__in=ATTENDED) | is_due, state__in=OPEN_ROLLOUTS)
    return list(found.order_by("pk").values_list("pk", flat=True))


def left_alone() -> list[int]:
    """Where something is, or may be, applied and nobody holds the lease any more."""
    asked.start_waiting_rollbacks()
    is_free = Q(lease_expires_at=None) | Q(lease_expires_at__lte=Clock())
    found = Rollout.objects.filter(is_free, state__in=(*ATTENDED, "restoring", "rollback_failed"))
    return list(found.order_by("pk").values_list("pk", flat=True))


def take_over() -> int:
    """Bring old configs back where the controller is gone; how many rollouts came to an end."""
    return sum(_to_its_end(pk) for pk in left_alone())


def _to_its_end(rollout_id: int) -> bool:
    for _ in range(MOST_STEPS):
        if not advance(rollout_id):
            break
    finished: bool = Rollout.objects.filter(pk=rollout_id, state__in=FINISHED).exists()
    return finished
