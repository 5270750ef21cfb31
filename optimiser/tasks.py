"""What Celery may ask of this room: the second pair of hands, for when the controller is gone."""

from __future__ import annotations

from celery import shared_task

from optimiser import rollout


@shared_task
def take_over() -> int:
    return rollout.take_over()
