"""The pages of channels: added, tested, switched, given new secrets, messages sent again."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finops.actions import channels
from finops.actions.channels import delivery
from finops.models import Channel, Message
from tests.finops.actions.channels import make
from tests.finops.reading import Page
from tests.stubs.receivers import Reply, is_signed

pytestmark = pytest.mark.usefixtures("estate", "plain_static")
SLACK_URL = "https://hooks.slack.com/services/T0/B0/very-secret"
LIST = "/settings/channels"


@pytest.fixture
def ada(sign_in):
    return sign_in("ada")


def told(to: Channel, **changes) -> Message:
    channels.enqueue(make.notice(**changes), [to.pk])
    return Message.objects.latest("id")


def page_of(response) -> Page:
    page = Page(response.text)
    assert page.refused == []
    return page


def test_empty_list_says_what_to_do(ada):
    assert "Nobody hears of alerts yet" in page_of(ada.get(LIST)).words


def test_slack_channel_is_added_and_its_url_never_shown(ada):
    given = {"name": "#finops", "url": SLACK_URL}
    response = ada.post(f"{LIST}/new?kind=slack_webhook", given, follow=True)
    made = Channel.objects.get()

    assert response.redirect_chain == [(f"{LIST}/{made.pk}", 302)]
    assert "“#finops” is added." in page_of(response).words
    for path in (LIST, f"{LIST}/{made.pk}", f"{LIST}/{made.pk}/edit", "/settings/audit"):
        assert "very-secret" not in ada.get(path).text
    wrong = ada.post(f"{LIST}/new?kind=slack_webhook", given)
    assert wrong.status_code == 422
    assert "There is a channel of this name" in page_of(wrong).words
    assert "very-secret" not in wrong.text


def test_signing_key_is_shown_once_and_signs(ada, receiver):
    given = {"name": "bot", "url": f"{receiver.url}/hook"}
    response = ada.post(f"{LIST}/new?kind=webhook", given)
    [key] = set(re.findall(r"whsec_[\w-]{43}", response.text))
    made = Channel.objects.get()

    assert response.status_code == 201
    assert key not in ada.get(f"{LIST}/{made.pk}").text
    told(made)
    receiver.key = key
    assert delivery.deliver(made.pk) == 1
    assert is_signed(receiver.got[0], key)
    [new] = set(re.findall(r"whsec_[\w-]{43}", ada.post(f"{LIST}/{made.pk}/rotate").text))
    assert new != key


def test_email_channel_takes_addresses_by_line_or_comma(ada):
    given = {"name": "mail", "to": "asha@example.com, ben@example.com\ncleo@example.com"}
    page = page_of(ada.post(f"{LIST}/new?kind=email", given, follow=True))
    assert "asha@example.com, ben@example.com, cleo@example.com" in page.words
    wrong = ada.post(f"{LIST}/new?kind=email", {"name": "x", "to": "nobody"})
    assert "nobody is no mail address." in page_of(wrong).words


def test_name_and_address_are_changed(ada, receiver):
    bot = make.webhook(receiver)
    given = {"name": "other", "url": "https://bot.example.com/hook"}
    page = page_of(ada.post(f"{LIST}/{bot.pk}/edit", given, follow=True))
    bot.refresh_from_db()

    assert (bot.name, bot.config) == ("other", {"url": "https://bot.example.com/hook"})
    assert "“other” is changed." in page.words
    inward = {"name": "other", "url": "http://169.254.169.254/latest"}
    refused = ada.post(f"{LIST}/{bot.pk}/edit", inward)
    assert refused.status_code == 422
    assert "169.254.169.254 is not a public address" in page_of(refused).words
    wrong = ada.post(f"{LIST}/{bot.pk}/edit", {"name": "other", "url": "gopher://x"})
    assert wrong.status_code == 422


def test_test_button_says_what_came_of_it(ada, receiver):
    bot = make.webhook(receiver)
    receiver.script = [Reply(204, b""), Reply(500)]

    path = f"{LIST}/{bot.pk}/test"
    assert "arrived at “bot”" in page_of(ada.post(path, follow=True)).words
    words = page_of(ada.post(path, follow=True)).words
    assert "did not arrive. The receiver answered 500." in words


def test_dead_channel_says_so_and_offers_to_send_what_was_kept(ada, receiver):
    bot = make.webhook(receiver)
    told(bot)
    told(bot, event="resolved")
    receiver.script = [Reply(410, b"gone")]
    delivery.deliver(bot.pk)

    why = "The receiver answered 410: it was removed."
    assert why in page_of(ada.get(LIST)).words
    page = page_of(ada.get(f"{LIST}/{bot.pk}"))
    assert why in page.words
    assert "Switch on and send 2 kept messages" in page.words
    after = ada.post(f"{LIST}/{bot.pk}/switch", {"to": "on-and-send"}, follow=True)
    assert "“bot” is on. 2 kept messages are sent now." in page_of(after).words
    assert delivery.deliver(bot.pk) == 2
    off = ada.post(f"{LIST}/{bot.pk}/switch", {"to": "off"}, follow=True)
    assert "Messages to it are kept." in page_of(off).words


def test_message_shows_each_attempt_and_is_sent_again(ada, receiver):
    message = told(make.webhook(receiver))
    receiver.script = [Reply(429, b"slow down", {"Retry-After": "40"})]
    delivery.deliver(message.channel_id)
    path = f"{LIST}/{message.channel_id}/messages/{message.pk}"

    page = page_of(ada.get(path))
    assert "Send it again" not in page.words
    [_, attempt] = page.tables["attempts"]
    assert attempt[1:3] == ["0", "429"]
    assert attempt[4:] == ["40.0", "The receiver answered 429.", "slow down"]
    Message.objects.update(state="failed")
    Channel.objects.update(paused_until=None)
    again = ada.post(f"{path}/redeliver", follow=True)
    assert "It is sent again, with the id it had." in page_of(again).words
    assert delivery.deliver(message.channel_id) == 1
    assert len(page_of(ada.get(path)).tables["attempts"]) == 3


def test_page_csv_and_api_say_the_same(ada, receiver):
    bot = make.webhook(receiver)
    told(bot)
    delivery.deliver(bot.pk)
    told(bot, event="resolved", title="=1+1")
    path = f"{LIST}/{bot.pk}"

    for query in ("", "?state=waiting"):
        shown = page_of(ada.get(f"{path}{query}")).tables["messages"]
        rows = list(csv.reader(io.StringIO(ada.get(f"{path}.csv{query}").text)))
        assert [row[1:] for row in shown[1:]] == [row[1:] for row in rows[1:]]
        told_by_api = ada.get(f"/api/v1/channels/{bot.pk}/messages{query}").json()["data"]
        assert [row[3] for row in rows[1:]] == [one["state"] for one in told_by_api]
    listed = page_of(ada.get(LIST)).tables["channels"]
    assert listed[1:] == list(csv.reader(io.StringIO(ada.get(f"{LIST}.csv").text)))[1:]


def test_pages_of_messages_follow_each_other(ada, receiver, monkeypatch):
    monkeypatch.setattr("finops.views.channels_one.PAGE_SIZE", 2)
    bot = make.webhook(receiver)
    for n in range(3):
        told(bot, alert_id=str(n))
    first = page_of(ada.get(f"{LIST}/{bot.pk}"))
    [more] = [href for href in first.hrefs if "cursor=" in href]

    assert len(first.tables["messages"]) == 3
    assert len(page_of(ada.get(more)).tables["messages"]) == 2


def test_removed_channel_leaves_the_list_and_keeps_its_log(ada, receiver):
    bot = make.webhook(receiver)
    told(bot)
    after = ada.post(f"{LIST}/{bot.pk}/remove", follow=True)
    assert "“bot” is removed." in page_of(after).words
    assert "Nobody hears of alerts yet" in page_of(ada.get(LIST)).words
    page = page_of(ada.get(f"{LIST}/{bot.pk}"))
    assert "Removed by ada." in page.words
    assert "Send a test message" not in page.words
    assert ada.get(f"{LIST}/{bot.pk}/edit").status_code == 404


@pytest.mark.parametrize("name", ["asha", "ben", "cleo", "dev"])
def test_channels_are_for_admins_alone(sign_in, receiver, name):
    message = told(make.webhook(receiver))
    client, path = sign_in(name), f"{LIST}/{message.channel_id}"
    for read in ("", ".csv", "/edit", f"/messages/{message.pk}"):
        assert client.get(f"{path}{read}").status_code == 403
    for act in ("test", "switch", "rotate", "remove", f"messages/{message.pk}/redeliver"):
        assert client.post(f"{path}/{act}").status_code == 403
    assert "/settings/channels" not in client.get("/").text


def test_list_asks_the_database_as_often_for_one_channel_as_for_three(ada, receiver):
    asked = []
    for names in (("one",), ("two", "three")):
        for name in names:
            told(make.webhook(receiver, name))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            ada.get(LIST)
        asked.append(len(queries))
    assert asked[0] == asked[1]
