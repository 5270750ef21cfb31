"""Adds channels, changes them, switches them off and on, sends again: whatever people do to them.

Every change is audited in its own transaction. Refuses to show a secret twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from finops import audit
from finops.channels import SENDERS, secret
from finops.channels.base import BadConfig, Sender
from finops.channels.webhook import with_new_key
from finops.models import Attempt, Channel, Message, User
from finops.models.channels import (
    ACTIVE,
    NOT_DELIVERED,
    REMOVED,
    WAITING,
    WEBHOOK,
)
from ingest.nudge import nudge

from .delivery import attempt
from .notices import DELIVER, Notice
from .outbox import TEST, Held, lease, put_back, record, settle, switch_off

NAME_LENGTH = 100
TAKEN = "There is a channel of this name; choose another one."


class Refused(ValueError):
    """It cannot be like that: `field` says where, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@dataclass(frozen=True, kw_only=True)
class NewChannel:
    kind: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    secret: Mapping[str, Any] = field(default_factory=dict)


def add(new: NewChannel, *, by: User | None, via: str) -> tuple[Channel, str]:
    """A new channel, and the signing key where one was made: it is shown this once.

    Raises Refused.
    """
    sender = _sender(new.kind)
    name = _name(new.name)
    config = _sound(lambda: sender.check_config(new.config))
    made = _sound(lambda: sender.check_secret(new.secret))
    with _names_are_unique(), transaction.atomic():
        channel = Channel.objects.create(
            kind=new.kind,
            name=name,
            config=config,
            secret=secret.locked(made),
            state_at=timezone.now(),
            created_by=by,
        )
        audit.record(by, via, "channel.add", channel, {"kind": new.kind, "name": name})
    return channel, made.get("key", "")


def change(
    channel: Channel,
    *,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    by: User | None,
    via: str,
) -> list[str]:
    """The names of what is different now; None stays as it is. Raises Refused."""
    with _names_are_unique(), _held(channel) as row:
        told: dict[str, Any] = {}
        if name is not None and _name(name) != row.name:
            told["name"] = _name(name)
        if config is not None:
            sound = _sound(lambda: SENDERS[row.kind].check_config(config))
            if sound != row.config:
                told["config"] = sound
        if told:
            Channel.objects.filter(pk=row.pk).update(**told)
            # Of settings only that they changed: an address may be nobody's business.
            detail = {"name": row.name, "to": told.get("name"), "changed": sorted(told)}
            audit.record(by, via, "channel.change", row, detail)
    channel.refresh_from_db()
    return sorted(told)


def rotate(channel: Channel, given: Mapping[str, Any], *, by: User | None, via: str) -> str:
    """Another secret: Slack's, which is given, or a new key, which is returned this once.

    The old key goes on signing beside the new one for a day. Raises Refused.
    """
    if channel.secret is None and channel.state != REMOVED:
        raise Refused("secret", "This channel has no secret of its own.")
    # Before the row is held: a Slack app's token is tried at Slack.
    fresh = _sound(lambda: SENDERS[channel.kind].check_secret(given))
    with _held(channel) as row:
        if row.kind == WEBHOOK:
            fresh = with_new_key(secret.opened(row), timezone.now())
        Channel.objects.filter(pk=row.pk).update(secret=secret.locked(fresh))
        audit.record(by, via, "channel.rotate", row, {"name": row.name})
    return str(fresh.get("key", ""))


def disable(channel: Channel, why: str, *, by: User | None, via: str) -> bool:
    """Off; what waits is kept as not delivered. False where it was off already."""
    with _held(channel) as row:
        if row.state != ACTIVE:
            return False
        who = by.get_username() if by else "a command"
        said = why.strip()[:300]
        switch_off(row, f"Switched off by {who}{f': {said}' if said else '.'}")
        audit.record(by, via, "channel.disable", row, {"name": row.name, "why": said})
    return True


def enable(channel: Channel, *, send_again: bool, by: User | None, via: str) -> int:
    """On; how many messages that were not delivered are sent now, if they are wanted."""
    with _held(channel) as row:
        if row.state == ACTIVE:
            return 0
        Channel.objects.filter(pk=row.pk).update(state=ACTIVE, state_reason="", state_at=Now())
        kept = row.messages.filter(state=NOT_DELIVERED).exclude(event=TEST)
        count = put_back(kept) if send_again else 0
        detail = {"name": row.name, "messages_sent_again": count}
        audit.record(by, via, "channel.enable", row, detail)
        transaction.on_commit(lambda: nudge(DELIVER, row.pk))
    return count


def remove(channel: Channel, *, by: User | None, via: str) -> None:
    """For good: its secret is deleted; its log stays, and the name is free again."""
    with _held(channel) as row:
        who = by.get_username() if by else "a command"
        row.state_reason = f"Removed by {who}."
        Channel.objects.filter(pk=row.pk).update(
            state=REMOVED, state_reason=row.state_reason, state_at=Now(), secret=None
        )
        settle(row)
        audit.record(by, via, "channel.remove", row, {"name": row.name, "kind": row.kind})


def redeliver(message: Message, *, by: User | None, via: str) -> None:
    """Send one message again, with the id it had. Raises Refused."""
    with _held(message.channel) as row:
        if row.state != ACTIVE:
            raise Refused("channel", "The channel is off; switch it on first.")
        if message.event == TEST:
            raise Refused("message", "A test is not sent again; send another one.")
        if put_back(Message.objects.filter(pk=message.pk)) == 0:
            raise Refused("message", "It waits to be sent already.")
        detail = {"channel": row.name, "alert": message.alert_id, "event": message.event}
        audit.record(by, via, "channel.redeliver", message, detail)
        transaction.on_commit(lambda: nudge(DELIVER, row.pk))


def send_test(channel: Channel, *, by: User | None, via: str) -> Attempt:
    """Send a test message now and say what came of it; it is tried once. Raises Refused."""
    now = timezone.now()
    with _held(channel) as row:
        if row.paused_until is not None and row.paused_until > now:
            until = f"{row.paused_until:%H:%M:%S} UTC"
            raise Refused("channel", f"The receiver wants no message before {until}; wait.")
        notice = test_notice(row, by, now)
        message = Message.objects.create(
            public_id=uuid.uuid4(),
            channel=row,
            alert_id=notice.alert_id,
            event=TEST,
            at=now,
            payload=notice.as_json(),
            state=WAITING,
            waiting_since=now,
            next_try_at=now,
            attempts=1,
            epoch=1,
            **lease(),
        )
        audit.record(by, via, "channel.test", row, {"name": row.name})
    held = Held(row, message, 1)
    record(held, attempt(held))
    made: Attempt = Attempt.objects.get(message=message, epoch=1)
    return made


def test_notice(channel: Channel, by: User | None, at: datetime) -> Notice:
    who = by.get_username() if by else "somebody at the command line"
    return Notice(
        alert_id=f"test-{uuid.uuid4().hex[:12]}",
        event=TEST,
        severity="info",
        title=f"Breakeven reaches “{channel.name}”",
        text=f"A test that {who} asked for. Nothing is wrong, and nothing is to be done.",
        url_path=f"/settings/channels/{channel.pk}",
        project="",
        figures={},
        at=at,
    )


@contextmanager
def _held(channel: Channel) -> Iterator[Channel]:
    """The channel's row until the end of the transaction. Raises Refused where it was removed."""
    with transaction.atomic():
        row = Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)
        if row.state == REMOVED:
            raise Refused("channel", "This channel was removed; add another one.")
        yield row


def _sender(kind: str) -> Sender:
    if kind not in SENDERS:
        raise Refused("kind", f"Use one of {', '.join(SENDERS)}.")
    return SENDERS[kind]


def _name(name: str) -> str:
    if not 0 < len(name.strip()) <= NAME_LENGTH:
        raise Refused("name", f"Give it a name of at most {NAME_LENGTH} characters.")
    return name.strip()


def _sound(check: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return check()
    except BadConfig as bad:
        raise Refused(bad.field, bad.message) from bad


@contextmanager
def _names_are_unique() -> Iterator[None]:
    """Two people may choose the same name at once; the database keeps one."""
    try:
        yield
    except IntegrityError as error:
        raise Refused("name", TAKEN) from error
