"""What Celery may ask of this room. Each fetches by id and calls one function."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from ingest import jobs, partitions, pull, rollup
from ingest.store import errors, parts, texts

MOST_GROUPS_A_TASK = 200


@shared_task
def roll_up() -> int:
    return rollup.roll_up(MOST_GROUPS_A_TASK, rests=True)


@shared_task
def sum_users() -> int:
    return rollup.sum_users(timezone.now())


@shared_task
def schedule_pulls() -> int:
    return pull.schedule(timezone.now())


@shared_task
def run_job(job_id: int) -> None:
    pull.run_job(job_id)


@shared_task
def keep_house() -> None:
    now = timezone.now()
    partitions.drop_expired(now.date())
    texts.purge(now)
    parts.forget(now)
    errors.forget(now)
    jobs.forget_finished(now - timedelta(days=1))
    pull.forget_rejects(now - timedelta(days=7))
