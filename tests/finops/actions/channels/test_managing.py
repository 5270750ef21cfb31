"""What people do to channels, each with its audit record and no secret in it."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from finops.actions import channels
from finops.actions.channels import delivery, managing
from finops.actions.channels.managing import NewChannel, Refused
from finops.channels.secret import opened
from finops.channels.webhook import keys_at
from finops.models import Audit, Channel, Message
from tests.factories.finops import person
from tests.finops.actions.channels.make import channel, notice, slack, webhook
from tests.stubs.receivers import Reply, is_signed

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unhurried")]
URL = "https://hooks.slack.com/services/T0/B0/very-secret"


@pytest.fixture
def ada():
    return person("ada", "admin")


def acts() -> list[tuple[str, str]]:
    found = Audit.objects.filter(action__startswith="channel.").order_by("pk")
    return [(one.action, one.actor_name) for one in found]


def told(to: Channel, **changes) -> Message:
    channels.enqueue(notice(**changes), [to.pk])
    return Message.objects.latest("id")


def test_secret_of_slack_is_kept_encrypted_and_nowhere_else(ada):
    new = NewChannel(kind="slack_webhook", name=" #finops ", secret={"url": URL})
    made, key = managing.add(new, by=ada, via="page")

    assert (made.name, made.config, key, made.created_by) == ("#finops", {}, "", ada)
    assert opened(made) == {"url": URL}
    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text || (SELECT string_agg(a::text, '') FROM finops_audit a)"
                       " FROM finops_channel c")  # fmt: skip
        assert "very-secret" not in cursor.fetchone()[0]
    assert acts() == [("channel.add", "ada")]


def test_signing_key_of_a_webhook_is_made_and_told_once(ada, receiver):
    new = NewChannel(kind="webhook", name="bot", config={"url": f"{receiver.url}/hook"})
    made, receiver.key = managing.add(new, by=ada, via="page")

    assert receiver.key.startswith("whsec_")
    assert managing.send_test(made, by=ada, via="page").delivered
    assert receiver.objections == []


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewChannel(kind="pager", name="x"), "kind"),
        (NewChannel(kind="webhook", name="  ", config={"url": "https://a.example"}), "name"),
        (NewChannel(kind="webhook", name="x", config={"url": "ftp://a.example"}), "url"),
        (NewChannel(kind="webhook", name="x", config={"url": "https://u:p@a.example"}), "url"),
        (NewChannel(kind="slack_webhook", name="x"), "url"),
        (NewChannel(kind="email", name="x", config={"to": []}), "to"),
        (NewChannel(kind="email", name="x", config={"to": ["nobody"]}), "to"),
        (
            NewChannel(kind="email", name="x", config={"to": ["a@b.example\nBcc: c@d.ex"]}),
            "to",
        ),
        (NewChannel(kind="email", name="x", config={"cc": ["a@b.example"]}), "config"),
        (NewChannel(kind="email", name="taken", config={"to": ["a@b.example"]}), "name"),
    ],
)
def test_channel_that_cannot_work_is_refused_where_it_is_wrong(new, field):
    channel(name="taken")
    with pytest.raises(Refused) as refused:
        managing.add(new, by=None, via="command")
    assert refused.value.field == field
    assert Channel.objects.count() == 1


def test_change_says_what_is_different(ada):
    ops = channel()

    assert managing.change(ops, name="mail", by=ada, via="page") == ["name"]
    again = {"name": "mail", "config": {"to": ["asha@example.com"]}}
    assert managing.change(ops, **again, by=ada, via="page") == []
    config = {"to": ["ben@example.com"]}
    assert managing.change(ops, config=config, by=ada, via="page") == ["config"]
    assert acts() == [("channel.change", "ada")] * 2


def test_new_key_signs_beside_the_old_one_for_a_day(receiver, ada):
    bot = webhook(receiver)
    old = receiver.key
    new = managing.rotate(bot, {}, by=ada, via="page")
    bot.refresh_from_db()

    told(bot)
    delivery.deliver(bot.pk)
    assert is_signed(receiver.got[0], old)
    assert is_signed(receiver.got[0], new)
    assert not is_signed(receiver.got[0], "whsec_of_nobody")
    now_s = time.time()
    assert keys_at(opened(bot), now_s) == [new, old]
    assert keys_at(opened(bot), now_s + 24 * 3600 + 1) == [new]


def test_slack_gets_another_url_and_email_has_no_secret(receiver, ada):
    ops = slack(receiver)
    assert managing.rotate(ops, {"url": URL}, by=ada, via="page") == ""
    ops.refresh_from_db()
    assert opened(ops) == {"url": URL}
    with pytest.raises(Refused):
        managing.rotate(channel(name="mail"), {}, by=ada, via="page")


def test_channel_switched_off_keeps_its_messages_and_sends_them_again_if_wanted(receiver, ada):
    bot = webhook(receiver)
    first = told(bot)
    assert managing.disable(bot, "moving house", by=ada, via="page")
    bot.refresh_from_db()
    second = told(bot, event="resolved")
    assert bot.state_reason == "Switched off by ada: moving house"
    assert set(Message.objects.values_list("state", flat=True)) == {"not_delivered"}
    assert delivery.deliver(bot.pk) == 0

    assert managing.enable(bot, send_again=True, by=ada, via="page") == 2
    assert delivery.deliver(bot.pk) == 2
    ids = [got.json["id"] for got in receiver.got]
    assert ids == [str(first.public_id), str(second.public_id)]
    assert acts() == [("channel.disable", "ada"), ("channel.enable", "ada")]


def test_channel_switched_on_without_sending_leaves_what_was_kept(receiver, ada):
    bot = webhook(receiver)
    managing.disable(bot, "", by=ada, via="page")
    told(bot)

    assert managing.enable(bot, send_again=False, by=ada, via="page") == 0
    assert delivery.deliver(bot.pk) == 0
    assert Message.objects.get().state == "not_delivered"


def test_removed_channel_loses_its_secret_and_frees_its_name(receiver, ada):
    bot = webhook(receiver, "bot")
    told(bot)
    managing.remove(bot, by=ada, via="page")
    bot.refresh_from_db()

    assert (bot.state, bot.secret, bot.state_reason) == ("removed", None, "Removed by ada.")
    assert Message.objects.get().state == "not_delivered"
    webhook(receiver, "bot")
    for act in (
        lambda: managing.enable(bot, send_again=True, by=ada, via="page"),
        lambda: managing.send_test(bot, by=ada, via="page"),
        lambda: managing.remove(bot, by=ada, via="page"),
    ):
        with pytest.raises(Refused, match="was removed"):
            act()


def test_message_is_sent_again_by_hand_with_its_id(receiver, ada):
    message = told(webhook(receiver))
    delivery.deliver(message.channel_id)
    message.refresh_from_db()

    managing.redeliver(message, by=ada, via="page")
    with pytest.raises(Refused, match="waits"):
        managing.redeliver(message, by=ada, via="page")
    assert delivery.deliver(message.channel_id) == 1
    assert len({got.headers["Breakeven-Id"] for got in receiver.got}) == 1
    assert message.log.count() == 2


def test_test_message_is_tried_once_and_says_what_came_of_it(receiver, ada):
    bot = webhook(receiver)
    receiver.script = [Reply(500), Reply(410)]

    attempt = managing.send_test(bot, by=ada, via="page")
    assert (attempt.delivered, attempt.problem) == (False, "The receiver answered 500.")
    assert Message.objects.get().state == "failed"
    managing.send_test(bot, by=ada, via="page")
    bot.refresh_from_db()
    assert bot.state == "disabled"
    assert managing.send_test(bot, by=ada, via="page").delivered, "to see whether it is mended"
    bot.refresh_from_db()
    assert bot.state == "disabled"


def test_test_message_waits_where_the_receiver_asked_to(receiver, ada):
    bot = webhook(receiver, paused_until=timezone.now() + timedelta(minutes=5))
    with pytest.raises(Refused, match="no message before"):
        managing.send_test(bot, by=ada, via="page")
    assert receiver.got == []
