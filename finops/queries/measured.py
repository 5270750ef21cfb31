"""What served models really took, minute by minute: requests from spans, GPU time from statistics.

Knows spans and the samples of `triton_statistics`. Refuses prices, and time that only one of the
two saw: a minute counts when the statistics cover all of it and the spans account for what the
server says it answered. A minute here runs from one reading to another, so that nothing has to be
spread over time by guess.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from finops.costing.savings import Slice
from ingest.models import Pool
from ingest.rollup.samples import MOST_GAP_S
from ingest.sources.triton_statistics import EXECUTION_SECONDS, REQUESTS_OK

from .book import REQUEST_KINDS, rows

Window = tuple[datetime, datetime]

MINUTE = timedelta(seconds=60)
MOST_GAP = timedelta(seconds=MOST_GAP_S)
LEAST_PARTS = 10
"""Less than ten minutes are cut finer, down to the readings: spread needs parts to be seen in."""

TOLERANCE = 0.10
"""In one minute spans and the server's own count may differ by this share of it…"""

EDGE_REQUESTS = 3
"""…or by so many requests, for some are under way at the moment of a reading."""

TOLERANCE_OF_ALL = 0.02
"""What is under way at one reading is counted at the next, so over all minutes little is left."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which models of which pool, and to whom their saving belongs.

    The requests of every project count that asks these models: they share the work.
    """

    project_id: int
    """Whose change it is."""
    pool_id: int
    serving_models: tuple[str, ...]
    """As the server names them."""
    span_models: tuple[str, ...]
    """As spans name the model that answered."""


@dataclass(frozen=True, slots=True)
class Minute:
    """A slice with its place in time."""

    start: datetime
    end: datetime
    slice: Slice


@dataclass(frozen=True, slots=True)
class Measured:
    """The minutes that count, and why the others do not."""

    minutes: tuple[Minute, ...]
    unread: int
    """Minutes with a gap in the statistics, or a reload of the model, in between."""
    untraced: int
    """Minutes whose spans do not account for what the server answered."""
    has_readings: bool

    @property
    def slices(self) -> list[Slice]:
        return [minute.slice for minute in self.minutes]

    @property
    def seconds(self) -> float:
        return sum(minute.slice.seconds for minute in self.minutes)


@dataclass(slots=True)
class _Series:
    """One counter's readings, in order of time."""

    name: str
    model: str
    times: list[datetime] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def between(self, start: datetime, end: datetime) -> tuple[list[datetime], list[float]]:
        first, last = bisect_left(self.times, start), bisect_left(self.times, end)
        # The reading at the end belongs to both minutes that it parts.
        if last < len(self.times) and self.times[last] == end:
            last += 1
        return self.times[first:last], self.values[first:last]


def measured(scope: Scope, windows: Sequence[Window]) -> Measured:
    """The minutes of these windows, which must not overlap."""
    series = _series(scope.pool_id, windows)
    served = [one for one in series if one.model in scope.serving_models]
    times = sorted({at for one in served if one.name == EXECUTION_SECONDS for at in one.times})
    length = min(MINUTE, _read(times, windows) / LEAST_PARTS)
    edges = [edge for window in windows for edge in _minutes(times, *window, length)]
    pool = Pool.objects.get(pk=scope.pool_id)
    spans = _spans(scope, pool.provider, edges)
    good: list[Minute] = []
    unread = untraced = 0
    answered = 0.0
    for start, end in edges:
        requests = _increase(served, REQUESTS_OK, times, start, end)
        gpu_seconds = _increase(served, EXECUTION_SECONDS, times, start, end)
        if requests is None or gpu_seconds is None:
            unread += 1
            continue
        traced = spans.get(start, 0)
        if abs(traced - requests) > max(TOLERANCE * requests, EDGE_REQUESTS):
            untraced += 1
            continue
        answered += requests
        seconds = (end - start).total_seconds()
        shared = gpu_seconds * _share_of_capacity(series, start, end, seconds, pool.gpu_count)
        good.append(Minute(start, end, Slice(seconds, traced, shared)))
    seen = sum(minute.slice.requests for minute in good)
    if abs(seen - answered) > max(TOLERANCE_OF_ALL * answered, EDGE_REQUESTS):
        good, untraced = [], untraced + len(good)
    return Measured(tuple(good), unread, untraced, has_readings=bool(times))


def _read(times: Sequence[datetime], windows: Sequence[Window]) -> timedelta:
    """How much of the windows lies between two readings: often far less than all of an hour."""
    total = timedelta(0)
    for start, end in windows:
        inside = times[bisect_left(times, start) : bisect_right(times, end)]
        gaps = (later - earlier for earlier, later in pairwise(inside))
        total += sum((gap for gap in gaps if gap <= MOST_GAP), timedelta(0))
    return total


def _minutes(
    times: Sequence[datetime], start: datetime, end: datetime, length: timedelta
) -> list[Window]:
    """From reading to reading, each at least so long; the rest goes to the last one."""
    inside = times[bisect_left(times, start) : bisect_right(times, end)]
    if len(inside) < 2:
        return []
    marks = [inside[0]]
    for at in inside:
        if at - marks[-1] >= length:
            marks.append(at)
    if len(marks) == 1:
        marks.append(inside[-1])
    marks[-1] = inside[-1]
    return list(pairwise(marks))


def _increase(
    series: Iterable[_Series],
    name: str,
    times: Sequence[datetime],
    start: datetime,
    end: datetime,
) -> float | None:
    """By how much the counters of these models grew; None when that was not wholly seen."""
    first, last = bisect_left(times, start), bisect_left(times, end)
    expected = times[first : last + 1]
    if any(later - earlier > MOST_GAP for earlier, later in pairwise(expected)):
        return None
    total = 0.0
    for one in series:
        if one.name != name:
            continue
        seen, values = one.between(start, end)
        # A version that was not loaded at all did no work; one that came or went is not whole.
        if not seen:
            continue
        if seen != expected or any(later < earlier for earlier, later in pairwise(values)):
            return None
        total += values[-1] - values[0]
    return total


def _share_of_capacity(
    series: Iterable[_Series], start: datetime, end: datetime, seconds: float, gpus: int | None
) -> float:
    """Instances of one GPU may be busy at once: together they used no more GPUs than there are."""
    if gpus is None:
        return 1.0
    busy = 0.0
    for one in series:
        if one.name == EXECUTION_SECONDS:
            values = one.between(start, end)[1]
            busy += sum(max(0.0, later - earlier) for earlier, later in pairwise(values))
    return min(1.0, gpus * seconds / busy) if busy else 1.0


SAMPLES = """
SELECT k.id, k.name, k.labels ->> 'model', s.at, s.value
FROM ingest_metric_sample s JOIN ingest_series k ON k.id = s.series_id
WHERE s.pool_id = %(pool)s AND k.pool_id = %(pool)s AND k.name = ANY(%(names)s)
    AND s.day BETWEEN (%(start)s AT TIME ZONE 'UTC')::date AND (%(end)s AT TIME ZONE 'UTC')::date
    AND s.at >= %(start)s AND s.at <= %(end)s
ORDER BY k.id, s.at"""


def _series(pool_id: int, windows: Sequence[Window]) -> list[_Series]:
    found: dict[int, _Series] = {}
    for start, end in windows:
        given = {
            "pool": pool_id,
            "names": [EXECUTION_SECONDS, REQUESTS_OK],
            "start": start,
            "end": end,
        }
        for key, name, model, at, value in rows(SAMPLES, given):
            series = found.setdefault(key, _Series(name, model))
            # Windows may touch: the reading between two of them is one reading.
            if not series.times or series.times[-1] < at:
                series.times.append(at)
                series.values.append(value)
    return list(found.values())


SPANS = """
SELECT width_bucket(started_at, %(marks)s::timestamptz[]), count(*)
FROM ingest_span s
WHERE project_id = ANY(SELECT id FROM ingest_project)
    AND model = ANY(%(models)s) AND kind = ANY(%(kinds)s)
    AND (%(provider)s = '' OR provider = %(provider)s)
    AND status = 'ok' AND started_at >= %(start)s AND started_at < %(end)s
    AND day BETWEEN (%(start)s AT TIME ZONE 'UTC')::date AND (%(end)s AT TIME ZONE 'UTC')::date
    -- Where nested spans report the same usage, the leaf counts.
    AND NOT EXISTS (
        SELECT FROM ingest_usage_parent p WHERE p.project_id = s.project_id AND p.key = s.key)
GROUP BY 1"""


def _spans(scope: Scope, provider: str, edges: Sequence[Window]) -> Mapping[datetime, int]:
    """Requests that were answered, by the start of their minute.

    Another pool may serve a model of the same name: `provider` is the name this one goes by.
    """
    if not edges:
        return {}
    marks = sorted({mark for edge in edges for mark in edge})
    given = {
        "provider": provider,
        "models": list(scope.span_models),
        "kinds": list(REQUEST_KINDS),
        "marks": marks,
        "start": marks[0],
        "end": marks[-1],
    }
    counts: dict[datetime, int] = defaultdict(int)
    for bucket, count in rows(SPANS, given):
        counts[marks[bucket - 1]] = count
    return counts
