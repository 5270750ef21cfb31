from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from ingest import store
from ingest.models import DirtyHour, Project, Reject, Source, Span, SpanSighting
from ingest.store import Counts
from tests.ingest.make import NOON, span
from tests.pulled import pulled

pytestmark = pytest.mark.django_db


def test_new_spans_are_inserted_and_their_hour_is_dirty(source):
    assert store.spans(source, [span(1), span(2)]) == Counts(inserted=2)
    assert Span.objects.count() == 2
    dirty = DirtyHour.objects.get()
    assert (dirty.owner_kind, dirty.owner_id) == ("project", source.project_id)
    assert dirty.hour == NOON.replace(minute=0)


def test_same_delivery_again_changes_nothing(source):
    records = [span(1), span(2, attributes={"a": 1}, prefix_hashes=(b"12345678",))]
    store.spans(source, records)
    DirtyHour.objects.all().delete()
    assert store.spans(source, records) == Counts(unchanged=2)
    assert not DirtyHour.objects.exists()


def test_newer_version_replaces_and_older_is_stale(source):
    store.spans(source, [span(1, version=5)])
    assert store.spans(source, [span(1, version=6, output_tokens=99)]) == Counts(updated=1)
    assert store.spans(source, [span(1, version=4, output_tokens=1)]) == Counts(stale=1)
    assert Span.objects.get().output_tokens == 99


def test_span_that_moves_makes_both_hours_dirty_and_keeps_its_day(source):
    store.spans(source, [span(1)])
    DirtyHour.objects.all().delete()
    later = NOON + timedelta(hours=14)
    moved = span(1, version=2, started_at=later, ended_at=later)
    assert store.spans(source, [moved]) == Counts(updated=1)
    assert Span.objects.get().day == NOON.date()
    assert {mark.hour.hour for mark in DirtyHour.objects.all()} == {12, 2}


def test_span_that_jumps_days_is_refused_with_its_reason(source):
    store.spans(source, [span(1)])
    later = NOON + timedelta(days=3)
    counts = store.spans(source, [span(1, version=2, started_at=later, ended_at=later)])
    assert counts == Counts(rejected=1)
    assert Reject.objects.get().reason == "start_moved"
    assert Span.objects.get().started_at == NOON


def test_same_span_from_another_source_is_one_span_with_two_sightings(source, project):
    pulled = Source.objects.create(kind="otlp", name="Pulled", project=project)
    store.spans(source, [span(1, user_id="")])
    counts = store.spans(pulled, [span(1, user_id="u1", output_tokens=777, external_id="x")])
    assert counts == Counts(updated=1)
    stored = Span.objects.get()
    assert (stored.user_id, stored.output_tokens) == ("u1", 20)
    assert SpanSighting.objects.get().source_id == pulled.pk


def test_latest_of_a_repeated_span_in_one_delivery_counts(source):
    counts = store.spans(source, [span(1, version=2, output_tokens=7), span(1, version=1)])
    assert counts == Counts(inserted=1, stale=1)
    assert Span.objects.get().output_tokens == 7


def test_impossible_span_goes_to_quarantine_and_the_others_stay(source):
    future = NOON + timedelta(days=3650)
    counts = store.spans(source, [span(1), span(2, started_at=future, ended_at=future)])
    assert counts == Counts(inserted=1, rejected=1)
    assert Reject.objects.get().field == "started_at"


def test_counts_of_an_hour_add_up(source):
    store.spans(source, [span(1), span(2)])
    store.spans(source, [span(2), span(3, input_tokens=-1)])
    assert pulled() == Counts(inserted=2, unchanged=1, rejected=1)


def test_source_without_project_stores_under_unallocated(project):
    nobody = Source.objects.create(kind="otlp", name="Nobody's")
    store.spans(nobody, [span(1)])
    assert Span.objects.get().project_id == Project.objects.unallocated().pk


def test_nan_and_infinity_cannot_enter_by_any_door(source):
    store.spans(source, [span(1)])
    for value in ("'NaN'", "'Infinity'", "-1"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE ingest_span SET latency_ms = {value}")


def test_late_child_with_usage_makes_its_parents_hour_dirty(source):
    earlier = NOON - timedelta(hours=2)
    parent = span(1, kind="agent", started_at=earlier)
    store.spans(source, [parent])
    DirtyHour.objects.all().delete()
    child = replace(span(1), span_id="child", parent_span_id=parent.span_id, started_at=NOON)
    store.spans(source, [child])
    assert {mark.hour.hour for mark in DirtyHour.objects.all()} == {10, 12}
