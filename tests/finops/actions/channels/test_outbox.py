"""Two workers, a worker that is killed, a lease that ran out: one outcome, and nothing lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.db.models import F

from finops.actions import channels
from finops.actions.channels import delivery, managing, outbox
from finops.models import Attempt, Message
from tests.finops.actions.channels.make import notice, webhook

pytestmark = pytest.mark.django_db


def told(to) -> Message:
    channels.enqueue(notice(), [to.pk])
    return Message.objects.latest("id")


def run_out(message: Message) -> None:
    """As if the lease had been taken long ago."""
    Message.objects.filter(pk=message.pk).update(
        lease_expires_at=F("lease_expires_at") - 2 * outbox.LEASE
    )


def test_message_is_held_by_one_worker(receiver):
    message = told(webhook(receiver))

    assert outbox.claim(message.channel_id).epoch == 1
    assert outbox.claim(message.channel_id) is None


def test_only_the_last_holder_says_what_came_of_it(receiver):
    message = told(webhook(receiver))
    first = outbox.claim(message.channel_id)
    slow = delivery.attempt(first)
    run_out(message)
    second = outbox.claim(message.channel_id)

    assert outbox.record(second, delivery.attempt(second))
    assert not outbox.record(first, slow)
    message.refresh_from_db()
    assert (message.state, message.epoch, message.attempts) == ("sent", 2, 2)
    log = [(one.epoch, one.delivered, one.problem) for one in message.log.order_by("epoch")]
    assert log == [(1, False, outbox.LOST), (2, True, "")]
    assert len({got.headers["Breakeven-Id"] for got in receiver.got}) == 1


def test_message_in_somebodys_hands_when_its_channel_goes_off_is_still_told_of(receiver):
    bot = webhook(receiver)
    message = told(bot)
    held = outbox.claim(bot.pk)
    managing.disable(bot, "maintenance", by=None, via="command")

    message.refresh_from_db()
    assert message.state == "waiting"
    assert outbox.record(held, delivery.attempt(held))
    message.refresh_from_db()
    assert message.state == "sent"


def test_message_lost_with_its_worker_while_the_channel_is_off_says_so(receiver):
    bot = webhook(receiver)
    message = told(bot)
    outbox.claim(bot.pk)
    managing.disable(bot, "", by=None, via="command")
    run_out(message)

    assert outbox.sweep() == 0
    message.refresh_from_db()
    assert message.state == "not_delivered"
    assert message.log.get().problem == outbox.LOST


def test_lease_is_much_longer_than_a_sending():
    from finops.channels.base import TIMEOUT_S

    assert timedelta(seconds=3 * TIMEOUT_S) < outbox.LEASE


def killed_at(step: str, channel_id: int) -> int:
    """A worker of its own delivers and ends there as kill -9 would; by which signal it ended."""
    url = urlsplit(os.environ["BREAKEVEN_DATABASE_URL"])
    environment = {
        **os.environ,
        "BREAKEVEN_DATABASE_URL": url._replace(
            path=f"/{connection.settings_dict['NAME']}"
        ).geturl(),
        "BREAKEVEN_DEBUG": "1",
        "BREAKEVEN_FAILPOINT": step,
        "BREAKEVEN_PRIVATE_ADDRESSES": "127.0.0.1/32",
        "BREAKEVEN_PUBLIC_URL": "https://finops.example",
    }
    code = f"from finops.tasks import deliver; deliver({channel_id})"
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", code]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("step", "sent_by_the_dead"), [("channel.claimed", 0), ("channel.sent", 1)]
)
def test_worker_killed_at_work_leaves_a_message_that_arrives(receiver, step, sent_by_the_dead):
    message = told(webhook(receiver))

    assert killed_at(step, message.channel_id) == -signal.SIGKILL
    assert len(receiver.got) == sent_by_the_dead
    assert delivery.deliver(message.channel_id) == 0, "not while its lease holds"
    run_out(message)
    assert outbox.due_channels() == [message.channel_id]
    assert delivery.deliver(message.channel_id) == 1
    message.refresh_from_db()
    assert message.state == "sent"
    assert len(receiver.got) == sent_by_the_dead + 1
    assert {got.headers["Breakeven-Id"] for got in receiver.got} == {str(message.public_id)}
    assert len({got.body for got in receiver.got}) == 1
    assert Attempt.objects.filter(delivered=True).count() == 1
