"""Channels and how they do, their messages, and what came of each attempt.

Knows reading; refuses secrets: none is ever opened here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Q

from finops.models import Attempt, Channel, Message
from finops.models.channels import NOT_DELIVERED, REMOVED, WAITING

from . import cursors


@dataclass(frozen=True, slots=True)
class ChannelRow:
    channel: Channel
    waiting: int
    not_delivered: int
    last_sent_at: datetime | None


@dataclass(frozen=True, slots=True)
class MessagePage:
    rows: tuple[Message, ...]
    """Newest first."""
    next: str | None


def channel_list() -> list[ChannelRow]:
    """Those there are, by name."""
    return [_row(channel) for channel in _counted().exclude(state=REMOVED).order_by("name", "pk")]


def one(pk: int) -> ChannelRow | None:
    """One that was removed too: its log stays."""
    found = _counted().filter(pk=pk).first()
    return _row(found) if found else None


def _counted() -> Any:
    return Channel.objects.select_related("created_by").annotate(
        waiting=Count("messages", filter=Q(messages__state=WAITING)),
        not_delivered=Count("messages", filter=Q(messages__state=NOT_DELIVERED)),
        last_sent_at=Max("messages__sent_at"),
    )


def _row(channel: Any) -> ChannelRow:
    return ChannelRow(channel, channel.waiting, channel.not_delivered, channel.last_sent_at)


def message_page(
    channel: Channel, *, state: str = "", limit: int = 50, cursor: str | None = None
) -> MessagePage:
    """The channel's messages, newest first."""
    found = Message.objects.filter(channel=channel).order_by("-id")
    if state:
        found = found.filter(state=state)
    if cursor:
        [last] = cursors.decode(cursor, cursors.identity)
        found = found.filter(pk__lt=last)
    rows = list(found[: limit + 1])
    page = rows[:limit]
    return MessagePage(tuple(page), cursors.encode(page[-1].pk) if len(rows) > limit else None)


def message(channel_pk: int, pk: int) -> Message | None:
    found: Message | None = (
        Message.objects.filter(channel_id=channel_pk, pk=pk).select_related("channel").first()
    )
    return found


def attempts(of: Message) -> list[Attempt]:
    """Newest first."""
    return list(of.log.order_by("-epoch"))
