"""A small but whole estate through the real doors: records → store → rollup → prices.

Deterministic but for today's date, so that the newest days are always the last ones.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from finops import access
from finops.actions import alerting, budgets, price_book, pricing, slos
from finops.actions.budgets import Draft, Threshold
from finops.costing.objectives import Definition
from finops.models import (
    AnomalyMark,
    BillMatch,
    Forecast,
    Membership,
    Price,
    PriceBook,
    User,
)
from finops.queries.filters import today
from finops.queries.spend import daily_spend
from gpu_probe.wire import Batch, GpuReading
from ingest import rollup, store
from ingest.models import Pool, Project, Source, Team
from ingest.records import BillRecord, MetricRecord, Reject, SeriesKey, SpanRecord

PASSWORD = "correct horse battery staple"
DAYS = 40
GPU_HOURS = 30

PEOPLE = {
    "asha": ("Asha", "analyst"),
    "ben": ("Ben", "approver"),
    "cleo": ("Cleo", "viewer"),
    "dev": ("Dev", "engineer"),
    "ada": ("Ada", "admin"),
}

CHAT_MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gpt-house-tuned")
PROJECTS = (
    (
        "support-chat",
        "Support chat",
        "Support",
        ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gpt-house-tuned"),
    ),
    ("product-search", "Product search", "Search", ("text-embedding-3-small", "gpt-4o-mini")),
    ("doc-assistant", "Document assistant", "Search", ("claude-sonnet-4-5", "in-house-7b")),
)
PROVIDERS = {"gpt": "openai", "text": "openai", "claude": "anthropic", "in-house": "triton"}


def build(spans_a_day: int = 24, days: int = DAYS, gpu_hours: int = GPU_HOURS) -> None:
    people()
    sources = [_project_source(*entry[:3]) for entry in PROJECTS]
    pool = _pool()
    for source, entry in zip(sources, PROJECTS, strict=True):
        _requests(source, entry[0], entry[3], spans_a_day, days)
    _hardware(pool, gpu_hours)
    _bill()
    while rollup.roll_up(500):
        pass
    _book()
    price_book.set_hardware_price("H100", Decimal("2.49"))
    while pricing.price_hours(2000):
        pass
    _forecast()


def watch() -> None:
    """A budget with a threshold, an alert, and an objective."""
    draft = Draft(
        name="Support chat",
        owner="asha",
        scope={"project": ("support-chat",)},
        basis="usage",
        currency="USD",
        period="monthly",
        starts_on=today().replace(day=1),
        amount_kind="fixed",
        amount=Decimal(500),
        thresholds=(Threshold(percent=Decimal(80), basis="actual", severity="warning"),),
    )
    budgets.add(draft, by=User.objects.get(username="asha"), via="command")
    finding = alerting.Finding(
        kind="source_lag",
        key="1",
        severity="warning",
        title="Support chat traces is silent",
        text="It brought nothing for two hours. Look at the service that sends them.",
        path="/sources",
        figures={"Silent for": "2 h"},
    )
    with transaction.atomic():
        alerting.raise_(finding, timezone.now())
    an_objective()


def an_objective() -> None:
    definition = Definition(
        name="Answers in time",
        indicator="latency",
        threshold=Decimal(60_000),
        objective=Decimal(95),
        window_days=28,
        least_events=20,
    )
    dev, ben = (User.objects.get(username=name) for name in ("dev", "ben"))
    chat = Project.objects.get(slug="support-chat")
    proposal = slos.propose(chat, definition, by=dev, via="command")
    slos.approve(proposal, by=ben, via="command", plan_hash=proposal.plan_hash)


def people() -> None:
    """The five people; Cleo sees one project and nothing else."""
    access.ensure_roles()
    team, _ = Team.objects.get_or_create(name="Support")
    project, _ = Project.objects.get_or_create(
        slug="support-chat", defaults={"name": "Support chat", "team": team}
    )
    for username, (name, role) in PEOPLE.items():
        email = f"{username}@example.com"
        user = User.objects.create_user(username, email, PASSWORD, first_name=name)
        scope = {"project": project} if username == "cleo" else {}
        Membership.objects.create(user=user, role=Group.objects.get(name=role), **scope)


def _project_source(slug: str, name: str, team: str) -> Source:
    owner, _ = Team.objects.get_or_create(name=team)
    project, _ = Project.objects.get_or_create(slug=slug, defaults={"name": name, "team": owner})
    return Source.objects.create(kind="otlp", name=f"{name} traces", project=project)


def _requests(
    source: Source, slug: str, models: tuple[str, ...], spans_a_day: int, days: int
) -> None:
    dice = random.Random(slug)
    now = timezone.now()
    records = [
        record
        for back in range(days)
        for record in _day(dice, slug, models, now - timedelta(days=back), spans_a_day, back)
        if record.started_at < now
    ]
    rejects = [
        Reject("impossible_tokens", "input_tokens", "-7 tokens; send a count from 0.", f"{slug}/1")
    ]
    store.spans(source, records, rejects)


def _day(
    dice: random.Random,
    slug: str,
    models: tuple[str, ...],
    day: datetime,
    spans_a_day: int,
    back: int,
) -> Iterator[SpanRecord]:
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    weekend = 0.55 if midnight.weekday() >= 5 else 1.0
    burst = 2.6 if back == 9 and slug == "support-chat" else 1.0
    for at in range(round(spans_a_day * weekend * burst * dice.uniform(0.9, 1.1))):
        start = midnight + timedelta(seconds=dice.triangular(0, 86_399, 50_400))
        model = dice.choices(models, weights=range(len(models), 0, -1))[0]
        failed = dice.random() < 0.02
        took = timedelta(milliseconds=math.exp(dice.gauss(6.6, 0.7)))
        silent = dice.random() < 0.01
        is_chat = not model.startswith("text")
        yield SpanRecord(
            trace_id=f"{back:016x}{at:016x}",
            span_id=f"{back:08x}{at:08x}",
            started_at=start,
            ended_at=start + took,
            kind="llm" if is_chat else "embedding",
            name="chat" if is_chat else "embed",
            service="answers" if is_chat else "indexer",
            provider=next(name for key, name in PROVIDERS.items() if model.startswith(key)),
            model=model,
            status="error" if failed else "ok",
            error_type="rate_limited" if failed else "",
            ttft_ms=took.total_seconds() * 200 if is_chat else None,
            input_tokens=None if silent else dice.randint(60_000, 240_000),
            cache_read_tokens=None if silent else dice.randint(0, 30_000),
            output_tokens=None if silent or not is_chat else dice.randint(4_000, 20_000),
        )


def _pool() -> Pool:
    return Pool.objects.create(name="h100-eu", provider="triton", gpu_count=2, hardware="H100")


def _hardware(pool: Pool, gpu_hours: int) -> None:
    """Two GPUs, a minute apart, with an hour's gap; and Triton's counters beside them."""
    probe = Source.objects.create(kind="gpu", name="Probe h100-eu", pool=pool)
    metrics = Source.objects.create(
        kind="prometheus_text",
        name="Triton h100-eu",
        pool=pool,
        config={"url": "http://127.0.0.1:8002/metrics"},
    )
    now = timezone.now().replace(second=0, microsecond=0)
    minutes = [
        now - timedelta(minutes=back)
        for back in range(gpu_hours * 60, 0, -1)
        if not 60 < back < 120
    ]
    readings = [_reading(index, at, place) for place, at in enumerate(minutes) for index in (0, 1)]
    for first in range(0, len(readings), 1000):
        batch = Batch(
            host="gpu-node-1",
            pool=pool.name,
            probe_version="0.1.0",
            driver_version="570.1",
            boot_id="boot-1",
            sequence=first,
            simulated=True,
            readings=tuple(readings[first : first + 1000]),
        )
        store.gpus(probe, batch)
    store.metrics(metrics, [_counter(name, at, p) for p, at in enumerate(minutes) for name in RATE])


def _reading(index: int, at: datetime, place: int) -> GpuReading:
    busy = 45 + 35 * math.sin(place / 180 + index)
    return GpuReading(
        uuid=f"GPU-{index}",
        index=index,
        name="NVIDIA H100 80GB HBM3",
        at=at.timestamp(),
        utilization_pct=round(busy, 1),
        memory_used_bytes=int((40 + 8 * index) * 2**30),
        memory_total_bytes=80 * 2**30,
        power_w=round(150 + busy * 4, 1),
        power_limit_w=700.0,
        energy_mj=place * 60 * 350_000,
        sm_clock_mhz=1980,
        temperature_c=55,
        clock_event_reasons=0,
    )


RATE = {
    "nv_inference_request_success": 30,
    "nv_inference_compute_infer_duration_us": 24_000_000,
}


def _counter(name: str, at: datetime, place: int) -> MetricRecord:
    key = SeriesKey(name, "counter", labels=(("model", "in-house-7b"), ("version", "1")))
    return MetricRecord(key, at, float(place * RATE[name]))


def _bill() -> None:
    """Last month as OpenAI's marketplace bill: complete, and matched with its usage."""
    BillMatch.objects.create(
        usage_provider="openai", bill_provider="Azure", bill_service="Azure OpenAI"
    )
    source = Source.objects.create(kind="focus_csv", name="Azure export")
    first = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (first - timedelta(days=1)).replace(day=1)
    rows = list(_lines(start, first))
    rows.append(Reject("bad_number", "BilledCost", "“n/a” is no amount; send a number.", line=99))
    store.bill(source, name="azure-2026.csv", sha256=b"\1" * 32, complete=True, rows=rows)


def _lines(start: datetime, end: datetime) -> Iterator[BillRecord]:
    dice = random.Random("bill")
    for line in range((end - start).days):
        day = start + timedelta(days=line)
        cost = Decimal(dice.randint(4_00, 6_00)) / 100
        yield BillRecord(
            line=line + 1,
            billing_account_id="account-1",
            billing_period_start=start,
            billing_period_end=end,
            charge_period_start=day,
            charge_period_end=day + timedelta(days=1),
            billing_currency="USD",
            billed_cost=cost,
            effective_cost=cost,
            list_cost=cost * 2,
            contracted_cost=cost,
            charge_category="Usage",
            provider_name="Azure",
            service_name="Azure OpenAI",
            sku_id="gpt",
            content_hash=f"line {line}".encode(),
        )


PRICES = {
    ("openai", "gpt-4o"): {"input": "2.5", "cache_read": "1.25", "output": "10"},
    ("openai", "gpt-4o-mini"): {"input": "0.15", "cache_read": "0.075", "output": "0.6"},
    ("openai", "text-embedding-3-small"): {"input": "0.02"},
    ("anthropic", "claude-sonnet-4-5"): {"input": "3", "cache_read": "0.3", "output": "15"},
}


def _book() -> None:
    """A dozen prices instead of the thousands that a real book is seeded with."""
    book = PriceBook.objects.create(version=1, source="a test", note="A dozen prices.")
    Price.objects.bulk_create(
        Price(book=book, provider=provider, model=model, unit=unit, amount=Decimal(amount))
        for (provider, model), units in PRICES.items()
        for unit, amount in units.items()
    )


def _forecast() -> None:
    """What the method would have stored; computing it takes seconds that no page test needs."""
    yesterday = today() - timedelta(days=1)
    points = [
        {
            "day": str(yesterday + timedelta(days=ahead)),
            "mean": "30.5",
            "low80": str(26 - ahead / 8),
            "high80": str(35 + ahead / 4),
            "low95": str(22 - ahead / 8),
            "high95": str(39 + ahead / 4),
        }
        for ahead in range(1, 46)
    ]
    Forecast.objects.create(
        scope="all",
        currency="USD",
        as_of=yesterday,
        method="as stored",
        method_version=1,
        input_sha256=b"\1" * 32,
        points=points,
        backtest={},
    )
    burst = today() - timedelta(days=9)
    actual = dict(daily_spend("all", "USD", burst, burst + timedelta(days=1)))[burst]
    AnomalyMark.objects.create(
        scope="all",
        currency="USD",
        day=burst,
        actual=actual,
        expected=actual / 2,
        low=actual / 3,
        high=actual * 2 / 3,
        score=7.5,
        method_version=1,
    )
