"""What the stubs sent, and how far the database is from it.

Knows sums to the cent and which rows are missing or there too often. Refuses to look at what the
product says of itself: counts of its own are no witness.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

SUMMED = ("input_tokens", "output_tokens", "source_cost_usd")


@dataclass(frozen=True)
class Sent:
    """One call as its sender counted it."""

    span_id: str
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


@dataclass
class Distance:
    """Zero everywhere is a kill that did no harm."""

    lost: int = 0
    doubled: int = 0
    wrong_sums: int = 0
    """Sums of facts, rollups or bills that are not the sender's to the cent."""
    cursor_ahead: int = 0
    half_taken: int = 0
    """A state between before and after that somebody could see."""

    @property
    def is_wrong(self) -> bool:
        return any(vars(self).values())

    def __iadd__(self, other: Distance) -> Distance:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


def distance(project_id: int, sent: Iterable[Sent]) -> Distance:
    """Facts and their rollups of a project, against what was sent for it."""
    from ingest.models import Span, SpanHour

    wanted = {one.span_id: one for one in sent}
    kept = Counter(Span.objects.filter(project_id=project_id).values_list("span_id", flat=True))
    right = (
        len(wanted),
        sum(one.input_tokens for one in wanted.values()),
        sum(one.output_tokens for one in wanted.values()),
        sum((one.cost_usd for one in wanted.values()), Decimal()),
    )
    facts = _sums(Span.objects.filter(project_id=project_id), None)
    hours = _sums(SpanHour.objects.filter(project_id=project_id), "spans")
    return Distance(
        lost=len(wanted.keys() - kept.keys()),
        doubled=sum(count - (name in wanted) for name, count in kept.items()),
        wrong_sums=(facts != right) + (hours != right),
    )


def _sums(rows: Any, counted: str | None) -> tuple[Any, ...]:
    from django.db.models import Count, Sum

    counts = Sum(counted) if counted else Count("*")
    found = rows.aggregate(rows_of=counts, **{f"{name}_of": Sum(name) for name in SUMMED})
    sums = [found[f"{name}_of"] or 0 for name in SUMMED]
    return found["rows_of"] or 0, sums[0], sums[1], Decimal(sums[2])


def rows_behind(source: Any, stub: Any, before: Mapping[str, Any]) -> int:
    """Rows that the cursor says were read since it stood at `before`, and that are not there."""
    from ingest.models import Score, Span

    source.refresh_from_db(fields=["cursor"])
    walks = source.cursor.get("walks", {})
    if not walks or source.cursor == before:
        return 0
    spans = set(Span.objects.filter(project_id=source.project_id).values_list("span_id", flat=True))
    scores = set(Score.objects.filter(source_id=source.pk).values_list("external_id", flat=True))
    walk, late = walks["recent"], walks["late"]
    # What the look back still has to read is no promise of the recent walk.
    left = late["end"] if late["start"] < late["end"] else ""
    seen_spans = [
        one.id
        for one in stub.observations.values()
        if one.started_at.isoformat() >= left and _is_read(walk, one, "started_at")
    ]
    seen_scores = [
        one.id
        for one in stub.scores.values()
        if one.at.isoformat() >= left and _is_read(walk, one, "at")
    ]
    return len(set(seen_spans) - spans) + len(set(seen_scores) - scores)


def _is_read(walk: Mapping[str, Any], row: Any, of: str) -> bool:
    """Whether a walk with this much left has passed the row: newest first, calls before scores."""
    at: datetime = getattr(row, of)
    start = datetime.fromisoformat(walk["start"])
    is_span = of == "started_at"
    if at < start:
        # A walk that is over ends where it begins, and leaves nothing before it.
        return start >= datetime.fromisoformat(walk["end"])
    if at >= datetime.fromisoformat(walk["end"]):
        return False
    what_is_span = walk["what"] == "observations"
    if is_span != what_is_span:
        return is_span
    if walk["at"] is None:
        return False
    position = json.loads(base64.urlsafe_b64decode(walk["at"]))
    return [at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), row.id] >= position
