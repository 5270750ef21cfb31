"""Puts what is to be told into the outbox, in the transaction of what is told.

Knows which channels take a message now. Refuses to send: a worker does, after the commit.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from finops.models import Channel, Message
from finops.models.channels import ACTIVE, NOT_DELIVERED, REMOVED, WAITING
from ingest.nudge import nudge

log = logging.getLogger(__name__)

DELIVER = "finops.tasks.deliver"

EVENTS = ("opened", "reminder", "escalated", "acknowledged", "snoozed", "flapping", "resolved")
SEVERITIES = ("info", "warning", "critical")


@dataclass(frozen=True)
class Notice:
    """One event of one alert, in words for people. `url_path` is the alert's page."""

    alert_id: str
    event: str
    severity: str
    title: str
    text: str
    url_path: str
    project: str
    figures: Mapping[str, str]
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """What is kept of it and goes out: plain values alone."""
        return {
            "alert_id": self.alert_id,
            "event": self.event,
            "severity": self.severity,
            "title": self.title,
            "text": self.text,
            "url_path": self.url_path,
            "project": self.project,
            "figures": dict(self.figures),
            "at": self.at.isoformat(),
        }


def enqueue(notice: Notice, channel_ids: Iterable[int]) -> int:
    """Write the notice into the outbox of each channel; how many messages that made.

    Belongs in the transaction of what it tells. The same notice twice is one message. A channel
    that is off keeps it as not delivered; one that was removed gets none.
    """
    if notice.event not in EVENTS or notice.severity not in SEVERITIES:
        raise ValueError(f"No notice is of event {notice.event!r} and severity {notice.severity!r}")
    wanted = set(channel_ids)
    with transaction.atomic():
        found = list(Channel.objects.filter(pk__in=wanted).exclude(state=REMOVED).order_by("pk"))
        if len(found) < len(wanted):
            log.warning("notice_to_removed_channel alert=%s", notice.alert_id)
        return sum(put(channel, notice) for channel in found)


def put(channel: Channel, notice: Notice) -> bool:
    """Whether that made a message: False where this channel has it already."""
    now = timezone.now()
    is_on = channel.state == ACTIVE
    _, is_new = Message.objects.get_or_create(
        channel=channel,
        alert_id=notice.alert_id,
        event=notice.event,
        at=notice.at,
        defaults={
            "public_id": uuid.uuid4(),
            "payload": notice.as_json(),
            "state": WAITING if is_on else NOT_DELIVERED,
            "waiting_since": now,
            "next_try_at": now,
            "last_problem": "" if is_on else f"The channel is off: {channel.state_reason}"[:500],
        },
    )
    if not is_new:
        return False
    if is_on:
        transaction.on_commit(lambda: nudge(DELIVER, channel.pk))
    return True
