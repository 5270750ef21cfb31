"""Sixty days of sample history for the demo: traffic, its errors, Triton counters, GPUs and bills.

Pure: the end, the length and the seed are arguments, and the same ones give the same history.
Sizes and hours come from `calibration.json`, whose figures carry their sources; volumes, growth,
weekdays and the three planted anomalies are our choice and named as such. Refuses the database:
the command `seed_demo` sends what is made here through the same doors as anybody's data.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from gpu_probe.wire import Batch, GpuReading
from ingest.error_records import ErrorRecord
from ingest.events import EventRecord
from ingest.records import MetricRecord, SeriesKey, SpanRecord
from optimiser.demo.gpus import GPUS
from optimiser.demo.traffic import (
    BATCH_MODEL,
    BATCH_SERVICE,
    calibration,
    customer_of,
    token_counts,
)

DAYS = 60
SEED = 20261121

GROWTH_A_DAY = 0.006
WEEKDAY_RATIO = (1.06, 1.1, 1.08, 1.05, 0.98, 0.58, 0.5)
"""Monday first: an office's week. A choice, since no published trace spans whole weeks."""

ERROR_SHARE = 0.012
STAND_IN_MS = 92.0
"""What the live demo's stand-in for a hosted provider takes: yesterday is like today."""
USERS = 60
ZIPF = 1.2


@dataclass(frozen=True)
class Traffic:
    """One hosted service of the estate, as it was on an ordinary day."""

    service: str
    provider: str
    models: tuple[tuple[str, float], ...]
    """(model, share of requests)."""
    tokens: str
    requests_a_day: int


HOSTED = (
    Traffic(
        "support-chat", "openai", (("gpt-4o-mini", 0.86), ("gpt-4o", 0.14)),
        "mooncake_conversation", 2550,
    ),
    Traffic(
        "code-assist", "anthropic", (("claude-sonnet-4-5", 1.0),),
        "azure_llm_2023_code", 1150,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """An anomaly put into the history on purpose, so that its detection can be checked."""

    days_before_end: int
    length_days: int
    service: str
    story: str
    event: EventRecord | None = None
    """What somebody did or what happened, told without its times."""
    begins_h: int = 0
    """When that was, in hours after the first day's midnight."""
    lasts_h: int = 0
    requests: float = 1.0
    cached: float = 1.0
    dear_model: bool = False


PLANTED = (
    Planted(
        27, 1, "code-assist", "an agent loops and sends four times the requests",
        EventRecord("release", service="code-assist", version="2.8.0"), -2, requests=4.0,
    ),
    Planted(
        22, 2, "support-chat", "every request goes to the dear model",
        EventRecord("config_change", title="routing: gpt-4o for every request"), -1,
        dear_model=True,
    ),
    Planted(
        8, 1, "support-chat", "a retry storm triples the traffic",
        EventRecord("incident", title="answers time out and callers ask again"), 6, 14,
        requests=3.2, cached=0.0,
    ),
)  # fmt: skip


def days_of(end: datetime, days: int = DAYS) -> list[date]:
    """The history's days, the last one being that of `end`, itself only up to `end`."""
    return [end.date() - timedelta(days=back) for back in range(days, -1, -1)]


def spans(service: str, day: date, end: datetime, seed: int = SEED) -> list[SpanRecord]:
    """One service's spans of one day, up to `end`."""
    traffic = next(one for one in HOSTED if one.service == service)
    dice = np.random.default_rng([seed, day.toordinal(), HOSTED.index(traffic)])
    planted = _planted(service, day, end)
    count = dice.poisson(traffic.requests_a_day * _volume(day, end) * planted.requests)
    drawn = _draw(replace(traffic, models=_models(traffic, planted)), planted, int(count), dice)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    made = []
    for n, values in enumerate(zip(*drawn, strict=True)):
        record = _span(traffic, midnight, f"{HOSTED.index(traffic):02d}{day:%Y%m%d}{n:08d}", values)
        if record.ended_at is not None and record.ended_at <= end:
            made.append(record)
    return made


def _planted(service: str, day: date, end: datetime) -> Planted:
    for one in PLANTED:
        first = end.date() - timedelta(days=one.days_before_end)
        if one.service == service and first <= day < first + timedelta(days=one.length_days):
            return one
    return Planted(0, 0, service, "an ordinary day")


def events(service: str, begin: date, end: datetime) -> list[EventRecord]:
    """What was done to one service, or happened to it, where an anomaly was planted."""
    told = []
    for one in PLANTED:
        is_known = end.date() - timedelta(days=one.days_before_end) > begin
        if one.service != service or one.event is None or not is_known:
            continue
        first = (end - timedelta(days=one.days_before_end)).replace(
            hour=0, minute=0, second=0, microsecond=0
        )
        begins = first + timedelta(hours=one.begins_h)
        ends = begins + timedelta(hours=one.lasts_h) if one.lasts_h else None
        name = f"sample:{one.service}:{begins:%Y-%m-%d}"
        told.append(
            replace(
                one.event, external_id=name, environment="production", happened_at=begins,
                ended_at=ends, origin="otlp",
            )
        )  # fmt: skip
    return told


def _volume(day: date, end: datetime) -> float:
    """Relative to the last day; older days were quieter."""
    age = (end.date() - day).days
    return float(WEEKDAY_RATIO[day.weekday()] * (1 - GROWTH_A_DAY) ** age)


def _models(traffic: Traffic, planted: Planted) -> tuple[tuple[str, float], ...]:
    return ((traffic.models[-1][0], 1.0),) if planted.dear_model else traffic.models


def _draw(traffic: Traffic, planted: Planted, n: int, dice: np.random.Generator) -> list[list[Any]]:
    """Columns of n requests: second of the day, model, user, tokens, cached, latency, error."""
    hours = np.array(calibration()["hour_of_day_ratio"]["servegen_language_msmall"])
    seconds = dice.choice(24, n, p=hours / hours.sum()) * 3600 + dice.random(n) * 3600
    names, shares = zip(*traffic.models, strict=True)
    users = np.arange(1, USERS + 1, dtype=float) ** -ZIPF
    read = token_counts(traffic.tokens, "input", dice, n)
    written = token_counts(traffic.tokens, "output", dice, n)
    prefix = calibration()["prefix_cache"]["mooncake_conversation"]
    share = dice.uniform(0, 2 * prefix["hit_ratio_unlimited_cache"], n) * planted.cached
    cached = (read * share // prefix["block_tokens"] * prefix["block_tokens"]).astype(int)
    total = STAND_IN_MS * dice.lognormal(0, 0.15, n)
    first = total * dice.uniform(0.3, 0.6, n)
    return [
        np.sort(seconds).tolist(),
        [names[i] for i in dice.choice(len(names), n, p=shares)],
        (dice.choice(USERS, n, p=users / users.sum()) + 1).tolist(),
        read.tolist(),
        cached.tolist(),
        written.tolist(),
        first.tolist(),
        total.tolist(),
        (dice.random(n) < ERROR_SHARE).tolist(),
    ]


def _span(traffic: Traffic, midnight: datetime, number: str, values: tuple[Any, ...]) -> SpanRecord:
    second, model, user, read, cached, written, first_ms, total_ms, failed = values
    start = midnight + timedelta(seconds=second)
    end = start + timedelta(milliseconds=first_ms if failed else total_ms)
    return SpanRecord(
        trace_id=f"5a{number:0>30}",
        span_id=f"{number[-16:]:0>16}",
        started_at=start,
        ended_at=end,
        version=int(end.timestamp() * 1_000_000),
        kind="llm",
        name=f"chat {model}",
        service=traffic.service,
        provider=traffic.provider,
        model=model,
        request_model=model,
        status="error" if failed else "ok",
        error_type="rate_limit_exceeded" if failed else "",
        user_id=f"user-{user:02d}",
        session_id=f"user-{user:02d}-{midnight:%m%d}-{int(second) // 1800:02d}",
        ttft_ms=None if failed else first_ms,
        input_tokens=None if failed else read - cached,
        cache_read_tokens=None if failed else cached,
        output_tokens=None if failed else written,
        usage_convention="" if failed else "inclusive",
        attributes={"breakeven.sample": True, "customer": customer_of(user)},
    )


LOGGED = {
    "openai": ("openai.RateLimitError", "Rate limit reached for requests; try again in 2 s."),
    "anthropic": ("anthropic.RateLimitError", "This request would exceed your rate limit."),
}
UNREADABLE = ("json.JSONDecodeError", "Expecting ',' delimiter: the answer is no valid JSON.")
UNREADABLE_EVERY = 250
"""One answer in so many was cut short, and the application logged that it could not read it."""


def errors(spans: Sequence[SpanRecord]) -> list[ErrorRecord]:
    """What the applications logged of these calls: each failure, and now and then an answer."""
    told = []
    for number, span in enumerate(spans):
        if span.status == "error":
            kind, message = LOGGED[span.provider]
        elif number % UNREADABLE_EVERY == 0:
            kind, message = UNREADABLE
        else:
            continue
        at = span.ended_at or span.started_at
        identity = hashlib.blake2b(span.span_id.encode(), digest_size=16).digest()
        told.append(ErrorRecord(span.service, kind, at, message, span.trace_id, identity))
    return told


# The batch job on our own hardware

BATCH_HOUR = 2
BATCH_CALLERS = 16
BATCH_ROUNDS = 25
"""Requests of each caller in one night: some seconds of work, where the live one never ends."""
BATCH_THINK_MS = 150.0
BATCH_LATENCY_MS = 195.0
"""What a caller waits when sixteen of them share an unbatched model, as the live ones do."""


def batch_spans(day: date, end: datetime, seed: int = SEED) -> list[SpanRecord]:
    """One night's requests, each caller waiting for its answer; up to `end`."""
    dice = np.random.default_rng([seed, day.toordinal(), 7])
    began = datetime(day.year, day.month, day.day, BATCH_HOUR, tzinfo=UTC)
    made = []
    for caller in range(1, BATCH_CALLERS + 1):
        at = began + timedelta(milliseconds=dice.uniform(0, BATCH_THINK_MS))
        for n in range(BATCH_ROUNDS):
            took = timedelta(milliseconds=BATCH_LATENCY_MS * dice.lognormal(0, 0.12))
            number = f"{len(HOSTED):02d}{day:%Y%m%d}{caller * BATCH_ROUNDS + n:08d}"
            made.append(_batch_span(at, at + took, caller, number))
            at += took + timedelta(milliseconds=BATCH_THINK_MS * dice.uniform(0.8, 1.2))
    return [record for record in made if record.ended_at is not None and record.ended_at <= end]


def _batch_span(start: datetime, end: datetime, caller: int, number: str) -> SpanRecord:
    return SpanRecord(
        trace_id=f"5a{number:0>30}",
        span_id=f"{number[-16:]:0>16}",
        started_at=start,
        ended_at=end,
        version=int(end.timestamp() * 1_000_000),
        kind="inference",
        name=f"inference {BATCH_MODEL}",
        service=BATCH_SERVICE,
        provider="triton",
        model=BATCH_MODEL,
        request_model=BATCH_MODEL,
        status="ok",
        user_id=f"caller-{caller:02d}",
        session_id=f"batch-{start:%Y%m%d}",
        attributes={"breakeven.sample": True},
    )


# Triton and its GPUs

SAMPLE_STEP = timedelta(minutes=5)
BUSY_SHARE = {"fixedcost": 0.04, "matrix": 0.006, "digits_fp32": 0.004}
"""Mean share of a GPU's time that each model computes: that of the live load at its usual rate."""
SERVICE_MS = {"fixedcost": 21.0, "matrix": 5.0, "digits_fp32": 1.2}
HOST = "sample-triton"


def triton_metrics(day: date, end: datetime, seed: int = SEED) -> list[MetricRecord]:
    """Triton's own counters every five minutes, restarted each midnight as after a deploy."""
    counters = {model: [0.0, 0.0] for model in BUSY_SHARE}
    records = []
    for at, busy in _busy_steps(day, end, seed):
        for model, counter in counters.items():
            compute_us = busy[model] * SAMPLE_STEP.total_seconds() * 1e6
            counter[0] += compute_us
            counter[1] += round(compute_us / 1000 / SERVICE_MS[model])
            labels = (("model", model), ("version", "1"))
            for name, value in (
                ("nv_inference_compute_infer_duration_us", round(counter[0] * 0.97)),
                ("nv_inference_compute_input_duration_us", round(counter[0] * 0.02)),
                ("nv_inference_compute_output_duration_us", round(counter[0] * 0.01)),
                ("nv_inference_request_success", counter[1]),
            ):
                records.append(
                    MetricRecord(SeriesKey(name, "counter", labels=labels), at, float(value))
                )
    return records


def gpu_batch(day: date, end: datetime, pool: str, seed: int = SEED) -> Batch:
    """Readings of the simulated GPUs every five minutes; a day is one batch, stored in one go."""
    readings: list[GpuReading] = []
    energy_mj = dict.fromkeys((gpu.uuid for gpu in GPUS), 0)
    for at, busy in _busy_steps(day, end, seed):
        for gpu in GPUS:
            share = min(1.0, sum(busy.get(model, 0.0) for model in gpu.models))
            energy_mj[gpu.uuid] += int(gpu.power_w(share) * SAMPLE_STEP.total_seconds() * 1000)
            readings.append(gpu.reading(at.timestamp(), share, True, energy_mj[gpu.uuid]))
    return Batch(
        host=HOST,
        pool=pool,
        probe_version="sample",
        driver_version=None,
        boot_id=f"history-{day}",
        sequence=0,
        simulated=True,
        readings=tuple(readings),
    )


def _busy_steps(day: date, end: datetime, seed: int) -> Iterator[tuple[datetime, dict[str, float]]]:
    dice = np.random.default_rng([seed, day.toordinal(), 99])
    hours = calibration()["hour_of_day_ratio"]["servegen_language_msmall"]
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    while at.date() == day and at <= end:
        level = hours[at.hour] * _volume(day, end) * dice.lognormal(0, 0.12)
        busy = {model: share * level for model, share in BUSY_SHARE.items()}
        if (at.hour, at.minute) == (BATCH_HOUR, 5):
            spent_ms = BATCH_CALLERS * BATCH_ROUNDS * SERVICE_MS[BATCH_MODEL]
            busy[BATCH_MODEL] += spent_ms / 1000 / SAMPLE_STEP.total_seconds()
        yield at, {model: min(0.97, share) for model, share in busy.items()}
        at += SAMPLE_STEP


# Bills

BILL_COLUMNS = (
    "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart",
    "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass",
    "ChargeDescription", "ChargeFrequency", "BilledCost", "EffectiveCost", "ListCost",
    "ContractedCost", "ConsumedQuantity", "ConsumedUnit", "PricingCategory", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceCategory",
    "ServiceName", "SkuId", "SkuPriceId", "ResourceId", "RegionId", "SubAccountId",
    "SubAccountName", "Tags",
)  # fmt: skip


@dataclass(frozen=True)
class Charge:
    """One day of one SKU."""

    day: date
    sku: str
    description: str
    cost: Decimal
    quantity: Decimal
    unit: str
    category: str = "Usage"
    charge_class: str = ""


@dataclass(frozen=True)
class Biller:
    """Who sends the bill."""

    account: str
    name: str
    service: str
    service_category: str


BILLERS = {
    "openai": Biller("org-sample", "OpenAI", "OpenAI API", "AI and Machine Learning"),
    "anthropic": Biller("org-sample-2", "Anthropic", "Anthropic API", "AI and Machine Learning"),
    "cloud": Biller("sample-cloud-1", "Sample Cloud", "GPU Instances", "Compute"),
}


def focus_csv(biller: Biller, month: date, charges: Sequence[Charge]) -> bytes:
    """A FOCUS 1.0 file of one account and month."""
    out = io.StringIO()
    writer = csv.DictWriter(out, BILL_COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    period_end = (month.replace(day=1) + timedelta(days=32)).replace(day=1)
    for charge in charges:
        writer.writerow(
            {
                "BillingAccountId": biller.account,
                "BillingAccountName": "Sample data",
                "BillingCurrency": "USD",
                "BillingPeriodStart": f"{month:%Y-%m}-01T00:00:00Z",
                "BillingPeriodEnd": f"{period_end}T00:00:00Z",
                "ChargePeriodStart": f"{charge.day}T00:00:00Z",
                "ChargePeriodEnd": f"{charge.day + timedelta(days=1)}T00:00:00Z",
                "ChargeCategory": charge.category,
                "ChargeClass": charge.charge_class,
                "ChargeDescription": charge.description,
                "ChargeFrequency": "Usage-Based",
                **dict.fromkeys(
                    ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"),
                    f"{charge.cost:f}",
                ),
                "ConsumedQuantity": f"{charge.quantity:f}",
                "ConsumedUnit": charge.unit,
                "PricingCategory": "Standard",
                "PricingQuantity": f"{charge.quantity:f}",
                "PricingUnit": charge.unit,
                **dict.fromkeys(
                    ("ProviderName", "PublisherName", "InvoiceIssuerName"), biller.name
                ),
                "ServiceCategory": biller.service_category,
                "ServiceName": biller.service,
                "SkuId": charge.sku,
                "SkuPriceId": f"{charge.sku}.standard",
                "RegionId": "sample-1",
                "SubAccountId": "sample",
                "SubAccountName": "Sample data",
                "Tags": '{"sample": "true"}',
            }
        )
    return out.getvalue().encode()
