"""Writes entries: the rules of the books, whatever is booked.

Knows which entries stand and what supersedes what. Refuses edits, time that is booked already, and
an entry without its audit record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from finops import audit
from finops.costing import savings
from finops.models import LedgerEntry, User
from finops.models.ledger import ADJUSTMENT, PROGRAMME_COST, REALISED
from finops.money import plain


@dataclass(frozen=True, slots=True)
class Booked:
    entry: LedgerEntry
    is_new: bool
    """False when the same facts had been booked already."""


@dataclass(frozen=True, slots=True)
class NotBooked:
    """Why there is no entry, in one sentence with the fix."""

    reason: str


def book(
    counts_as: str,
    change_ref: str,
    start: datetime,
    end: datetime,
    values: Mapping[str, Any],
    *,
    supersedes: LedgerEntry | None = None,
    by: User | None,
    via: str,
) -> Booked | NotBooked:
    with transaction.atomic():
        lock(change_ref)
        standing = _standing(counts_as, change_ref, start, end, supersedes)
        known = _with_these_facts(counts_as, change_ref, start, end, values)
        if known is not None:
            return Booked(known, is_new=False)
        problem = _problem(standing, supersedes, start, values)
        if problem:
            return NotBooked(problem)
        entry = add(
            counts_as, change_ref, start, end, values, standing[0] if standing else None, by
        )
        detail = {
            "change": change_ref,
            "from": start.isoformat(),
            "to": end.isoformat(),
            "capacity_gpu_seconds": entry.capacity_gpu_seconds,
            "cash": None if entry.cash is None else f"{plain(entry.cash)} {entry.currency}",
            "facts": entry.facts_hash.hex(),
            "supersedes": entry.supersedes_id,
        }
        audit.record(by, via, f"ledger.{entry.kind}", entry, detail)
    return Booked(entry, is_new=True)


def _standing(
    counts_as: str,
    change_ref: str,
    start: datetime,
    end: datetime,
    supersedes: LedgerEntry | None,
) -> list[LedgerEntry]:
    """Entries that count now and speak of the same: a change has one estimate at a time."""
    found = LedgerEntry.objects.filter(superseded_by__isnull=True)
    if supersedes is not None:
        return list(found.filter(pk=supersedes.pk))
    found = found.filter(change_ref=change_ref, counts_as=counts_as)
    if counts_as == REALISED:
        found = found.filter(period_from__lt=end, period_to__gt=start)
    return list(found)


def _with_these_facts(
    counts_as: str, change_ref: str, start: datetime, end: datetime, values: Mapping[str, Any]
) -> LedgerEntry | None:
    """Superseded or not: whoever corrected it knew these facts, and new ones are needed."""
    found: LedgerEntry | None = LedgerEntry.objects.filter(
        change_ref=change_ref,
        counts_as=counts_as,
        period_from=start,
        period_to=end,
        facts_hash=values["facts_hash"],
        provisional=values.get("provisional", False),
    ).first()
    return found


def _problem(
    standing: Sequence[LedgerEntry],
    supersedes: LedgerEntry | None,
    start: datetime,
    values: Mapping[str, Any],
) -> str:
    if supersedes is not None and supersedes not in standing:
        return "That entry was corrected already; correct the newest one."
    if len(standing) > 1:
        return "Several entries lie in this period; book each of their periods by itself."
    if not standing or supersedes is not None:
        return ""
    old = standing[0]
    if old.counts_as == REALISED and start > old.period_from:
        return "Part of this period is booked in an entry that began earlier; book from its start."
    if values.get("provisional") and not old.provisional:
        return "This period is booked for good; a provisional entry does not replace it."
    return ""


def add(
    counts_as: str,
    change_ref: str,
    start: datetime,
    end: datetime,
    values: Mapping[str, Any],
    supersedes: LedgerEntry | None,
    by: User | None,
) -> LedgerEntry:
    entry: LedgerEntry = LedgerEntry.objects.create(
        kind=ADJUSTMENT if supersedes else counts_as,
        counts_as=counts_as,
        supersedes=supersedes,
        revision=supersedes.revision + 1 if supersedes else 1,
        change_ref=change_ref,
        period_from=start,
        period_to=end,
        created_by=by,
        created_at=timezone.now(),
        **values,
    )
    return entry


def lock(change_ref: str) -> None:
    """One booking of a change at a time; the trigger takes the same lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"ledger:{change_ref}"]
        )


def is_current_cost(entry: LedgerEntry) -> bool:
    return (
        entry.counts_as == PROGRAMME_COST
        and not LedgerEntry.objects.filter(supersedes=entry).exists()
    )


def hash_of(facts: Mapping[str, Any]) -> bytes:
    """Over everything the figures follow from, so that the same facts are known again."""
    text = json.dumps(
        {"method": savings.METHOD_VERSION, **facts}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).digest()
