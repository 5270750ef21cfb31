"""Work that must happen once: rows with a lease and a fencing epoch.

Knows who may work on what until when, by the database's clock. Refuses to know what the work is.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from ingest.models import Job
from ingest.nudge import nudge

LEASE = timedelta(minutes=5)
MOST_ATTEMPTS = 5
CLOCKS_MAY_DIFFER = timedelta(seconds=5)
NUDGE_AGAIN_AFTER = timedelta(seconds=15)


class LeaseLost(Exception):
    """Somebody else holds this job now; whoever gets this must stop writing."""


@dataclass(frozen=True)
class Lease:
    """The right to write for one job, as long as its epoch is the row's."""

    job_id: int
    epoch: int

    def check(self) -> None:
        """Hold the job's row until the transaction ends, or raise `LeaseLost`."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM ingest_job WHERE id = %s AND epoch = %s AND state = 'running'"
                " AND lease_expires_at > clock_timestamp() FOR SHARE",
                [self.job_id, self.epoch],
            )
            if cursor.rowcount != 1:
                raise LeaseLost(f"The lease on job {self.job_id} ran out.")

    def renew(self, progress: dict[str, Any] | None = None) -> None:
        """Keep the job a while longer. Whoever makes progress has all its attempts before it."""
        changes: dict[str, Any] = {"lease_expires_at": Now() + LEASE}
        if progress is not None:
            changes |= {"progress": progress, "attempts": 0}
        self._write(changes)

    def put_off(self, until: datetime, note: str = "", *, is_attempt: bool = False) -> None:
        """Give the job back, to be taken again from `until` on; `note` says why it waits."""
        changes: dict[str, Any] = {
            "state": "waiting",
            # The time is part of a job's identity, and another one of its kind may have this very
            # moment.
            "scheduled_for": until + timedelta(microseconds=self.job_id % 1000 + 1),
            "lease_expires_at": None,
            "lease_holder": "",
            "error": note,
        }
        if not is_attempt:
            changes["attempts"] = 0
        self._write(changes)
        if until <= timezone.now():
            transaction.on_commit(lambda: nudge("ingest.tasks.run_job", self.job_id))

    def _write(self, changes: dict[str, Any]) -> None:
        held = Job.objects.filter(pk=self.job_id, epoch=self.epoch, state="running")
        if held.update(**changes) != 1:
            raise LeaseLost(f"The lease on job {self.job_id} ran out.")


def enqueue(kind: str, key: str, scheduled_for: datetime, payload: dict | None = None) -> bool:
    """Add a job unless the same one is there already; True when this call added it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_job (kind, key, scheduled_for, payload, state, attempts, epoch,"
            " lease_holder, created_at, progress, error)"
            " VALUES (%s, %s, %s, %s, 'waiting', 0, 0, '', now(), '{}', '')"
            " ON CONFLICT DO NOTHING RETURNING id",
            [kind, key, scheduled_for, json.dumps(payload or {})],
        )
        row = cursor.fetchone()
    if row is None:
        return False
    transaction.on_commit(lambda: nudge("ingest.tasks.run_job", row[0]))
    return True


def reopen(job: Job) -> Job:
    """A job that failed, to be tried again from where it stands."""
    job.state, job.attempts, job.error, job.finished_at = "waiting", 0, "", None
    job.save(update_fields=["state", "attempts", "error", "finished_at"])
    transaction.on_commit(lambda: nudge("ingest.tasks.run_job", job.pk))
    return job


def claim(job_id: int) -> tuple[Job, Lease] | None:
    """Take the job if it waits or its holder is gone; None when somebody else has it.

    A job that was put off is not taken before its time, however often it was nudged.
    """
    due = Q(state="waiting", scheduled_for__lte=Now() + CLOCKS_MAY_DIFFER)
    free = due | Q(state="running", lease_expires_at__lt=Now())
    with transaction.atomic():
        job = Job.objects.select_for_update(skip_locked=True).filter(free, pk=job_id).first()
        if job is None:
            return None
        if job.attempts >= MOST_ATTEMPTS:
            _close(job, "failed", f"Gave up after {MOST_ATTEMPTS} attempts. {job.error}".strip())
            return None
        job.state, job.epoch, job.attempts = "running", job.epoch + 1, job.attempts + 1
        job.lease_holder = f"{socket.gethostname()}:{os.getpid()}"
        job.lease_expires_at = Now() + LEASE
        job.save(update_fields=["state", "epoch", "attempts", "lease_holder", "lease_expires_at"])
    return job, Lease(job.pk, job.epoch)


def finish(lease: Lease, error: str = "") -> bool:
    """Close the job; False when the lease had passed to somebody else meanwhile."""
    with transaction.atomic():
        job = (
            Job.objects.select_for_update()
            .filter(pk=lease.job_id, epoch=lease.epoch, state="running")
            .first()
        )
        if job is None:
            return False
        _close(job, "failed" if error else "done", error)
    return True


def stop(job_id: int, why: str) -> bool:
    """End a job that nobody wants any more; False when it had ended already.

    Whoever holds it gets LeaseLost at the next write, and nothing of that write is kept.
    """
    with transaction.atomic():
        still_open = Job.objects.filter(pk=job_id, state__in=["waiting", "running"])
        job = still_open.select_for_update().first()
        if job is None:
            return False
        _close(job, "failed", why)
    return True


def _close(job: Job, state: str, error: str) -> None:
    job.state, job.error = state, error
    job.finished_at, job.lease_expires_at, job.lease_holder = Now(), None, ""
    job.save(update_fields=["state", "error", "finished_at", "lease_expires_at", "lease_holder"])


def sweep() -> int:
    """Nudge again whatever waits too long or whose holder died; how many there were."""
    stale = Job.objects.filter(
        Q(state="waiting", scheduled_for__lt=Now() - NUDGE_AGAIN_AFTER)
        | Q(state="running", lease_expires_at__lt=Now())
    ).values_list("pk", flat=True)[:1000]
    for pk in stale:
        nudge("ingest.tasks.run_job", pk)
    return len(stale)


def forget_finished(before: datetime) -> int:
    return Job.objects.filter(state__in=["done", "failed"], finished_at__lt=before).delete()[0]
