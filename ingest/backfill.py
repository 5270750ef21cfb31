"""Reads a source's past: a job that walks from one day to another and may die at any step.

Knows the range, and how far it has come: both are in the job's row, and the place moves in the
transaction that stores a page. Refuses to read the present, which is what pulls are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from ingest import fetching, jobs
from ingest.models import Job, Source
from ingest.records import EARLIEST
from ingest.sources.base import FetchError, Page, TracePullSource
from ingest.store import Counts

KIND = "backfill"
OPEN = ("waiting", "running")


class Refused(ValueError):
    """Why this source or range cannot be back-filled, in one sentence with the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How one back-fill does, as a page may show it."""

    job_id: int
    source_id: int
    start: datetime
    end: datetime
    reached: datetime
    """Everything before this has been read."""
    counts: Counts
    state: str
    """waiting, running, done or failed."""
    waits_until: datetime | None
    """When it goes on, where its server or the budget of requests made it wait."""
    note: str
    """Why it waits or failed, in a sentence."""
    began_at: datetime
    finished_at: datetime | None

    @property
    def share(self) -> float:
        """From 0 to 1."""
        if self.state == "done":
            return 1.0
        return (self.reached - self.start) / (self.end - self.start)


def start(source: Source, begin: datetime, end: datetime) -> Job:
    """Make the job, or open one again that failed at the same range. Raises Refused."""
    adapter = fetching.adapter_of(source)
    if not isinstance(adapter, TracePullSource):
        raise Refused(f"A source of kind {source.kind} keeps no past that could be read.")
    if not EARLIEST <= begin < end <= timezone.now():
        raise Refused("Give a range of the past, with its beginning first.")
    payload = {"from": begin.isoformat(), "to": end.isoformat()}
    own = Job.objects.filter(kind=KIND, key=str(source.pk))
    with transaction.atomic():
        # Two people at once would otherwise start two.
        Source.objects.select_for_update().only("pk").get(pk=source.pk)
        busy = own.filter(state__in=OPEN).first()
        if busy is not None:
            raise Refused(f"{source} is being back-filled already; wait until job {busy.pk} ends.")
        failed = own.filter(state="failed", payload=payload).order_by("-pk").first()
        if failed is not None:
            return jobs.reopen(failed)
        now = timezone.now()
        jobs.enqueue(KIND, str(source.pk), now, payload)
        return own.get(scheduled_for=now)


def stop(source: Source, job_id: int, why: str) -> bool:
    """End one of its back-fills, which keeps what it has read; False when none was open."""
    own = Job.objects.filter(pk=job_id, kind=KIND, key=str(source.pk))
    return own.exists() and jobs.stop(job_id, why)


def progress(source: Source) -> tuple[Progress, ...]:
    """The source's back-fills, the newest first; finished ones are kept for a day."""
    found = Job.objects.filter(kind=KIND, key=str(source.pk)).order_by("-pk")
    return tuple(progress_of(job) for job in found)


def progress_of(job: Job) -> Progress:
    begin, end = _range(job)
    said = job.progress
    waits = job.state == "waiting" and job.scheduled_for > timezone.now()
    return Progress(
        job_id=job.pk,
        source_id=int(job.key),
        start=begin,
        end=end,
        reached=datetime.fromisoformat(said["reached"]) if "reached" in said else begin,
        counts=_counts(said),
        state=job.state,
        waits_until=job.scheduled_for if waits else None,
        note=job.error,
        began_at=job.created_at,
        finished_at=job.finished_at,
    )


def run(job: Job, lease: jobs.Lease) -> None:
    """Go on from where the job stands, for a while. Raises Delayed when there is more to do."""
    source = Source.objects.get(pk=job.key)
    if not source.enabled:
        raise FetchError(f"{source} is switched off; switch it on and start again.")
    began = timezone.now()
    try:
        for page in _pages(source, job, lease):
            _keep(source, job, lease, page)
            fetching.yield_turn(began)
    except FetchError as failure:
        fetching.note_failure(source, failure)
        raise


def _pages(source: Source, job: Job, lease: jobs.Lease) -> Iterator[Page]:
    adapter = fetching.adapter_of(source)
    assert isinstance(adapter, TracePullSource)
    config = fetching.config_of(source)
    begin, end = _range(job)
    cursor = job.progress.get("cursor", {})
    terms = fetching.terms_of(source, config, lease)
    return adapter.fetch_range(config, cursor, begin, end, terms)


def _keep(source: Source, job: Job, lease: jobs.Lease, page: Page) -> None:
    begin, _ = _range(job)
    before = _counts(job.progress)

    def note(counts: Counts) -> None:
        job.progress = {
            "cursor": page.cursor,
            "reached": (page.reached or begin).isoformat(),
            **(before + counts).as_dict(),
        }
        lease.renew(job.progress)

    fetching.store_page(source, page, lease=lease, position=None, also=note)


def _range(job: Job) -> tuple[datetime, datetime]:
    said: dict[str, Any] = job.payload
    return datetime.fromisoformat(said["from"]), datetime.fromisoformat(said["to"])


def _counts(said: dict[str, Any]) -> Counts:
    names = Counts.__dataclass_fields__
    return Counts(**{name: said.get(name, 0) for name in names})
