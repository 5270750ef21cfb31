"""Every dashboard at full size: ten million requests of ninety days, with bills, GPUs and budgets.

Pages are asked of Django itself, signed in as an analyst, with windows drawn anew for each request
so that no answer is a repetition. A query's time is what PostgreSQL's client waited for it, and its
name is the function that asked. The sums that the pages read are made from the facts by the code
that always makes them, and that is timed too. DuckDB answers the same questions from the same rows.

`--data FILE` takes requests of your own in place of those: a CSV whose columns have the names that
the source `request_log` knows. Then there are no bills and no GPUs.
"""

from __future__ import annotations

import csv
import functools
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.common import arguments, report, setup_django
from tests.bench.page_times import (
    EXPORTS,
    MOST_QUERY_MS,
    PAGES,
    ROUNDS,
    WARM_UP,
    WINDOWS,
    Quiet,
    explain,
    p95,
    time_all,
    window,
)

SPANS = 10_000_000
DAYS = 90
SUMMED_AGAIN = 1_000_000
MOST_COSTS_MS = 200
LEAST_OF_GROUP = 1000
SUMS = (
    "ingest_span_quarter", "ingest_span_hour", "ingest_span_day", "ingest_span_week",
    "ingest_request_day", "ingest_concurrency_quarter", "ingest_user_day",
    "ingest_conversation_day", "finops_costquarter", "finops_costday", "finops_usercostday",
    "finops_usercostweek", "finops_usercostfourweeks", "finops_knownuser", "finops_userspend",
    "finops_userpage", "ingest_label_day", "finops_labelcostday", "finops_labelcostweek",
    "finops_labelcostfourweeks", "finops_labelspend", "finops_labeltotal", "finops_poolquarter",
    "finops_poolday", "finops_hardwareday", "ingest_gpu_day", "ingest_billday", "ingest_billskuday",
    "finops_landedbill", "finops_landedhardware", "finops_landedhardwareday",
)  # fmt: skip


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--spans", type=int, default=SPANS)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument(
        "--explain", action="store_true", help="Also print the plan of each query over the goal."
    )
    options = parser.parse_args()
    setup_django()
    from tests.bench import estate

    with tempfile.TemporaryDirectory(prefix="breakeven-bench-") as folder:
        started = time.perf_counter()
        if options.data:
            _load(options.data)
        start, end = (None, None) if options.data else estate.draw(options.spans, options.days)
        filled_s = time.perf_counter() - started
        print(f"facts: {filled_s:.0f} s", flush=True)
        sums_s = _sum_everything()
        analyst, start, end = _book(start, end)
        duck = _duck(Path(folder))
        rows = duck.copy_rows()
        summed = _sum_again(duck, start, end)
        answers = _beside_duckdb(duck, analyst, start, end)
        accuracy = _percentile_errors(duck, analyst, start, end)
        quiet = time_all(analyst, start, end)
        if options.explain:
            explain(quiet)
    result = {
        "spans": rows,
        "days": (end - start).days,
        **_figures(quiet),
        **summed,
        "worst_percentile_error": round(accuracy[0], 4),
        "groups_compared": accuracy[1],
        "ratio_to_duckdb": {name: round(ours / peer, 3) for name, (ours, peer) in answers.items()},
        "rows": _sizes(),
        "fill_s": {"facts": round(filled_s), **{name: round(s) for name, s in sums_s.items()}},
    }
    _report(quiet, answers, accuracy, result, options.out)


def _load(file: Path) -> None:
    from django.core.management import call_command

    from ingest.sources.request_log import COLUMNS

    with file.open(newline="", encoding="utf-8") as text:
        header = next(csv.reader(text))
    columns = {name: name for name in header if name in COLUMNS}
    call_command("setup", verbosity=0)
    call_command(
        "load", "request_log", str(file), source="Bench", config=json.dumps({"columns": columns})
    )


def _sum_everything() -> dict[str, float]:
    """Seconds that each kind of sum took over all facts, the first time, by as many workers as
    there are processors."""
    from django.db import connection

    took = {}
    for name, act in _steps(1).items():
        started = time.perf_counter()
        _together(act)
        took[name] = time.perf_counter() - started
        print(f"{name}: {took[name]:.0f} s", flush=True)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")
    return took


def _steps(days_ahead: int) -> dict[str, Callable[[], int]]:
    """What a worker does with new facts, until nothing is left; concurrency goes with hours."""
    from django.utils import timezone

    from finops.actions.pricing import price_hours
    from finops.actions.user_costs import price_user_days
    from ingest.rollup import roll_up, sum_users

    # A day may be summed again after a minute at the earliest: each time it is a day later.
    later = timezone.now() + timedelta(days=days_ahead)
    return {
        "hours": lambda: roll_up(1000),
        "users": lambda: sum_users(later),
        "prices": lambda: price_hours(200),
        "prices of users": lambda: price_user_days(100),
    }


def _until_done(act: Callable[[], int]) -> None:
    while act():
        pass


def _together(act: Callable[[], int]) -> None:
    from django.db import connection

    def work() -> None:
        _until_done(act)
        connection.close()

    count = os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        for worker in [pool.submit(work) for _ in range(count)]:
            worker.result()
    _until_done(act)  # what one had left to another that then ended


def _book(start: datetime | None, end: datetime | None) -> tuple[Any, datetime, datetime]:
    """The analyst, and the whole accounting days that the pages are asked for."""
    from django.db.models import Max, Min
    from django.utils import timezone

    from finops.actions import budget_watch, forecasting
    from finops.queries.filters import midnight, today
    from ingest.models import SpanDay
    from tests.bench import estate

    days = SpanDay.objects.aggregate(first=Min("day"), last=Max("day"))
    began = time.perf_counter()
    analyst = estate.people()
    if start and end:
        estate.book(start, end, analyst)
    forecasting.refresh_forecasts(today())
    budget_watch.evaluate_all(timezone.now())
    print(f"bills, rules, budgets: {time.perf_counter() - began:.0f} s", flush=True)
    zone = _zone()
    return analyst, midnight(days["first"], zone), midnight(days["last"] + timedelta(days=1), zone)


def _zone() -> str:
    from django.conf import settings

    return str(settings.ACCOUNTING_TIME_ZONE)


def _duck(folder: Path) -> Any:
    from tests.bench.duck import Duck

    return Duck(folder, _zone())


def _sizes() -> dict[str, int]:
    """How many rows the pages read their answers from."""
    from django.db import connection

    sizes = {}
    with connection.cursor() as cursor:
        for table in SUMS:
            cursor.execute(f"SELECT count(*) FROM {table}")
            sizes[table] = cursor.fetchone()[0]
    return sizes


# Sums


def _sum_again(duck: Any, start: datetime, end: datetime) -> dict[str, float]:
    """Requests a second of the newest million, summed and priced again; ratios to DuckDB."""
    from finops.actions import pricing
    from ingest.rollup import roll_up
    from tests.bench import duck as peer
    from tests.bench import estate

    first, count = _newest(duck, start, end)
    owners = [owner for (owner,) in duck.ask("SELECT DISTINCT project_id FROM spans")]
    estate.mark("project", owners, first, end)
    # Marks of what was at once are made on the way, so the projects' own days come first.
    hours = int((end - first) / timedelta(hours=1))
    days = {(first + timedelta(hours=n)).astimezone(UTC).date() for n in range(hours)}
    groups = len(owners) * len(days)
    steps = _steps(2)

    def timed(name: str) -> float:
        return peer.timed(functools.partial(_until_done, steps[name]))

    seconds = {"own hours": peer.timed(lambda: roll_up(groups))}
    seconds |= {name: timed(name) for name in ("hours", "users")}
    pricing.reprice("project", owners, first, end)
    seconds |= {name: timed(name) for name in ("prices", "prices of users")}
    theirs = {
        "hours": duck.seconds(peer.ROLL_UP, first, end),
        "prices": duck.seconds(peer.PRICE, first, end),
    }
    told = {
        "roll_up": ("own hours", theirs["hours"]),
        "at_once": ("hours", None),
        "sum_users": ("users", None),
        "reprice": ("prices", theirs["prices"]),
        "reprice_users": ("prices of users", None),
    }
    found: dict[str, float] = {"summed_again": count}
    for name, (step, peer_s) in told.items():
        found[f"{name}_spans_per_s"] = round(count / seconds[step])
        if peer_s is not None:
            found[f"{name}_ratio_to_duckdb"] = round(peer_s / seconds[step], 3)
    return found | {"all_sums_spans_per_s": round(count / sum(seconds.values()))}


def _newest(duck: Any, start: datetime, end: datetime) -> tuple[datetime, int]:
    """Since which day there are a million requests, or all, and how many exactly."""

    first, count = end, 0
    while first > start and count < SUMMED_AGAIN:
        first -= timedelta(days=1)
        [(count,)] = duck.ask(
            "SELECT count(*) FROM spans WHERE began >= ? AND began < ?", first, end
        )
    return first, count


# Beside DuckDB


def _beside_duckdb(
    duck: Any, analyst: Any, start: datetime, end: datetime
) -> dict[str, tuple[float, float]]:
    """Question → milliseconds of ours and of DuckDB, at the 95th percentile, in fresh windows."""
    from finops.queries import spend, traffic
    from finops.queries.dearest import dearest
    from ingest.models import Project
    from tests.bench.duck import QUESTIONS, timed

    [[owner, model]] = duck.ask("SELECT mode(project_id), mode(model) FROM spans")
    project = Project.objects.get(pk=owner)
    usage = "basis=usage&"
    ours: tuple[tuple[int, str, Callable[[Any], Any], tuple[Any, ...]], ...] = (
        (30, usage + "group_by=model", spend.spend_series, ()),
        (7, "group_by=model", traffic.request_summary, ()),
        (30, "group_by=model", traffic.request_summary, ()),
        (7, usage, dearest, ()),
        (1, f"{usage}f.project={project.slug}", lambda f: spend.spend_series(f, "hour"),
         (project.pk,)),
        (7, f"f.model={model}", lambda f: traffic.latency_series(f, "hour"), (model,)),
    )  # fmt: skip
    found = {}
    for (name, sql), (days, query, act, more) in zip(QUESTIONS.items(), ours, strict=True):
        dice = random.Random(name)
        mine: list[float] = []
        theirs: list[float] = []
        for _ in range(WARM_UP + ROUNDS):
            filters = _filters(analyst, query, *window(dice, days, start, end))
            asked = (filters.start_at, filters.end_at, *more)
            mine.append(1000 * timed(functools.partial(act, filters)))
            theirs.append(1000 * duck.seconds(sql, *asked))
        found[name] = (p95(mine[WARM_UP:]), p95(theirs[WARM_UP:]))
    _costs_agree(duck, analyst, start, end)
    return found


def _costs_agree(duck: Any, analyst: Any, start: datetime, end: datetime) -> None:
    """Both must have been asked the same: what all usage cost is the same to nine digits."""
    from finops.queries.spend import spend_by
    from tests.bench import duck as peer

    filters = _filters(analyst, "basis=usage&group_by=origin", start.date(), end.date())
    ours = sum(float(row.cost) for row in spend_by(filters).rows if row.keys == ("usage",))
    [[theirs]] = duck.ask(f"SELECT sum(cost) FROM spans WHERE {peer.IN_RANGE}", start, end)
    assert abs(ours - theirs) <= 1e-9 * ours, f"usage costs {ours} here and {theirs} in DuckDB"


def _filters(analyst: Any, query: str, first: date, last: date) -> Any:
    from django.http import QueryDict

    from finops.queries.filters import Filters

    filters, errors = Filters.parse(QueryDict(f"{query}&from={first}&to={last}"), analyst)
    assert not errors, errors
    return filters


# Percentiles


def _percentile_errors(
    duck: Any, analyst: Any, start: datetime, end: datetime
) -> tuple[float, int, str]:
    """The worst relative error, how many groups were compared, and which one it was."""
    from finops.queries.traffic import request_summary
    from tests.bench.duck import MEASURES, PERCENTS

    worst, compared, where = 0.0, 0, ""
    dice = random.Random("percentiles")
    for days in WINDOWS:
        for group in ("model", "service"):
            first, last = window(dice, days, start, end)
            filters = _filters(analyst, f"group_by={group}", first, last)
            rows = {row.keys[0]: row for row in request_summary(filters).rows}
            for measure in MEASURES:
                exact = duck.exact(group, measure, filters.start_at, filters.end_at, LEAST_OF_GROUP)
                compared += len(exact)
                for key, values in exact.items():
                    told = getattr(rows[key], measure.removesuffix("_ms"))
                    for percent, value in zip(PERCENTS, values, strict=True):
                        error = abs(getattr(told, f"p{percent}_ms") - value) / value
                        if error > worst:
                            worst = error
                            where = f"P{percent} of {measure} of {key}, {days} d"
    return worst, compared, where


# The answer


def _figures(quiet: Quiet) -> dict[str, Any]:
    pages = {name: p95(quiet.page(name)) for name in quiet.timings}
    costs = {name: ms for name, ms in pages.items() if PAGES.get(name, "").startswith("/costs")}
    asked = (quiet.queries(name).items() for name in quiet.timings)
    worst, where = max((ms, query) for queries in asked for query, ms in queries)
    loops = (min(quiet.loops), quiet.loop, statistics.median(quiet.loops), max(quiet.loops))
    return {
        "slowest_costs_page_p95_ms": round(max(costs.values()), 1),
        "slowest_costs_page_p95_as_measured_ms": round(
            max(p95(quiet.timings[name].measured) for name in costs), 1
        ),
        "loop_ms_best_fast_median_worst": [round(ms, 2) for ms in loops],
        "elasticity_to_loop": round(quiet.elasticity, 2),
        "slowest_page_p95_ms": round(max(pages[name] for name in PAGES), 1),
        "slowest_export_p95_ms": round(max(pages[name] for name in EXPORTS), 1),
        "slowest_query_p95_ms": round(worst, 1),
        "slowest_query": where,
        "costs_pages_over_goal": sorted(name for name, ms in costs.items() if ms > MOST_COSTS_MS),
        "queries_over_goal": dict(quiet.slow_queries()),
    }


def _report(
    quiet: Quiet,
    answers: dict[str, tuple[float, float]],
    accuracy: tuple[float, int, str],
    result: dict[str, Any],
    out: Path | None,
) -> None:
    print(f"\nThe same question: {'ours':>{36}} {'DuckDB':>9} {'ratio':>7}")
    for name, (ours, peer) in answers.items():
        print(f"{name:<46} {ours:>6.1f} ms {peer:>6.1f} ms {ours / peer:>7.2f}")
    print(f"\n{result['summed_again']:,} requests summed and priced again, a second:")
    for name in ("roll_up", "at_once", "sum_users", "reprice", "reprice_users"):
        ratio = result.get(f"{name}_ratio_to_duckdb")
        beside = "" if ratio is None else f"{ratio:>9.2f} of DuckDB's rate"
        print(f"{name:<46} {result[f'{name}_spans_per_s']:>9,}{beside}")
    best, fast, median, worst = result["loop_ms_best_fast_median_worst"]
    print(f"\nA loop took {best} to {worst} ms beside the pages, {median} in the middle. Times of")
    print(
        f"pages and queries are told as if it always took {fast}, but where it says so. They grew"
    )
    print(f"by {quiet.elasticity:.2f} % with each percent of it: near 1, that may be done.")
    print(f"Percentiles: {accuracy[0]:.2%} off at most ({accuracy[2]}), {accuracy[1]} groups")
    for name, ms in result["queries_over_goal"].items():
        print(f"over {MOST_QUERY_MS} ms: {ms:>8.1f} ms  {name}")
    rows = [_told(name, quiet) for name in quiet.timings]
    header = ["page", "P95 ms", "median", "measured P95", "queries", "slowest, P95 ms", "by"]
    title = f"Dashboards over {result['spans']:,} requests, {result['days']} days"
    report(title, header, rows, result, out)


def _told(name: str, quiet: Quiet) -> list[Any]:
    page, timing = quiet.page(name), quiet.timings[name]
    times = (p95(page), statistics.median(page), p95(timing.measured))
    slowest, asker = max((ms, query) for query, ms in quiet.queries(name).items())
    count = len(timing.queries) // ROUNDS
    return [name, *(f"{ms:.0f}" for ms in times), count, f"{slowest:.1f}", asker.split()[0]]


if __name__ == "__main__":
    main()
