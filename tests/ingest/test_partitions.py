from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingest import partitions, store
from ingest.models import Span, SpanKey
from ingest.rollup import roll_up, sum_users
from tests.ingest.make import NOON, metric, span

pytestmark = pytest.mark.django_db

THAT_DAY = "ingest_span_20261110"
LATER = (NOON + timedelta(days=400)).date()


def age_everything():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])


def test_partition_is_made_when_the_first_span_of_its_day_comes(source):
    before = set(partitions.existing(partitions.SPAN))
    days = [datetime(2011, 5, 1, 12, tzinfo=UTC) + timedelta(days=n) for n in (0, 1)]
    store.spans(source, [span(n, started_at=at) for n, at in enumerate(days)])
    assert set(partitions.existing(partitions.SPAN)) - before == {
        "ingest_span_20110501",
        "ingest_span_20110502",
    }


def test_expired_day_goes_with_its_keys_once_everything_is_summed(source):
    store.spans(source, [span(1)])
    age_everything()
    assert THAT_DAY not in partitions.drop_expired(LATER)
    roll_up(1)
    sum_users(timezone.now())
    assert THAT_DAY not in partitions.drop_expired(LATER), "what was at once is not counted yet"
    roll_up()
    assert THAT_DAY in partitions.drop_expired(LATER)
    assert not Span.objects.exists()
    assert not SpanKey.objects.exists()


def test_late_reading_of_a_dropped_day_is_quarantined(pool_source):
    at = NOON - timedelta(days=300)
    store.metrics(pool_source, [metric("nv_up", 1, at)])
    roll_up()
    partitions.drop_expired(NOON.date())
    counts = store.metrics(pool_source, [metric("nv_up", 2, at + timedelta(seconds=15))])
    assert counts == store.Counts(rejected=1)


def test_old_traffic_loaded_today_is_kept(source):
    store.spans(source, [span(1, started_at=NOON - timedelta(days=1000))])
    roll_up()
    partitions.drop_expired(timezone.now().date())
    assert Span.objects.count() == 1
