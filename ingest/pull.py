"""Pulls: a window → fetch → store → move the cursor, safe to repeat at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection, transaction
from django.utils import timezone

from ingest import jobs, store
from ingest.models import Job, Reject, Source
from ingest.sources import REGISTRY
from ingest.sources.base import FetchError, PullSource

log = logging.getLogger(__name__)


def schedule(now: datetime) -> int:
    """Make the job of each due source; two schedulers make one. How many were new."""
    due = Source.objects.filter(enabled=True, interval_s__isnull=False)
    return sum(_schedule(source, now) for source in due)


def _schedule(source: Source, now: datetime) -> bool:
    assert source.interval_s
    slot = int(now.timestamp()) // source.interval_s * source.interval_s
    busy = Job.objects.filter(kind="pull", key=str(source.pk), state__in=["waiting", "running"])
    # A pull that takes longer than its interval is not overtaken by itself.
    if busy.exists():
        return False
    with transaction.atomic():
        return jobs.enqueue("pull", str(source.pk), datetime.fromtimestamp(slot, UTC))


def run_job(job_id: int) -> None:
    claimed = jobs.claim(job_id)
    if claimed is None:
        return
    job, lease = claimed
    error = ""
    try:
        HANDLERS[job.kind](job, lease)
    except jobs.LeaseLost as lost:
        log.warning("lease_lost job=%s detail=%s", job_id, lost)
        return
    except FetchError as failure:
        # The next slot tries again; the source says meanwhile what is wrong.
        error = str(failure)
    jobs.finish(lease, error)


def pull(job: Job, lease: jobs.Lease) -> None:
    _fetch(Source.objects.get(pk=job.key), lease)


def now(source: Source) -> None:
    """A reading at this moment, out of turn and finished on return. Raises FetchError.

    For whoever is about to change what is read: what ran up to the change is known afterwards.
    """
    _fetch(source, None)


def _fetch(source: Source, lease: jobs.Lease | None) -> None:
    """Fetch one source from its cursor on, storing page by page."""
    adapter = REGISTRY[source.kind]
    if not isinstance(adapter, PullSource):
        raise FetchError(f"{source} is not fetched by us; choose a source that is.")
    try:
        with _alone(source):
            for page in adapter.fetch(source.config, source.cursor, timezone.now()):
                store.metrics(source, page.records, page.rejects, lease=lease, position=page.cursor)
                if lease is not None:
                    lease.renew()
    except FetchError as failure:
        Source.objects.filter(pk=source.pk).update(
            last_error=str(failure), last_error_at=timezone.now()
        )
        raise


@contextmanager
def _alone(source: Source) -> Iterator[None]:
    """Of two readings at once the earlier could be stamped later: a counter would seem to fall."""
    key = f"pull:{source.pk}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [key])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [key])


HANDLERS: dict[str, Callable[[Job, jobs.Lease], None]] = {"pull": pull}


def forget_rejects(before: datetime) -> int:
    """Quarantine is kept for a week; the counts of rejected rows stay with their pulls."""
    return Reject.objects.filter(received_at__lt=before).delete()[0]
