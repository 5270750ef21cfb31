"""What has been read of a source's past, and how far it has come, as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from django.urls import reverse

from finops.templatetags import words
from ingest import backfill
from ingest.backfill import OPEN, Progress
from ingest.models import Source

STATE_LABELS = {
    "waiting": ("Waiting for a worker", "quiet"),
    "running": ("Running", "quiet"),
    "done": ("Done", "good"),
    "failed": ("Ended early", "warn"),
}


@dataclass(frozen=True, slots=True)
class Past:
    """One back-fill as the page shows it."""

    job_id: int
    is_open: bool
    percent: str
    share: str
    days: str
    state: tuple[str, str]
    note: str
    facts: tuple[tuple[str, str], ...]


def past_context(source: Source) -> dict[str, Any]:
    """What the part of the page about the past needs."""
    pasts = [past(one) for one in backfill.progress(source)]
    return {
        "pasts": pasts,
        "past_follows": any(one.is_open for one in pasts),
        "past_address": reverse("finops:source-past", args=[source.pk]),
    }


def past(told: Progress) -> Past:
    counts = told.counts
    label, tone = STATE_LABELS[told.state]
    if told.waits_until is not None and told.note:
        label, tone = f"Delayed until {words.when_text(told.waits_until)}", "warn"
    return Past(
        told.job_id,
        told.state in OPEN,
        words.percent(told.share),
        f"{told.share:.4f}",
        days_said(told),
        (label, tone),
        told.note,
        (
            ("Reached", words.when_text(told.reached)),
            ("Rows so far", words.count(counts.rows_in)),
            ("New", words.count(counts.inserted)),
            ("Changed", words.count(counts.updated)),
            ("Known already", words.count(counts.unchanged + counts.stale)),
            ("Refused", words.count(counts.rejected)),
        ),
    )


def days_said(told: Progress) -> str:
    """`1 May 2026 to 31 May 2026` for whole days, which is what the form asks for."""
    start, end = words.local(told.start), words.local(told.end)
    if start.time() == end.time() == time():
        return f"{words.day(start.date())} to {words.day(end.date() - timedelta(days=1))}"
    return f"{words.when_text(told.start)} to {words.when_text(told.end)}"
