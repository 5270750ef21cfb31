"""Mail through a real SMTP server."""

from __future__ import annotations

import pytest

from finops.actions import channels
from finops.actions.channels import delivery
from finops.models import Channel, Message
from tests.finops.actions.channels.make import channel, notice

pytestmark = pytest.mark.django_db

NOBODY = "The mail server takes nothing for asha@example.com ({})."


def told(to: Channel) -> Message:
    channels.enqueue(notice(), [to.pk])
    delivery.deliver(to.pk)
    return Message.objects.latest("id")


def test_mail_is_plain_text_with_a_link_and_its_id(mails):
    message = told(channel(to=("asha@example.com", "ben@example.com")))

    assert message.state == "sent"
    to, mail = mails.mails[0]
    assert to == ["asha@example.com", "ben@example.com"]
    assert mail["Subject"] == "[Breakeven] Critical: Budget of search used up"
    assert mail["From"] == "breakeven@example.com"
    assert mail["Message-ID"] == f"<{message.public_id}@breakeven>"
    assert mail.get_content_type() == "text/plain"
    lines = mail.get_content().splitlines()
    assert "Spent: 1,020.00 USD" in lines
    assert lines[-1] == "https://finops.example/alerts/7"


def test_title_of_several_lines_makes_no_header(mails):
    to = channel()
    channels.enqueue(notice(title="Over\r\nBcc: cleo@example.com"), [to.pk])
    delivery.deliver(to.pk)

    _, mail = mails.mails[0]
    assert mail["Subject"] == "[Breakeven] Critical: Over Bcc: cleo@example.com"
    assert mail["Bcc"] is None


@pytest.mark.parametrize(
    ("answers", "state", "problem"),
    [
        ({"MAIL": "451 come back"}, "active", "The mail server answered 451: come back"),
        ({"MAIL": "550 not you"}, "disabled", "The mail server answered 550: not you"),
        ({"RCPT": "550 who"}, "disabled", NOBODY.format(550)),
        ({"RCPT": "450 full"}, "active", NOBODY.format(450)),
        ({"DATA": "554 spam"}, "disabled", "The mail server answered 554: spam"),
    ],
)
def test_answers_of_the_server_decide_whether_it_is_tried_again(mails, answers, state, problem):
    mails.answers = answers
    to = channel()
    message = told(to)

    to.refresh_from_db()
    assert (to.state, message.last_problem) == (state, problem)
    assert message.state == ("waiting" if state == "active" else "not_delivered")


def test_address_that_alone_is_refused_is_named(mails):
    mails.answers = {"RCPT TO:<gone@example.com>": "550 no such user"}
    message = told(channel(to=("asha@example.com", "gone@example.com")))

    assert (message.state, message.last_problem) == (
        "sent",
        "Not taken for gone@example.com (550).",
    )
    assert message.log.get().response_excerpt == message.last_problem
    assert mails.mails[0][0] == ["asha@example.com"]


@pytest.mark.parametrize("silent_at", ["", "MAIL", "DATA"])
def test_silent_server_is_tried_again_later(mails, impatient, silent_at):
    mails.answers = {silent_at: ""}
    message = told(channel())

    assert message.state == "waiting"
    assert message.last_problem == "The mail server did not answer within 2 seconds."
    assert message.log.get().duration_ms < 8000


def test_server_that_is_away_is_tried_again_later(mails, settings):
    settings.EMAIL_PORT = 1
    message = told(channel())

    assert message.last_problem == "The mail server cannot be reached or broke off."


def test_channel_without_a_mail_server_says_what_to_set(settings):
    settings.EMAIL_HOST = ""
    to = channel()
    told(to)

    to.refresh_from_db()
    assert to.state_reason == (
        "No mail server is set up; set BREAKEVEN_SMTP_HOST and BREAKEVEN_SMTP_FROM."
    )
