"""Is it alive, is it ready, and how is it doing: for probes and for Prometheus.

Knows the parts the site stands on. Refuses to tell a stranger more than which part is missing.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from redis.exceptions import RedisError

LEAST_POSTGRES = 180000
"""RETURNING old and new values, by which inserts and updates are told apart, came with 18."""


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """The process answers. Nothing is asked of anybody else, so a database away restarts nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    parts = {name: part() for name, part in PARTS.items()}
    ready = not any(parts.values())
    shown = {name: problem or "ok" for name, problem in parts.items()}
    return JsonResponse({"ready": ready, "parts": shown}, status=200 if ready else 503)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version_num')::int")
            version = cursor.fetchone()[0]
    except Exception:
        return "does not answer"
    return "" if version >= LEAST_POSTGRES else "is older than PostgreSQL 18"


_migrated = False


def _migrations() -> str:
    """Asked until they are all applied; a running process cannot lose one."""
    global _migrated
    if _migrated:
        return ""
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Exception:
        return "cannot be read"
    _migrated = not waiting
    return f"{len(waiting)} to be applied: run manage.py migrate" if waiting else ""


def _cache() -> str:
    try:
        cache.get("ready")
    except (RedisError, OSError):
        return "does not answer"
    return ""


PARTS: dict[str, Callable[[], str]] = {
    "database": _database,
    "migrations": _migrations,
    "cache": _cache,
}


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    given = request.headers.get("Authorization", "").encode()
    wanted = f"Bearer {settings.METRICS_TOKEN}".encode()
    if not settings.METRICS_TOKEN or not hmac.compare_digest(given, wanted):
        answer = HttpResponse("Send BREAKEVEN_METRICS_TOKEN as a bearer token.\n", status=401)
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    registry = CollectorRegistry()
    registry.register(_Books())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Books:
    """Gauges read from the rows at each scrape: the rows are the truth, not a process."""

    def collect(self) -> Iterator[Metric]:
        for name, help_text, labels, sql in GAUGES:
            family = GaugeMetricFamily(f"breakeven_{name}", help_text, labels=labels)
            for row in _rows(sql):
                *names, value = row
                if value is not None:
                    family.add_metric([str(part) for part in names], float(value))
            yield family


def _rows(sql: str) -> Iterable[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


GAUGES = (
    (
        "source_lag_seconds", "Seconds since a source last delivered.", ["source", "kind"],
        "SELECT name, kind, extract(epoch FROM now() - last_success_at) FROM ingest_source"
        " WHERE enabled",
    ),
    (
        "source_failing", "1 while the last pull of a source failed.", ["source", "kind"],
        "SELECT name, kind, (last_error <> '')::int FROM ingest_source WHERE enabled",
    ),
    (
        "rows_last_hour", "Rows received in the last hour by what became of them.", ["result"],
        "SELECT result, coalesce(sum(n), 0) FROM ingest_pull CROSS JOIN LATERAL (VALUES"
        " ('inserted', inserted), ('updated', updated), ('unchanged', unchanged),"
        " ('stale', stale), ('rejected', rejected)) AS r (result, n)"
        " WHERE window_to > now() - interval '1 hour' GROUP BY result",
    ),
    (
        "quarantined_rows", "Rows in quarantine.", [],
        "SELECT count(*) FROM ingest_reject",
    ),
    (
        "dirty_hours", "Marks of hours that wait to be rolled up.", [],
        "SELECT count(*) FROM ingest_dirty_hour WHERE owner_kind <> 'concurrency'",
    ),
    (
        "dirty_hour_age_seconds", "Age of the oldest such mark.", [],
        "SELECT coalesce(extract(epoch FROM now() - min(marked_at)), 0) FROM ingest_dirty_hour"
        " WHERE owner_kind <> 'concurrency'",
    ),
    (
        "open_jobs", "Jobs that wait or run.", ["state"],
        "SELECT state, count(*) FROM ingest_job WHERE state IN ('waiting', 'running')"
        " GROUP BY state",
    ),
    (
        "oldest_job_age_seconds", "Age of the oldest open job.", [],
        "SELECT coalesce(extract(epoch FROM now() - min(scheduled_for)), 0) FROM ingest_job"
        " WHERE state IN ('waiting', 'running')",
    ),
)  # fmt: skip
