"""Asks every page for windows drawn anew, and notes how long it and each of its queries took.

A query's time is what PostgreSQL's client waited for it, and its name is the function that asked.
All is asked in several passes, minutes apart, and what counts of a window is its best: a processor
that is shared with others may be half as fast for seconds. What a plain loop took beside each page
says how much that was.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

from tests.bench.common import ROOT

ROUNDS = 20
PASSES = 5
WARM_UP = 2
LOOP = 500_000
MOST_QUERY_MS = 50
WINDOWS = (1, 7, 30, 90)

PAGES = {
    "overview": "/?",
    "costs": "/costs?",
    "costs by model": "/costs?group_by=model",
    "costs by team": "/costs?group_by=team",
    "costs by user": "/costs?group_by=user",
    "costs by project, model": "/costs?group_by=project,model",
    "costs by user, model": "/costs?group_by=user,model",
    "costs by user of a model": "/costs?group_by=user&f.model=gpt-4o",
    "costs by customer": "/costs?group_by=label:customer",
    "costs by customer, model": "/costs?group_by=label:customer,model",
    "costs by SKU, compared": "/costs?group_by=sku&compare=previous",
    "costs, usage": "/costs?basis=usage&group_by=service",
    "costs, month": "/costs?chart=month",
    "costs, lines": "/costs/lines?",
    "costs, reconciliation": "/costs/reconciliation?",
    "unit costs": "/unit-costs?",
    "unit costs of a customer": "/unit-costs?label=customer",
    "requests, slowest": "/requests?tab=slowest",
    "requests, failed": "/requests?tab=errors&group_by=project",
    "requests, newest": "/requests?tab=recent&group_by=service",
    "GPUs": "/gpus?",
    "hosts": "/hosts?",
    "events": "/events?",
    "savings": "/savings?",
    "budgets": "/budgets",
    "SLOs": "/slos",
    "alerts": "/alerts",
    "allocation": "/allocation?",
    "unallocated": "/allocation/unallocated?",
    "showback": "/showback?",
    "prices": "/prices",
    "sources": "/sources",
}
"""Those with a question mark are asked for windows."""
EXPORTS = {
    "costs CSV": "/costs.csv?group_by=project,model",
    "costs by user CSV": "/costs.csv?group_by=user",
    "costs by customer CSV": "/costs.csv?group_by=label:customer",
    "costs XLSX": "/costs.xlsx?group_by=model",
    "unit costs CSV": "/unit-costs.csv?",
    "requests CSV": "/requests.csv?group_by=model",
    "requests at once CSV": "/requests/concurrency.csv?",
    "GPUs CSV": "/gpus.csv?",
    "showback CSV": "/showback.csv?",
    "budgets CSV": "/budgets.csv",
}
UNCOLLECTED = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
"""To compress the style sheets takes a minute, and no page waits for it."""
HELPERS = {("finops/queries/book_coverage.py", "rows")}
"""Run what others ask."""


Asked = tuple[int, str, int]
"""Which round, the name of a query, and which of those with this name in the round it was."""


@dataclass
class Timing:
    """One path: milliseconds of each round, and of each of its queries by who asked."""

    pages: list[float] = field(default_factory=list)
    times: dict[Asked, float] = field(default_factory=dict)
    worst: dict[str, tuple[float, str, Any]] = field(default_factory=dict)
    """Of each query its longest time, with the statement and its values."""
    every_asking: list[float] = field(default_factory=list)
    """Of all passes, the slow ones too."""
    loops: list[float] = field(default_factory=list)

    @property
    def queries(self) -> dict[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for (_, name, _), took in self.times.items():
            found[name].append(took)
        return found

    @property
    def slowest(self) -> tuple[float, str]:
        """The 95th percentile of the query that has the highest."""
        return max((p95(times), name) for name, times in self.queries.items())

    def at_best(self, other: Timing) -> Timing:
        """Of both passes over the same windows."""
        return Timing(
            [min(both) for both in zip(self.pages, other.pages, strict=True)],
            {key: min(took, other.times.get(key, took)) for key, took in self.times.items()},
            {
                name: min(one, other.worst.get(name, one), key=itemgetter(0))
                for name, one in self.worst.items()
            },
            self.every_asking + other.every_asking,
            self.loops + other.loops,
        )


def time_all(analyst: Any, start: datetime, end: datetime) -> dict[str, Timing]:
    from django.test import Client, override_settings

    from finops import gunicorn_conf

    client = Client(headers={"host": "localhost"})
    client.force_login(analyst)
    gunicorn_conf.when_ready(None)
    found: dict[str, Timing] = {}
    with override_settings(STORAGES=UNCOLLECTED):
        for _ in range(PASSES):
            for name, path in (PAGES | EXPORTS).items():
                one = _time_page(client, path, start, end)
                found[name] = found[name].at_best(one) if name in found else one
    return found


def _time_page(client: Any, path: str, start: datetime, end: datetime) -> Timing:
    from django.db import connection

    dice, found = random.Random(path), Timing()
    for _ in range(WARM_UP):
        _get(client, path, dice, start, end)
    found.loops.append(_loop_ms())
    with connection.execute_wrapper(_timing_into(found)):
        for _ in range(ROUNDS):
            found.pages.append(_get(client, path, dice, start, end))
    found.every_asking = list(found.pages)
    return found


def _loop_ms() -> float:
    """How fast this processor is now."""
    started = time.perf_counter()
    for _ in range(LOOP):
        pass
    return (time.perf_counter() - started) * 1000


def _get(client: Any, path: str, dice: random.Random, start: datetime, end: datetime) -> float:
    if "?" in path:
        first, last = window(dice, dice.choice(WINDOWS), start, end)
        path += f"&from={first}&to={last}"
    started = time.perf_counter()
    answer = client.get(path)
    b"".join(answer) if answer.streaming else answer.content
    took = (time.perf_counter() - started) * 1000
    assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return took


def _timing_into(found: Timing) -> Callable[..., Any]:
    def timed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took = (time.perf_counter() - started) * 1000
            name, place = f"{_asker()} {_tables(sql)}", 0
            while (key := (len(found.pages), name, place)) in found.times:
                place += 1
            found.times[key] = took
            if took > found.worst.get(name, (0.0,))[0]:
                found.worst[name] = (took, sql, params)

    return timed


def _asker() -> str:
    """The innermost function of ours that is waiting for this query."""
    frame = sys._getframe(2)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(ROOT) and ".venv" not in file.parts and "tests" not in file.parts:
            here = (str(file.relative_to(ROOT)), frame.f_code.co_name)
            if here not in HELPERS:
                return ":".join(here)
        frame = frame.f_back  # type: ignore[assignment]
    return "Django"


def _tables(sql: str) -> str:
    """Which of the queries of one function it is: the tables of ours it reads, in order."""
    named = re.findall(r"\b(?:finops|ingest|optimiser)_\w+", sql)
    return " + ".join(dict.fromkeys(named)) or "-"


def explain(timings: dict[str, Timing]) -> None:
    """The plan of each query over the goal, with the values that took longest."""
    from django.db import connection

    for name in dict(slow_queries(timings)):
        asked = [timing.worst[name] for timing in timings.values() if name in timing.worst]
        _, sql, values = max(asked, key=itemgetter(0))
        print(f"\n{name}")
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", values)
            print("\n".join(line for (line,) in cursor.fetchall()))


def window(dice: random.Random, days: int, start: datetime, end: datetime) -> tuple[date, date]:
    """So many days, or all there are, anywhere within the facts."""
    first, last = start.date(), end.date()
    length = min(days, (last - first).days)
    begin = first + timedelta(days=dice.randrange((last - first).days - length + 1))
    return begin, begin + timedelta(days=length)


def p95(values: list[float]) -> float:
    if len(values) == 1:  # some queries are asked in one window only
        return values[0]
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def slow_queries(timings: dict[str, Timing]) -> Iterator[tuple[str, float]]:
    """Queries above the goal, the slowest first, each at its worst page."""
    worst: dict[str, float] = {}
    for timing in timings.values():
        for name, times in timing.queries.items():
            worst[name] = max(worst.get(name, 0.0), p95(times))
    for name, ms in sorted(worst.items(), key=lambda one: -one[1]):
        if ms > MOST_QUERY_MS:
            yield name, round(ms, 1)
