"""Requests from rollups, and single requests found without reading the whole window."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from finops.actions.price_book import seed_price_book
from finops.actions.pricing import price_hours
from finops.queries import traffic
from finops.queries.cursors import BadCursor, encode
from ingest import store
from ingest.rollup import roll_up
from tests.factories.ingest import SourceFactory
from tests.finops.actions.conftest import few, few_models
from tests.ingest.make import span

__all__ = ["few", "few_models"]

WEEK = "from=2025-10-01&to=2025-10-08"
START = datetime(2025, 10, 1, tzinfo=UTC)


@pytest.fixture
def sources(chat, search):
    return {
        project.slug: SourceFactory(project=project, name=f"{project.name} traffic")
        for project in (chat, search)
    }


def test_series_has_a_point_for_each_day_and_none_where_nothing_was_asked(ask, sources):
    store.spans(sources["chat"], [span(1, started_at=START + timedelta(days=1))])
    roll_up()
    series = traffic.latency_series(ask("from=2025-10-01&to=2025-10-04"))
    assert series.requests == (0, 1, 0)
    assert [point.p50_ms is None for point in series.latency] == [True, False, True]
    hours = traffic.latency_series(ask("from=2025-10-02&to=2025-10-03"), step="hour")
    assert (hours.requests[0], sum(hours.requests), len(hours.points)) == (1, 1, 24)
    with pytest.raises(traffic.NoSuchSeries, match="14 days"):
        traffic.latency_series(ask("from=2025-10-01&to=2025-10-30"), step="hour")


def test_slowest_among_equals_are_the_newest(ask, sources):
    at = [START + timedelta(hours=n) for n in range(40)]
    store.spans(
        sources["chat"],
        [span(n + 1, started_at=at[n], ended_at=at[n] + timedelta(seconds=30)) for n in range(40)],
    )
    roll_up()
    page = traffic.slowest(ask(WEEK), 5)
    assert sorted(row.started_at for row in page.rows) == at[-5:]
    following = traffic.slowest(ask(WEEK), 5, page.next)
    assert sorted(row.started_at for row in following.rows) == at[-10:-5]


@pytest.mark.parametrize("apart", [1, 2, 11], ids=["in a row", "nearly", "far apart"])
def test_slowest_are_found_on_whatever_days_they_lie(ask, sources, apart):
    at = [START + timedelta(days=n * apart) for n in range(3)]
    slow = [span(n + 1, started_at=at[n], ended_at=at[n] + timedelta(seconds=30)) for n in range(3)]
    quick = [
        span(n + 100, started_at=START + timedelta(days=n), ended_at=START + timedelta(days=n))
        for n in range(23)
    ]
    store.spans(sources["chat"], slow + quick)
    roll_up()
    page = traffic.slowest(ask("from=2025-10-01&to=2025-11-30"), 3)
    assert sorted(row.started_at for row in page.rows) == at


def test_fresh_request_is_listed_before_any_rollup(ask, sources):
    now = datetime.now(UTC)
    store.spans(sources["chat"], [span(1, started_at=now - timedelta(seconds=5))])
    assert len(traffic.recent(ask("range=7d")).rows) == 1


def test_request_shows_its_derived_cost_and_says_why_there_is_none(ask, sources, few_models):
    seed_price_book()
    store.spans(
        sources["chat"],
        [span(1, started_at=START, input_tokens=1_000_000, output_tokens=0, model="gpt-4o"),
         span(2, started_at=START, model="house-tuned", input_tokens=5)],
    )  # fmt: skip
    unpriced_yet = traffic.recent(ask(WEEK)).rows
    assert {row.cost_note for row in unpriced_yet} <= {"", "Not priced yet"}
    roll_up()
    price_hours()
    rows = {row.model: row for row in traffic.recent(ask(WEEK)).rows}
    assert (rows["gpt-4o"].cost, rows["gpt-4o"].currency) == (pytest.approx(2.5), "USD")
    assert (rows["house-tuned"].cost, rows["house-tuned"].cost_note) == (
        None,
        "No price for this model and tier",
    )
    assert rows["gpt-4o"].tokens["reasoning"] is None


@pytest.mark.parametrize(
    "cursor",
    ["nonsense", "é", "x" * 600, encode("2025-10-01T00:00:00+00:00"), encode(1, 2),
     encode("not a time", str(UUID(int=1))), encode("2025-10-01T00:00:00", str(UUID(int=1))),
     "W1tbW1tbW1tdXV1dXV1dXQ"],
)  # fmt: skip
def test_cursor_that_was_tampered_with_is_refused(ask, cursor):
    with pytest.raises(BadCursor):
        traffic.recent(ask(WEEK), 10, cursor)
    with pytest.raises(BadCursor):
        traffic.slowest(ask(WEEK), 10, cursor)


def test_pages_cost_the_same_queries_for_one_row_and_for_three(
    ask, sources, django_assert_num_queries
):
    filters = ask(WEEK)
    for count in (1, 3):
        store.spans(
            sources["chat"],
            [span(n + 1, started_at=START + timedelta(days=n)) for n in range(count)],
        )
        roll_up()
        for read, queries in ((traffic.recent, 8), (traffic.slowest, 9)):
            with django_assert_num_queries(queries):
                assert len(read(filters).rows) == count
