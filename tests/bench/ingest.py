"""How fast OTLP over HTTP becomes committed rows with rollups.

Peers in the same run, on the same machine and table shape:
- the limit: the same rows, already in memory, by binary COPY into staging and then into the
  partitioned table with all its indexes (what PostgreSQL itself allows);
- the usual way: Django's `bulk_create(ignore_conflicts=True)`.

Each is told by the clock, and by the processor time of the server, PostgreSQL and the rollups (of
the peers: of this process and PostgreSQL), which does not depend on what else the machine does.

`--data FILE` takes length-prefixed or single ExportTraceServiceRequest protobuf files of your own.
"""

from __future__ import annotations

import http.client
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.bench.common import (
    arguments,
    family_cpu_s,
    peak_rss_mb,
    postgresql_cpu_s,
    report,
    setup_django,
    web_server,
)

SPANS = 60_000
BATCH = 500
CLIENTS = 2
ROUNDS = 3


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--spans", type=int, default=SPANS)
    options = parser.parse_args()
    setup_django()
    plain = _measure(options.spans, options.data, prompt_bytes=0)
    prompts = _measure(options.spans // 3, None, prompt_bytes=2048) if not options.data else None
    limit, usual = _staged_copy(options.spans), _bulk_create(options.spans // 10)
    result = {
        "spans_per_s": round(plain["spans_per_s"]),
        "ratio_to_staged_copy": round(plain["spans_per_s"] / limit.per_s, 3),
        "ratio_to_bulk_create": round(plain["spans_per_s"] / usual.per_s, 2),
        "spans_per_cpu_s": round(plain["spans_per_cpu_s"]),
        "cpu_ratio_to_staged_copy": round(plain["spans_per_cpu_s"] / limit.per_cpu_s, 3),
        "cpu_ratio_to_bulk_create": round(plain["spans_per_cpu_s"] / usual.per_cpu_s, 2),
        "peak_rss_mb": round(plain["peak_rss_mb"]),
        "rollup_s": round(plain["rollup_s"], 2),
        "spans": plain["spans"],
    }
    rows = [
        ["OTLP over HTTP, committed and rolled up", f"{plain['spans_per_s']:,.0f}",
         f"{result['ratio_to_staged_copy']:.2f}", f"{plain['spans_per_cpu_s']:,.0f}"],
        ["limit: staged binary COPY, same table", f"{limit.per_s:,.0f}", "1.00",
         f"{limit.per_cpu_s:,.0f}"],
        ["peer: Django bulk_create", f"{usual.per_s:,.0f}", f"{usual.per_s / limit.per_s:.2f}",
         f"{usual.per_cpu_s:,.0f}"],
    ]  # fmt: skip
    if prompts:
        result["spans_per_s_with_2kb_prompts"] = round(prompts["spans_per_s"])
        result["spans_per_cpu_s_with_2kb_prompts"] = round(prompts["spans_per_cpu_s"])
        rows.insert(
            1,
            ["  the same with 2 KB prompts to hash", f"{prompts['spans_per_s']:,.0f}",
             f"{prompts['spans_per_s'] / limit.per_s:.2f}", f"{prompts['spans_per_cpu_s']:,.0f}"],
        )  # fmt: skip
    header = ["path", "spans/s", "ratio to limit", "spans/CPU s"]
    report("Ingest, 2 clients", header, rows, result, options.out)


class Rate(NamedTuple):
    per_s: float
    per_cpu_s: float


class Stopwatch:
    """Seconds by the clock, and of the processor: this process's, PostgreSQL's and `server`'s."""

    def __init__(self, server: int | None = None) -> None:
        self._server = server
        self._begun = self._read()

    def _read(self) -> tuple[float, float]:
        server = family_cpu_s(self._server) if self._server else 0.0
        used = time.process_time() if self._server is None else 0.0
        return time.perf_counter(), used + server + postgresql_cpu_s()

    def seconds(self) -> tuple[float, float]:
        clock, used = self._read()
        return clock - self._begun[0], used - self._begun[1]

    def rate(self, count: int) -> Rate:
        clock, used = self.seconds()
        return Rate(count / clock, count / used)


def _measure(count: int, data: Path | None, prompt_bytes: int) -> dict[str, Any]:
    """Push `count` spans through a real server, then roll up; medians of fresh rounds."""
    from ingest.models import DirtyHour, Span
    from ingest.rollup import roll_up

    rates, rollups, peak, seen = [], [], 0.0, 0
    cpu_rates = []
    for round_number in range(ROUNDS):
        source, token = _source(f"bench-{prompt_bytes}-{round_number}")
        bodies = _bodies(count, data, prompt_bytes, round_number)
        with web_server() as (url, server):
            _warm_up(url, token)
            push = Stopwatch(server.pid)
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(partial(_push, url, token), _split(bodies, CLIENTS)))
            push_s, push_cpu_s = push.seconds()
            rollup = Stopwatch()
            roll_up(100_000)
            rollup_s, rollup_cpu_s = rollup.seconds()
            peak = max(peak, peak_rss_mb(server))
        seen = Span.objects.filter(project_id=source.project_id).count()
        assert not DirtyHour.objects.exists()
        assert data is not None or seen == count, f"{seen} of {count} spans are there"
        rates.append(seen / (push_s + rollup_s))
        cpu_rates.append(seen / (push_cpu_s + rollup_cpu_s))
        rollups.append(rollup_s)
    return {
        "spans_per_s": statistics.median(rates),
        "spans_per_cpu_s": statistics.median(cpu_rates),
        "rollup_s": statistics.median(rollups),
        "peak_rss_mb": peak,
        "spans": seen,
    }


def _source(slug: str) -> tuple[Any, str]:
    from ingest import tokens
    from ingest.models import Project, Source

    project, _ = Project.objects.get_or_create(slug=slug, defaults={"name": slug})
    source, _ = Source.objects.get_or_create(kind="otlp", name=slug, project=project)
    _, secret = tokens.issue(source, "bench", "traces:write", "bench")
    return source, secret


def _warm_up(url: str, token: str) -> None:
    """Each worker imports what it needs at its first request, which takes seconds and is no part
    of a rate: empty requests, enough at once that every worker gets some."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(_push, url, token), [[b""] * 4] * 8))


def _split(bodies: list[bytes], parts: int) -> list[list[bytes]]:
    return [bodies[n::parts] for n in range(parts)]


def _push(url: str, token: str, bodies: list[bytes]) -> None:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-protobuf"}
    for body in bodies:
        connection.request("POST", "/v1/traces", body, headers)
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, f"{answer.status} {content[:300]!r}"
    connection.close()


def _bodies(count: int, data: Path | None, prompt_bytes: int, seed: int) -> list[bytes]:
    if data is not None:
        return [data.read_bytes()]
    return [
        _body(range(start, min(start + BATCH, count)), prompt_bytes, seed)
        for start in range(0, count, BATCH)
    ]


def _body(numbers: range, prompt_bytes: int, seed: int) -> bytes:
    """One batch as the OpenTelemetry SDK would send it: GenAI spans over the last six hours."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "bench"
    spans = resource.scope_spans.add().spans
    base = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=6)
    for n in numbers:
        span = spans.add()
        span.trace_id = (seed << 96 | n + 1).to_bytes(16, "big")
        span.span_id = (n + 1).to_bytes(8, "big")
        span.parent_span_id = (n + 2**40).to_bytes(8, "big")
        span.name = "chat gpt-4o-mini"
        start = base + timedelta(seconds=(n * 7919) % 21_600)
        span.start_time_unix_nano = int(start.timestamp() * 1e9)
        span.end_time_unix_nano = span.start_time_unix_nano + (200 + n % 3000) * 1_000_000
        for key, value in (
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "openai"),
            ("gen_ai.request.model", "gpt-4o-mini"),
            ("gen_ai.response.model", ("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06")[n % 2]),
            ("user.id", f"user-{n % 400}"),
            ("session.id", f"session-{n % 4000}"),
            ("server.address", "api.openai.com"),
        ):
            span.attributes.add(key=key).value.string_value = value
        for key, count in (
            ("gen_ai.usage.input_tokens", 900 + n % 2000),
            ("gen_ai.usage.cache_read.input_tokens", n % 512),
            ("gen_ai.usage.output_tokens", 20 + n % 400),
            ("gen_ai.request.max_tokens", 1024),
        ):
            span.attributes.add(key=key).value.int_value = count
        if prompt_bytes:
            text = f"{n} " + "lorem ipsum dolor " * (prompt_bytes // 18)
            span.attributes.add(key="gen_ai.input.messages").value.string_value = text
    return request.SerializeToString()


def _rows(count: int) -> list[tuple[Any, ...]]:
    from ingest import privacy
    from ingest.sources import otlp
    from ingest.store.spans import _latest_of_each

    source, _ = _source("limit")
    key = privacy.project_key(source.project_id)
    records = [
        record
        for body in _bodies(count, None, 0, seed=99)
        for record in otlp.decode(body, key=key).spans
    ]
    latest, _ = _latest_of_each(source.project_id, records)
    return list(latest.values())


def _staged_copy(count: int) -> Rate:
    """Rows per second that PostgreSQL takes by staged binary COPY into the same table."""
    from django.db import connection, transaction

    from ingest import partitions
    from ingest.store.counting import copy_rows, make_staging
    from ingest.store.spans import COLUMNS, INSERT

    rows = _rows(count)
    rates = []
    with connection.cursor() as cursor:
        partitions.ensure(partitions.SPAN, {row[0] for row in rows})
        for _ in range(ROUNDS):
            cursor.execute("DELETE FROM ingest_span WHERE project_id = -1")
            watch = Stopwatch()
            for first in range(0, len(rows), BATCH):
                with transaction.atomic():
                    make_staging(cursor, "span_in", COLUMNS)
                    copy_rows(cursor, "span_in", COLUMNS, rows[first : first + BATCH])
                    cursor.execute(
                        INSERT + " ON CONFLICT DO NOTHING", {"project": -1, "source": -1}
                    )
            rates.append(watch.rate(len(rows)))
        cursor.execute("DELETE FROM ingest_span WHERE project_id = -1")
    return Rate(*map(statistics.median, zip(*rates, strict=True)))


def _bulk_create(count: int) -> Rate:
    from ingest.models import Span
    from ingest.store.spans import COLUMNS, STORED

    rows = _rows(count)
    at = {name: n for n, name in enumerate(COLUMNS)}
    names = [name for name in STORED if name not in ("prefix_hashes", "attributes")]
    now = datetime.now(UTC)
    watch = Stopwatch()
    for first in range(0, len(rows), BATCH):
        Span.objects.bulk_create(
            (
                Span(
                    project_id=-2,
                    source_id=-2,
                    received_at=now,
                    **{name: row[at[name]] for name in names},
                )
                for row in rows[first : first + BATCH]
            ),
            ignore_conflicts=True,
        )
    rate = watch.rate(count)
    Span.objects.filter(project_id=-2).delete()
    return rate


if __name__ == "__main__":
    main()
