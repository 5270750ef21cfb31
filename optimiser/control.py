"""The controller's rounds: what is due now, each thing in a thread of its own.

Knows the order of a round and that one slow server must not keep others waiting. Refuses to decide
anything: whether a step may be taken is its lease's business, what it is the rollout's.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connection
from django.utils import timezone

from optimiser import advise, approvals, booking, calibrating, reconcile, rollout
from optimiser.models import Calibration, Change

log = structlog.get_logger()

THREADS = 6
"""Together with the round's own they stay below the connections that one process may have."""

SELDOM: dict[str, tuple[timedelta, Callable[[], Any]]] = {
    "expire": (timedelta(seconds=10), lambda: approvals.expire_overdue(timezone.now())),
    "book": (timedelta(minutes=1), booking.book_all),
    # Sample data is looked at by somebody who waits for it.
    "advise": (timedelta(seconds=15 if settings.SAMPLE_DATA else 300), advise.advise_all),
}
"""What is done every now and then: name → how often, what."""

MOST_STEPS = 10
"""Of one rollout in one turn, so that its thread comes free for others."""


class Controller:
    """One process's rounds. Two of them at once are no harm: leases and states decide."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="control")
        self.running: dict[tuple[str, int], Future[None]] = {}
        self.last: dict[str, datetime] = {}

    def round(self, now: datetime | None = None) -> None:
        """Begin what is approved, then hand out whatever is due and not under way already."""
        now = now or timezone.now()
        self._forget_finished()
        begin_approved()
        for pk in rollout.due(now):
            self._start("rollout", pk, _advance)
        for pk in reconcile.due(now):
            self._start("reconcile", pk, reconcile.reconcile)
        for pk in calibrating.waiting():
            self._start("calibrate", pk, _calibrate)
        for name, (every, job) in SELDOM.items():
            if now - self.last.get(name, now - every) >= every:
                self.last[name] = now
                self._start(name, 0, partial(_without_id, job))

    def stop(self) -> None:
        """Let what is under way come to an end; nothing new is begun."""
        self.pool.shutdown(wait=True)

    def _start(self, kind: str, pk: int, job: Callable[[int], Any]) -> None:
        key = (kind, pk)
        if key not in self.running:
            self.running[key] = self.pool.submit(_alone, kind, pk, job)

    def _forget_finished(self) -> None:
        for key in [key for key, one in self.running.items() if one.done()]:
            self.running.pop(key).result()


def _without_id(job: Callable[[], Any], _pk: int) -> None:
    job()


def _alone(kind: str, pk: int, job: Callable[[int], Any]) -> None:
    """What goes wrong here is told and tried again in the next round; others go on."""
    close_old_connections()
    try:
        job(pk)
    except (OperationalError, InterfaceError) as away:
        log.warning("database_away", job=kind, id=pk, detail=str(away).strip())
    except Exception:
        log.exception("control_failed", job=kind, id=pk)
    finally:
        connection.close()


def _advance(rollout_id: int) -> None:
    for _ in range(MOST_STEPS):
        if not rollout.advance(rollout_id):
            return


def _calibrate(calibration_id: int) -> None:
    """Whoever asked for it waits for what the levers say then."""
    if calibrating.calibrate(calibration_id):
        advise.advise(Calibration.objects.get(pk=calibration_id).target_id)


def begin_approved() -> int:
    """Start what is approved and whose target is free; how many."""
    measured_now = calibrating.running().values("target__server")
    waiting = Change.objects.filter(state="approved").exclude(target__server__in=measured_now)
    found = waiting.order_by("pk").values_list("pk", flat=True)
    return sum(approvals.begin(pk) is not None for pk in found)
