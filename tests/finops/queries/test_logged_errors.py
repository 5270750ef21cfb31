"""Errors by type: counted per source, over the requests that spans tell, never added twice."""

from datetime import UTC, date, datetime, timedelta

import pytest

from finops.queries import logged_errors
from finops.queries.logged_errors import by_type, error_sources, error_types
from finops.queries.traffic import request_summary
from ingest import store
from ingest.error_records import ErrorTally, ErrorWindow
from ingest.rollup import roll_up
from tests.factories.ingest import SourceFactory
from tests.ingest.make import NOON, span

WINDOW = "from=2026-11-01&to=2026-11-15"
QUARTER = datetime(2026, 11, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
def loki(chat):
    return SourceFactory(kind="loki", name="Our Loki", project=chat, interval_s=300)


def tell(source, *tallies):
    """Each as (quarter hour, service, type, count, example), all in one window."""
    told = [
        ErrorTally(service, kind, at, count, example, "ab" * 16 if example else "")
        for at, service, kind, count, example in tallies
    ]
    first, last = min(one.at for one in told), max(one.at for one in told)
    store.errors.settle(source, [ErrorWindow(first, last + timedelta(minutes=15), told)])


def requests(source, number, service="search", first=1, at=NOON):
    store.spans(
        source,
        [
            span(first + n, service=service, started_at=at, ended_at=at + timedelta(seconds=1))
            for n in range(number)
        ],
    )
    roll_up()


def test_types_are_counted_over_the_requests_of_their_service(chat, loki, ask):
    requests(SourceFactory(project=chat), 4)
    early = QUARTER - timedelta(days=10)
    tell(loki, (early, "search", "Old", 1, ""))
    tell(loki, (QUARTER, "search", "Timeout", 1, "Took <n> ms"), (QUARTER, "batch", "Bad", 3, ""))
    tell(loki, (QUARTER + timedelta(days=1), "search", "Timeout", 2, ""))

    found = error_types(ask("from=2026-11-09&to=2026-11-12"))

    told = [(row.service, row.type, row.count, row.requests, row.per_request) for row in found.rows]
    assert told == [("batch", "Bad", 3, None, None), ("search", "Timeout", 3, 4, 0.75)]
    timeout = found.rows[1]
    assert (timeout.exemplar, timeout.trace_id) == ("Took <n> ms", "ab" * 16)
    assert timeout.last_at == QUARTER + timedelta(days=1)
    assert found.points == (date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11))
    assert timeout.series == (0, 1, 2)
    assert found.count == 6
    assert [note.name for note in found.sources] == ["Our Loki"]


def test_requests_before_a_source_told_of_errors_are_not_counted(chat, loki, ask):
    spans = SourceFactory(project=chat)
    requests(spans, 5, at=NOON - timedelta(days=2))
    requests(spans, 2, first=10, at=NOON)
    tell(loki, (QUARTER, "search", "Timeout", 1, ""))

    (row,) = error_types(ask(WINDOW)).rows

    assert row.requests == 2


def test_what_two_sources_tell_is_not_added(chat, loki, ask):
    other = SourceFactory(kind="otlp", name="SDK logs", project=chat)
    tell(loki, (QUARTER, "search", "Timeout", 2, ""))
    tell(other, (QUARTER, "search", "Timeout", 3, ""))
    filters = ask(WINDOW)

    both = error_types(filters)
    one = error_types(filters, source=loki.pk)

    assert (both.count, [row.count for row in both.rows]) == (None, [3, 2])
    assert (one.count, [row.source for row in one.rows]) == (2, ["Our Loki"])
    assert error_sources(filters) == ((loki.pk, "Our Loki"), (other.pk, "SDK logs"))


def test_what_two_sources_tell_of_two_services_is_added(chat, loki, ask):
    other = SourceFactory(kind="otlp", name="SDK logs", project=chat)
    tell(loki, (QUARTER, "search", "Timeout", 2, ""))
    tell(other, (QUARTER, "answers", "Timeout", 3, ""))

    assert error_types(ask(WINDOW)).count == 5


def test_reader_sees_the_errors_of_their_projects(chat, search, loki, ask, cleo):
    tell(loki, (QUARTER, "search", "Timeout", 2, ""))
    tell(SourceFactory(kind="loki", project=search), (QUARTER, "search", "Secret", 1, ""))

    assert [row.type for row in error_types(ask(WINDOW)).rows] == ["Timeout", "Secret"]
    assert [row.type for row in error_types(ask(WINDOW, cleo)).rows] == ["Timeout"]
    assert [row.type for row in error_types(ask(f"{WINDOW}&f.project=search")).rows] == ["Secret"]


def test_services_narrow_and_models_do_not(loki, ask):
    tell(loki, (QUARTER, "search", "Timeout", 2, ""), (QUARTER, "batch", "Bad", 1, ""))

    narrowed = error_types(ask(f"{WINDOW}&f.service=batch"))

    assert [row.type for row in narrowed.rows] == ["Bad"]
    assert len(error_types(ask(f"{WINDOW}&f.model=gpt-4o")).rows) == 2


def test_hours_are_those_of_the_accounting_zone(loki, ask, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"  # half an hour off
    tell(loki, (QUARTER, "search", "Timeout", 2, ""))

    found = error_types(ask("from=2026-11-10&to=2026-11-11"), step="hour")

    assert found.points[0] == datetime(2026, 11, 9, 18, 30, tzinfo=UTC)
    assert {found.points[at]: count for at, count in enumerate(found.rows[0].series) if count} == {
        datetime(2026, 11, 10, 11, 30, tzinfo=UTC): 2
    }


def test_rarest_types_are_left_out_and_counted(loki, ask, monkeypatch):
    monkeypatch.setattr(logged_errors, "MOST_ROWS", 1)
    tell(loki, (QUARTER, "search", "Timeout", 2, ""), (QUARTER, "batch", "Bad", 1, ""))

    found = error_types(ask(WINDOW))

    assert ([row.type for row in found.rows], found.left_out, found.count) == (["Timeout"], 1, 3)


def test_nothing_in_a_period_is_told_from_nothing_connected(loki, ask):
    assert not error_types(ask(WINDOW)).is_connected

    tell(loki, (QUARTER, "search", "Timeout", 2, ""))

    elsewhere = error_types(ask("from=2026-11-01&to=2026-11-02"))
    assert (elsewhere.rows, elsewhere.count, elsewhere.is_connected) == ((), 0, True)


def test_source_of_errors_stands_behind_no_figure_of_requests(chat, loki, ask):
    requests(SourceFactory(project=chat, name="Traffic"), 1)
    tell(loki, (QUARTER, "search", "Timeout", 2, ""))

    assert [note.name for note in request_summary(ask(WINDOW)).sources] == ["Traffic"]


def test_chart_has_the_most_frequent_types_and_the_rest(loki, ask):
    tell(
        loki,
        (QUARTER, "search", "a", 1, ""),
        (QUARTER + timedelta(minutes=15), "search", "b", 5, ""),
        (QUARTER + timedelta(minutes=30), "batch", "b", 1, ""),
        (QUARTER + timedelta(minutes=45), "batch", "c", 2, ""),
    )
    rows = error_types(ask("from=2026-11-10&to=2026-11-11")).rows

    assert by_type(rows, 1) == [("b", (6,), False), ("Other types", (3,), True)]
    assert by_type((), 5) == []
