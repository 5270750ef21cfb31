"""Starts and stops the reading of a source's past; each is audited in its own transaction."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from finops import audit
from finops.models import User
from ingest import backfill
from ingest.backfill import Progress
from ingest.models import Source


def start(source: Source, begin: datetime, end: datetime, *, by: User, via: str) -> Progress:
    """Raises backfill.Refused, with the fix."""
    with transaction.atomic():
        job = backfill.start(source, begin, end)
        detail = {
            "name": source.name,
            "from": begin.isoformat(),
            "to": end.isoformat(),
            "job": job.pk,
        }
        audit.record(by, via, "source.backfill", source, detail)
    return backfill.progress_of(job)


def stop(source: Source, job_id: int, *, by: User, via: str) -> bool:
    """False when it had ended already. What it has read stays."""
    why = f"Stopped by {by.get_username()}; start the same days again to go on from here."
    with transaction.atomic():
        stopped = backfill.stop(source, job_id, why)
        if stopped:
            detail = {"name": source.name, "job": job_id}
            audit.record(by, via, "source.backfill_stop", source, detail)
    return stopped
