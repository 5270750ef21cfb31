"""Kill -9 of a pull and of a back-fill at every named step: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ingest import backfill, failpoints, jobs, pull
from ingest.models import Job, Source
from tests.pulled import pulled

from .langfuse_oracle import compare
from .sources.langfuse_stub import Observation, Score, Stub, Trace, serving
from .test_langfuse_pull import connect, some

pytestmark = pytest.mark.django_db(transaction=True)

TIMES = (1, 2, 3)
PLACES = [f"{name}:{time}" for time in TIMES for name in failpoints.PULL]


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    monkeypatch.setattr(jobs, "nudge", lambda task, *args: None)


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with serving(Stub()) as serves:
        yield serves
    assert serves.complaints == []


def killed_at(place: str, job: Job, settings) -> None:
    """Run a job in a process of its own that ends at a named place."""
    # A pool's threads do not come along into the child: it makes a pool of its own.
    connection.close()
    connection.close_pool()
    with warnings.catch_warnings():
        # The server's threads do not matter: the child uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            settings.FAILPOINT = place
            pull.run_job(job.pk)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{place} was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL
    # Its worker is gone, and nobody writes for it: the lease runs out.
    expired = timezone.now() - timedelta(seconds=1)
    assert Job.objects.filter(pk=job.pk, state="running").update(lease_expires_at=expired) == 1


def test_pull_that_dies_anywhere_loses_nothing(stub, project, settings):
    source = connect(stub, project, page_size=9)
    start = timezone.now() - timedelta(minutes=20)
    for number, place in enumerate(PLACES):
        some(stub, 9, start + timedelta(seconds=30 * number), name=f"n{number:02}")
        jobs.enqueue("pull", str(source.pk), timezone.now())
        job = Job.objects.latest("pk")
        killed_at(place, job, settings)
        pull.run_job(job.pk)
        job.refresh_from_db()
        assert (job.state, job.attempts) == ("done", 2), place
        compare(source, stub)
    totals = pulled()
    rows = len(stub.observations) + len(stub.scores)
    assert totals.inserted == rows == 2 * 9 * len(PLACES)
    assert (totals.updated, totals.stale, totals.rejected) == (0, 0, 0)
    assert totals.rows_in == totals.inserted + totals.unchanged


def test_backfill_that_dies_anywhere_goes_on_where_it_was(stub, project, settings):
    begin, end = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 4, tzinfo=UTC)
    for number in range(72):
        at, trace = begin + timedelta(hours=number), f"t{number // 3}"
        stub.add(Trace(trace, at), Observation(f"c{number:02}", trace, at))
        stub.add(Score(f"s{number:02}", trace, at, value=number / 7))
    source = connect(stub, project, page_size=2)
    job = backfill.start(source, begin, end)
    reached = begin
    for place in PLACES:
        killed_at(place, job, settings)
        job.refresh_from_db()
        told = backfill.progress_of(job)
        assert told.reached >= reached, place
        reached = told.reached
    assert 0 < told.share < 1
    pull.run_job(job.pk)

    compare(source, stub)
    job.refresh_from_db()
    counts = backfill.progress_of(job).counts
    # Each row was stored by exactly one of thirteen processes.
    assert (job.state, counts.inserted, counts.rows_in) == ("done", 144, 144)
    assert Source.objects.get(pk=source.pk).last_error == ""


def test_name_that_no_step_has_is_refused():
    with pytest.raises(failpoints.NoSuchFailpoint):
        failpoints.hit("pull.somewhere")
