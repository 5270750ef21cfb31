"""How far the sums by label have come, and which keys the newest requests have.

Knows what is kept and the newest requests. Refuses to count what the reader may not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from finops import access
from ingest.models import KeptLabel, Project

from .book_coverage import REQUEST_KINDS, rows
from .kept_labels import visible

NEWEST = 5_000
"""Requests that keys are looked for in: enough to see what senders say."""
LOOK_BACK_DAYS = 7
MOST_KEYS = 60
MANY_VALUES = 200
"""Different values among the newest requests from which a key names requests, not customers."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One kept label and how far its sums have come."""

    label: KeptLabel
    summed_days: int
    """Days of projects that were summed by it."""
    waiting_days: int
    """Days that are to be summed or priced yet."""
    first_day: date | None
    """The first one summed; the requests of earlier days may be gone."""
    most_values: int
    """Different values on the day that had the most; None summed yet: 0."""
    folded_days: int
    """Days with more values than are kept apart."""


@dataclass(frozen=True, slots=True)
class KeySeen:
    """An attribute that the newest requests have."""

    key: str
    requests: int
    values: int
    """Different ones."""
    example: str
    looked_at: int
    """Requests that were looked at."""

    @property
    def has_many(self) -> bool:
        return self.values >= MANY_VALUES

    @property
    def may_be_personal(self) -> bool:
        return "@" in self.example


def of_user(user: Any) -> tuple[LabelRow, ...]:
    """Every label that a reader may see, with its progress over the projects that they may see."""
    seen = access.visible_projects(user)
    kept = visible(seen)
    told = _progress(kept, None if seen.everything else sorted(seen.ids))
    nothing = (0, 0, None, 0, 0)
    return tuple(LabelRow(label, *told.get(label.pk, nothing)) for label in kept)


PROGRESS = """
WITH owners AS (
    SELECT k.id, k.name, k.since, p.id AS project_id
    FROM ingest_kept_label k JOIN ingest_project p ON k.project_id = p.id OR (
        k.project_id IS NULL AND NOT EXISTS (
            SELECT FROM ingest_kept_label o WHERE o.name = k.name AND o.project_id = p.id))
    WHERE k.id = ANY(%(labels)s) {narrowed}
)
SELECT o.id, count(s.day),
    count(*) FILTER (WHERE d.changed <> d.summed OR p.summed IS DISTINCT FROM d.summed),
    min(s.day), coalesce(max(s.different), 0), count(*) FILTER (WHERE s.folded > 0)
FROM owners o
JOIN ingest_user_day_state d ON d.project_id = o.project_id AND d.day >= o.since
LEFT JOIN ingest_label_day_state s
    ON s.project_id = d.project_id AND s.day = d.day AND s.label = o.name
LEFT JOIN finops_priceduserday p ON p.project_id = d.project_id AND p.day = d.day
GROUP BY o.id"""


def _progress(kept: Sequence[KeptLabel], projects: list[int] | None) -> dict[int, tuple[Any, ...]]:
    if not kept:
        return {}
    narrowed = "" if projects is None else "AND p.id = ANY(%(projects)s)"
    given = {"labels": [label.pk for label in kept], "projects": projects}
    return {pk: tuple(told) for pk, *told in rows(PROGRESS.format(narrowed=narrowed), given)}


SEEN = """
WITH newest AS MATERIALIZED (
    SELECT s.attributes FROM unnest(%(projects)s::int[]) AS p (id) CROSS JOIN LATERAL (
        SELECT s.attributes FROM ingest_span s
        WHERE s.project_id = p.id AND s.day >= %(since)s AND s.started_at >= %(since)s
            AND s.kind = ANY(%(kinds)s)
        ORDER BY s.started_at DESC LIMIT %(newest)s
    ) AS s
)
SELECT k.key, count(*), count(DISTINCT k.value), min(k.value),
    (SELECT count(*) FROM newest)
FROM newest n, jsonb_each_text(n.attributes) AS k (key, value)
WHERE n.attributes IS NOT NULL AND k.value <> ''
GROUP BY 1 ORDER BY count(DISTINCT k.value) BETWEEN 2 AND %(many)s DESC, 2 DESC, 1
LIMIT %(most)s"""


def keys_seen(projects: Iterable[Project], until: date) -> tuple[KeySeen, ...]:
    """Keys of the newest requests of these projects: first those that tell some apart."""
    asked = [project.pk for project in projects]
    if not asked:
        return ()
    found = rows(
        SEEN,
        {
            "projects": asked,
            "since": until - timedelta(days=LOOK_BACK_DAYS),
            "kinds": list(REQUEST_KINDS),
            "newest": NEWEST // len(asked),
            "many": MANY_VALUES,
            "most": MOST_KEYS,
        },
    )
    return tuple(KeySeen(*row) for row in found)
