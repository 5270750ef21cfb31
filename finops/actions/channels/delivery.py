"""Sends what the outbox holds: claim, send, record, one message after the other.

Knows how a row becomes a message for a receiver. At least once: a worker that dies between sending
and recording leaves a message that is sent again, with the same id, so that receivers can drop it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from finops.channels import SENDERS, secret
from finops.channels.base import Outgoing, SendError, Taken
from finops.models import Message, SlackThread
from ingest import encryption, failpoints

from .outbox import Held, Outcome, claim, record

STEPS = ("channel.claimed", "channel.sent", "channel.recorded")
"""Where a test may end the process, in the order in which each message passes them."""

MOST_AT_ONCE = 20
"""A task ends within minutes even where each sending takes its whole time; the next one goes on."""


def deliver(channel_id: int) -> int:
    """Send what is due of one channel; how many attempts that took."""
    for done in range(MOST_AT_ONCE):
        held = claim(channel_id)
        if held is None:
            return done
        failpoints.passed("channel.claimed", STEPS)
        outcome = attempt(held)
        failpoints.passed("channel.sent", STEPS)
        record(held, outcome)
        failpoints.passed("channel.recorded", STEPS)
    return MOST_AT_ONCE


def attempt(held: Held) -> Outcome:
    """Send once, whatever comes of it."""
    began = time.monotonic()
    return Outcome(_sent(held), (time.monotonic() - began) * 1000)


def _sent(held: Held) -> Taken | SendError:
    channel = held.channel
    try:
        opened = secret.opened(channel)
        return SENDERS[channel.kind].send(channel.config, opened, outgoing_of(held.message))
    except SendError as error:
        return error
    except encryption.CannotDecrypt as error:
        return SendError(str(error))


def outgoing_of(message: Message) -> Outgoing:
    told: Mapping[str, Any] = message.payload
    thread = SlackThread.objects.filter(channel=message.channel_id, alert_id=message.alert_id)
    begun = thread.first()
    return Outgoing(
        public_id=str(message.public_id),
        alert_id=told["alert_id"],
        event=told["event"],
        severity=told["severity"],
        title=told["title"],
        text=told["text"],
        project=told["project"],
        figures=told["figures"],
        at=datetime.fromisoformat(told["at"]),
        link=link(told["url_path"]),
        attempt=message.attempts,
        thread=begun.ts if begun else "",
        # Sent again by hand, an older event does not hide what the first message shows now.
        is_news=begun is None or message.at >= begun.shown_at,
    )


def link(path: str) -> str:
    """Absolute, or empty where nobody said what this installation's address is."""
    base = public_address()
    return f"{base}/{path.lstrip('/')}" if base and path else ""


def public_address() -> str:
    """As it was set, else the first origin that is trusted."""
    origins = settings.CSRF_TRUSTED_ORIGINS
    # A pattern such as https://*.example.com is no address.
    plain = [origin for origin in origins if "*" not in origin]
    address: str = settings.PUBLIC_URL or (plain[0] if plain else "")
    return address.rstrip("/")
