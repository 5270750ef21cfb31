"""Usage without a price: which class, how much, since when."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import QueryDict

from finops.actions.price_book import OwnPrice, set_own_price
from finops.actions.pricing import price_hours
from finops.queries.filters import Filters
from finops.queries.unpriced import unpriced_usage
from ingest import store
from ingest.rollup import roll_up
from tests.finops.actions.conftest import book, few, few_models, project, source
from tests.ingest.make import NOON, span

__all__ = ["book", "few", "few_models", "project", "source"]

pytestmark = pytest.mark.django_db

QUARTER = NOON.replace(minute=0)


def usage(source, *records, first="2026-11-10", last="2026-11-12"):
    store.spans(source, records)
    roll_up()
    price_hours()
    filters, _ = Filters.parse(QueryDict(f"from={first}&to={last}"), AnonymousUser())
    found = unpriced_usage(replace(filters, project_ids=None))
    return [(use.model, use.token_class, use.amount) for use in found], found


def test_every_class_of_a_model_without_a_price_is_listed(source, book):
    told, found = usage(
        source,
        span(1, model="house", cache_read_tokens=7),
        span(2, model="house", started_at=NOON + timedelta(hours=2)),
        span(3),
    )
    assert told == [
        ("house", "input", 200),
        ("house", "output", 40),
        ("house", "cache_read", 7),
    ]
    assert [(use.first_seen, use.last_seen) for use in found] == [
        (QUARTER, QUARTER + timedelta(hours=2)),
        (QUARTER, QUARTER + timedelta(hours=2)),
        (QUARTER, QUARTER),
    ]


def test_only_the_classes_that_the_card_does_not_cover_are_listed(source, book):
    set_own_price(OwnPrice("openai", "house", "input", Decimal(1)))
    told, _ = usage(source, span(1, model="house", cache_read_tokens=7))
    assert told == [("house", "output", 20)]


def test_requests_that_are_not_made_of_tokens_are_counted_as_requests(source, book):
    none = {"input_tokens": None, "output_tokens": None, "kind": "inference"}
    told, _ = usage(source, span(1, model="ocr", **none), span(2, model="ocr", **none))
    assert told == [("ocr", "request", 2)]


def test_since_looks_before_the_period(source, book):
    early = span(1, model="house", started_at=NOON - timedelta(days=3))
    _, found = usage(source, early, span(2, model="house"))
    assert {(str(use.since), use.first_seen) for use in found} == {("2026-11-07", QUARTER)}
    assert {use.amount for use in found} == {100, 20}


def test_nothing_is_listed_when_everything_has_a_price(source, book):
    assert usage(source, span(1)) == ([], [])


def test_days_in_part_without_a_price_and_late_facts_are_read_by_the_quarter_hour(source, book):
    days = [NOON - timedelta(days=n) for n in range(4)]
    spans = [span(n, model="house", started_at=at) for n, at in enumerate(days)]
    usage(source, *spans)
    # From now on it has a price: of that day, some use has one and some has none.
    set_own_price(OwnPrice("openai", "house", "input", Decimal(1)))
    set_own_price(OwnPrice("openai", "house", "output", Decimal(1)))
    later = days[2] + timedelta(hours=5)
    usage(source, span(10, model="house", started_at=later))
    # Of another, facts came that nobody has priced yet.
    store.spans(source, [span(11, model="house", started_at=days[1], cache_read_tokens=9)])
    roll_up()

    filters, _ = Filters.parse(QueryDict("from=2026-11-01&to=2026-11-12"), AnonymousUser())
    found = unpriced_usage(replace(filters, project_ids=None))

    quarters = [at.replace(minute=0) for at in days]
    assert [(use.token_class, use.amount, use.first_seen, use.last_seen) for use in found] == [
        ("input", 500, quarters[3], quarters[0]),
        ("output", 100, quarters[3], quarters[0]),
        ("cache_read", 9, quarters[1], quarters[1]),
    ]
    assert {use.since for use in found} == {quarters[3].date()}
