"""How the pulling of sources goes: which of the pulls that were due came, and what is left to ask.

Knows jobs, which are kept for a day. Refuses a share of nothing: a source that pushes, or that was
connected a moment ago, has none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count

from ingest.fetching import DAY_S, MINUTE_S
from ingest.models import Job, Source

DAY = timedelta(hours=24)
WINDOWS = {"requests_per_minute": MINUTE_S, "requests_per_day": DAY_S}


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests a source allows itself, and how many of them are spent."""

    window_s: int
    """Counted from a full minute, or from midnight UTC."""
    spent: int
    most: int


def completeness(sources: Iterable[Source], now: datetime) -> dict[int, float]:
    """Source → share of the pulls due in the last 24 hours that came; nothing for the others."""
    due = {
        str(source.pk): (source.pk, _due(source, now))
        for source in sources
        if source.enabled and source.interval_s is not None
    }
    due = {key: told for key, told in due.items() if told[1]}
    if not due:
        return {}
    came = dict(
        Job.objects.filter(
            kind="pull", key__in=list(due), state="done", scheduled_for__gte=now - DAY
        )
        .order_by()
        .values_list("key")
        .annotate(Count("pk"))
    )
    return {pk: min(1.0, came.get(key, 0) / count) for key, (pk, count) in due.items()}


def _due(source: Source, now: datetime) -> int:
    assert source.interval_s
    return int(min(DAY, now - source.created_at).total_seconds()) // source.interval_s


def budgets(source: Source, now: datetime) -> tuple[Budget, ...]:
    """Of a source that has them; the shortest window first."""
    seconds = int(now.timestamp())
    found = []
    for name, window_s in WINDOWS.items():
        most = source.config.get(name)
        if isinstance(most, int):
            begun, count = source.spent.get(name, (0, 0))
            found.append(Budget(window_s, count if begun == seconds // window_s else 0, most))
    return tuple(found)
