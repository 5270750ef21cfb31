from dataclasses import replace

import pytest

from finops.actions.price_book import seed_price_book
from finops.costing import snapshot
from tests.ingest.conftest import pool, pool_source, project, source

__all__ = ["book", "few_models", "pool", "pool_source", "project", "source"]

MODELS = {
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("openai", "o3"),
    ("azure", "openai/gpt-4o"),
    ("azure", "openai/gpt-4o-mini"),
}


@pytest.fixture(scope="session")
def few():
    read = snapshot.read()
    return replace(read, rates=tuple(row for row in read.rates if row[:2] in MODELS))


@pytest.fixture
def few_models(few, monkeypatch):
    """Real prices of a few models: seeding them all for every test would take most of its time."""
    monkeypatch.setattr(snapshot, "read", lambda: few)


@pytest.fixture
def book(db, few_models):
    return seed_price_book().book
