"""Many writers of errors at once: each error counts once, and no quarter hour is half set."""

import random
from datetime import timedelta

import pytest
from django.utils import timezone

from ingest.error_records import ErrorTally, ErrorWindow, quarter_of
from ingest.models import ErrorCount, Project, Pull, Source
from ingest.store import Counts, errors
from tests.ingest.store.test_concurrency import in_threads
from tests.ingest.store.test_errors import error

pytestmark = pytest.mark.django_db(transaction=True)

WRITERS, SENT = 4, 200


@pytest.fixture
def source():
    project = Project.objects.create(slug="search", name="Search")
    return Source.objects.create(kind="otlp", name="Search logs", project=project)


def test_same_errors_from_many_writers_are_counted_once(source):
    now = timezone.now()
    sent = [error(n, at=now - timedelta(minutes=n % 90), type=f"Error{n % 7}") for n in range(SENT)]
    counts = []

    def write(seed: int) -> None:
        mine = random.Random(seed).sample(sent, SENT)
        for first in range(0, SENT, 40):
            counts.append(errors.take(source, mine[first : first + 40]))

    in_threads(*(lambda seed=seed: write(seed) for seed in range(WRITERS)))

    assert sum(counts, Counts()) == Counts(inserted=SENT, unchanged=SENT * (WRITERS - 1))
    assert sum(row.count for row in ErrorCount.objects.all()) == SENT
    assert sum(pull.rows_in for pull in Pull.objects.all()) == SENT * WRITERS


def test_two_readings_of_a_window_at_once_leave_one_of_them_whole(source):
    at = quarter_of(timezone.now() - timedelta(hours=1))
    windows = [
        ErrorWindow(
            at,
            at + timedelta(minutes=15),
            [ErrorTally("search", f"{name}{n}", at, n + 1) for n in range(20)],
        )
        for name in ("First", "Second")
    ]

    in_threads(*(lambda one=one: errors.settle(source, [one]) for one in windows * 3))

    kept = set(ErrorCount.objects.values_list("type", flat=True))
    assert kept in [{tally.type for tally in one.tallies} for one in windows]
