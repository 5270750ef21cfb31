"""Counts, errors, tokens and percentiles from rollups; sketches are merged, never averaged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from ingest import sketch
from ingest.models import Project
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS

from .. import book
from ..filters import Filters, today
from ..late import late_requests
from ..spend import NoSuchSeries, label
from ..stamp import Stamped, newest, notes
from .where import condition, values

GROUPS = ("project", "team", "provider", "model", "service", "kind", "tier")
MAX_HOURLY_DAYS = 14
QUANTILES = (0.5, 0.95, 0.99)
SKETCHES = ("latency", "ttft", "tpot")
COUNTED = ("spans", "errors", "usage_unknown", "endings_known", "abandoned")

Sketch = tuple[list[int], list[int]]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds, right to 1 %; None where nothing was measured."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    keys: tuple[str, ...]
    labels: tuple[str, ...]
    requests: int
    errors: int
    usage_unknown: int
    tokens: dict[str, int]
    """Token class → sum of what is known; see `ingest.records.TOKEN_CLASSES`."""
    latency: Percentiles
    ttft: Percentiles
    tpot: Percentiles
    """Time per output token after the first, of requests that told both."""
    endings_known: int
    """Requests that say whether their caller waited for the end; see `ingest.endings`."""
    abandoned: int

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    @property
    def abandonment_rate(self) -> float | None:
        """Of the requests whose ending is known; None where none is."""
        return self.abandoned / self.endings_known if self.endings_known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTable(Stamped):
    group_by: tuple[str, ...]
    rows: tuple[RequestRow, ...]
    """Busiest first."""
    total: RequestRow
    late_requests: int
    """Requests in it that came after their day was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencySeries(Stamped):
    """Per step: requests, errors and percentiles; None where there was no traffic."""

    step: str
    points: tuple[date | datetime, ...]
    requests: tuple[int, ...]
    errors: tuple[int, ...]
    latency: tuple[Percentiles, ...]
    ttft: tuple[Percentiles, ...]
    tpot: tuple[Percentiles, ...]
    endings_known: tuple[int, ...]
    abandoned: tuple[int, ...]


@dataclass(slots=True)
class _Sums:
    counts: list[int]
    """`COUNTED` and the token classes, in this order."""
    sketches: dict[str, list[Sketch]]

    def row(self, keys: tuple[str, ...], labels: tuple[str, ...]) -> RequestRow:
        requests, failed, unknown, endings_known, abandoned, *tokens = self.counts
        return RequestRow(
            keys=keys,
            labels=labels,
            requests=requests,
            errors=failed,
            usage_unknown=unknown,
            tokens=dict(zip(TOKEN_CLASSES, tokens, strict=True)),
            latency=percentiles(self.sketches["latency"]),
            ttft=percentiles(self.sketches["ttft"]),
            tpot=percentiles(self.sketches["tpot"]),
            endings_known=endings_known,
            abandoned=abandoned,
        )


def request_summary(filters: Filters) -> RequestTable:
    """Requests by `filters.group_by` (model when empty), with percentiles from merged sketches.

    Groups that requests do not have (sku, origin) are left out; `group_by` says what was used.
    """
    group_by = tuple(name for name in filters.group_by if name in GROUPS) or ("model",)
    projects = _projects() if {"project", "team"} & set(group_by) else {}
    columns = ["project_id" if name in ("project", "team") else name for name in group_by]
    groups: dict[tuple[str, ...], _Sums] = {}
    for key, sums in _sums(filters, columns, "ingest_span_day", "r.day").items():
        own = tuple(_key(name, at, projects) for name, at in zip(group_by, key, strict=True))
        groups[own] = _merged((groups[own], sums)) if own in groups else sums
    names = {project.slug: project.name for project in projects.values()}
    rows = [
        sums.row(key, tuple(label(name, at, names) for name, at in zip(group_by, key, strict=True)))
        for key, sums in groups.items()
    ]
    rows.sort(key=lambda row: (-row.requests, row.labels))
    total = _merged(groups.values()).row((), ("Total",))
    return RequestTable(
        group_by=group_by,
        rows=tuple(rows),
        total=total,
        late_requests=late_requests(filters),
        **stamp(filters),
    )


def requests_by(filters: Filters, columns: list[str]) -> dict[tuple[Any, ...], RequestRow]:
    """The same sums by any columns of a rollup, as they are there."""
    found = _sums(filters, columns, "ingest_span_day", "r.day")
    return {key: sums.row(tuple(map(str, key)), ()) for key, sums in found.items()}


def latency_series(filters: Filters, step: str = "day") -> LatencySeries:
    """`step` is `day`, or `hour` for at most 14 days."""
    if step == "hour" and filters.days > MAX_HOURLY_DAYS:
        raise NoSuchSeries(f"Ask for hours of at most {MAX_HOURLY_DAYS} days, or use step=day.")
    points: list[Any]
    if step == "hour":
        end = min(filters.end_at, timezone.now() + timedelta(hours=1))
        points = book.hours(filters.start_at, max(end, filters.start_at))
        found = _sums(filters, ["at"], "ingest_span_hour", "r.at")
    else:
        points = book.days(filters.start, min(filters.end, today() + timedelta(days=1)))
        found = _sums(filters, ["day"], "ingest_span_day", "r.day")
    rows = [found.get((point,), _nothing()).row((), ()) for point in points]
    return LatencySeries(
        step=step,
        points=tuple(points),
        requests=tuple(row.requests for row in rows),
        errors=tuple(row.errors for row in rows),
        latency=tuple(row.latency for row in rows),
        ttft=tuple(row.ttft for row in rows),
        tpot=tuple(row.tpot for row in rows),
        endings_known=tuple(row.endings_known for row in rows),
        abandoned=tuple(row.abandoned for row in rows),
        **stamp(filters),
    )


def percentiles(sketches: Iterable[Sketch]) -> Percentiles:
    keys, counts = sketch.merge(sketches)
    return Percentiles(sum(counts), *(sketch.quantile(keys, counts, q) for q in QUANTILES))


def _sums(
    filters: Filters, columns: list[str], table: str, time: str
) -> dict[tuple[Any, ...], _Sums]:
    within = (
        f"{time} >= %(start)s AND {time} < %(end)s"
        if time == "r.day"
        else f"{time} >= %(start_at)s AND {time} < %(end_at)s"
    )
    scope = f"FROM {table} r WHERE {within} AND {condition(filters, 'r')}"
    keys = ", ".join(f"r.{column}" for column in columns)
    measures = ", ".join(f"sum(r.{name})" for name in COUNTED)
    tokens = ", ".join(f"sum(r.{name})" for name in TOKEN_FIELDS)
    found: dict[tuple[Any, ...], _Sums] = {}
    width = len(columns)
    for row in book.rows(f"SELECT {keys}, {measures}, {tokens} {scope} GROUP BY {keys}",
                         values(filters)):  # fmt: skip
        sums = _nothing()
        sums.counts = [int(value) for value in row[width:]]
        found[row[:width]] = sums
    for name in SKETCHES:
        for row in book.rows(_merging(name, keys, scope, width), values(filters)):
            found[row[:width]].sketches[name].append((row[-2], row[-1]))
    return found


def _merging(name: str, keys: str, scope: str, width: int) -> str:
    """Buckets added up by PostgreSQL, one pair of arrays a group.

    Two `unnest` side by side in the select list take half the time of one in a lateral join.
    """
    groups = ", ".join(f"g{place}" for place in range(width))
    return f"""
SELECT {groups}, array_agg(k), array_agg(n) FROM (
    SELECT {groups}, k, sum(n)::int8 FROM (
        SELECT {keys}, unnest(r.{name}_keys), unnest(r.{name}_counts) {scope}
            AND r.{name}_count > 0
    ) AS buckets ({groups}, k, n) GROUP BY {groups}, k
) AS merged ({groups}, k, n) GROUP BY {groups}"""


def _nothing() -> _Sums:
    return _Sums([0] * (len(COUNTED) + len(TOKEN_FIELDS)), {name: [] for name in SKETCHES})


def _merged(parts: Iterable[_Sums]) -> _Sums:
    total = _nothing()
    for part in parts:
        total.counts = [a + b for a, b in zip(total.counts, part.counts, strict=True)]
        for name in SKETCHES:
            total.sketches[name].extend(part.sketches[name])
    return total


def _projects() -> dict[int, Project]:
    return {project.pk: project for project in Project.objects.select_related("team")}


def _key(name: str, value: Any, projects: dict[int, Project]) -> str:
    if name == "project":
        return projects[value].slug
    if name == "team":
        team = projects[value].team
        return team.name if team else ""
    return str(value)


def stamp(filters: Filters) -> dict[str, Any]:
    """Counts and latencies are what happened: nothing in them waits for a bill."""
    sources = notes(filters, usage=True)
    return {"as_of": newest(filters, sources), "provisional": False, "sources": sources}
