"""Conversations and scored answers, counted from single requests.

Knows spans and scores of days whose details are kept. Refuses to read without end: it counts the
newest whole days that hold at most `MOST_REQUESTS`, or one day, and says which days those are. One
day's conversations are counted from sets that were summed with its users, where they were. A
conversation is a session of one project; an answer is a trace, however many requests it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from .. import book
from ..book import Split
from ..filters import Filters
from ..traffic.where import condition, narrowed, requests_by_day, values
from .asked import Asked
from .sql import Found, split_rows

MOST_REQUESTS = 20_000
"""Read one by one for one answer, which takes about 50 ms."""

MOST_IN_A_DAY = 200_000
"""The newest day is counted though it alone has more than that, up to here: half a second."""

SEALED = """
SELECT max(z.day) FROM ingest_sealedday z
WHERE z."table" = 'ingest_span' AND z.day >= (%(start_at)s AT TIME ZONE 'UTC')::date
    AND z.day < %(end)s"""


@dataclass(frozen=True, slots=True)
class Window:
    """The days counted, `[start, end)`; the same day twice is none."""

    start: date
    end: date
    asked_days: int
    why: str = ""
    """Why not all that was asked for; empty when it is all."""

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def is_all(self) -> bool:
        return self.days == self.asked_days


@dataclass(frozen=True, slots=True)
class Counts:
    """Over one group or day of the window."""

    requests: int = 0
    conversations: int = 0
    in_conversations: int = 0
    """Requests that name one."""
    scored: int = 0
    """Requests of scored answers."""
    answers: int = 0
    """Scored ones."""
    successful: int = 0


def window(filters: Filters) -> Window:
    """The newest whole days of the range whose requests can be read one by one."""
    given = values(filters)
    [(sealed,)] = book.rows(SEALED, given)
    # A sealed day is of UTC: of the accounting day after it, some may be gone as well.
    first = filters.start if sealed is None else min(sealed + timedelta(days=2), filters.end)
    first, why = max(first, filters.start), "details of earlier days are no longer kept"
    per_day = dict(
        book.rows(
            f"SELECT r.day, sum(r.spans)::bigint FROM {requests_by_day(filters)} GROUP BY 1",
            given,
        )
    )
    start, held, counted = filters.end, 0, 0
    while start > first:
        held += per_day.get(start - timedelta(days=1), 0)
        # A day without requests before the only busy one must not keep that one from being counted.
        most = MOST_REQUESTS if counted else MOST_IN_A_DAY
        if held > most:
            why = f"at most {MOST_REQUESTS:,} requests or one day of them are counted one by one"
            start = start if counted else filters.end
            break
        start -= timedelta(days=1)
        counted = held
    asked = (filters.end - filters.start).days
    return Window(start, filters.end, asked, "" if start == filters.start else why)


def narrowed_to(filters: Filters, counted: Window) -> Filters:
    """The same filters over the days that are counted."""
    return replace(filters, start=counted.start, end=counted.end, preset="", compare=False)


# Hashes of 64 bits, seeded by the project: counting them takes a tenth of the time that counting
# the names takes, and of 200,000 two are alike once in a thousand million times.
SPANS = """
SELECT s.project_id, s.provider, s.model, s.service, s.kind, s.input_band,
    (s.started_at AT TIME ZONE %(zone)s)::date AS day,
    CASE WHEN s.session_id <> '' THEN hashtextextended(s.session_id, s.project_id) END
        AS conversation,
    {answer}
FROM ingest_span s {scores}
WHERE s.started_at >= %(start_at)s AND s.started_at < %(end_at)s
    AND s.day BETWEEN (%(start_at)s AT TIME ZONE 'UTC')::date - 1
        AND (%(end_at)s AT TIME ZONE 'UTC')::date + 1
    AND {scope}"""

SCORES = """
LEFT JOIN (
    SELECT project_id, trace_id, avg(coalesce(number, truth::int::float8)) AS value
    FROM ingest_score WHERE name = %(score)s AND label IS NULL {owned} GROUP BY 1, 2
) AS a ON a.project_id = s.project_id AND a.trace_id = s.trace_id"""

ANSWER = (
    "CASE WHEN a.value IS NOT NULL THEN hashtextextended(s.trace_id, s.project_id) END AS answer,"
    " a.value"
)
NO_ANSWER = "NULL::bigint AS answer, NULL::float8 AS value"

MEASURES = """
    count(*), count(DISTINCT f.conversation), count(f.conversation), count(f.value)"""
OF_ANSWERS = """
    count(DISTINCT f.answer), count(DISTINCT f.answer) FILTER (WHERE f.value >= %(at_least)s)"""


def counts(filters: Filters, asked: Asked, splits: Sequence[Split]) -> list[list[Found]]:
    """Per split, rows whose only value is a `Counts`; `filters` are `narrowed_to` the window."""
    if filters.start >= filters.end:
        return [[] for _ in splits]
    if _is_in_sets(filters, asked):
        found = _from_sets(filters, splits)
    else:
        measures = MEASURES + (", " + OF_ANSWERS if asked.score else ", 0, 0")
        found = split_rows(_source(filters, asked), measures, splits, _given(filters, asked))
    return [[Found(row.keys, row.day, (Counts(*row.values),)) for row in rows] for rows in found]


SETS = """
SELECT c.project_id, c.provider, c.model, c.service, c.day, c.page, c.sessions, c.requests,
    (c.project_id::int8 << 32) + c.page + 1 AS part
FROM ingest_conversation_day c WHERE c.day = %(start)s {scope}"""

IN_SETS = "bit_or(f.sessions) AS sessions, sum(f.requests) AS requests, max(f.page) AS page"
OF_SETS = """
    sum(requests)::bigint, coalesce(sum(bit_count(sessions)), 0)::bigint,
    coalesce(sum(requests) FILTER (WHERE page >= 0), 0)::bigint, 0, 0, 0"""

NOT_IN_SETS = """
SELECT EXISTS (
    SELECT FROM ingest_request_day r WHERE r.day = %(start)s {scope} AND NOT EXISTS (
        SELECT FROM ingest_conversation_day c WHERE c.project_id = r.project_id AND c.day = r.day))
"""


def _is_in_sets(filters: Filters, asked: Asked) -> bool:
    """One day without scores, whose sessions were summed in every project; as users are, by day."""
    if asked.score or filters.days != 1:
        return False
    owned = "" if filters.project_ids is None else "AND r.project_id = ANY(%(project_ids)s)"
    [(is_missing,)] = book.rows(NOT_IN_SETS.format(scope=owned), values(filters))
    return not is_missing


def _from_sets(filters: Filters, splits: Sequence[Split]) -> list[list[Found]]:
    scope = "".join(f" AND {part}" for part in narrowed(filters, "c"))
    source, given = SETS.format(scope=scope), values(filters)
    return split_rows(source, IN_SETS, splits, given, of_parts=OF_SETS)


def _source(filters: Filters, asked: Asked) -> str:
    owned = "" if filters.project_ids is None else "AND project_id = ANY(%(project_ids)s)"
    return SPANS.format(
        answer=ANSWER if asked.score else NO_ANSWER,
        scores=SCORES.format(owned=owned) if asked.score else "",
        scope=condition(filters, "s"),
    )


def _given(filters: Filters, asked: Asked) -> dict[str, Any]:
    return {**values(filters), "score": asked.score, "at_least": asked.at_least}


def qualities(filters: Filters, asked: Asked) -> dict[tuple[Any, ...], tuple[float, int]]:
    """(kind, input band, provider, model) → mean score of its answers, and how many they are."""
    if not asked.score or filters.start >= filters.end:
        return {}
    found = book.rows(
        "SELECT kind, input_band, provider, model, avg(value), count(*) FROM ("
        "SELECT DISTINCT f.kind, f.input_band, f.provider, f.model, f.answer, f.value"
        f" FROM ({_source(filters, asked)}) AS f WHERE f.value IS NOT NULL"
        ") AS answers GROUP BY 1, 2, 3, 4",
        _given(filters, asked),
    )
    return {row[:4]: (row[4], row[5]) for row in found}


def score_names(filters: Filters) -> list[str]:
    """Scores that have a number or a truth, of projects in scope."""
    owned = "" if filters.project_ids is None else "AND project_id = ANY(%(project_ids)s)"
    found = book.rows(
        f"SELECT DISTINCT name FROM ingest_score WHERE label IS NULL {owned} ORDER BY 1 LIMIT 100",
        values(filters),
    )
    return [name for (name,) in found]
