"""From a press in Slack to what is done: signed, ours, once, and by somebody who may."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from finops import audit
from finops.actions import alerting
from finops.actions.alerting import Finding
from finops.actions.channels import delivery, managing
from finops.actions.slack import acting, linking
from finops.channels import slack_signing
from finops.models import AlertRule, Audit, SlackLink, SlackLinkCode, SlackPress, User
from ingest.models import Project
from tests.factories.finops import person
from tests.finops.actions.channels.make import channel
from tests.stubs.slack import CHANNEL, SIGNING_SECRET, TEAM, buttons, pressed, says, signed

pytestmark = pytest.mark.django_db


@pytest.fixture
def chat():
    return Project.objects.create(slug="chat", name="Chat")


@pytest.fixture
def ops(slack):
    return channel("slack_app")


@pytest.fixture
def alert(ops, chat):
    """Told in Slack; nobody has pressed anything yet."""
    AlertRule.objects.create(kind="source_lag", channel_ids=[ops.pk])
    found = Finding("source_lag", "source:1", "warning", "Langfuse is silent", "Since 11:00.",
                    "/sources/1", chat.pk)  # fmt: skip
    made = alerting.raise_(found, timezone.now())
    delivery.deliver(ops.pk)
    return made


def linked(name: str, role: str = "analyst", project: Project | None = None) -> User:
    """`U0<NAME>` of the workspace acts as this person."""
    user = person(name, role, project=project)
    SlackLink.objects.create(user=user, team_id=TEAM, slack_user_id=f"U0{name.upper()}",
                             slack_name=name, linked_at=timezone.now())  # fmt: skip
    return user


def post(payload, **how):
    body, headers = signed(payload, **how)
    return sent(body, headers)


def sent(body: bytes, headers: dict[str, str]):
    form = "application/x-www-form-urlencoded"
    # As Slack does: without a cookie, and with our checks against forged forms in force.
    client = Client(enforce_csrf_checks=True)
    return client.post("/slack/actions", body, content_type=form, headers=headers)


def carried_out() -> str:
    return acting.carry_out(SlackPress.objects.latest("pk").pk, timezone.now())


def test_press_acknowledges_as_the_person_and_the_message_shows_it(slack, ops, alert):
    asha = linked("asha")
    response = post(pressed("acknowledge", alert.ref))
    assert (response.status_code, response.content) == (200, b"")
    assert carried_out() == "done"
    alert.refresh_from_db()
    assert (alert.state, alert.acknowledged_by) == ("acknowledged", asha)
    record = Audit.objects.get(action="alert.acknowledge")
    assert (record.actor, record.via, audit.verify().is_whole) == (asha, "slack", True)

    delivery.deliver(ops.pk)
    [first] = slack.firsts
    assert first["blocks"][0]["text"]["text"] == "Acknowledged: Langfuse is silent"
    assert first["blocks"][1]["text"]["text"] == "By asha.\nSince 11:00."
    assert buttons(first) == ["open", "snooze"]
    assert (slack.thread(), slack.whispers) == (["acknowledged", "acknowledged"], [])
    assert carried_out() == "", "a second worker finds nothing to do"


def test_press_snoozes_for_a_day(slack, ops, alert):
    linked("asha")
    post(pressed("snooze", alert.ref))
    assert carried_out() == "done"
    alert.refresh_from_db()
    left = alert.snoozed_until - timezone.now()
    assert timedelta(hours=23, minutes=59) < left <= timedelta(hours=24)
    delivery.deliver(ops.pk)
    assert buttons(slack.firsts[0]) == ["open", "acknowledge"]


def test_what_the_message_does_not_show_is_whispered(slack, ops, alert):
    linked("asha")
    AlertRule.objects.update(enabled=False)
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "done"
    assert [(one["user"], one["text"]) for one in slack.whispers] == [
        ("U0ASHA", f"{alert.ref} is acknowledged.")
    ]


def test_press_of_the_link_asks_for_nothing(alert):
    assert post(pressed("open", "")).status_code == 200
    assert not SlackPress.objects.exists()


def refused(response) -> tuple[int, str]:
    assert response["Content-Type"] == "application/problem+json"
    return response.status_code, response.json()["detail"]


def test_what_slack_did_not_sign_now_is_refused(alert):
    payload = pressed("acknowledge", alert.ref)
    body, headers = signed(payload)
    other = body.replace(b"acknowledge", b"snooze")
    nobody = "No Slack app that is set up here signed this."
    for wrong in (
        sent(other, headers),
        sent(body, {**headers, "X-Slack-Signature": "v0=é"}),
        sent(body, {**headers, "X-Slack-Signature": ""}),
        post(payload, secret="f" * 32),
    ):
        assert refused(wrong) == (401, nobody)
    old = "The time of the request is missing, or over five minutes away."
    for wrong in (
        post(payload, at=time.time() - 310),
        post(payload, at=time.time() + 310),
        sent(body, {**headers, "X-Slack-Request-Timestamp": "soon"}),
        sent(body, {}),
    ):
        assert refused(wrong) == (401, old)
    assert not SlackPress.objects.exists()
    assert sent(body, headers).status_code == 200, "the request itself was sound"


def test_replay_is_refused(alert):
    body, headers = signed(pressed("acknowledge", alert.ref))
    assert sent(body, headers).status_code == 200
    assert refused(sent(body, headers)) == (409, "This request was taken already.")
    assert SlackPress.objects.count() == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"team": {"id": "T0OTHER"}},
        {"api_app_id": "A0OTHER"},
        {"channel": {"id": "C0OTHER"}},
        {"user": {"id": "U0ASHA", "username": "asha", "team_id": "T0PARTNER"}},
    ],
)
def test_other_workspace_app_or_channel_is_refused(alert, changes):
    status, _ = refused(post(pressed("acknowledge", alert.ref, **changes)))
    assert (status, SlackPress.objects.count()) == (403, 0)


@pytest.mark.parametrize(
    "payload",
    [
        pressed("approve", "A-1"),
        pressed("approve_change", "12"),
        pressed("acknowledge", "A-1 OR 1=1"),
        pressed("acknowledge", "A-" + "9" * 30),
        pressed("acknowledge", "A-1", by="u' --"),
        pressed("acknowledge", "A-1", actions=[]),
        pressed("acknowledge", "A-1", actions=[None]),
        pressed("acknowledge", "A-1", team=None),
        pressed("acknowledge", "A-1", type="view_submission"),
        {},
        [],
        "\0",
        None,
    ],
)
def test_anything_else_that_is_signed_is_refused_and_nothing_kept(ops, payload):
    status, _ = refused(post(payload))
    assert (status, SlackPress.objects.count()) == (400, 0)


def test_signed_bodies_that_are_no_form_are_refused(ops):
    twice, deep = b"payload=%7B&payload=%7B", b"payload=" + b"[" * 9000
    for body in (b"", b"payload", twice, b"\xff=\xff", deep):
        at = str(int(time.time()))
        told = {
            "X-Slack-Request-Timestamp": at,
            "X-Slack-Signature": slack_signing.signed(body, at, SIGNING_SECRET),
        }
        assert refused(sent(body, told))[0] == 400
    assert sent(b"x" * 1_000_001, {}).status_code == 413
    assert Client().get("/slack/actions").status_code == 405


def test_channel_that_is_off_takes_no_presses(ops, alert):
    managing.disable(ops, "", by=None, via="command")
    assert refused(post(pressed("acknowledge", alert.ref)))[0] == 401


@pytest.mark.parametrize(("role", "on", "outcome"), [
    ("analyst", "chat", "done"), ("engineer", "chat", "done"), ("approver", "chat", "done"),
    ("viewer", "chat", "refused"), ("admin", "", "refused"), ("analyst", "other", "refused"),
])  # fmt: skip
def test_presser_needs_the_role_that_the_page_asks_for(slack, alert, chat, role, on, outcome):
    other = Project.objects.create(slug="other", name="Other")
    linked("asha", role, {"chat": chat, "other": other}.get(on))
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == outcome
    alert.refresh_from_db()
    assert (alert.state == "acknowledged") == (outcome == "done")
    said = [one["text"] for one in slack.whispers]
    assert said == (
        []
        if outcome == "done"
        else [f"No role of yours lets you handle {alert.ref}; an admin gives it."]
    )


def test_alert_that_was_not_told_there_is_out_of_reach(alert, chat):
    linked("asha")
    found = Finding("source_lag", "source:2", "warning", "Other", "Since.", "/sources/2", chat.pk)
    elsewhere = alerting.raise_(found, timezone.now())
    post(pressed("acknowledge", elsewhere.ref))
    assert carried_out() == "refused"


def test_resolved_meanwhile_and_pressed_too_long_ago_do_nothing(slack, alert):
    asha = linked("asha")
    post(pressed("acknowledge", alert.ref), at=time.time() - 1)
    SlackPress.objects.update(at=timezone.now() - timedelta(minutes=16))
    assert acting.sweep(timezone.now()) == 1
    assert carried_out() == "late"
    alerting.resolve_by_hand(alert, "Moved.", by=asha, via="page")
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "refused"
    assert [one["text"] for one in slack.whispers] == [
        "That took too long and nothing was done; press it again.",
        f"{alert.ref} is resolved already: Moved.",
    ]
    assert acting.sweep(timezone.now()) == 0


def test_slack_that_does_not_answer_undoes_nothing(slack, alert):
    linked("asha")
    AlertRule.objects.update(enabled=False)
    slack.script = [says(error="user_not_in_channel")]
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "done"
    alert.refresh_from_db()
    assert alert.state == "acknowledged"


# Linking


def code_of(slack) -> str:
    return re.search(r"https://finops\.example/settings/slack\?code=([\w-]+)$",
                     slack.whispers[-1]["text"])[1]  # fmt: skip


def test_unknown_user_is_sent_a_link_and_acts_once_it_was_followed(slack, alert, sign_in):
    asha = person("asha", "analyst")
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "unknown"
    [whisper] = slack.whispers
    assert (whisper["user"], whisper["channel"]) == ("U0ASHA", CHANNEL)
    assert whisper["text"].startswith(
        "Breakeven does not know who you are yet, so nothing was done"
    )
    alert.refresh_from_db()
    assert alert.state == "open"

    code = code_of(slack)
    assert code.encode() not in bytes(SlackLinkCode.objects.get().code_sha256)
    shown = sign_in("asha").get(f"/settings/slack?code={code}").content.decode()
    assert "Is the Slack user “asha” you?" in shown
    assert not SlackLink.objects.exists(), "looking at it links nothing"
    done = sign_in("asha").post("/settings/slack/link", {"code": code}, follow=True)
    assert "acts as you now" in done.content.decode()
    assert SlackLink.objects.get().user == asha
    assert Audit.objects.get(action="slack.link").actor == asha

    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "done"
    alert.refresh_from_db()
    assert alert.acknowledged_by == asha


def test_code_works_once_soon_and_not_for_a_user_of_somebody_else(slack, db):
    now = timezone.now()
    asha, ben = person("asha", "analyst"), person("ben", "approver")
    code = linking.make_code(TEAM, "U0ASHA", "asha", now)
    newer = linking.make_code(TEAM, "U0ASHA", "asha", now)
    for wrong in (code, "", "x" * 500):
        with pytest.raises(linking.Refused, match="used or has expired"):
            linking.link(wrong, by=asha, via="page")
    linking.link(newer, by=asha, via="page")
    with pytest.raises(linking.Refused, match="used or has expired"):
        linking.link(newer, by=ben, via="page")
    third = linking.make_code(TEAM, "U0ASHA", "asha", now)
    with pytest.raises(linking.Refused, match="acts for somebody already"):
        linking.link(third, by=ben, via="page")
    old = linking.make_code(TEAM, "U0BEN", "ben", now - timedelta(minutes=16))
    with pytest.raises(linking.Refused, match="used or has expired"):
        linking.link(old, by=ben, via="page")
    assert list(SlackLink.objects.values_list("user", flat=True)) == [asha.pk]


def test_person_who_left_does_not_act_in_slack(slack, alert):
    asha = linked("asha")
    User.objects.filter(pk=asha.pk).update(is_active=False)
    post(pressed("acknowledge", alert.ref))
    assert carried_out() == "unknown"


def test_links_are_ones_own_and_everybodys_for_who_manages_people(db, sign_in):
    linked("asha")
    linked("ben", "approver")
    person("ada", "admin")
    client = sign_in("asha")
    shown = client.get("/settings/slack").content.decode()
    assert ("U0ASHA" in shown, "U0BEN" in shown) == (True, False)
    code = linking.make_code(TEAM, "U0TWO", "asha.two", timezone.now())
    assert "asha.two” you?" in client.get(f"/settings/slack?code={code}").content.decode()
    assert (
        client.get("/settings/slack.csv").content.decode().splitlines()[1].startswith("asha,asha,")
    )
    bens = SlackLink.objects.get(slack_name="ben")
    assert client.post(f"/settings/slack/{bens.pk}/remove").status_code == 404
    assert [one["slack_name"] for one in client.get("/api/v1/slack-users").json()["data"]] == [
        "asha"
    ]
    assert client.delete(f"/api/v1/slack-users/{bens.pk}").status_code == 404
    admin = sign_in("ada")
    assert len(admin.get("/api/v1/slack-users").json()["data"]) == 2
    assert admin.post(f"/settings/slack/{bens.pk}/remove").status_code == 302
    assert Audit.objects.get(action="slack.unlink").detail == {
        "user": "ben", "team": TEAM, "slack_user": "U0BEN", "slack_name": "ben",
    }  # fmt: skip
    mine = SlackLink.objects.get()
    assert client.delete(f"/api/v1/slack-users/{mine.pk}").status_code == 204
    assert not SlackLink.objects.exists()


def test_page_of_the_channel_says_where_slack_sends_presses(slack, ops, sign_in):
    person("ada", "admin")
    shown = sign_in("ada").get(f"/settings/channels/{ops.pk}").content.decode()
    assert "https://finops.example/slack/actions" in shown
    assert "Replace the token and signing secret" in shown
