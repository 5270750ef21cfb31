"""A Slack app's channel at a stub of Slack's Web API: threads, buttons, and every way to say no."""

from __future__ import annotations

import os
import string
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from finops.actions import channels
from finops.actions.channels import delivery, holders, managing, outbox
from finops.channels import base, slack_app
from finops.channels.secret import opened
from finops.models import Attempt, Channel, Message, SlackThread
from finops.models.channels import ACTIVE
from tests.finops.actions.channels.make import NOON, channel, notice
from tests.finops.channels.test_formats import PLAIN
from tests.stubs.receivers import Reply, block_kit_objections
from tests.stubs.slack import CONFIG, SECRET, TEAM, buttons, says

pytestmark = pytest.mark.django_db
WILD = st.text(alphabet=string.printable + "<>&&&<!channel>é💸", max_size=300).map(
    lambda text: text * 20
)


@pytest.fixture
def ops(slack):
    return channel("slack_app")


def told(to: Channel, event: str = "opened", minute: int = 0, **changes) -> Message:
    at = NOON + timedelta(minutes=minute)
    channels.enqueue(notice(alert_id="A-7", event=event, at=at, **changes), [to.pk])
    delivery.deliver(to.pk)
    return Message.objects.latest("id")


def due_now(message: Message) -> None:
    Message.objects.filter(pk=message.pk).update(next_try_at=timezone.now())
    Channel.objects.filter(pk=message.channel_id).update(paused_until=None)


@settings(deadline=None, max_examples=40)
@given(
    title=WILD,
    text=WILD,
    figures=st.dictionaries(WILD, WILD, max_size=15),
    event=st.sampled_from(list(base.EVENT_WORDS)),
)
def test_slack_would_take_whatever_a_notice_says(title, text, figures, event):
    message = replace(PLAIN, title=title, text=text, figures=figures, event=event)
    assert block_kit_objections(slack_app.payload_of(message)) == []
    assert block_kit_objections(slack_app.reply_of(message)) == []


def test_alert_is_one_thread_and_its_first_message_shows_how_it_stands(slack, ops):
    seen = []
    for minute, event in enumerate(
        ("opened", "reminder", "acknowledged", "escalated", "snoozed", "flapping", "resolved")
    ):
        assert told(ops, event, minute).state == "sent"
        [first] = slack.firsts
        seen.append((first["blocks"][0]["text"]["text"].partition(":")[0], buttons(first)))
    both = ["open", "acknowledge", "snooze"]
    assert seen == [
        ("Critical", both),
        ("Still open (critical)", both),
        ("Acknowledged", ["open", "snooze"]),
        ("Escalated (critical)", both),
        ("Snoozed", ["open", "acknowledge"]),
        ("Flapping", both),
        ("Resolved", ["open"]),
    ]
    assert slack.thread() == [
        *("resolved", "reminder*", "acknowledged", "escalated*", "snoozed", "flapping", "resolved")
    ]
    assert slack.objections == []
    values = {element.get("value") for element in slack.firsts[0]["blocks"][-1]["elements"]}
    assert values == {None}, "what is over has nothing left to press but the link"


def test_other_alert_has_a_thread_of_its_own_and_a_test_has_none(slack, ops):
    told(ops)
    channels.enqueue(notice(alert_id="A-8"), [ops.pk])
    delivery.deliver(ops.pk)
    assert managing.send_test(ops, by=None, via="command").delivered
    assert len(slack.firsts) == 3
    assert set(SlackThread.objects.values_list("alert_id", flat=True)) == {"A-7", "A-8"}
    assert buttons(slack.firsts[2]) == ["open"]


def test_first_message_that_somebody_deleted_is_followed_by_a_new_one(slack, ops):
    told(ops)
    slack.messages.clear()
    message = told(ops, "acknowledged", 1)
    assert (message.state, slack.thread()) == ("sent", ["acknowledged"])
    assert "was deleted in Slack" in message.log.get().response_excerpt
    told(ops, "resolved", 2)
    assert slack.thread() == ["resolved", "resolved"]


def test_older_event_sent_again_does_not_hide_what_the_first_message_shows(slack, ops):
    first = told(ops)
    told(ops, "resolved", 5)
    managing.redeliver(first, by=None, via="command")
    delivery.deliver(ops.pk)
    assert slack.thread() == ["resolved", "resolved", "opened"]


def test_reply_that_failed_is_tried_again_without_a_second_one(slack, ops):
    told(ops)
    slack.script = [
        Reply(200, b'{"ok": true, "ts": "1"}'),
        says(429, {"Retry-After": "30"}, error="ratelimited"),
    ]
    message = told(ops, "resolved", 1)
    assert message.state == "waiting"
    wait_s = (message.next_try_at - timezone.now()).total_seconds()
    assert wait_s == pytest.approx(30, abs=1.5)
    ops.refresh_from_db()
    assert (ops.paused_until - timezone.now()).total_seconds() == pytest.approx(30, abs=1.5)
    assert delivery.deliver(ops.pk) == 0, "not a moment before"
    due_now(message)
    assert delivery.deliver(ops.pk) == 1
    assert slack.thread() == ["resolved", "resolved"]


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("invalid_auth", "enter the app's token anew"),
        ("token_revoked", "enter its new token"),
        ("account_inactive", "install it again"),
        ("channel_not_found", "invite the app there"),
        ("is_archived", "unarchive it"),
        ("not_in_channel", "invite it there"),
        ("missing_scope", "chat:write"),
    ],
)
def test_what_will_not_work_switches_the_channel_off_and_says_what_to_do(slack, ops, word, advice):
    slack.script = [says(error=word)]
    assert told(ops).state == "not_delivered"
    ops.refresh_from_db()
    assert ops.state == "disabled"
    assert ops.state_reason.startswith(f"Slack says {word}: ")
    assert advice in ops.state_reason


@pytest.mark.parametrize(
    ("reply", "state", "problem"),
    [
        (Reply(500, b"oh no"), "waiting", "Slack answered 500."),
        (says(error="internal_error"), "waiting", "Slack says internal_error: try later."),
        (Reply(200, b"<html>Sign in</html>"), "waiting", "The answer was not Slack's."),
        (says(error="invalid_blocks"), "failed",
         "Slack says invalid_blocks: it takes no such message."),
        (Reply(never=True), "waiting", "127.0.0.1 did not answer within 2 seconds."),
        (Reply(200, b"o" * 50, {}, drip_s=0.2), "waiting", "The answer was not Slack's."),
    ],
)  # fmt: skip
def test_passing_failure_is_tried_again_and_a_refused_message_fails_alone(
    slack, ops, impatient, reply, state, problem
):
    slack.script = [reply]
    message = told(ops)
    assert (message.state, message.last_problem) == (state, problem)
    ops.refresh_from_db()
    assert (ops.state, slack.firsts) == (ACTIVE, [])


def test_token_is_tried_before_it_is_kept_and_never_logged(slack):
    with pytest.raises(managing.Refused) as refused:
        added(secret={**SECRET, "bot_token": "xoxb-wrong"})
    assert refused.value.field == "bot_token"
    assert "invalid_auth" in refused.value.message
    made = added()
    assert opened(made) == {**SECRET, "team_id": TEAM}
    assert slack_app.SlackApp().where(made.config) == "Slack channel C0FINOPS"
    slack.script = [Reply(500, f"Bearer {SECRET['bot_token']}".encode())]
    told(made)
    assert SECRET["bot_token"] not in Attempt.objects.get().response_excerpt
    with pytest.raises(managing.Refused):
        managing.rotate(made, {**SECRET, "bot_token": "xoxb-other"}, by=None, via="command")
    managing.rotate(made, {**SECRET, "signing_secret": "f" * 32}, by=None, via="command")
    made.refresh_from_db()
    assert opened(made)["signing_secret"] == "f" * 32


def added(**changes) -> Channel:
    given = {"kind": "slack_app", "name": "#finops", "config": CONFIG, "secret": SECRET, **changes}
    return managing.add(managing.NewChannel(**given), by=None, via="command")[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"config": {**CONFIG, "channel": "#finops"}}, "channel"),
        ({"config": {"channel": "C0FINOPS"}}, "app_id"),
        ({"config": {**CONFIG, "url": "x"}}, "config"),
        ({"secret": {**SECRET, "bot_token": "xoxp-user"}}, "bot_token"),
        ({"secret": {"bot_token": "xoxb-1"}}, "signing_secret"),
    ],
)
def test_settings_that_cannot_work_are_named(slack, changes, field):
    with pytest.raises(managing.Refused) as refused:
        added(**changes)
    assert (refused.value.field, Channel.objects.count(), slack.got) == (field, 0, [])


def test_message_of_a_worker_that_is_gone_is_taken_back_at_once(slack, ops, monkeypatch):
    channels.enqueue(notice(), [ops.pk])
    mine = outbox.claim(ops.pk)
    assert outbox.release_left_behind() == 0, "this process is at work"
    assert len(holders.me()) <= Message._meta.get_field("lease_holder").max_length
    gone = holders.me().replace(f"/{os.getpid()}@", "/999999999@")
    other_boot = f"{gone.partition('@')[0]}@another-boot:1"
    for holder, count in (("elsewhere:12", 0), (other_boot, 0), (gone, 1)):
        Message.objects.filter(pk=mine.message.pk).update(lease_holder=holder)
        assert outbox.release_left_behind() == count
    assert delivery.deliver(ops.pk) == 1
    assert [one.problem for one in Message.objects.get().log.all()] == ["", outbox.LOST]
    assert outbox.record(mine, outbox.Outcome(base.Taken(200), 1)) is False
