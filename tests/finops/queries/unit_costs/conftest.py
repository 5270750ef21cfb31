"""A small book of round prices, and requests that go the whole way: stored, summed, priced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.pricing import price_hours
from finops.actions.user_costs import price_user_days
from finops.models import Price, PriceBook
from ingest import store
from ingest.models import Source
from ingest.records import ScoreRecord, SpanRecord
from ingest.rollup import roll_up
from ingest.rollup.users import sum_users
from tests.factories.ingest import SourceFactory
from tests.ingest.make import span

START = datetime(2025, 10, 1, 12, tzinfo=UTC)

PRICES = {
    ("openai", "gpt-4o", "USD"): {"input": "2.5", "cache_read": "1.25", "output": "10"},
    ("openai", "gpt-4o-mini", "USD"): {"input": "0.15", "output": "0.6"},
    ("mistral", "mistral-large", "EUR"): {"input": "2", "output": "6"},
    ("deepseek", "deepseek-chat", "USD"): {"input": "0.27", "output": "1.1"},
    ("half", "input-only", "USD"): {"input": "1"},
}


@pytest.fixture
def price_list(db):
    book = PriceBook.objects.create(version=7, source="a test")
    for (provider, model, currency), units in PRICES.items():
        names = {"book": book, "provider": provider, "model": model, "currency": currency}
        for unit, amount in units.items():
            Price.objects.create(**names, unit=unit, amount=Decimal(amount))
    return book


def request(number: int, **changes) -> SpanRecord:
    """1,000 input tokens, 400 of them from the cache, and 200 of output; on `day` of October."""
    day = changes.pop("day", 1)
    usual = {
        "started_at": START + timedelta(days=day - 1, seconds=number),
        "model": "gpt-4o",
        "service": "answers",
        "input_tokens": 600,
        "cache_read_tokens": 400,
        "output_tokens": 200,
    }
    return span(number, **{**usual, **changes})


def score(trace: int, value: float | None, **changes) -> ScoreRecord:
    usual = {
        "external_id": f"score-{trace}-{value}-{changes.get('name')}",
        "trace_id": f"{trace:032x}",
        "name": "helpful",
        "at": START,
        "number": value,
    }
    return ScoreRecord(**{**usual, **changes})


@pytest.fixture
def told(chat, price_list):
    """`told([request(1), …], [score(1, 0.9)])`: everything about one project, priced."""

    def tell(spans, scores=(), project=chat) -> Source:
        source = SourceFactory(project=project)
        store.spans(source, list(spans))
        if scores:
            store.scores(source, list(scores))
        roll_up(10_000)
        price_hours(500)
        sum_users(datetime.now(UTC) + timedelta(hours=1))
        price_user_days()
        return source

    return tell
