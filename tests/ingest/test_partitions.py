from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingest import partitions, store
from ingest.models import Span, SpanKey
from ingest.rollup import roll_up
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db

LATER = (NOON + timedelta(days=400)).date()


def age_everything():
    with connection.cursor() as cursor:
        cursor.execute("UPDATE ingest_span SET received_at = %s", [NOON])


def test_partition_is_made_when_the_first_span_of_its_day_comes(source):
    store.spans(source, [span(1), span(2, started_at=NOON + timedelta(days=1))])
    assert partitions.existing(partitions.SPAN) == [
        "ingest_span_20261110",
        "ingest_span_20261111",
    ]


def test_expired_day_goes_with_its_keys_once_it_is_rolled_up(source):
    store.spans(source, [span(1)])
    age_everything()
    assert partitions.drop_expired(LATER) == []
    roll_up()
    assert partitions.drop_expired(LATER) == ["ingest_span_20261110"]
    assert not Span.objects.exists()
    assert not SpanKey.objects.exists()


def test_old_traffic_loaded_today_is_kept(source):
    store.spans(source, [span(1, started_at=NOON - timedelta(days=1000))])
    roll_up()
    assert partitions.drop_expired(timezone.now().date()) == []
