"""Pulls out of turn: a reading at this moment, and one reading at a time."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingest import pull
from ingest.models import MetricSample, Source
from ingest.sources import REGISTRY
from ingest.sources.base import FetchError, Page
from tests.ingest.make import metric

pytestmark = pytest.mark.django_db


@pytest.fixture
def statistics(pool):
    return Source.objects.create(kind="triton_statistics", name="Triton's own", pool=pool)


@pytest.fixture
def counting(monkeypatch):
    """Each reading finds one more than the one before."""
    asked = []

    def fetch(config, cursor, now):
        asked.append(now)
        yield Page([metric("triton_model_executions", len(asked), now)], cursor={"n": len(asked)})

    monkeypatch.setattr(REGISTRY["triton_statistics"], "fetch", fetch)
    return asked


def test_reading_now_is_stored_on_return(statistics, counting):
    before = timezone.now()
    pull.now(statistics)
    [sample] = MetricSample.objects.all()
    assert sample.value == 1
    assert before <= sample.at <= timezone.now()
    statistics.refresh_from_db()
    assert (statistics.cursor, statistics.last_fact_at) == ({"n": 1}, sample.at)


def test_failed_reading_is_raised_and_said_at_the_source(statistics, monkeypatch):
    def fetch(config, cursor, now):
        raise FetchError("Nobody answers; check that it runs.")
        yield

    monkeypatch.setattr(REGISTRY["triton_statistics"], "fetch", fetch)
    with pytest.raises(FetchError, match="Nobody answers"):
        pull.now(statistics)
    statistics.refresh_from_db()
    assert statistics.last_error == "Nobody answers; check that it runs."


def test_source_that_pushes_cannot_be_read_now(source):
    with pytest.raises(FetchError, match="Search traffic is not fetched by us"):
        pull.now(source)


@pytest.mark.django_db(transaction=True)
def test_readings_of_one_source_never_cross(statistics, monkeypatch):
    """Stamped earlier and read later, a counter would seem to fall and be taken for a reset."""
    inside, most = [], []

    def fetch(config, cursor, now):
        inside.append(now)
        most.append(len(inside))
        threading.Event().wait(0.05)
        inside.pop()
        yield Page([metric("triton_model_executions", len(most), now)])

    monkeypatch.setattr(REGISTRY["triton_statistics"], "fetch", fetch)

    def read():
        try:
            pull.now(statistics)
        finally:
            connection.close()

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
    values = list(MetricSample.objects.order_by("at").values_list("value", flat=True))
    assert values == [1, 2, 3, 4]
    first, last = (MetricSample.objects.order_by(by).first().at for by in ("at", "-at"))
    assert last - first >= timedelta(seconds=0.15)
