"""A company's worth of facts for benches: projects, requests, GPUs, bills, rules and people.

Requests and readings are drawn inside PostgreSQL, straight into the partitions, with the marks that
`ingest.store` would leave; everything else is computed from them by the code that always does it.
"""

from __future__ import annotations

import csv
import itertools
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

SERVICES = (
    "support-chat", "code-assist", "search", "mail-drafts", "sales-notes", "contracts",
    "translation", "night-batch",
)  # fmt: skip
SHARES = (0.27, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05, 0.03)
"""Of the requests, per project."""
USERS_PER_PROJECT = 750
CUSTOMERS_PER_PROJECT = 50
"""A label of requests: projects share their customers, and a tenth of the requests names none."""
MODELS = (
    # share of the requests, provider, model, kind, how slow beside the others
    (0.30, "openai", "gpt-4o-mini", "llm", 0.7),
    (0.14, "openai", "gpt-4o", "llm", 1.3),
    (0.18, "anthropic", "claude-sonnet-4-5", "llm", 1.8),
    (0.10, "anthropic", "claude-haiku-4-5", "llm", 0.6),
    (0.14, "google", "gemini-2.5-flash", "llm", 0.5),
    (0.05, "openai", "text-embedding-3-small", "embedding", 0.1),
    (0.06, "triton", "reranker", "inference", 0.05),
    (0.03, "house", "house-7b", "llm", 1.0),  # nobody has a price for it
)
HOUR_WEIGHTS = (
    2, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 18, 15, 17, 19, 18, 16, 13, 10, 8, 7, 6, 4, 3,
)  # fmt: skip
WEEKEND = 0.4
POOLS = (("bench-h100", "triton", 8), ("bench-l4", "triton-l4", 4))
READING_EVERY = timedelta(minutes=4)
BILL_LINES = 50_000
BILL_SERVICES = 40

DRAW = """
INSERT INTO ingest_span (project_id, day, key, source_id, version, trace_id, span_id,
    parent_span_id, external_id, kind, name, service, provider, model, request_model, tier,
    status, error_type, user_id, session_id, started_at, ended_at, latency_ms, ttft_ms,
    input_band, input_tokens, cache_read_tokens, output_tokens, usage_convention,
    source_cost_usd, attributes, received_at)
WITH dice AS MATERIALIZED (
    SELECT c.project_id, c.source_id, c.service, c.hour + random() * interval '1 hour' AS at,
        width_bucket(random(), %(steps)s::float8[]) AS place,
        md5(c.project_id || ' ' || c.hour || ' ' || n) AS trace,
        1 + (%(users)s * power(random(), 2))::int AS who, random() < 0.04 AS nameless,
        random() < 0.012 AS failed, random() AS why,
        -- Most answers are swift, every fifth has to think.
        exp(CASE WHEN random() < 0.2 THEN ln(4000) + 0.5 * random_normal()
            ELSE ln(600) + 0.45 * random_normal() END) AS slow_ms,
        0.1 + 0.3 * random() AS first_part,
        least(24000, 20 + exp(7 + random_normal()))::bigint AS prompt,
        CASE WHEN random() < 0.35 THEN 0.2 + 0.7 * random() ELSE 0 END AS cached,
        least(8000, 3 + exp(5 + 0.9 * random_normal()))::bigint AS answer
    FROM unnest(%(projects)s::int[], %(sources)s::int[], %(services)s::text[],
        %(hours)s::timestamptz[], %(counts)s::int[])
        AS c (project_id, source_id, service, hour, count),
        generate_series(1, c.count) AS n
), named AS (
    SELECT *, (%(providers)s::text[])[place] AS provider, (%(models)s::text[])[place] AS model,
        (%(kinds)s::text[])[place] AS kind, slow_ms * (%(slowness)s::float8[])[place] AS ms,
        service || '-user-' || who AS customer, (prompt * cached)::bigint AS cache
    FROM dice
), told AS (
    SELECT *, NOT failed AND kind <> 'inference' AS uses, NOT failed AND kind = 'llm' AS writes
    FROM named
)
SELECT project_id, %(day)s, trace::uuid, source_id, 0, trace, left(trace, 16), '', '', kind,
    'chat ' || model, service, provider, model, model, '',
    CASE WHEN failed THEN 'error' ELSE 'ok' END,
    CASE WHEN NOT failed THEN '' WHEN why < 0.6 THEN 'timeout' ELSE 'rate_limit' END,
    CASE WHEN nameless THEN '' ELSE customer END, customer || '/' || (why * 5)::int,
    at, at + ms * interval '1 ms', ms, CASE WHEN writes THEN ms * first_part END, 0,
    CASE WHEN uses THEN prompt - cache END, CASE WHEN uses THEN cache END,
    CASE WHEN writes THEN answer END, 'exclusive',
    CASE WHEN writes AND provider = 'google' THEN (prompt * 0.3 + answer * 2.5)::numeric / 1e6 END,
    CASE WHEN why < 0.9
        THEN jsonb_build_object('customer',
            'customer-' || (3 * (who %% %(customers)s) + project_id %% 3)) END,
    now()
FROM told"""
"""All prompts are below the first step of long-context prices, so every band is 0."""

KEYS = """
INSERT INTO ingest_span_key (project_id, key, day)
SELECT project_id, key, day FROM ingest_span ORDER BY 1, 2"""

GPU_READINGS = """
INSERT INTO ingest_gpu_sample (pool_id, day, gpu_id, at, utilization_pct, memory_used_bytes,
    power_w, power_limit_w, energy_mj, temperature_c, clock_event_reasons)
SELECT g.pool_id, (at AT TIME ZONE 'UTC')::date, g.id, at, busy * 100, 60e9 + busy * 1e10,
    120 + busy * 500, 700, 1000 * extract(epoch FROM at - %(start)s) * 400, 40 + busy * 30, 0
FROM ingest_gpu g, generate_series(%(start)s, %(end)s, %(every)s) AS at,
    LATERAL (SELECT (1 + sin(extract(epoch FROM at) / 14000 + g.index)) / 2 AS busy) AS load"""

COUNTERS = """
INSERT INTO ingest_metric_sample (pool_id, day, series_id, at, value)
SELECT s.pool_id, (at AT TIME ZONE 'UTC')::date, s.id, at,
    extract(epoch FROM at - %(start)s) * CASE WHEN s.unit = 'us' THEN 2e5 ELSE 3 END
FROM ingest_series s, generate_series(%(start)s, %(end)s, %(every)s) AS at"""

MARKS = """
INSERT INTO ingest_dirty_hour (owner_kind, owner_id, hour, marked_at)
SELECT %s, owner, at, now() FROM unnest(%s::int[]) AS owner,
    generate_series(%s::timestamptz, %s::timestamptz - interval '1 second', '1 hour') AS at
ORDER BY at, owner"""
"""The oldest first, as facts arrive."""

Cell = tuple[int, int, str, datetime, int]
"""Project, source, service, hour, requests."""


def draw(spans: int, days: int) -> tuple[datetime, datetime]:
    """Facts of the newest `days` days, all of them to be summed; from when until when."""
    from django.core.management import call_command

    call_command("setup", verbosity=0)
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(days=days)
    _requests(spans, start, end)
    _hardware(start, end)
    return start, end


def mark(owner_kind: str, owners: Sequence[int], start: datetime, end: datetime) -> None:
    """These hours changed, as `ingest.store` says it."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(MARKS, [owner_kind, list(owners), start, end])


def _requests(spans: int, start: datetime, end: datetime) -> None:
    from django.db import connection, transaction

    from ingest import labels, partitions
    from ingest.models import Project, Source, Team

    owners = []
    for n, service in enumerate(SERVICES):
        team, _ = Team.objects.get_or_create(name=f"Team {n // 2 + 1}")
        project = Project.objects.create(slug=service, name=service, team=team)
        source = Source.objects.create(
            kind="otlp", name=f"{service} traffic", project=project, is_sample=True
        )
        owners.append((project.pk, source.pk))
    cells = _cells(spans, owners, start, end)
    by_day = {day: list(group) for day, group in itertools.groupby(cells, _day_of)}
    with transaction.atomic():
        partitions.ensure(partitions.SPAN, by_day)
    # Two at a time: one request drawn costs more processor than disk.
    with ThreadPoolExecutor(2) as both:
        list(both.map(_draw_day, by_day, by_day.values()))
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("SET work_mem = '256MB'")
        cursor.execute(KEYS)
        cursor.execute("VACUUM ANALYZE ingest_span")
        cursor.execute("RESET work_mem")
        cursor.execute("RESET statement_timeout")
    labels.keep(None, "customer", ["customer"], start.date(), "bench")
    mark("project", [pk for pk, _ in owners], start, end)


def _day_of(cell: Cell) -> date:
    return cell[3].date()


def _cells(
    spans: int, owners: Sequence[tuple[int, int]], start: datetime, end: datetime
) -> list[Cell]:
    """Requests of each project and hour, by hour of day and day of week; they add up to `spans`."""
    hours = [start + timedelta(hours=n) for n in range(int((end - start) / timedelta(hours=1)))]
    weights = [
        (place, hour, SHARES[place] * HOUR_WEIGHTS[hour.hour] * (WEEKEND if late else 1.0))
        for hour in hours
        for late in [hour.weekday() >= 5]
        for place in range(len(owners))
    ]
    whole = sum(weight for *_, weight in weights)
    cells, reached, given = [], 0.0, 0
    for place, hour, weight in weights:
        reached += weight
        count = round(spans * reached / whole) - given
        given += count
        cells.append((*owners[place], SERVICES[place], hour, count))
    return cells


def _draw_day(day: date, cells: Sequence[Cell]) -> None:
    from django.db import connection, transaction

    shares, providers, models, kinds, slowness = zip(*MODELS, strict=True)
    steps = [0.0, *itertools.accumulate(shares[:-1])]
    columns = ("projects", "sources", "services", "hours", "counts")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT setseed(%s)", [day.toordinal() % 1000 / 1000])
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute("SET LOCAL synchronous_commit = off")
            cursor.execute(
                DRAW,
                {
                    **dict(zip(columns, map(list, zip(*cells, strict=True)), strict=True)),
                    "day": day,
                    "steps": steps,
                    "providers": list(providers),
                    "models": list(models),
                    "kinds": list(kinds),
                    "slowness": list(slowness),
                    "users": USERS_PER_PROJECT - 1,
                    "customers": CUSTOMERS_PER_PROJECT,
                },
            )
    finally:
        connection.close()  # of this thread


def _hardware(start: datetime, end: datetime) -> None:
    """Readings of two pools, with the counters of one model server each."""
    from django.db import connection, transaction

    from finops.actions import price_book
    from ingest import partitions
    from ingest.models import Gpu, Pool, Series

    days = [start.date() + timedelta(days=n) for n in range((end.date() - start.date()).days + 1)]
    for name, provider, count in POOLS:
        pool = Pool.objects.create(name=name, provider=provider, gpu_count=count, hardware=name)
        price_book.set_hardware_price(name, Decimal("2.10"), note="Bench")
        for n in range(count):
            Gpu.objects.create(
                pool=pool, uuid=f"GPU-{name}-{n}", host=f"{name}-{n // 4}", index=n % 4,
                name=name, memory_total_bytes=80_000_000_000, last_seen_at=end,
            )  # fmt: skip
        for metric, unit in (
            ("nv_inference_compute_infer_duration_us", "us"), ("nv_inference_request_success", "")
        ):  # fmt: skip
            for n, model in enumerate(("reranker", "classifier")):
                Series.objects.create(
                    pool=pool, name=metric, kind="counter", unit=unit, labels={"model": model},
                    fingerprint=f"{pool.pk:06}{len(metric):06}{n:04}".encode(),
                )  # fmt: skip
    values = {"start": start, "end": end, "every": READING_EVERY}
    with transaction.atomic(), connection.cursor() as cursor:
        for table in (partitions.GPU_SAMPLE, partitions.METRIC_SAMPLE):
            partitions.ensure(table, days)
        cursor.execute(GPU_READINGS, values)
        cursor.execute(COUNTERS, values)
    mark("pool", list(Pool.objects.values_list("pk", flat=True)), start, end)


def people() -> Any:
    """Everybody whose signature is needed; the analyst, who sees all."""
    from finops.actions import demo
    from finops.models import User

    for person in demo.PEOPLE:
        if not person.project:
            demo.add_person(person, "only-for-this-bench")
    return User.objects.get(username="asha")


def book(start: datetime, end: datetime, analyst: Any) -> None:
    """Bills, and what people set beside them: matches, rules, budgets and objectives."""
    from finops.actions import bill_matches

    _bills(start, end)
    for usage, service in (("openai", "OpenAI API"), ("anthropic", "Anthropic API")):
        bill_matches.add(usage, usage.title(), service, by=analyst, via="command")
    _rules(analyst)
    _budgets(analyst)
    _objectives()


def _bills(start: datetime, end: datetime) -> None:
    """Three months in FOCUS; the model providers' end some hours ago, within a day."""
    from django.core.management import call_command

    first = min(start, end - timedelta(days=90))
    hours = int((end - timedelta(hours=31) - first) / timedelta(hours=1))
    with tempfile.TemporaryDirectory(prefix="breakeven-bench-") as folder:
        file = Path(folder) / "focus.csv"
        with file.open("w", newline="", encoding="utf-8") as text:
            lines = csv.DictWriter(text, list(_line(first, hours, 0)))
            lines.writeheader()
            lines.writerows(_line(first, hours, n) for n in range(BILL_LINES))
        call_command("load", "bill_file", str(file), source="Bills", verbosity=0)


def _line(first: datetime, hours: int, n: int) -> dict[str, str]:
    at = first + timedelta(hours=n * 7919 % hours)
    month = at.replace(day=1, hour=0)
    kind, use = n % 10, n // 10 % (4 * BILL_SERVICES)
    # Two of ten lines are of a provider of models, the others of a cloud: each of its uses has
    # several lines a day, as hourly bills do.
    provider, service, sku = {
        0: ("Openai", "OpenAI API", f"gpt-{n % 4}"),
        1: ("Anthropic", "Anthropic API", f"claude-{n % 3}"),
    }.get(kind, ("Cloud", f"Service {use % BILL_SERVICES}", f"SKU-{use % (2 * BILL_SERVICES)}"))
    cost = f"{1 + n % 9973 * 0.000137:.12f}"
    owner = f'{{"team": "team-{n % 30}"}}' if n % 3 else "{}"
    return {
        "BillingAccountId": f"account-{provider}",
        "BillingAccountName": provider,
        "BillingCurrency": "USD",
        "BillingPeriodStart": month.isoformat(),
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1).isoformat(),
        "ChargePeriodStart": at.isoformat(),
        "ChargePeriodEnd": (at + timedelta(hours=1)).isoformat(),
        "ChargeCategory": "Usage",
        "ChargeDescription": f"Use of {service}",
        "ChargeFrequency": "Usage-Based",
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": f"{1.2 + n % 9973 * 0.000171:.12f}",
        "ContractedCost": cost,
        "ConsumedQuantity": f"{n % 977 / 7:.6f}",
        "ConsumedUnit": "Hours",
        "InvoiceIssuerName": provider,
        "ProviderName": provider,
        "PublisherName": provider,
        "RegionId": f"region-{use % 5}",
        "ResourceId": f"resource-{n * 7919 % 5000}",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": service,
        "SkuId": sku,
        "SubAccountName": f"account-{use // (2 * BILL_SERVICES)}",
        "Tags": owner,
    }


def _rules(analyst: Any) -> None:
    from finops.actions.allocation import landing, rules
    from finops.costing.allocating import Condition

    models = Condition("service", "is", ("OpenAI API", "Anthropic API"))
    for draft in (
        rules.Draft(name="Models", origin="bill", split="usage", conditions=(models,)),
        rules.Draft(
            name="GPUs", origin="hardware", split="telemetry",
            conditions=(Condition("pool", "is", (POOLS[0][0],)),),
        ),
        rules.Draft(
            name="Team 1", origin="bill", conditions=(Condition("tag:team", "is", ("team-1",)),),
            targets=((SERVICES[0], None),),
        ),
        rules.Draft(
            name="Shared", origin="bill", split="share",
            conditions=(Condition("tag:team", "is", ("team-2", "team-3")),),
            targets=((SERVICES[1], Decimal(70)), (SERVICES[2], Decimal(30))),
        ),
    ):  # fmt: skip
        rules.add(draft, by=analyst, via="command")
    while landing.land(1000, looks_at_usage=True):
        pass


def _budgets(analyst: Any) -> None:
    from finops.actions import budgets
    from finops.queries.filters import today

    for n, service in enumerate(("", *SERVICES)):
        draft = budgets.Draft(
            name=service or "All AI spend",
            owner=analyst.username,
            scope={"project": (service,)} if service else {},
            basis="usage" if service else "book",
            currency="USD",
            period="monthly",
            starts_on=today().replace(day=1),
            amount_kind="fixed",
            amount=Decimal(1000 * (n + 1)),
        )
        budgets.add(draft, by=analyst, via="command")


def _objectives() -> None:
    from finops.actions import slos
    from finops.costing.objectives import Definition
    from finops.models import User
    from ingest.models import Project

    engineer, approver = (User.objects.get(username=name) for name in ("dev", "ben"))
    for service in SERVICES:
        project = Project.objects.get(slug=service)
        for definition in (
            Definition(name="Swift", indicator="latency", threshold=Decimal(4000),
                       objective=Decimal(90), window_days=28, least_events=20),
            Definition(name="Answers", indicator="availability",
                       objective=Decimal(99), window_days=28, least_events=20),
        ):  # fmt: skip
            proposal = slos.propose(project, definition, by=engineer, via="command")
            slos.approve(proposal, by=approver, via="command", plan_hash=proposal.plan_hash)
