"""Tells a worker to look now. A nudge may be lost: the sweeper and beat repeat it."""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def nudge(task: str, *args: object) -> None:
    """Send a task without ever waiting for a broker that is away."""
    try:
        current_app.send_task(task, args=args, retry=False)
    except (OperationalError, ConnectionError, TimeoutError) as error:
        log.warning("nudge_lost task=%s error=%s", task, error)
