"""Pulls: a window → fetch → store → move the cursor, safe to repeat at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from ingest import jobs, store
from ingest.models import Job, Reject, Source
from ingest.sources import REGISTRY
from ingest.sources.base import FetchError

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
    """Fetch one source from its cursor on, storing page by page."""
    source = Source.objects.get(pk=job.key)
    adapter = REGISTRY[source.kind]
    try:
        for page in adapter.fetch(source.config, source.cursor, timezone.now()):
            store.metrics(source, page.records, page.rejects, lease=lease, position=page.cursor)
            lease.renew()
    except FetchError as failure:
        Source.objects.filter(pk=source.pk).update(
            last_error=str(failure), last_error_at=timezone.now()
        )
        raise


HANDLERS: dict[str, Callable[[Job, jobs.Lease], None]] = {"pull": pull}


def forget_rejects(before: datetime) -> int:
    """Quarantine is kept for a week; the counts of rejected rows stay with their pulls."""
    return Reject.objects.filter(received_at__lt=before).delete()[0]
