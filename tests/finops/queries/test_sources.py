from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from finops.queries import sources
from finops.queries.cursors import BadCursor
from ingest import store
from ingest.models import Pull, Source
from ingest.records import Reject
from tests.factories.finops import billed
from tests.factories.ingest import SourceFactory
from tests.ingest.make import span

NOW = datetime(2025, 10, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "never"),
        ({"last_success_at": NOW - 59 * MINUTE}, "ok"),
        ({"last_success_at": NOW - 61 * MINUTE}, "late"),
        ({"last_success_at": NOW, "last_error_at": NOW - MINUTE, "last_error": "x"}, "ok"),
        ({"last_success_at": NOW - MINUTE, "last_error_at": NOW, "last_error": "No."}, "error"),
        ({"last_error_at": NOW, "last_error": "No."}, "error"),
        ({"last_error_at": NOW, "last_error": "No.", "delayed_until": NOW + MINUTE}, "delayed"),
        ({"last_success_at": NOW, "delayed_until": NOW}, "ok"),
        ({"last_success_at": NOW, "enabled": False}, "off"),
        ({"kind": "gpu", "last_success_at": NOW - 6 * MINUTE}, "late"),
        ({"kind": "prometheus_text", "interval_s": 15, "last_success_at": NOW - MINUTE}, "ok"),
        ({"kind": "request_log", "interval_s": 60, "last_success_at": NOW - 4 * MINUTE}, "late"),
        ({"kind": "focus_csv", "last_success_at": NOW - 90 * 1440 * MINUTE}, "ok"),
    ],
)  # fmt: skip
def test_state_follows_what_came_and_when(changes, state):
    source = Source(**{"kind": "otlp", "name": "x", **changes})
    found, note = sources.state_of(source, NOW)
    assert found == state
    assert bool(note) == (state != "ok")
    if state == "error":
        assert note == "No."


def test_rows_of_the_last_day_add_up(asha, chat):
    source = SourceFactory(project=chat)
    rejects = [Reject("impossible_tokens", "input_tokens", "No.") for _ in range(2)]
    store.spans(source, [span(1), span(2)], rejects)
    store.spans(source, [span(1), span(2, version=2, output_tokens=9)])
    old = {"window_from": NOW, "window_to": NOW, "rows_in": 9, "inserted": 9}
    pull = Pull.objects.create(source=source, **old)
    Pull.objects.filter(pk=pull.pk).update(started_at=timezone.now() - timedelta(hours=25))
    [row] = sources.source_list(asha)
    counts = row.last_24h
    assert (counts.rows_in, counts.inserted, counts.updated, counts.unchanged) == (6, 2, 1, 1)
    assert (counts.stale, counts.rejected, row.quarantined) == (0, 2, 2)
    assert row.state == "ok"


def test_reader_of_a_project_sees_its_sources_only(cleo, chat, search, bills, pool):
    mine = SourceFactory(project=chat)
    hidden = SourceFactory(project=search)
    SourceFactory(kind="gpu", pool=pool)
    assert [row.source for row in sources.source_list(cleo)] == [mine]
    assert sources.source_detail(cleo, hidden.pk) is None
    assert sources.source_detail(cleo, bills.pk) is None
    assert sources.visible_source(cleo, hidden.pk) is None
    delivery = billed(bills, date(2025, 10, 1), range(1, 2)).delivery
    assert sources.delivery_detail(cleo, delivery.pk) is None


def test_delivery_tells_what_it_supersedes_and_what_superseded_it(asha, bills):
    month = date(2025, 10, 1)
    first = billed(bills, month, range(1, 3), "5").delivery
    draft = billed(bills, month, range(1, 3), "9", complete=False).delivery
    second = billed(bills, month, range(1, 4), "6").delivery
    page = sources.deliveries(bills)
    assert [row.id for row in page.rows] == [second.pk, draft.pk, first.pk]
    told = {row.id: (p.superseded, p.superseded_by) for row in page.rows for p in row.periods}
    assert told == {
        first.pk: (None, second.pk),
        draft.pk: (None, None),
        second.pk: (first.pk, None),
    }
    found = sources.delivery_detail(asha, second.pk)
    assert found.periods[0].costs == (("USD", 18),)
    assert (found.counts.rows_in, found.sha256) == (3, bytes(second.sha256).hex())
    assert sources.delivery_detail(asha, 999_999) is None


def test_pages_of_rejects_hold_each_once(chat):
    source = SourceFactory(project=chat)
    rejects = [Reject("bad", "x", f"Number {n}", payload=b"secret") for n in range(5)]
    store.spans(source, [], rejects)
    first = sources.rejects(source, 3)
    second = sources.rejects(source, 3, first.next)
    found = [row.detail for row in (*first.rows, *second.rows)]
    assert sorted(found) == [f"Number {n}" for n in range(5)]
    assert second.next is None
    with pytest.raises(BadCursor):
        sources.rejects(source, 3, "nonsense")


def test_queries_do_not_grow_with_the_sources(asha, chat, django_assert_num_queries):
    SourceFactory(project=chat)
    sources.source_list(asha)  # memberships are read once per person
    with django_assert_num_queries(6):
        sources.source_list(asha)
    SourceFactory.create_batch(2, project=chat)
    with django_assert_num_queries(6):
        assert len(sources.source_list(asha)) == 3


def test_queries_do_not_grow_with_the_deliveries(bills, django_assert_num_queries):
    billed(bills, date(2025, 10, 1), range(1, 2), "5")
    with django_assert_num_queries(3):
        sources.deliveries(bills)
    for amount in ("6", "7"):
        billed(bills, date(2025, 10, 1), range(1, 2), amount)
    with django_assert_num_queries(3):
        assert len(sources.deliveries(bills).rows) == 3
