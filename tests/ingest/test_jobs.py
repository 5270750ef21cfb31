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


def test_job_that_was_put_off_waits_for_its_time(job, nudged):
    _, lease = jobs.claim(job.pk)
    until = timezone.now() + timedelta(minutes=1)
    lease.put_off(until, "Delayed.")
    job.refresh_from_db()

    assert (job.state, job.error, job.attempts) == ("waiting", "Delayed.", 0)
    assert timedelta() < job.scheduled_for - until <= timedelta(milliseconds=1)
    assert jobs.claim(job.pk) is None
    assert jobs.sweep() == 0
    with pytest.raises(jobs.LeaseLost):
        lease.renew()
    Job.objects.update(scheduled_for=timezone.now() - timedelta(minutes=1))
    assert jobs.sweep() == 1
    _, second = jobs.claim(job.pk)
    assert second.epoch == lease.epoch + 1


def test_job_that_is_put_off_to_now_is_nudged_at_once(
    job, nudged, django_capture_on_commit_callbacks
):
    _, lease = jobs.claim(job.pk)
    with django_capture_on_commit_callbacks(execute=True):
        lease.put_off(timezone.now(), is_attempt=True)
    job.refresh_from_db()
    assert nudged == [(job.pk,)]
    assert job.attempts == 1
    assert jobs.claim(job.pk) is not None


def test_progress_brings_back_all_attempts_and_failure_can_be_opened_again(job):
    _, lease = jobs.claim(job.pk)
    lease.renew({"reached": 3})
    job.refresh_from_db()
    assert (job.attempts, job.progress) == (0, {"reached": 3})
    jobs.finish(lease, "No.")
    job.refresh_from_db()
    jobs.reopen(job)
    again, _ = jobs.claim(job.pk)
    assert (again.progress, again.error, again.finished_at) == ({"reached": 3}, "", None)
