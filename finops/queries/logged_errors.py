"""Errors that services logged, by type: how many, of how many requests, when last, one example.

Knows counts of quarter hours and rollups of requests. Refuses to add what two sources tell of one
service: the same line may have come by both. Refuses to call an error a request: a request may log
several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from ingest.models import Project, Source

from . import book
from .filters import Filters, today
from .stamp import SourceNote, Stamped, newest

MOST_ROWS = 500
"""More types than this are no list that anybody reads; the rest is counted together."""
MAX_HOURLY_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorType:
    """One type of error of one service, as one source tells it."""

    project_id: int
    project: str
    """Its slug."""
    project_name: str
    service: str
    type: str
    source_id: int
    source: str
    count: int
    requests: int | None
    """Of that service since this source first told of errors; None where no span names it."""
    last_at: datetime
    """Start of the newest quarter hour that has one."""
    exemplar: str
    """The newest message kept, masked and cut; empty where none was."""
    trace_id: str
    series: tuple[int, ...]
    """Per step, as `ErrorTypes.points`."""

    @property
    def per_request(self) -> float | None:
        """Errors per request; above 1 where a request logs several."""
        return self.count / self.requests if self.requests else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTypes(Stamped):
    step: str
    points: tuple[date | datetime, ...]
    rows: tuple[ErrorType, ...]
    """Most frequent first."""
    count: int | None
    """Of all rows; None where two sources tell of one service, maybe of the same errors."""
    left_out: int
    """Rows beyond `MOST_ROWS`."""
    is_connected: bool
    """Whether any source has ever told of errors in these projects, at any time."""


Key = tuple[int, str, str, int]
"""(project, service, type, source)"""


@dataclass(slots=True)
class _Sums:
    """One row in the making."""

    series: list[int]
    last_at: datetime
    count: int = 0
    example_at: datetime | None = None
    """The newest quarter hour that kept a message."""

    def add(self, place: int | None, count: int, last: datetime, example: datetime | None) -> None:
        self.count += count
        self.last_at = max(self.last_at, last)
        self.example_at = max(filter(None, (self.example_at, example)), default=None)
        if place is not None:
            self.series[place] += count


def error_types(filters: Filters, *, step: str = "day", source: int | None = None) -> ErrorTypes:
    """Errors in the period, of the projects, teams and services asked for, maybe of one source.

    A logged error names no provider and no model, so filters by these do not narrow it.
    """
    points = _points(filters, step)
    found = _counted(filters, step, source, points)
    ordered = sorted(found, key=lambda key: (-found[key].count, *key))
    shown = ordered[:MOST_ROWS]
    sources = Source.objects.in_bulk({key[3] for key in found})
    behind = tuple(
        SourceNote(one.pk, one.name, one.kind, one.last_fact_at, one.is_sample)
        for one in sorted(sources.values(), key=lambda one: one.name)
    )
    return ErrorTypes(
        step=step,
        points=points,
        rows=_rows(filters, {key: found[key] for key in shown}, sources),
        count=None if _told_twice(found) else sum(sums.count for sums in found.values()),
        left_out=len(ordered) - len(shown),
        is_connected=bool(found) or _is_connected(filters),
        as_of=newest(filters, behind),
        provisional=False,
        sources=behind,
    )


def _told_twice(found: Iterable[Key]) -> bool:
    told = {(project, service, by) for project, service, _, by in found}
    return len({(project, service) for project, service, _ in told}) < len(told)


def _rows(
    filters: Filters, found: dict[Key, _Sums], sources: dict[int, Source]
) -> tuple[ErrorType, ...]:
    projects = Project.objects.in_bulk({key[0] for key in found})
    requests = _requests(filters, _since(sources))
    examples = _examples(found)
    return tuple(
        ErrorType(
            project_id=project,
            project=projects[project].slug,
            project_name=projects[project].name,
            service=service,
            type=kind,
            source_id=by,
            source=sources[by].name,
            count=sums.count,
            requests=requests.get((project, service, by)),
            last_at=sums.last_at,
            exemplar=examples.get((by, service, kind), ("", ""))[0],
            trace_id=examples.get((by, service, kind), ("", ""))[1],
            series=tuple(sums.series),
        )
        for (project, service, kind, by), sums in found.items()
    )


def step_for(filters: Filters) -> str:
    """Hours for a short period, else days."""
    return "hour" if filters.days <= 2 else "day"


def error_sources(filters: Filters) -> tuple[tuple[int, str], ...]:
    """(id, name) of the sources that tell of errors in the period, by name."""
    found = book.rows(
        "SELECT DISTINCT s.id, s.name FROM ingest_error_count e"
        " JOIN ingest_source s ON s.id = e.source_id"
        f" WHERE {_condition(filters)} ORDER BY s.name",
        _values(filters),
    )
    return tuple((pk, name) for pk, name in found)


def _points(filters: Filters, step: str) -> tuple[Any, ...]:
    if step == "hour":
        end = min(filters.end_at, timezone.now() + timedelta(hours=1))
        return tuple(book.hours(filters.start_at, max(end, filters.start_at)))
    return tuple(book.days(filters.start, min(filters.end, today() + timedelta(days=1))))


def _counted(
    filters: Filters, step: str, source: int | None, points: Sequence[Any]
) -> dict[Key, _Sums]:
    point = (
        "date_trunc('hour', e.at, %(zone)s)"
        if step == "hour"
        else "(e.at AT TIME ZONE %(zone)s)::date"
    )
    places = {at: place for place, at in enumerate(points)}
    found: dict[Key, _Sums] = {}
    for *key, at, count, last, example in book.rows(
        f"SELECT e.project_id, e.service, e.type, e.source_id, {point}, sum(e.count)::bigint,"
        " max(e.at), max(e.at) FILTER (WHERE e.exemplar <> '')"
        f" FROM ingest_error_count e WHERE {_condition(filters, source)} GROUP BY 1, 2, 3, 4, 5",
        _values(filters, source),
    ):
        project, service, kind, by = key
        sums = found.setdefault((project, service, kind, by), _Sums([0] * len(points), last))
        sums.add(places.get(at), count, last, example)
    return found


def _examples(found: dict[Key, _Sums]) -> dict[tuple[int, str, str], tuple[str, str]]:
    """(source, service, type) → the newest message kept, with its trace.

    Looked up one by one: to sort a month of messages takes ten times as long as all the rest.
    """
    wanted = [(key, sums.example_at) for key, sums in found.items() if sums.example_at]
    return {
        (by, service, kind): (message, trace)
        for by, service, kind, message, trace in book.rows(
            "SELECT e.source_id, e.service, e.type, e.exemplar, e.trace_id"
            " FROM unnest(%(sources)s::bigint[], %(ats)s::timestamptz[], %(services)s::text[],"
            " %(types)s::text[]) AS wanted (source_id, at, service, type)"
            " JOIN ingest_error_count e USING (source_id, at, service, type)",
            {
                "sources": [key[3] for key, _ in wanted],
                "ats": [at for _, at in wanted],
                "services": [key[1] for key, _ in wanted],
                "types": [key[2] for key, _ in wanted],
            },
        )
    }


def _since(sources: Iterable[int]) -> dict[int, datetime]:
    """When each of them first told of an error: before that, requests had none to be counted."""
    return dict(
        book.rows(
            "SELECT asked.id, (SELECT min(at) FROM ingest_error_count WHERE source_id = asked.id)"
            " FROM unnest(%(ids)s::bigint[]) AS asked (id)",
            {"ids": list(sources)},
        )
    )


def _requests(filters: Filters, since: dict[int, datetime]) -> dict[tuple[int, str, int], int]:
    """(project, service, source) → requests of the period from when that source told of errors."""
    found: dict[tuple[int, str, int], int] = {}
    known: dict[datetime | None, list[tuple[Any, ...]]] = {}
    for source, first in since.items():
        begin = None if first <= filters.start_at else first
        if begin not in known:
            known[begin] = _requests_from(filters, begin)
        for project, service, count in known[begin]:
            found[project, service, source] = count
    return found


def _requests_from(filters: Filters, begin: datetime | None) -> list[tuple[Any, ...]]:
    """Whole days where the whole period counts: a hundredth of the rows of its hours."""
    values = {
        **_values(filters),
        "kinds": list(book.REQUEST_KINDS),
        "start": filters.start,
        "end": filters.end,
        "begin": begin,
    }
    table, within = (
        ("ingest_span_day", "r.day >= %(start)s AND r.day < %(end)s")
        if begin is None
        else (
            "ingest_span_quarter",
            "r.at >= %(begin)s AND r.at < %(end_at)s",
        )
    )
    return book.rows(
        f"SELECT r.project_id, r.service, sum(r.spans)::bigint FROM {table} r"
        f" WHERE {within} AND r.kind = ANY(%(kinds)s) AND r.service <> ''"
        f" AND {_scope(filters, 'r')} GROUP BY 1, 2 HAVING sum(r.spans) > 0",
        values,
    )


def _is_connected(filters: Filters) -> bool:
    found = book.rows(
        f"SELECT EXISTS (SELECT FROM ingest_error_count e WHERE {_scope(filters, 'e')})",
        _values(filters),
    )
    return bool(found[0][0])


def _condition(filters: Filters, source: int | None = None) -> str:
    parts = ["e.at >= %(start_at)s AND e.at < %(end_at)s", _scope(filters, "e")]
    if source is not None:
        parts.append("e.source_id = %(source)s")
    return " AND ".join(parts)


def _scope(filters: Filters, table: str) -> str:
    parts = ["true"]
    if filters.project_ids is not None:
        parts.append(f"{table}.project_id = ANY(%(project_ids)s)")
    if filters.services:
        parts.append(f"{table}.service = ANY(%(services)s::text[])")
    return " AND ".join(parts)


def _values(filters: Filters, source: int | None = None) -> dict[str, Any]:
    return {
        "project_ids": list(filters.project_ids or ()),
        "services": list(filters.services),
        "start_at": filters.start_at,
        "end_at": filters.end_at,
        "zone": filters.zone,
        "source": source,
    }


def by_type(rows: Sequence[ErrorType], most: int) -> list[tuple[str, tuple[int, ...], bool]]:
    """(label, per step, is it the rest) of the most frequent types, for a chart of few colours."""
    lines: dict[str, list[int]] = {}
    for row in rows:
        before = lines.setdefault(row.type, [0] * len(row.series))
        lines[row.type] = [a + b for a, b in zip(before, row.series, strict=True)]
    ordered = sorted(lines.items(), key=lambda line: (-sum(line[1]), line[0]))
    shown = [(label, tuple(counts), False) for label, counts in ordered[:most]]
    rest = [counts for _, counts in ordered[most:]]
    if rest:
        shown.append(("Other types", tuple(map(sum, zip(*rest, strict=True))), True))
    return shown
