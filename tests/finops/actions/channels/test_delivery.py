"""From the outbox to a real receiver, and whatever it answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from finops.actions import channels
from finops.actions.channels import delivery, outbox
from finops.models import Attempt, Audit, Channel, Message
from tests.finops.actions.channels.make import channel, notice, slack, webhook
from tests.stubs.receivers import Reply

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]


def told(to: Channel, **changes) -> Message:
    channels.enqueue(notice(**changes), [to.pk])
    return Message.objects.latest("id")


def due_now(message: Message) -> None:
    """As if the time of its next attempt had come."""
    Message.objects.filter(pk=message.pk).update(next_try_at=timezone.now())
    Channel.objects.filter(pk=message.channel_id).update(paused_until=None)


def test_slack_is_told_within_its_limits(receiver):
    message = told(slack(receiver))

    assert delivery.deliver(message.channel_id) == 1
    message.refresh_from_db()
    assert (message.state, message.attempts, receiver.objections) == ("sent", 1, [])
    attempt = message.log.get()
    assert (attempt.delivered, attempt.status_code, attempt.response_excerpt) == (True, 200, "ok")
    payload = receiver.got[0].json
    assert payload["blocks"][0]["text"]["text"] == "Critical: Budget of search used up"
    assert payload["blocks"][-1]["elements"][0]["url"] == "https://finops.example/alerts/7"
    assert receiver.got[0].headers["Breakeven-Id"] == str(message.public_id)


def test_webhook_is_signed_and_carries_its_id(receiver):
    message = told(webhook(receiver))

    assert delivery.deliver(message.channel_id) == 1
    assert receiver.objections == []
    got = receiver.got[0]
    assert got.json == {
        "id": str(message.public_id),
        "type": "alert.opened",
        "alert": {
            "id": "7",
            "severity": "critical",
            "title": "Budget of search used up",
            "text": "Search spent 102 % of its month.",
            "project": "search",
            "figures": {"Spent": "1,020.00 USD", "Budget": "1,000.00 USD"},
            "at": "2026-11-02T12:00:00+00:00",
            "url": "https://finops.example/alerts/7",
        },
    }
    assert got.headers["Breakeven-Id"] == str(message.public_id)
    assert Attempt.objects.get().status_code == 204


@pytest.mark.parametrize("asked", ["40", "date"])
def test_retry_after_is_honoured_exactly_for_the_whole_channel(receiver, asked):
    ops = webhook(receiver)
    first, second = told(ops), told(ops, event="resolved")
    if asked == "date":
        asked = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    receiver.script = [Reply(429, b"slow down", {"Retry-After": asked})]

    assert delivery.deliver(ops.pk) == 1
    first.refresh_from_db()
    ops.refresh_from_db()
    wait_s = (first.next_try_at - timezone.now()).total_seconds()
    assert wait_s == pytest.approx(40, abs=5)
    assert ops.paused_until - first.next_try_at < timedelta(seconds=1)
    assert first.log.get().retry_after_s == pytest.approx(40, abs=5)
    assert delivery.deliver(ops.pk) == 0, "not a moment before"
    due_now(first)
    assert delivery.deliver(ops.pk) == 2
    assert [got.json["type"] for got in receiver.got] == [
        "alert.opened",
        "alert.opened",
        "alert.resolved",
    ]
    assert {first.public_id, second.public_id} == set(
        Message.objects.filter(state="sent").values_list("public_id", flat=True)
    )


@pytest.mark.parametrize("status", [500, 502, 503, 408, 302])
def test_passing_failures_are_tried_again_after_a_growing_wait(receiver, status):
    message = told(webhook(receiver))
    waits = []
    for _ in range(3):
        receiver.script = [Reply(status, b"oh no")]
        began = timezone.now()
        delivery.deliver(message.channel_id)
        message.refresh_from_db()
        took_s = (timezone.now() - began).total_seconds()
        waits.append(((message.next_try_at - began).total_seconds(), took_s))
        due_now(message)

    assert message.state == "waiting"
    assert message.last_problem == f"The receiver answered {status}."
    for n, (wait_s, took_s) in enumerate(waits):
        assert 5 * 2**n * 0.5 <= wait_s <= 5 * 2**n + took_s
    assert delivery.deliver(message.channel_id) == 1
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("sent", 4)
    assert len({got.headers["Breakeven-Id"] for got in receiver.got}) == 1
    assert [got.headers["Breakeven-Attempt"] for got in receiver.got] == ["1", "2", "3", "4"]


def test_order_of_a_channel_is_kept_while_its_oldest_waits(receiver):
    ops = webhook(receiver)
    for event in ("opened", "reminder", "resolved"):
        told(ops, event=event)
    receiver.script = [Reply(500)]

    assert delivery.deliver(ops.pk) == 1
    assert delivery.deliver(ops.pk) == 0
    due_now(Message.objects.earliest("id"))
    assert delivery.deliver(ops.pk) == 3
    assert [got.json["type"] for got in receiver.got] == [
        "alert.opened",
        "alert.opened",
        "alert.reminder",
        "alert.resolved",
    ]


@pytest.mark.parametrize("reply", [Reply(never=True), Reply(200, b"o" * 50, {}, drip_s=0.2)])
def test_receiver_that_is_slow_or_silent_holds_nobody_up(receiver, impatient, reply):
    message = told(slack(receiver))
    receiver.script = [reply]

    assert delivery.deliver(message.channel_id) == 1
    message.refresh_from_db()
    assert message.state == "waiting"
    assert message.log.get().duration_ms < 8000
    due_now(message)
    assert delivery.deliver(message.channel_id) == 1
    message.refresh_from_db()
    assert message.state == "sent"


def test_message_is_given_up_after_a_day_and_the_next_is_tried(receiver):
    ops = webhook(receiver)
    old, new = told(ops), told(ops, event="resolved")
    Message.objects.filter(pk=old.pk).update(waiting_since=F("waiting_since") - timedelta(hours=25))
    receiver.script = [Reply(500)]

    assert delivery.deliver(ops.pk) == 2
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, new.state) == ("failed", "sent")
    assert old.last_problem == "Given up after a day. The receiver answered 500."


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (403, b"invalid_token"),
        (404, b"no_service"),
        (410, b"channel_is_archived"),
        (200, b'{"ok": false, "error": "account_inactive"}'),
    ],
)
def test_dead_slack_webhook_switches_its_channel_off_and_keeps_the_messages(receiver, status, word):
    ops = slack(receiver)
    first, second = told(ops), told(ops, event="resolved")
    receiver.script = [Reply(status, word)]

    assert delivery.deliver(ops.pk) == 1
    ops.refresh_from_db()
    name = "account_inactive" if status == 200 else word.decode()
    assert ops.state == "disabled"
    assert ops.state_reason.startswith(f"Slack says {name}: ")
    for message in (first, second):
        message.refresh_from_db()
        assert message.state == "not_delivered"
    assert second.last_problem == f"The channel is off: {ops.state_reason}"
    assert Audit.objects.get(action="channel.disable").via == "system"
    assert delivery.deliver(ops.pk) == 0


@pytest.mark.parametrize("status", [401, 403, 404, 410, 308])
def test_webhook_that_is_gone_switches_its_channel_off(receiver, status):
    bot = webhook(receiver)
    told(bot)
    receiver.script = [Reply(status, b"no")]

    delivery.deliver(bot.pk)
    bot.refresh_from_db()
    assert bot.state == "disabled"
    assert str(status) in bot.state_reason


def test_message_that_alone_is_refused_does_not_stop_the_others(receiver):
    ops = slack(receiver)
    first, second = told(ops), told(ops, event="resolved")
    receiver.script = [Reply(400, b"invalid_payload")]

    assert delivery.deliver(ops.pk) == 2
    first.refresh_from_db()
    second.refresh_from_db()
    ops.refresh_from_db()
    assert (first.state, second.state, ops.state) == ("failed", "sent", "active")


def test_answer_of_a_proxy_in_slacks_stead_counts_as_none(receiver):
    message = told(slack(receiver))
    receiver.script = [Reply(200, b"<html>Sign in to the network</html>")]

    delivery.deliver(message.channel_id)
    message.refresh_from_db()
    assert message.state == "waiting"


def test_private_address_is_not_reached_unless_it_is_allowed(receiver, settings):
    settings.PRIVATE_ADDRESSES = []
    message = told(webhook(receiver))

    delivery.deliver(message.channel_id)
    message.refresh_from_db()
    assert "not a public address" in message.last_problem
    assert receiver.got == []


def test_secret_that_a_receiver_sends_back_is_not_kept(receiver):
    ops = slack(receiver)
    told(ops)
    receiver.script = [Reply(400, b"no such path /services/T0/B0/secret-part")]

    delivery.deliver(ops.pk)
    assert "secret-part" not in Attempt.objects.get().response_excerpt


def test_slack_gets_one_message_a_second(receiver, monkeypatch):
    ops = slack(receiver)
    monkeypatch.setattr("finops.channels.slack.Slack.spacing_s", 30.0)
    told(ops)
    told(ops, event="resolved")

    assert delivery.deliver(ops.pk) == 1
    ops.refresh_from_db()
    assert 20 < (ops.paused_until - timezone.now()).total_seconds() <= 30
    assert delivery.deliver(ops.pk) == 0


def test_sweep_finds_what_is_due_and_settles_what_is_off(receiver):
    due, waits, off = webhook(receiver, "due"), webhook(receiver, "waits"), webhook(receiver, "off")
    for one in (due, waits, off):
        told(one)
    later = timezone.now() + timedelta(minutes=5)
    Message.objects.filter(channel=waits).update(next_try_at=later)
    Channel.objects.filter(pk=off.pk).update(state="disabled", state_reason="Gone.")

    assert outbox.sweep() == 1
    assert outbox.due_channels() == [due.pk]
    assert Message.objects.get(channel=off).state == "not_delivered"


def test_old_messages_are_forgotten_with_their_log(receiver):
    message = told(webhook(receiver))
    delivery.deliver(message.channel_id)
    assert outbox.forget_old() == 0
    long_ago = timezone.now() - outbox.KEPT_FOR - timedelta(days=1)
    Message.objects.update(created_at=long_ago)
    waiting = told(channel(name="mail"))
    Message.objects.filter(pk=waiting.pk).update(created_at=long_ago)

    assert outbox.forget_old() == 1
    assert (Message.objects.get(), Attempt.objects.count()) == (waiting, 0)


def test_log_of_attempts_cannot_be_rewritten(receiver):
    message = told(webhook(receiver))
    delivery.deliver(message.channel_id)

    with pytest.raises(Exception, match="never rewritten"), transaction.atomic():
        Attempt.objects.update(delivered=False, problem="nothing came")
