"""A request that comes after its day was closed is in every figure, and the reader is told."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from finops.actions.price_book import OwnPrice, set_own_price
from finops.actions.pricing import price_hours
from finops.models import PricedHour
from finops.queries import sources as source_queries
from finops.queries import traffic
from finops.queries.spend import spend_by, spend_series, spend_total
from ingest import partitions, store
from ingest.rollup import roll_up, sum_users
from tests.factories.ingest import SourceFactory
from tests.finops.actions.conftest import book, few, few_models
from tests.finops.reading import Page
from tests.ingest.make import NOON, span

__all__ = ["book", "few", "few_models"]

pytestmark = pytest.mark.django_db

WINDOW = "from=2026-11-01&to=2026-11-15"
CLOSED = {"cost": Decimal("0.000027"), "requests": 1}
"""100 input and 20 output tokens of gpt-4o-mini, at $0.15 and $0.60 per million."""


@pytest.fixture
def source(chat):
    return SourceFactory(project=chat, name="Chat traffic")


@pytest.fixture
def closed(source, book):
    """One priced request; its day was closed, and prices have risen since."""
    store.spans(source, [span(1)])
    roll_up()
    sum_users(timezone.now())
    price_hours()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])
    assert partitions.drop_expired((NOON + timedelta(days=400)).date())
    set_own_price(OwnPrice("openai", "gpt-4o-mini", "input", Decimal(1000)))
    return source


def come(source, *records):
    store.spans(source, records)
    roll_up()
    price_hours()


def test_late_request_is_priced_with_the_book_of_its_hour(closed, book, ask):
    come(closed, span(2, input_tokens=1_000_000, output_tokens=0))
    assert PricedHour.objects.get().book == book
    total = spend_total(ask(WINDOW))
    assert (total.cost, total.requests) == (CLOSED["cost"] + Decimal("0.15"), 2)


def test_every_figure_holds_late_requests_and_says_how_many(closed, ask):
    assert spend_total(ask(WINDOW)).late_requests == 0
    come(closed, span(2), span(3, model="gpt-4o"), span(4, kind="tool"))
    filters = ask(f"{WINDOW}&group_by=model")
    total, table, series = spend_total(filters), spend_by(filters), spend_series(filters)
    assert (total.requests, total.late_requests) == (3, 2)
    assert table.total.cost == total.cost == sum(row.cost for row in table.rows)
    assert sum(sum(filter(None, line.values)) for line in series.lines) == total.cost
    requests = traffic.request_summary(filters)
    assert (requests.total.requests, requests.late_requests) == (3, 2)
    assert requests.total.latency.count == 3


def test_late_requests_are_counted_within_the_scope_alone(closed, ask, search, cleo):
    come(closed, span(2), span(3, model="gpt-4o"))
    come(SourceFactory(project=search), span(4))
    assert spend_total(ask(WINDOW)).late_requests == 3
    assert spend_total(ask(WINDOW, cleo)).late_requests == 2
    assert spend_total(ask(f"{WINDOW}&f.model=gpt-4o")).late_requests == 1
    assert spend_total(ask("from=2026-11-11&to=2026-11-15")).late_requests == 0
    assert spend_total(ask(f"{WINDOW}&basis=bill")).late_requests == 0


def test_lists_of_single_requests_leave_days_without_details_out(closed, ask):
    later = NOON + timedelta(days=2)
    slow = timedelta(seconds=90)
    come(closed, span(2, ended_at=NOON + slow), span(3, started_at=later))
    assert [row.started_at for row in traffic.slowest(ask(WINDOW), 1).rows] == [later]
    assert [row.started_at for row in traffic.recent(ask(WINDOW), 5).rows] == [later]


def test_source_says_how_many_came_late(closed, asha):
    come(closed, span(2), span(3))
    come(closed, span(2, version=2, input_tokens=7))
    [row] = source_queries.source_list(asha)
    assert row.late == 2


def test_page_csv_and_api_tell_the_same_late_figures(closed, asha, client, settings):
    come(closed, span(2))
    client.force_login(asha)
    said = "Includes 1 late request for days whose details are gone."
    for path in ("/costs", "/requests"):
        assert said in Page(client.get(f"{path}?{WINDOW}").content.decode()).words
    csv = client.get(f"/costs.csv?{WINDOW}").content.decode().splitlines()
    api = json.loads(client.get(f"/api/v1/spend?{WINDOW}").content)
    assert csv[-1].split(",")[1] == api["cost"] == "0.000054"
    assert (api["requests"], api["late_requests"]) == (2, 1)
    requests = json.loads(client.get(f"/api/v1/requests?{WINDOW}").content)
    assert (requests["total"]["requests"], requests["late_requests"]) == (2, 1)
    page = Page(client.get(f"/sources/{closed.pk}").content.decode())
    assert "Late, for days without details 1" in page.words
