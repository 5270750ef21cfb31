"""Channels through the API."""

from __future__ import annotations

import json

import pytest

from finops.actions import channels
from finops.actions.channels import delivery
from finops.models import Channel, Message
from tests.finops.actions.channels import make
from tests.stubs.receivers import Reply

pytestmark = pytest.mark.usefixtures("estate")
PATH = "/api/v1/channels"


@pytest.fixture
def ada(by_token):
    return by_token("ada", "admin")


def test_webhook_is_added_tested_and_given_a_new_key(ada, receiver):
    body = {"kind": "webhook", "name": "bot", "config": {"url": f"{receiver.url}/hook"}}
    answer = ada.post(PATH, json.dumps(body))
    assert answer.status_code == 201
    made = answer.json()
    receiver.key = made["signing_key"]
    one = f"{PATH}/{made['channel']['id']}"

    assert ada.get(one).json() == made["channel"]
    assert made["channel"]["state"] == "active"
    assert ada.post(f"{one}/test", "").json()["delivered"] is True
    receiver.key = ada.post(f"{one}/rotate", "{}").json()["signing_key"]
    assert ada.post(f"{one}/test", "").json()["delivered"] is True
    assert receiver.objections == []
    assert receiver.key not in ada.get(PATH).content.decode()
    [listed] = ada.get(PATH).json()["data"]
    assert (listed["name"], listed["waiting"], listed["config"]) == ("bot", 0, body["config"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "slack_webhook", "name": "x"}, "url"),
        ({"kind": "email", "name": "x", "config": {"to": ["nobody"]}}, "to"),
        ({"kind": "webhook", "name": "x", "secret": {"key": "mine"}, "config": {"url": "http://a"}},
         "secret"),
        ({"kind": "webhook", "name": "x", "config": {"url": "http://169.254.169.254/"}}, "url"),
        ({"kind": "pager", "name": "x"}, "kind"),
    ],
)  # fmt: skip
def test_channel_that_cannot_work_is_refused_where_it_is_wrong(ada, body, field):
    answer = ada.post(PATH, json.dumps(body))
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not Channel.objects.exists()


def test_channel_is_switched_off_and_on_with_what_was_kept(ada, receiver):
    bot = make.webhook(receiver)
    one = f"{PATH}/{bot.pk}"
    off = ada.patch(one, '{"enabled": false, "why": "moving"}').json()
    assert (off["state"], off["state_reason"]) == ("disabled", "Switched off by ada: moving")
    channels.enqueue(make.notice(), [bot.pk])
    assert ada.get(one).json()["not_delivered"] == 1
    on = ada.patch(one, '{"enabled": true, "send_again": true, "name": "back"}').json()
    assert (on["name"], on["state"], on["waiting"]) == ("back", "active", 1)
    assert ada.delete(one).status_code == 204
    assert ada.get(one).status_code == 404


def test_log_is_read_and_a_message_sent_again(ada, receiver):
    bot = make.webhook(receiver)
    channels.enqueue(make.notice(), [bot.pk])
    receiver.script = [Reply(418, b"teapot")]
    delivery.deliver(bot.pk)
    message = Message.objects.get()
    one = f"{PATH}/{bot.pk}/messages/{message.pk}"

    [listed] = ada.get(f"{PATH}/{bot.pk}/messages", state="failed").json()["data"]
    assert (listed["public_id"], listed["attempts"]) == (str(message.public_id), 1)
    found = ada.get(one).json()
    assert found["message"] == listed
    assert found["log"][0]["status_code"] == 418
    assert found["log"][0]["response_excerpt"] == "teapot"
    assert ada.post(f"{one}/redeliver", "").json()["message"]["state"] == "waiting"
    assert ada.post(f"{one}/redeliver", "").status_code == 409
    assert ada.get(f"{PATH}/{bot.pk}/messages", state="lost").status_code == 400
    assert ada.get(f"{PATH}/{bot.pk}/messages/{message.pk + 1}").status_code == 404


def test_channels_need_a_token_of_scope_admin(by_token):
    assert by_token("ada", "write").post(PATH, "{}").status_code == 403
