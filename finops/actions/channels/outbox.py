"""The outbox: which message goes next, who may send it, what came of it.

Knows leases and their epochs, by the database's clock. A channel's messages go one after the other,
the oldest first. Refuses to send: see `delivery`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from finops import audit
from finops.channels import SENDERS
from finops.channels.base import LATER, OFF, SendError, Taken
from finops.models import Attempt, Channel, Message, SlackPress, SlackThread
from finops.models.channels import ACTIVE, DISABLED, FAILED, NOT_DELIVERED, SENT, WAITING
from ingest.nudge import nudge

from . import holders
from .notices import DELIVER

LEASE = timedelta(seconds=60)
"""Much longer than a sending may take: whoever holds one has recorded what came of it, or is gone.
"""

FIRST_WAIT_S, LONGEST_WAIT_S = 5.0, 1800.0
GIVE_UP_AFTER = timedelta(days=1)
KEPT_FOR = timedelta(days=180)
FORGOTTEN_AT_ONCE = 5000
TEST = "test"

LOST = (
    "The worker ended before it could say what came of this attempt; the receiver may have got it."
)

FREE = Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now())
LENGTH = 500


@dataclass(frozen=True)
class Held:
    """The right to send one message once and to say what came of it."""

    channel: Channel
    message: Message
    epoch: int


@dataclass(frozen=True)
class Outcome:
    """What came of one attempt."""

    result: Taken | SendError
    duration_ms: float


def lease() -> dict[str, Any]:
    return {
        "lease_holder": holders.me(),
        "lease_expires_at": Now() + LEASE,
    }


def claim(channel_id: int) -> Held | None:
    """Take the channel's oldest message if it is due; None where there is nothing to do now.

    While the oldest is being sent, or waits for its next attempt, the others wait behind it.
    """
    free = Q(paused_until=None) | Q(paused_until__lte=Now())
    with transaction.atomic():
        # `no_key`: whoever adds a message to this channel holds its key until the commit.
        channels = Channel.objects.select_for_update(skip_locked=True, no_key=True)
        channel = channels.filter(free, pk=channel_id, state=ACTIVE).first()
        if channel is None:
            return None
        oldest = channel.messages.filter(state=WAITING).order_by("id").values("pk")[:1]
        message = Message.objects.filter(FREE, pk__in=oldest, next_try_at__lte=Now()).first()
        if message is None:
            return None
        _bury(message)
        message.epoch, message.attempts = message.epoch + 1, message.attempts + 1
        Message.objects.filter(pk=message.pk).update(
            epoch=message.epoch, attempts=message.attempts, **lease()
        )
    return Held(channel, message, message.epoch)


def _bury(message: Message) -> None:
    """Its last holder is gone without a word: the log says so."""
    if message.lease_expires_at is not None:
        Attempt.objects.create(
            message=message,
            epoch=message.epoch,
            at=message.lease_expires_at - LEASE,
            delivered=False,
            problem=LOST,
        )


def record(held: Held, outcome: Outcome) -> bool:
    """Write what came of it; False where the lease has passed to somebody else, who will."""
    result = outcome.result
    with transaction.atomic():
        channel = Channel.objects.select_for_update(no_key=True).get(pk=held.channel.pk)
        mine = Message.objects.filter(pk=held.message.pk, epoch=held.epoch, state=WAITING)
        too_old = Q(waiting_since__lt=Now() - GIVE_UP_AFTER)
        message = mine.annotate(is_too_old=ExpressionWrapper(too_old, BooleanField())).first()
        if message is None:
            return False
        _log(held, outcome)
        mine.update(**_changes(message, result), lease_holder="", lease_expires_at=None)
        if isinstance(result, Taken) and result.thread:
            _keep_thread(message, result.thread)
        _pace(channel, result)
        if isinstance(result, SendError) and result.meaning == OFF:
            switch_off(channel, result.problem)
            audit.record(
                None,
                "system",
                "channel.disable",
                channel,
                {"name": channel.name, "why": result.problem},
            )
        elif channel.state != ACTIVE:
            settle(channel)
    return True


def _log(held: Held, outcome: Outcome) -> None:
    result = outcome.result
    failed = result if isinstance(result, SendError) else None
    warning = result.warning if isinstance(result, Taken) else ""
    Attempt.objects.create(
        message=held.message,
        epoch=held.epoch,
        at=Now() - timedelta(milliseconds=outcome.duration_ms),
        delivered=failed is None,
        status_code=result.status_code,
        retry_after_s=failed.retry_after_s if failed else None,
        duration_ms=outcome.duration_ms,
        problem=failed.problem[:LENGTH] if failed else "",
        response_excerpt=(warning or result.excerpt)[:300],
    )


def _keep_thread(message: Message, ts: str) -> None:
    at = {"channel_id": message.channel_id, "alert_id": message.alert_id}
    held = SlackThread.objects.filter(**at).first()
    shown_at = message.at if held is None else max(message.at, held.shown_at)
    SlackThread.objects.update_or_create(**at, defaults={"ts": ts, "shown_at": shown_at})


def _changes(message: Any, result: Taken | SendError) -> dict[str, Any]:
    """What the message is from now on."""
    if isinstance(result, Taken):
        return {"state": SENT, "sent_at": Now(), "last_problem": result.warning[:LENGTH]}
    problem = result.problem[:LENGTH]
    if result.meaning == OFF:
        return {"state": NOT_DELIVERED, "last_problem": problem}
    if result.meaning != LATER or message.event == TEST:
        return {"state": FAILED, "last_problem": problem}
    if message.is_too_old:
        return {"state": FAILED, "last_problem": f"Given up after a day. {problem}"[:LENGTH]}
    wait_s = result.retry_after_s
    if wait_s is None:
        wait_s = backoff_s(message.attempts)
    return {"next_try_at": Now() + timedelta(seconds=wait_s), "last_problem": problem}


def backoff_s(attempts: int) -> float:
    """Twice as long each time, with jitter: receivers that were away are not all met at once."""
    most = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 20))
    return most * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _pace(channel: Channel, result: Taken | SendError) -> None:
    """What the receiver asked for holds for the whole channel, not for one message alone."""
    asked_s = result.retry_after_s if isinstance(result, SendError) else None
    wait_s = SENDERS[channel.kind].spacing_s if asked_s is None else asked_s
    if wait_s:
        until = Now() + timedelta(seconds=wait_s)
        Channel.objects.filter(pk=channel.pk).update(paused_until=until)


def switch_off(channel: Channel, why: str) -> None:
    """In the caller's transaction, which holds the channel. What waits is kept."""
    Channel.objects.filter(pk=channel.pk).update(
        state=DISABLED, state_reason=why[:LENGTH], state_at=Now(), paused_until=None
    )
    channel.state, channel.state_reason = DISABLED, why[:LENGTH]
    settle(channel)


def settle(channel: Channel) -> None:
    """What waits for a channel that is off is not delivered, and says why.

    One that is just being sent is left to whoever sends it.
    """
    waiting = channel.messages.filter(FREE, state=WAITING)
    for message in waiting.exclude(lease_expires_at=None):
        _bury(message)
    waiting.update(
        state=NOT_DELIVERED,
        last_problem=f"The channel is off: {channel.state_reason}"[:LENGTH],
        lease_holder="",
        lease_expires_at=None,
    )


def put_back(messages: QuerySet[Message]) -> int:
    """Let them wait again from now on, each with its id; how many there were."""
    count: int = messages.exclude(state=WAITING).update(
        state=WAITING, attempts=0, waiting_since=Now(), next_try_at=Now(), last_problem=""
    )
    return count


def sweep() -> int:
    """Nudge again for every channel whose next message is due; how many channels there were."""
    release_left_behind()
    for channel in Channel.objects.exclude(state=ACTIVE).filter(messages__state=WAITING).distinct():
        with transaction.atomic():
            settle(Channel.objects.select_for_update(no_key=True).get(pk=channel.pk))
    due = due_channels()
    for pk in due:
        nudge(DELIVER, pk)
    return len(due)


def release_left_behind() -> int:
    """Take messages back from workers of this machine that are gone: no lease is waited out."""
    under_way = Message.objects.filter(state=WAITING, lease_expires_at__gt=Now())
    count = 0
    for pk, channel_id, epoch, holder in under_way.values_list(
        "pk", "channel_id", "epoch", "lease_holder"
    ):
        if not holders.is_gone(holder):
            continue
        with transaction.atomic():
            Channel.objects.select_for_update(no_key=True).get(pk=channel_id)
            message = Message.objects.filter(pk=pk, epoch=epoch, lease_holder=holder).first()
            if message is not None:
                _bury(message)
                Message.objects.filter(pk=pk).update(lease_holder="", lease_expires_at=None)
                count += 1
    return count


def due_channels() -> list[int]:
    heads = (
        Message.objects.filter(state=WAITING, channel__state=ACTIVE)
        .order_by("channel_id", "id")
        .distinct("channel_id")
        .values("pk")
    )
    awake = Q(channel__paused_until=None) | Q(channel__paused_until__lte=Now())
    found: Iterable[int] = Message.objects.filter(
        FREE, awake, pk__in=heads, next_try_at__lte=Now()
    ).values_list("channel_id", flat=True)
    return sorted(found)


def forget_old() -> int:
    """Delete what was over long ago, with its log; how many messages that were."""
    old = Message.objects.exclude(state=WAITING).filter(created_at__lt=Now() - KEPT_FOR)
    with transaction.atomic():
        held = old.select_for_update(skip_locked=True).order_by("id")
        pks = list(held.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        # Each log with its message: neither is ever changed, both go together.
        Attempt.objects.filter(message__in=pks).delete()
        Message.objects.filter(pk__in=pks).delete()
        SlackThread.objects.filter(shown_at__lt=Now() - KEPT_FOR).delete()
        SlackPress.objects.filter(at__lt=Now() - KEPT_FOR).delete()
    return len(pks)
