from __future__ import annotations

import pytest

from finops.actions import channels
from finops.models import Message
from tests.finops.actions.channels.make import NOON, channel, notice

pytestmark = pytest.mark.django_db


def test_enqueue_writes_one_message_per_channel():
    ops, team = channel(name="ops"), channel(name="team")

    assert channels.enqueue(notice(), [ops.pk, team.pk]) == 2
    assert {message.channel_id for message in Message.objects.all()} == {ops.pk, team.pk}
    message = Message.objects.get(channel=ops)
    assert (message.state, message.alert_id, message.event, message.at) == (
        "waiting",
        "7",
        "opened",
        NOON,
    )
    assert message.payload == notice().as_json()


def test_enqueue_makes_one_message_of_the_same_notice_told_twice():
    ops = channel()

    assert [channels.enqueue(notice(), [ops.pk]) for _ in range(2)] == [1, 0]
    assert channels.enqueue(notice(event="resolved"), [ops.pk]) == 1
    assert Message.objects.count() == 2


def test_enqueue_keeps_the_message_of_a_channel_that_is_off():
    ops = channel(state="disabled", state_reason="Slack says no_service")

    assert channels.enqueue(notice(), [ops.pk]) == 1
    message = Message.objects.get()
    assert (message.state, message.last_problem) == (
        "not_delivered",
        "The channel is off: Slack says no_service",
    )


def test_enqueue_tells_nothing_to_a_removed_or_unknown_channel():
    gone = channel(state="removed", state_reason="Removed by asha")

    assert channels.enqueue(notice(), [gone.pk, gone.pk + 1]) == 0
    assert not Message.objects.exists()


def test_enqueue_refuses_an_event_nobody_knows():
    with pytest.raises(ValueError, match="exploded"):
        channels.enqueue(notice(event="exploded"), [])
