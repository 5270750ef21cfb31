from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from ingest import jobs, store
from ingest.models import Job, Span
from tests.ingest.make import span

pytestmark = pytest.mark.django_db

SLOT = datetime(2026, 11, 10, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nudged(monkeypatch):
    sent = []
    monkeypatch.setattr(jobs, "nudge", lambda task, *args: sent.append(args))
    return sent


@pytest.fixture
def job():
    jobs.enqueue("pull", "1", SLOT)
    return Job.objects.get()


def expire(job):
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))


def test_two_schedulers_make_one_job(job):
    assert jobs.enqueue("pull", "1", SLOT) is False
    assert Job.objects.count() == 1


def test_only_one_worker_gets_a_job(job):
    assert jobs.claim(job.pk) is not None
    assert jobs.claim(job.pk) is None


def test_job_of_a_dead_worker_can_be_taken_and_the_dead_one_may_not_write(job, source):
    _, dead = jobs.claim(job.pk)
    expire(job)
    _, alive = jobs.claim(job.pk)
    with pytest.raises(jobs.LeaseLost), transaction.atomic():
        store.spans(source, [span(1)], lease=dead)
    assert not Span.objects.exists()
    store.spans(source, [span(1)], lease=alive)
    assert not jobs.finish(dead)
    assert jobs.finish(alive)
    assert Job.objects.get().state == "done"


def test_sweeper_nudges_what_waits_and_what_lost_its_worker(job, nudged):
    assert jobs.sweep() == 1
    jobs.claim(job.pk)
    assert jobs.sweep() == 0
    expire(job)
    assert jobs.sweep() == 1
    assert nudged == [(job.pk,), (job.pk,)]


def test_job_that_keeps_dying_is_given_up_with_a_reason(job):
    for _ in range(jobs.MOST_ATTEMPTS):
        assert jobs.claim(job.pk) is not None
        expire(job)
    assert jobs.claim(job.pk) is None
    job.refresh_from_db()
    assert (job.state, job.error) == ("failed", "Gave up after 5 attempts.")
