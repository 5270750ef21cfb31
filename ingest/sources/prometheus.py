"""Pulls readings from a Prometheus server: ready-made sets, and any PromQL a person adds.

Knows windows, steps and how much may be asked for. Of the sets it takes the readings as they were
scraped, so that a gap stays a gap; it refuses to fill one, to follow a flood of series, and to
take part of a metric, which summed up would be a wrong figure.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest import outgoing
from ingest.outgoing_session import TooLarge
from ingest.records import MetricRecord, Reject, SeriesKey
from ingest.sources.base import BadConfig, FetchError, Page, PullSource, Setting
from ingest.sources.metrics import credentials, thinning
from ingest.sources.metrics.readings import Readings, Said, labels_of, read
from ingest.sources.metrics.server import Run, Server, selector
from ingest.sources.metrics.sets import (
    CPU_BUSY_SECONDS,
    CPUS,
    LABELS,
    MEANINGS,
    SETS,
    Metric,
)
from ingest.sources.triton_statistics import UNITS as TRITON_STATISTICS

WINDOW = timedelta(minutes=15)
LEAST_OVERLAP = timedelta(minutes=2)
"""Scrapes that came late, by remote write or from a slow target, are found by reading again."""
MAX_HISTORY_HOURS = 14 * 24
MOST_FOR_A_WINDOW_S = 150.0
"""A job's lease is renewed after each window; it must not run out within one."""

MAX_TIMEOUT_S = 30
MAX_STEP_S = 120
"""Readings further apart than five minutes say nothing about the time between them."""
MAX_SERIES = 50_000
MAX_REQUESTS = 600
MAX_QUERIES = 20
MOST_NAMED = 8
KINDS = ("gauge", "counter")

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,199}")
_OWN_NAMES = frozenset(
    {metric.name for metrics in SETS.values() for metric in metrics}
    | {CPU_BUSY_SECONDS, CPUS, *TRITON_STATISTICS}
)
"""What costs and savings are computed from must not be told by somebody's query."""

# The scrape job is Prometheus' own affair; the exporter told everything else.
_NOT_KEPT = ("job",)


class Prometheus(PullSource):
    kind = "prometheus"
    label = "Prometheus server"
    help = "Reads a Prometheus server's series: Triton, vLLM, DCGM, node exporter, and your PromQL."
    owner = "pool"
    usual_interval_s = 60
    settings = (
        Setting(
            "url",
            "URL",
            "Prometheus' address, as in http://prometheus:9090.",
            "",
            True,
            address=True,
        ),
        *credentials.SETTINGS,
        Setting("sets", "Sets", f"Ready-made sets: {', '.join(SETS)}.", list(SETS)),
        Setting(
            "match",
            "Labels",
            'Only series with these labels, as in {"cluster": "eu"}; a source is one pool\'s.',
            {},
        ),
        Setting(
            "queries",
            "Queries",
            'Your own PromQL: [{"name": "queue_depth", "query": "sum(app_queue)", "unit": "",'
            ' "kind": "gauge"}].',
            [],
        ),
        Setting("step_s", "Step (s)", "Keep one reading of each series per step.", 60),
        Setting("history_hours", "History (h)", "How far back the first pull goes.", 1),
        Setting("max_series", "Most series", "Metrics with the most series go first.", 5_000),
        Setting("max_requests", "Most requests", "That one pull sends; the next goes on.", 60),
        Setting("timeout_s", "Timeout (s)", "How long one answer may take.", 10),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        try:
            outgoing.check_url(checked["url"])
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from None
        credentials.check(checked)
        sets = checked["sets"]
        if not isinstance(sets, list) or not all(name in SETS for name in sets):
            raise BadConfig("sets", f'must be a list from {", ".join(SETS)}, as in ["triton"].')
        match = checked["match"]
        if not isinstance(match, dict) or not all(
            _LABEL.fullmatch(str(name)) and isinstance(text, str) for name, text in match.items()
        ):
            raise BadConfig("match", 'must be an object of texts, as in {"cluster": "eu"}.')
        _check_queries(checked["queries"])
        if not sets and not checked["queries"]:
            raise BadConfig("sets", "is empty and there are no queries; name at least one set.")
        _check_whole(checked, "step_s", 5, MAX_STEP_S)
        _check_whole(checked, "history_hours", 1, MAX_HISTORY_HOURS)
        _check_whole(checked, "max_series", 1, MAX_SERIES)
        _check_whole(checked, "max_requests", 1, MAX_REQUESTS)
        _check_whole(checked, "timeout_s", 1, MAX_TIMEOUT_S)
        return checked

    def fetch(
        self, config: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime
    ) -> Iterator[Page]:
        """From the cursor on, a window a page, until now or until this pull has asked enough."""
        checked = self._checked(config)
        step = timedelta(seconds=checked["step_s"])
        end = thinning.floor(now, step)
        start, notes = _start(checked, cursor, now, step)
        length = max(WINDOW // step, 1) * step
        with closing(_server(checked)) as server:
            names, crowded = _names(server, checked, end)
            if start >= end:
                # The next step is not over. An empty page says that Prometheus answers.
                yield Page([], cursor={"to": start.isoformat()})
            notes += crowded
            while start < end:
                until = min(start + length, end)
                try:
                    found = _window(server, checked, names, start, until)
                except TooLarge as large:
                    if length <= step:
                        raise FetchError(f"{large} Choose fewer series by labels.") from None
                    length = max(length // step // 2, 1) * step
                    continue
                rejects = [*notes, *found.rejects]
                yield Page(found.records, rejects, {"to": until.isoformat()}, gpus=found.gpus)
                notes, start = [], until
                if server.session.requests_sent >= checked["max_requests"]:
                    return

    def check(self, config: Mapping[str, Any]) -> str:
        """Which of the wanted series are there, without reading them."""
        checked = self._checked(config)
        now = datetime.now(UTC)
        with closing(_server(checked)) as server:
            version = server.version()
            said = [f"Prometheus {version} answers" if version else "The server answers"]
            if checked["sets"]:
                every = selector(_said_names(checked["sets"]), checked["match"])
                there = server.names(every, now - timedelta(hours=1), now)
                said += [_found(name, there) for name in checked["sets"]]
            for query in checked["queries"]:
                name = query["name"]
                found = len(server.steps(query["query"], now, now, 60, name=name))
                said.append(f"the query {name} gives {found:,} series")
        return "; ".join(said) + "."

    def _checked(self, config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.check_config(config)
        except BadConfig as bad:
            raise FetchError(str(bad)) from None


def _check_queries(queries: Any) -> None:
    example = 'as in [{"name": "queue_depth", "query": "sum(app_queue)"}]'
    if not isinstance(queries, list) or not all(isinstance(query, dict) for query in queries):
        raise BadConfig("queries", f"must be a list of objects, {example}.")
    if len(queries) > MAX_QUERIES:
        raise BadConfig("queries", f"has {len(queries)}; at most {MAX_QUERIES} are asked.")
    seen: set[str] = set()
    for query in queries:
        name, unknown = query.get("name"), set(query) - {"name", "query", "unit", "kind"}
        if unknown or not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadConfig("queries", f"need a name such as queue_depth, {example}.")
        if name in _OWN_NAMES or name in MEANINGS or name in seen:
            raise BadConfig("queries", f"{name} is a name in use already; choose another.")
        if not isinstance(query.get("query"), str) or not 0 < len(query["query"]) <= 4000:
            raise BadConfig("queries", f"{name} needs its PromQL as `query`, {example}.")
        if query.get("kind", "gauge") not in KINDS:
            raise BadConfig("queries", f"{name}: `kind` is gauge or counter.")
        if not isinstance(query.get("unit", ""), str) or len(query.get("unit", "")) > 20:
            raise BadConfig("queries", f'{name}: `unit` is a short text, as in "s".')
        seen.add(name)


def _check_whole(checked: Mapping[str, Any], name: str, least: int, most: int) -> None:
    value = checked[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadConfig(name, f"must be a whole number from {least} to {most}.")


def _server(checked: Mapping[str, Any]) -> Server:
    url = re.sub(r"/(api/v1.*|graph|query)?$", "", checked["url"])
    return Server(url, credentials.headers(checked), timeout_s=checked["timeout_s"])


def _said_names(sets: Sequence[str]) -> set[str]:
    return {said for name in sets for metric in SETS[name] for said in metric.said}


def _start(
    checked: Mapping[str, Any], cursor: Mapping[str, Any], now: datetime, step: timedelta
) -> tuple[datetime, list[Reject]]:
    """Where the last pull stopped; what is too old for us is said to be missing."""
    if "to" not in cursor:
        return thinning.floor(now - timedelta(hours=checked["history_hours"]), step), []
    stopped = datetime.fromisoformat(cursor["to"])
    earliest = thinning.floor(now - timedelta(hours=MAX_HISTORY_HOURS), step)
    if stopped >= earliest:
        # Another step since then: the grid of the new one holds.
        return thinning.floor(stopped, step), []
    detail = f"Not read from {stopped:%Y-%m-%d %H:%M} to {earliest:%Y-%m-%d %H:%M} UTC: too old."
    return earliest, [Reject("too_old", "at", detail)]


def _names(
    server: Server, checked: Mapping[str, Any], at: datetime
) -> tuple[set[str], list[Reject]]:
    """The exporters' names to ask for, less those with too many series to ask for at all."""
    wanted = _said_names(checked["sets"])
    # Those of each CPU become two sums of the host.
    counted = {name for name in wanted if not MEANINGS[name].metric.per_cpu}
    if not counted:
        return wanted, []
    counts = server.counts(selector(counted, checked["match"]), at)
    left_out = thinning.crowded(counts, checked["max_series"])
    rejects = [
        thinning.too_many(name, counts[name], sum(counts.values()), checked["max_series"])
        for name in left_out
    ]
    return wanted - set(left_out), rejects


def _window(
    server: Server,
    checked: Mapping[str, Any],
    names: set[str],
    start: datetime,
    until: datetime,
) -> Readings:
    """What was read after `start`, and what of the time just before it came late."""
    step = timedelta(seconds=checked["step_s"])
    after = start - max(LEAST_OVERLAP // step, 2) * step
    began = time.monotonic()
    found = Readings()
    if names:
        runs = server.readings(selector(names, checked["match"]), after, until)
        found = read(_said(runs), checked["sets"], read_until=start)
        found.rejects += _not_read(runs)
        found.records = thinning.series(found.records, step)
        found.gpus = thinning.gpus(found.gpus, step)
    for query in checked["queries"]:
        if time.monotonic() - began > MOST_FOR_A_WINDOW_S:
            raise FetchError("Prometheus takes too long; ask fewer or simpler queries.")
        runs = server.steps(
            query["query"], after + step, until, checked["step_s"], name=query["name"]
        )
        _take_query(query, runs, start, found)
    return thinning.within(found, checked["max_series"])


def _said(runs: Sequence[Run]) -> Iterator[Said]:
    for run in runs:
        yield Said(run.name, labels_of(run.labels, *_NOT_KEPT), run.points)


def _not_read(runs: Sequence[Run]) -> list[Reject]:
    detail = "A native histogram is not read; ask for its parts with a query of your own."
    return [
        Reject("native_histogram", "value", detail, external_id=run.name)
        for run in runs
        if run.is_native_histogram
    ]


def _take_query(
    query: Mapping[str, Any], runs: Sequence[Run], read_until: datetime, found: Readings
) -> None:
    name, kind, unit = query["name"], query.get("kind", "gauge"), query.get("unit", "")
    for run in runs:
        key = SeriesKey(name, kind, unit, labels_of(run.labels))
        for at, value in run.points:
            if math.isfinite(value):
                found.records.append(MetricRecord(key, at, value))
            elif at > read_until:
                detail = "NaN and infinity are no readings; this one was left out."
                found.rejects.append(Reject("not_finite", "value", detail, external_id=name))
    found.rejects += [replace(reject, external_id=name) for reject in _not_read(runs)]


def _found(name: str, there: set[str]) -> str:
    """How much of a set there is: an older name of a thing will do."""
    metrics: Sequence[Metric] = SETS[name]
    missing = [metric.said[0] for metric in metrics if not there.intersection(metric.said)]
    if len(missing) == len(metrics):
        return f"nothing of the {LABELS[name]} set is there"
    there_are = f"{len(metrics) - len(missing)} of {len(metrics)}"
    said = f"{there_are} series of the {LABELS[name]} set are there"
    if not missing:
        return said
    named = ", ".join(missing[:MOST_NAMED])
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return f"{said}; missing: {named}{more}"
