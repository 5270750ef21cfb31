"""How long pages and their queries take with a million spans and sixty days of books.

Pages are asked of Django itself, signed in as an analyst, with windows drawn anew for each request
so that no answer is a repetition. A query's time is what PostgreSQL's client waited for it.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.bench.common import arguments, report, setup_django

SPANS = 1_000_000
DAYS = 60
ROUNDS = 20
BATCH = 5000
MODELS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-flash"),
)
SERVICES = tuple(f"service-{n}" for n in range(8))
PATHS = {
    "overview": "/",
    "costs": "/costs",
    "costs by two": "/costs?group_by=project&group_by=model",
    "costs CSV": "/costs.csv?group_by=model",
    "requests": "/requests?group_by=model",
    "slowest": "/requests?tab=slowest",
    "GPUs": "/gpus",
    "sources": "/sources",
}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--spans", type=int, default=SPANS)
    options = parser.parse_args()
    setup_django()
    spans = _fill(options.spans)
    pages, queries, rows = {}, [], []
    client = _analyst()
    for name, path in PATHS.items():
        pages[name], asked = _time_page(client, path)
        queries += asked
        rows.append([name, f"{_p95(pages[name]):.0f}", f"{_p95(asked):.1f}", len(asked) // ROUNDS])
    result = {
        "page_p95_ms": round(_p95([ms for times in pages.values() for ms in times]), 1),
        "query_p95_ms": round(_p95(queries), 1),
        "slowest_query_ms": round(max(queries), 1),
        "rows": spans,
    }
    rows.append(["all", f"{result['page_p95_ms']:.0f}", f"{result['query_p95_ms']:.1f}", ""])
    header = ["page", "page P95 ms", "query P95 ms", "queries"]
    report(f"Pages over {spans:,} spans, {DAYS} days", header, rows, result, options.out)


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _fill(count: int) -> int:
    """Spans of eight projects over sixty days through `store`, rolled up and priced."""
    from django.core.management import call_command
    from django.db import connection

    from finops.actions.pricing import price_hours
    from ingest import store
    from ingest.models import Project, Source
    from ingest.rollup import roll_up

    call_command("setup", verbosity=0)
    started = time.perf_counter()
    for n, service in enumerate(SERVICES):
        project, _ = Project.objects.get_or_create(slug=service, defaults={"name": service})
        source, _ = Source.objects.get_or_create(kind="otlp", name=service, project=project)
        for batch in _records(service, n, count // len(SERVICES)):
            store.spans(source, batch)
    roll_up(1_000_000)
    while price_hours(1000):
        pass
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("SELECT count(*) FROM ingest_span")
        stored = cursor.fetchone()[0]
    print(f"{stored:,} spans stored, rolled up and priced in {time.perf_counter() - started:.0f} s")
    return int(stored)


def _records(service: str, seed: int, count: int) -> Iterator[list[Any]]:
    from ingest.records import SpanRecord

    dice = random.Random(seed)
    now = datetime.now(UTC)
    step = timedelta(days=DAYS) / count
    batch = []
    for n in range(count):
        start = now - timedelta(days=DAYS) + n * step
        provider, model = MODELS[dice.randrange(len(MODELS))]
        failed = dice.random() < 0.01
        latency = timedelta(milliseconds=dice.lognormvariate(6.5, 0.8))
        batch.append(
            SpanRecord(
                trace_id=f"{seed:016x}{n:016x}",
                span_id=f"{n:016x}",
                started_at=start,
                ended_at=min(now, start + latency),
                kind="llm",
                name=f"chat {model}",
                service=service,
                provider=provider,
                model=model,
                status="error" if failed else "ok",
                error_type="timeout" if failed else "",
                user_id=f"user-{dice.randrange(5000)}",
                input_tokens=dice.randrange(50, 8000),
                cache_read_tokens=dice.randrange(0, 2000),
                output_tokens=dice.randrange(5, 800),
            )
        )
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _analyst() -> Any:
    from django.contrib.auth.models import Group
    from django.test import Client

    from finops.models import Membership, User

    user = User.objects.create_user("bench-analyst", password=None)
    Membership.objects.create(user=user, role=Group.objects.get(name="analyst"))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


def _time_page(client: Any, path: str) -> tuple[list[float], list[float]]:
    from django.db import connection

    dice = random.Random(path)
    pages: list[float] = []
    queries: list[float] = []

    def timed(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        started = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            queries.append((time.perf_counter() - started) * 1000)

    client.get(path)  # templates compiled, connection open
    with connection.execute_wrapper(timed):
        for _ in range(ROUNDS):
            end = datetime.now(UTC).date() - timedelta(days=dice.randrange(0, 20))
            start = end - timedelta(days=dice.choice((1, 7, 30, 39)))
            glue = "&" if "?" in path else "?"
            started = time.perf_counter()
            answer = client.get(f"{path}{glue}from={start}&to={end}")
            b"".join(answer) if answer.streaming else answer.content
            pages.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 200, f"{path}: {answer.status_code}"
    return pages, queries


if __name__ == "__main__":
    main()
