"""The rows of a bench in DuckDB, and the questions of the pages asked of them there.

Each question is the one a query of ours answers from sums, asked of single requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from finops.queries.book import REQUEST_KINDS
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS
from ingest.rollup.spans import TPOT
from ingest.sketch import LN_GAMMA

MEASURES = ("latency_ms", "ttft_ms", "tpot_ms")
DIMENSIONS = "project_id, service, kind, provider, model, tier, input_band"
PERCENTS = (50, 95, 99)
PRICED = tuple(zip(TOKEN_FIELDS, TOKEN_CLASSES, strict=True))

EXPORT = f"""
COPY (
    SELECT s.project_id, s.started_at AT TIME ZONE '{{zone}}' AS began, s.service, s.kind,
        s.provider, s.model, s.tier, s.input_band, s.status = 'error' AS failed, s.user_id,
        s.latency_ms, s.ttft_ms, {TPOT.format(s="s")} AS tpot_ms,
        {", ".join(f"s.{name}" for name in TOKEN_FIELDS)}
    FROM ingest_span s
) TO STDOUT (FORMAT csv, HEADER)"""
READ = f"""
CREATE TABLE spans AS
SELECT s.*,
    {" + ".join(f"coalesce({name} * r.{of}, 0)" for name, of in PRICED)} AS cost
FROM read_csv(?, header = true, allow_quoted_nulls = false, columns = {{
    'project_id': 'INTEGER', 'began': 'TIMESTAMP', 'service': 'VARCHAR', 'kind': 'VARCHAR',
    'provider': 'VARCHAR', 'model': 'VARCHAR', 'tier': 'VARCHAR', 'input_band': 'INTEGER',
    'failed': 'BOOLEAN', 'user_id': 'VARCHAR', 'latency_ms': 'DOUBLE', 'ttft_ms': 'DOUBLE',
    'tpot_ms': 'DOUBLE', {", ".join(f"'{name}': 'BIGINT'" for name in TOKEN_FIELDS)}}}) s
LEFT JOIN rates r USING (provider, model, tier, input_band)"""

QUANTILES = ", ".join(f"quantile_disc({name}, [0.5, 0.95, 0.99])" for name in MEASURES)
COUNTS = f"count(*), count(*) FILTER (failed), {', '.join(f'sum({name})' for name in TOKEN_FIELDS)}"
IN_RANGE = "began >= ? AND began < ?"
REQUESTS = f"{IN_RANGE} AND kind IN ({', '.join(repr(kind) for kind in REQUEST_KINDS)})"

QUESTIONS = {
    "cost by model and day, 30 d": f"SELECT model, began::DATE, sum(cost) FROM spans"
    f" WHERE {IN_RANGE} GROUP BY 1, 2",
    "percentiles by model, 7 d": f"SELECT model, {COUNTS}, {QUANTILES} FROM spans"
    f" WHERE {REQUESTS} GROUP BY 1",
    "percentiles by model, 30 d": f"SELECT model, {COUNTS}, {QUANTILES} FROM spans"
    f" WHERE {REQUESTS} GROUP BY 1",
    "dearest users, 7 d": f"SELECT user_id FROM spans WHERE {IN_RANGE} GROUP BY 1"
    " ORDER BY sum(cost) DESC NULLS LAST, count(*) DESC, 1 LIMIT 100",
    "cost by hour of a project, 1 d": "SELECT date_trunc('hour', began), sum(cost) FROM spans"
    f" WHERE {IN_RANGE} AND project_id = ? GROUP BY 1",
    "errors and percentiles by hour of a model, 7 d": f"SELECT date_trunc('hour', began), {COUNTS},"
    f" {QUANTILES} FROM spans WHERE {REQUESTS} AND model = ? GROUP BY 1",
}

SKETCHES = ", ".join(
    f"count({name}), sum({name}), histogram(ceil(ln({name}) / {LN_GAMMA!r})::SMALLINT)"
    f" FILTER ({name} > 0)"
    for name in MEASURES
)
SUMMED = f"SELECT time_bucket(INTERVAL 15 minutes, began) AS quarter, {DIMENSIONS}, {COUNTS}"
MADE = (
    f"CREATE OR REPLACE TABLE made AS {SUMMED}, {{more}} FROM spans WHERE {IN_RANGE}"
    f" GROUP BY quarter, {DIMENSIONS}"
)
ROLL_UP = MADE.format(more=SKETCHES)
PRICE = MADE.format(more="sum(cost) AS cost")
"""Of the same rows the same sums; a request's cost was computed when it was read."""

EXACT = f"""
WITH ranked AS (
    SELECT {{group}} AS key, {{measure}} AS value, count(*) OVER whole AS n,
        row_number() OVER (whole ORDER BY {{measure}}) AS place
    FROM spans WHERE {REQUESTS} AND {{measure}} IS NOT NULL WINDOW whole AS (PARTITION BY {{group}})
)
SELECT key, n, {
    ", ".join(f"min(value) FILTER (place = (n * {percent} + 99) // 100)" for percent in PERCENTS)
}
FROM ranked GROUP BY key, n HAVING n >= {{least}}"""
"""Nearest rank: the smallest value that at least so many percent do not exceed."""


class Duck:
    def __init__(self, folder: Path, zone: str):
        import duckdb

        self._rows = folder / "spans.csv"
        self.db = duckdb.connect(str(folder / "spans.duckdb"))
        self.zone = zone

    def copy_rows(self) -> int:
        """All requests, each with what the price book asks for it; how many."""
        from django.db import connection

        with connection.cursor() as cursor, self._rows.open("wb") as file:
            cursor.execute("SET statement_timeout = 0")
            with cursor.copy(EXPORT.format(zone=self.zone)) as copy:
                file.writelines(copy)
            cursor.execute("RESET statement_timeout")
        names = ", ".join(f"{name} DOUBLE" for name in TOKEN_CLASSES)
        self.db.execute(
            "CREATE TABLE rates"
            f" (provider VARCHAR, model VARCHAR, tier VARCHAR, input_band INTEGER, {names})"
        )
        marks = ", ".join("?" * (4 + len(TOKEN_CLASSES)))
        self.db.executemany(f"INSERT INTO rates VALUES ({marks})", _rates())
        self.db.execute(READ, [str(self._rows)])
        self._rows.unlink()
        [(count,)] = self.ask("SELECT count(*) FROM spans")
        return int(count)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.db.execute(sql, [self._local(value) for value in values]).fetchall()

    def seconds(self, sql: str, *values: Any) -> float:
        return timed(lambda: self.ask(sql, *values))

    def exact(
        self, group: str, measure: str, start: datetime, end: datetime, least: int
    ) -> dict[str, tuple[float, ...]]:
        """Group → its percentiles by nearest rank, of groups with at least so many values."""
        sql = EXACT.format(group=group, measure=measure, least=least)
        return {str(key): tuple(values) for key, _, *values in self.ask(sql, start, end)}

    def _local(self, value: Any) -> Any:
        """Times are kept as clocks of the accounting zone show them."""
        from zoneinfo import ZoneInfo

        if isinstance(value, datetime) and value.tzinfo:
            return value.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None)
        return value


def timed(act: Callable[[], Any]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _rates() -> list[tuple[Any, ...]]:
    """What the newest price book asks for a token, by class, of every model that was used."""
    from django.utils import timezone

    from finops.actions import price_book
    from finops.actions.book_rates import BookRates
    from finops.actions.pricing import pool_providers
    from ingest.models import SpanDay

    used = set(SpanDay.objects.values_list("provider", "model", "tier", "input_band"))
    rates = BookRates(price_book.latest_book(), {row[:2] for row in used}, store=False)
    found = []
    for provider, model, tier, band in sorted(used):
        card = rates.card(None, (provider, model), tier, band, timezone.now())
        if card is not None and provider.casefold() not in pool_providers():
            amounts = [float((card.rate_of(name) or 0) / 10**6) for name in TOKEN_CLASSES]
            found.append((provider, model, tier, band, *amounts))
    return found
