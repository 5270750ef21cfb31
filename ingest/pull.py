"""Pulls: a window → fetch → store → move the cursor, safe to repeat at any point."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ingest import backfill, bill_pulls, failpoints, fetching, jobs
from ingest.models import Job, Reject, Source
from ingest.sources.base import (
    BillPullSource,
    Delayed,
    FetchError,
    Page,
    PullSource,
    TracePullSource,
)

log = logging.getLogger(__name__)


def schedule(now: datetime) -> int:
    """Make the job of each due source; two schedulers make one. How many were new."""
    due = Source.objects.filter(enabled=True, interval_s__isnull=False)
    return sum(_schedule(source, now) for source in due)


def _schedule(source: Source, now: datetime) -> bool:
    assert source.interval_s
    slot = int(now.timestamp()) // source.interval_s * source.interval_s
    failpoints.hit("schedule.due")
    busy = Job.objects.filter(kind="pull", key=str(source.pk), state__in=["waiting", "running"])
    # A pull that takes longer than its interval is not overtaken by itself.
    if busy.exists():
        return False
    with transaction.atomic():
        is_new = jobs.enqueue("pull", str(source.pk), datetime.fromtimestamp(slot, UTC))
        failpoints.hit("schedule.before_commit")
    failpoints.hit("schedule.after_commit")
    return is_new


def run_job(job_id: int) -> None:
    claimed = jobs.claim(job_id)
    if claimed is None:
        return
    job, lease = claimed
    try:
        _run(job, lease)
    except jobs.LeaseLost as lost:
        log.warning("lease_lost job=%s detail=%s", job_id, lost)


def _run(job: Job, lease: jobs.Lease) -> None:
    try:
        HANDLERS[job.kind](job, lease)
    except Delayed as delayed:
        # Nobody sleeps: the job waits in its row, and the sweeper nudges it.
        lease.put_off(delayed.until, str(delayed))
    except FetchError as failure:
        again = TRY_AGAIN_AFTER.get(job.kind)
        if again is None:
            # The next slot tries again; the source says meanwhile what is wrong.
            jobs.finish(lease, str(failure))
        else:
            lease.put_off(timezone.now() + again, str(failure), is_attempt=True)
    else:
        jobs.finish(lease)


def pull(job: Job, lease: jobs.Lease) -> None:
    source = Source.objects.get(pk=job.key)
    if source.enabled:
        _fetch(source, lease)


def now(source: Source) -> None:
    """A reading at this moment, out of turn and finished on return. Raises FetchError.

    For whoever is about to change what is read: what ran up to the change is known afterwards.
    """
    _fetch(source, None)


def _fetch(source: Source, lease: jobs.Lease | None) -> None:
    """Fetch one source from its cursor on, storing page by page."""
    adapter = fetching.adapter_of(source)
    try:
        with _alone(source):
            source.refresh_from_db(fields=["cursor"])
            config = fetching.config_of(source)
            if isinstance(adapter, BillPullSource):
                bill_pulls.fetch(adapter, source, config, lease)
            else:
                _fetch_pages(source, _pages(adapter, source, config, lease), lease)
    except FetchError as failure:
        fetching.note_failure(source, failure)
        raise


def _pages(
    adapter: PullSource, source: Source, config: dict[str, Any], lease: jobs.Lease | None
) -> Iterator[Page]:
    at = timezone.now()
    if isinstance(adapter, TracePullSource):
        terms = fetching.terms_of(source, config, lease)
        return adapter.fetch_traces(config, source.cursor, at, terms)
    return adapter.fetch(config, source.cursor, at)


def _fetch_pages(source: Source, pages: Iterator[Page], lease: jobs.Lease | None) -> None:
    began = timezone.now()
    for page in pages:
        fetching.store_page(source, page, lease=lease, position=page.cursor)
        if lease is not None:
            lease.renew()
            fetching.yield_turn(began)


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


HANDLERS: dict[str, Callable[[Job, jobs.Lease], None]] = {"pull": pull, backfill.KIND: backfill.run}
TRY_AGAIN_AFTER = {backfill.KIND: timedelta(minutes=1)}
"""Kinds that no next slot would try again. jobs.MOST_ATTEMPTS without any progress are the end."""


def forget_rejects(before: datetime) -> int:
    """Quarantine is kept for a week; the counts of rejected rows stay with their pulls."""
    return Reject.objects.filter(received_at__lt=before).delete()[0]
