"""Spans that come after their day was closed: added beside the sums, once, and visible."""

from datetime import timedelta

import psycopg
import pytest
from django.db import InternalError, ProgrammingError, connection, transaction
from django.utils import timezone

from ingest import partitions, store
from ingest.models import (
    DirtyHour,
    LateQuarter,
    LateSpan,
    Reject,
    RolledHour,
    SealedDay,
    SealedKeys,
    Source,
    Span,
    SpanDay,
    SpanHour,
    SpanQuarter,
    UsageParent,
)
from ingest.rollup import roll_up, sum_users
from ingest.store import Counts
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

LATER = (NOON + timedelta(days=400)).date()
NEXT_DAY = NOON + timedelta(days=1)


def close_days(*records, source, today=LATER):
    """Store, sum and drop; the days of these records are closed afterwards."""
    store.spans(source, records)
    roll_up()
    sum_users(timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])
    return partitions.drop_expired(today)


@pytest.fixture
def closed(source):
    """One span of the day was counted before it was closed."""
    close_days(span(1, input_tokens=1000), source=source)
    return source


def come(source, *records):
    counts = store.spans(source, records)
    roll_up()
    return counts


def sums():
    """(spans, input tokens) of the hours, which the days must equal."""
    of_hours, of_days = (
        (sum(row.spans for row in rows), sum(row.input_tokens for row in rows))
        for rows in (SpanHour.objects.all(), SpanDay.objects.all())
    )
    assert of_hours == of_days
    return of_hours


def test_late_span_is_added_to_the_sums_of_its_closed_hour(closed):
    before = RolledHour.objects.get().revision
    assert come(closed, span(2)) == Counts(inserted=1)
    assert sums() == (2, 1100)
    assert SpanQuarter.objects.get().spans == 1  # what was summed from facts stays as it was
    assert LateQuarter.objects.get().spans == 1
    assert RolledHour.objects.get().revision == before + 1  # so that the hour is priced again
    assert not Reject.objects.exists()
    assert not Span.objects.exists()


def test_late_span_sent_again_changes_nothing(closed):
    come(closed, span(2))
    assert come(closed, span(2), span(2)) == Counts(unchanged=1, stale=1)
    assert sums() == (2, 1100)
    assert LateSpan.objects.count() == 1


def test_newer_version_of_a_late_span_takes_its_place_and_both_stay(closed):
    come(closed, span(2))
    assert come(closed, span(2, version=3, input_tokens=500)) == Counts(updated=1)
    assert sums() == (2, 1500)
    assert come(closed, span(2, version=2, input_tokens=7)) == Counts(stale=1)
    assert sums() == (2, 1500)
    assert list(LateSpan.objects.order_by("id").values_list("version", flat=True)) == [1, 3]


def test_newer_version_moves_a_late_span_to_its_new_hour(closed):
    come(closed, span(2, started_at=NOON + timedelta(hours=2)))
    come(closed, span(2, version=2, started_at=NOON + timedelta(hours=4)))
    assert sums() == (2, 1100)
    assert sorted(SpanHour.objects.values_list("at__hour", flat=True)) == [12, 16]


def test_delivery_of_a_closed_day_sent_again_is_not_counted_again(closed):
    assert come(closed, span(1, input_tokens=1000)) == Counts(rejected=1)
    assert sums() == (1, 1000)
    reject = Reject.objects.get()
    assert (reject.reason, "counted before" in reject.detail) == ("sealed_day", True)


def test_newer_version_of_what_the_sums_hold_is_refused_with_the_reason(closed):
    assert come(closed, span(1, version=2, input_tokens=5)) == Counts(rejected=1)
    assert sums() == (1, 1000)


def test_counted_span_that_moves_to_the_open_day_beside_is_not_counted_there(closed):
    assert come(closed, span(1, version=2, started_at=NEXT_DAY)) == Counts(rejected=1)
    assert come(closed, span(2, started_at=NEXT_DAY)) == Counts(inserted=1)
    assert Span.objects.count() == 1
    assert sums() == (2, 1100)


def test_late_span_that_moves_to_the_open_day_beside_is_counted_there_alone(closed):
    come(closed, span(2))
    assert come(closed, span(2, version=2, started_at=NEXT_DAY)) == Counts(updated=1)
    assert not Span.objects.exists()
    assert dict(SpanDay.objects.values_list("day__day", "spans")) == {10: 1, 11: 1}


def test_open_span_cannot_move_into_a_closed_day(closed):
    come(closed, span(2, started_at=NEXT_DAY))
    assert come(closed, span(2, version=2)) == Counts(rejected=1)
    assert "2026-11-11" in Reject.objects.get().detail
    assert sums() == (2, 1100)


def test_span_kept_on_an_open_day_but_started_on_the_closed_one_stays(source, settings):
    """Its hour is in the closed sums: taking it out would need the facts that are gone."""
    store.spans(source, [span(2, started_at=NEXT_DAY)])
    store.spans(source, [span(2, version=2)])
    just_over = NEXT_DAY.date() + timedelta(days=settings.RETENTION_DAYS["span"])
    assert close_days(span(1, input_tokens=1000), source=source, today=just_over) == [
        "ingest_span_20261110"
    ]
    assert come(source, span(2, version=3, started_at=NEXT_DAY)) == Counts(rejected=1)
    assert sums() == (2, 1100)


def test_marks_of_a_closed_hour_do_not_sum_it_away(closed):
    DirtyHour.objects.create(
        owner_kind="project", owner_id=closed.project_id, hour=NOON.replace(minute=0)
    )
    roll_up()
    assert sums() == (1, 1000)


def test_other_source_telling_of_the_same_late_span_changes_nothing(closed):
    come(closed, span(2))
    other = Source.objects.create(kind="otlp", name="Second", project=closed.project)
    assert come(other, span(2, version=9, input_tokens=7)) == Counts(unchanged=1)
    assert sums() == (2, 1100)


def test_nested_late_usage_counts_at_the_leaf_in_any_order(closed):
    come(closed, span(2, kind="agent", span_id="root"))
    come(closed, span(2, span_id="leaf", parent_span_id="root"))
    assert sums() == (3, 1100)


def test_late_child_of_a_counted_parent_does_not_count_the_usage_again(source):
    close_days(span(1, kind="agent", span_id="root", input_tokens=1000), source=source)
    come(source, span(1, span_id="leaf", parent_span_id="root", input_tokens=1000))
    assert sums() == (2, 1000)


def test_late_child_of_a_counted_parent_without_usage_counts(source):
    root = {"kind": "agent", "span_id": "root", "input_tokens": None, "output_tokens": None}
    close_days(span(1, **root), source=source)
    come(source, span(1, span_id="leaf", parent_span_id="root"))
    assert sums() == (2, 100)


def test_late_parent_of_a_counted_child_does_not_count_the_usage_again(source):
    close_days(span(1, span_id="leaf", parent_span_id="root"), source=source)
    assert not UsageParent.objects.exists()
    come(source, span(1, kind="agent", span_id="root"))
    assert sums() == (2, 100)


def test_day_that_was_closed_without_remembering_whose_spans_it_holds_takes_nothing(closed):
    SealedDay.objects.update(keeps_keys=False)
    SealedKeys.objects.all().delete()
    assert come(closed, span(2)) == Counts(rejected=1)
    assert sums() == (1, 1000)


def test_project_that_had_nothing_on_a_closed_day_may_still_be_late(closed, project):
    other = type(project).objects.create(slug="other", name="Other")
    source = Source.objects.create(kind="otlp", name="Other traffic", project=other)
    assert come(source, span(1)) == Counts(inserted=1)
    assert SpanDay.objects.get(project_id=other.pk).spans == 1


def test_late_spans_cannot_be_edited_or_deleted(closed):
    come(closed, span(2))
    for change in (LateSpan.objects.all().delete, lambda: LateSpan.objects.update(version=9)):
        with pytest.raises((ProgrammingError, InternalError)) as refused, transaction.atomic():
            change()
        assert isinstance(refused.value.__cause__, psycopg.errors.InsufficientPrivilege)
    assert LateSpan.objects.get().version == 1
