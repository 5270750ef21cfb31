"""Counts, errors, tokens and percentiles from rollups; sketches are merged, never averaged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.utils import timezone

from ingest import sketch
from ingest.models import Project
from ingest.models.rollups import DIMENSIONS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS

from .. import book
from ..filters import Filters, today
from ..group_names import label
from ..late import late_requests
from ..spend import NoSuchSeries
from ..stamp import Stamped, newest, notes
from ..weeks import weeks_and_days
from .where import condition, requests_by_day, values

GROUPS = ("project", "team", "provider", "model", "service", "kind", "tier")
MAX_HOURLY_DAYS = 14
QUANTILES = (0.5, 0.95, 0.99)
SKETCHES = ("latency", "ttft", "tpot")
COUNTED = ("spans", "errors", "usage_unknown", "endings_known", "abandoned")

PARTS = tuple(f"{name}_{part}" for name in SKETCHES for part in ("count", "keys", "counts"))
ROLLED = ", ".join(("project_id", *DIMENSIONS, *COUNTED, *TOKEN_FIELDS, *PARTS))

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
    """This and the next are empty where only latency was asked for."""
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


@dataclass(frozen=True, slots=True)
class Speed:
    requests: int
    errors: int
    latency: Percentiles

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None


def speed_by(filters: Filters, columns: list[str]) -> dict[tuple[Any, ...], Speed]:
    """How many failed and how fast the others were, by any columns of a rollup."""
    found = _sums(filters, columns, "ingest_span_day", "r.day", ("latency",))
    return {
        key: Speed(sums.counts[0], sums.counts[1], percentiles(sums.sketches["latency"]))
        for key, sums in found.items()
    }


def latency_series(
    filters: Filters, step: str = "day", sketches: Sequence[str] = SKETCHES
) -> LatencySeries:
    """`step` is `day`, or `hour` for at most 14 days; `sketches` of what percentiles are wanted."""
    if step == "hour" and filters.days > MAX_HOURLY_DAYS:
        raise NoSuchSeries(f"Ask for hours of at most {MAX_HOURLY_DAYS} days, or use step=day.")
    points: list[Any]
    if step == "hour":
        end = min(filters.end_at, timezone.now() + timedelta(hours=1))
        points = book.hours(filters.start_at, max(end, filters.start_at))
        found = _sums(filters, ["at"], "ingest_span_hour", "r.at", sketches)
    else:
        points = book.days(filters.start, min(filters.end, today() + timedelta(days=1)))
        found = _sums(filters, ["day"], "ingest_span_day", "r.day", sketches)
    rows = [found.get((point,), _nothing()).row((), ()) for point in points]
    return LatencySeries(
        step=step,
        points=tuple(points),
        requests=tuple(row.requests for row in rows),
        errors=tuple(row.errors for row in rows),
        latency=tuple(row.latency for row in rows),
        ttft=tuple(row.ttft for row in rows if "ttft" in sketches),
        tpot=tuple(row.tpot for row in rows if "tpot" in sketches),
        endings_known=tuple(row.endings_known for row in rows),
        abandoned=tuple(row.abandoned for row in rows),
        **stamp(filters),
    )


def percentiles(sketches: Iterable[Sketch]) -> Percentiles:
    parts = list(sketches)
    keys, counts = parts[0] if len(parts) == 1 else sketch.merge(parts)
    return Percentiles(sum(counts), *sketch.quantiles(keys, counts, QUANTILES))


def _sums(
    filters: Filters,
    columns: list[str],
    table: str,
    time: str,
    sketches: Sequence[str] = SKETCHES,
) -> dict[tuple[Any, ...], _Sums]:
    source, given = _source(filters, columns, table, time)
    scope = f"FROM {source}"
    keys = ", ".join(f"r.{column}" for column in columns)
    measures = ", ".join(f"sum(r.{name})" for name in COUNTED)
    tokens = ", ".join(f"sum(r.{name})" for name in TOKEN_FIELDS)
    found: dict[tuple[Any, ...], _Sums] = {}
    width = len(columns)
    for row in book.rows(f"SELECT {keys}, {measures}, {tokens} {scope} GROUP BY {keys}",
                         given):  # fmt: skip
        sums = _nothing()
        sums.counts = [int(value) for value in row[width:]]
        found[row[:width]] = sums
    for name in sketches:
        parts: dict[tuple[Any, ...], list[tuple[bytes, bytes]]] = {}
        for row in book.rows(_parts_of(name, keys, scope), given):
            parts.setdefault(row[:width], []).append((row[-2], row[-1]))
        for key, sent in parts.items():
            found[key].sketches[name].append(sketch.merge_sent(sent))
    return found


def _source(
    filters: Filters, columns: list[str], table: str, time: str
) -> tuple[str, dict[str, Any]]:
    """The rows to add up, and the values they name: the fewest that know the answer.

    A week has a seventh of its days' rows, and all requests of a project's day are one row.
    """
    given = values(filters)
    if table != "ingest_span_day":
        where = f"{time} >= %(start_at)s AND {time} < %(end_at)s AND {condition(filters, 'r')}"
        return f"{table} r WHERE {where}", given
    if columns == ["day"]:
        return requests_by_day(filters), given
    if "day" in columns:
        where = f"r.day >= %(start)s AND r.day < %(end)s AND {condition(filters, 'r')}"
        return f"ingest_span_day r WHERE {where}", given
    weeks, other_days = weeks_and_days(filters.start, filters.end)
    source = (
        f"(SELECT {ROLLED} FROM ingest_span_week WHERE day = ANY(%(weeks)s::date[])"
        f" UNION ALL SELECT {ROLLED} FROM ingest_span_day WHERE day = ANY(%(other_days)s::date[]))"
    )
    given |= {"weeks": weeks, "other_days": other_days}
    return f"{source} AS r WHERE {condition(filters, 'r')}", given


def _parts_of(name: str, keys: str, scope: str) -> str:
    return (
        f"SELECT {keys}, array_send(r.{name}_keys), array_send(r.{name}_counts) {scope}"
        f" AND r.{name}_count > 0"
    )


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
