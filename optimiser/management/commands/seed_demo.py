"""Sends sixty days of sample history through the doors that real data takes."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Sum
from django.utils import timezone

from finops.actions.forecasting import refresh_forecasts
from finops.actions.pricing import is_priced, price_hours
from finops.models import CostDay, PoolQuarter
from ingest import rollup, store
from ingest.models import Delivery, Pool, Source
from ingest.sources import REGISTRY
from optimiser.demo import history
from optimiser.demo.history import BILLERS, HOSTED, Charge
from optimiser.demo.traffic import BATCH_SERVICE

BATCH = 5000
BILL_SOURCE = "Sample bills"
BILL_LAG = timedelta(days=2)
"""A provider's bill runs this far behind the clock; what is younger is provisional usage."""
PRICED_WITHIN_S = 200.0
UNTRACKED_SHARE = Decimal("0.018")
"""Calls that no trace recorded: the bill is a little higher than the usage we saw."""


class Command(BaseCommand):
    help = "Fill a demo installation with 60 days of sample traffic, GPU readings and bills."

    def add_arguments(self, parser):
        parser.add_argument("--days", type=int, default=history.DAYS)
        parser.add_argument("--seed", type=int, default=history.SEED)

    def handle(self, *, days: int, seed: int, **options):
        if not settings.SAMPLE_DATA:
            raise CommandError(
                "This installation keeps real books. Sample data goes into `./run demo` only."
            )
        if Delivery.objects.filter(source__name=BILL_SOURCE).exists():
            self.stdout.write("The sample history is there already.")
            return
        end = timezone.now()
        for label, step in (
            ("spans", self.add_spans),
            ("events", self.add_events),
            ("logged errors", self.add_errors),
            ("Triton and GPU readings", self.add_samples),
            ("rolled up", lambda *_: rollup.roll_up(100_000)),
            ("priced", lambda *_: _price(end - BILL_LAG + timedelta(days=1))),
            ("bill lines", self.add_bills),
            ("forecasts", lambda *_: refresh_forecasts(end.date())),
        ):
            started = time.monotonic()
            count = step(history.days_of(end, days), end, seed)
            self.stdout.write(f"{label}: {count:,} in {time.monotonic() - started:.1f} s")

    def add_spans(self, days: list[date], end: datetime, seed: int) -> int:
        stored = 0
        made_by = {traffic.service: partial(history.spans, traffic.service) for traffic in HOSTED}
        made_by[BATCH_SERVICE] = partial(history.batch_spans)
        for service, spans_of in made_by.items():
            source = Source.objects.get(kind="otlp", project__slug=service)
            waiting = []
            for day in days:
                waiting += spans_of(day, end, seed)
                if len(waiting) >= BATCH or day == days[-1]:
                    stored += store.spans(source, waiting).inserted
                    waiting = []
        return stored

    def add_events(self, days: list[date], end: datetime, seed: int) -> int:
        stored = 0
        for traffic in HOSTED:
            source = Source.objects.get(kind="otlp", project__slug=traffic.service)
            told = history.events(traffic.service, days[0], end)
            stored += store.events.take(source, told).inserted
        return stored

    def add_errors(self, days: list[date], end: datetime, seed: int) -> int:
        """Of yesterday and today: errors are not taken of days long gone."""
        stored = 0
        for traffic in HOSTED:
            source = Source.objects.get(kind="otlp", project__slug=traffic.service)
            for day in days[-2:]:
                told = history.errors(history.spans(traffic.service, day, end, seed))
                stored += store.errors.take(source, told).inserted
        return stored

    def add_samples(self, days: list[date], end: datetime, seed: int) -> int:
        pool = Pool.objects.get(provider="triton")
        metrics = Source.objects.get(kind="prometheus_text", pool=pool)
        gpus = Source.objects.get(kind="gpu", pool=pool)
        stored = 0
        for day in days:
            stored += store.metrics(metrics, history.triton_metrics(day, end, seed)).inserted
            stored += store.gpus(gpus, history.gpu_batch(day, end, pool.name, seed)).inserted
        return stored

    def add_bills(self, days: list[date], end: datetime, seed: int) -> int:
        source, _ = Source.objects.get_or_create(
            name=BILL_SOURCE, defaults={"kind": "focus_csv", "is_sample": True}
        )
        last = (end - BILL_LAG).date()
        lines = 0
        for key in BILLERS:
            charges = [charge for charge in _charges(key, days[0]) if charge.day <= last]
            for month, of_month in groupby(charges, key=lambda charge: charge.day.replace(day=1)):
                lines += self.deliver_month(source, key, month, list(of_month), last)
        return lines

    def deliver_month(
        self, source: Source, key: str, month: date, charges: list[Charge], last: date
    ) -> int:
        stored = self.deliver(source, key, month, charges, "")
        if key == "openai" and month < last.replace(day=1):
            # A month once closed is restated: the provider credits part of the planted mistake.
            credit = Charge(
                charges[-1].day, "credit", "Credit for mistaken usage", Decimal("-25.00"),
                Decimal(1), "Credits", "Credit", "Correction",
            )  # fmt: skip
            stored += self.deliver(source, key, month, [*charges, credit], "-restated")
        return stored

    def deliver(
        self, source: Source, key: str, month: date, charges: list[Charge], suffix: str
    ) -> int:
        body = history.focus_csv(BILLERS[key], month, charges)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{key}-{month:%Y-%m}{suffix}.csv"
            file.write_bytes(body)
            result = store.bill(
                source,
                name=file.name,
                sha256=hashlib.sha256(body).digest(),
                complete=True,
                rows=REGISTRY["focus_csv"].read(file, {}),
            )
        return result.counts.inserted


def _price(until: datetime) -> int:
    """Beside workers who do the same: a bill made from what one of them has not priced yet would
    lack it for good."""
    total, gives_up = 0, time.monotonic() + PRICED_WITHIN_S
    while not is_priced(until):
        if time.monotonic() > gives_up:
            raise CommandError(f"The history was not priced within {PRICED_WITHIN_S:g} s.")
        done = price_hours(1000)
        total += done
        if not done:
            time.sleep(0.2)
    return total


def _charges(key: str, first: date) -> Iterator[Charge]:
    if key == "cloud":
        yield from _hardware_charges(first)
    else:
        yield from _token_charges(key, first)


def _token_charges(provider: str, first: date) -> Iterator[Charge]:
    rows = (
        CostDay.objects.filter(provider=provider, day__gte=first)
        .values("day", "model")
        .annotate(cost=Sum("cost"), tokens=Sum("tokens"))
        .order_by("day", "model")
    )
    for row in rows:
        cost = row["cost"] * (1 + UNTRACKED_SHARE)
        yield Charge(
            row["day"],
            row["model"],
            f"{row['model']} tokens",
            cost,
            Decimal(row["tokens"]),
            "Tokens",
        )


def _hardware_charges(first: date) -> Iterator[Charge]:
    """GPU hours as paid, and a little storage that no usage explains."""
    by_day: dict[date, Decimal] = {}
    rows = PoolQuarter.objects.filter(at__date__gte=first).values("at__date")
    for row in rows.annotate(cost=Sum("allocated")).order_by("at__date"):
        by_day[row["at__date"]] = row["cost"]
    for day, cost in by_day.items():
        if cost is not None:
            yield Charge(day, "gpu-80gb", "GPU instance hours", cost, Decimal(48), "Hours")
