"""Asks every page for windows drawn anew, and notes how long it and each of its queries took.

A query's time is what PostgreSQL's client waited for it, and its name is the function that asked.

A processor that is shared with others may be a fifth as fast for seconds, hours or days. So a plain
loop is timed before and after every asking, and a time is told as how many such loops it was long.
All is asked in several passes, minutes apart, of which the median counts; `Quiet` tells it in
milliseconds of this processor when it was fast in this run, and says how far times did follow the
loop. What was measured as such stands beside it.
"""

from __future__ import annotations

import math
import random
import re
import statistics
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.common import ROOT

ROUNDS = 20
PASSES = 5
WARM_UP = 2
LOOP = 200_000
FAST = 10
"""The percentile of what the loop took that is called fast: its best may be a moment's luck, and a
faster one than was seen would be a guess."""
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


class Asking(NamedTuple):
    """Milliseconds of a page, and of the loop before it and after."""

    took: float
    before: float
    after: float

    @property
    def loop(self) -> float:
        return (self.before + self.after) / 2


@dataclass
class Timing:
    """One path over all passes."""

    pages: dict[int, list[Asking]] = field(default_factory=lambda: defaultdict(list))
    """Round → its askings."""
    queries: dict[Asked, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How many loops long each was."""
    longest: dict[str, tuple[float, str, Any]] = field(default_factory=dict)
    """Of each query the milliseconds it took at most, with the statement and its values."""

    def add(self, place: int, one: Asking, asked: list[tuple[str, float]]) -> None:
        """One asking, with the names and times of its queries."""
        self.pages[place].append(one)
        seen: Counter[str] = Counter()
        for name, waited in asked:
            self.queries[place, name, seen[name]].append(waited / one.loop)
            seen[name] += 1

    @property
    def measured(self) -> list[float]:
        """Milliseconds of every asking."""
        return [one.took for passes in self.pages.values() for one in passes]


class Quiet:
    """Timings as they are on this processor when it is fast, in milliseconds."""

    def __init__(self, timings: dict[str, Timing]):
        self.timings = timings
        self.rounds = [passes for timing in timings.values() for passes in timing.pages.values()]
        self.loops = [one.before for passes in self.rounds for one in passes]
        self.loop = statistics.quantiles(self.loops, n=100)[FAST - 1]

    def page(self, name: str) -> list[float]:
        """Each round's."""
        return [
            self._told([one.took / one.loop for one in passes])
            for passes in self.timings[name].pages.values()
        ]

    def queries(self, name: str) -> dict[str, float]:
        """The 95th percentile of each query of this page."""
        found: dict[str, list[float]] = defaultdict(list)
        for (_, query, _), passes in self.timings[name].queries.items():
            found[query].append(self._told(passes))
        return {query: p95(times) for query, times in found.items()}

    def slow_queries(self) -> Iterator[tuple[str, float]]:
        """Queries above the goal, the slowest first, each at its worst page."""
        worst: dict[str, float] = {}
        for name in self.timings:
            for query, ms in self.queries(name).items():
                worst[query] = max(worst.get(query, 0.0), ms)
        for query, ms in sorted(worst.items(), key=lambda one: -one[1]):
            if ms > MOST_QUERY_MS:
                yield query, round(ms, 1)

    @property
    def elasticity(self) -> float:
        """By how many percent a page takes longer when the loop does by one: near 1 where times can
        be told as multiples of it.

        The loop before is the instrument for the one after (Wald's estimate with an instrument):
        each is too short to say how fast the processor was for the page, but they err apart.
        """
        after, took = 0.0, 0.0
        for passes in self.rounds:
            logs = [[math.log(ms) for ms in one] for one in passes]
            means = [statistics.fmean(column) for column in zip(*logs, strict=True)]
            for one in logs:
                of_page, of_before, of_after = (
                    x - mean for x, mean in zip(one, means, strict=True)
                )
                took += of_page * of_before
                after += of_after * of_before
        return took / after

    def _told(self, passes: list[float]) -> float:
        return statistics.median(passes) * self.loop


def time_all(analyst: Any, start: datetime, end: datetime) -> Quiet:
    from django.test import Client, override_settings

    from finops import gunicorn_conf

    client = Client(headers={"host": "localhost"})
    client.force_login(analyst)
    gunicorn_conf.when_ready(None)
    found = {name: Timing() for name in PAGES | EXPORTS}
    with override_settings(STORAGES=UNCOLLECTED):
        for _ in range(PASSES):
            for name, path in (PAGES | EXPORTS).items():
                _time_page(found[name], client, path, start, end)
    return Quiet(found)


def _time_page(found: Timing, client: Any, path: str, start: datetime, end: datetime) -> None:
    from django.db import connection

    dice = random.Random(path)
    for _ in range(WARM_UP):
        _get(client, path, dice, start, end)
    asked: list[tuple[str, float]] = []
    with connection.execute_wrapper(_timing_into(asked, found.longest)):
        before = _loop_ms()
        for place in range(ROUNDS):
            asked.clear()
            took = _get(client, path, dice, start, end)
            after = _loop_ms()
            found.add(place, Asking(took, before, after), asked)
            before = after


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


def _timing_into(
    asked: list[tuple[str, float]], longest: dict[str, tuple[float, str, Any]]
) -> Callable[..., Any]:
    def timed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            took = (time.perf_counter() - started) * 1000
            name = f"{_asker()} {_tables(sql)}"
            asked.append((name, took))
            if took > longest.get(name, (0.0,))[0]:
                longest[name] = (took, sql, params)

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


def explain(quiet: Quiet) -> None:
    """The plan of each query over the goal, with the values that took longest."""
    from django.db import connection

    for name, _ in quiet.slow_queries():
        timings = quiet.timings.values()
        asked = [timing.longest[name] for timing in timings if name in timing.longest]
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
