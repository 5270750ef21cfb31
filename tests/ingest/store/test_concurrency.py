"""Many writers, one truth: what a race may not do."""

import random
import threading
from datetime import timedelta

import pytest
from django.db import connection

from ingest import store
from ingest.models import Project, Pull, Source, Span, SpanHour
from ingest.rollup import roll_up
from tests.ingest.make import NOON, span

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS = 4
SPANS = 300


def in_threads(*works):
    failures = []

    def run(work):
        try:
            work()
        except Exception as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []


@pytest.fixture
def source():
    project = Project.objects.create(slug="search", name="Search")
    return Source.objects.create(kind="otlp", name="Search traffic", project=project)


def test_same_spans_from_many_writers_are_stored_once_and_rolled_up_right(source):
    records = [span(n, started_at=NOON + timedelta(seconds=30 * n)) for n in range(SPANS)]
    counts = []

    def write(seed):
        mine = random.Random(seed).sample(records, len(records))
        for first in range(0, SPANS, 50):
            counts.append(store.spans(source, mine[first : first + 50]))

    in_threads(
        *(lambda seed=seed: write(seed) for seed in range(WRITERS)),
        lambda: [roll_up() for _ in range(20)],
        lambda: [roll_up() for _ in range(20)],
    )
    roll_up()
    total = sum(counts, store.Counts())
    assert total == store.Counts(inserted=SPANS, unchanged=SPANS * (WRITERS - 1))
    assert Span.objects.count() == SPANS
    assert sum(row.spans for row in SpanHour.objects.all()) == SPANS
    assert sum(pull.rows_in for pull in Pull.objects.all()) == SPANS * WRITERS


def test_two_sources_bring_the_same_spans_at_once_as_one(source):
    other = Source.objects.create(kind="otlp", name="Pulled", project=source.project)
    records = [span(n) for n in range(100)]
    in_threads(lambda: store.spans(source, records), lambda: store.spans(other, records[::-1]))
    assert Span.objects.count() == 100
