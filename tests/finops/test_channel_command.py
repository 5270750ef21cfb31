"""Channels from the command line."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from finops.channels.secret import opened
from finops.models import Audit, Channel
from tests.finops.actions.channels import make
from tests.stubs.receivers import Reply

pytestmark = pytest.mark.django_db


def said(monkeypatch, *arguments: str, typed: str = "") -> str:
    out = StringIO()
    monkeypatch.setattr(sys, "stdin", StringIO(typed))
    call_command("channel", *arguments, stdout=out)
    return out.getvalue()


def test_command_adds_each_kind_and_lists_them(receiver, monkeypatch, tmp_path):
    file = tmp_path / "key"
    url = f"--url={receiver.url}/hook"
    assert said(monkeypatch, "add", "webhook", "bot", url, f"--key-file={file}") == (
        f"“bot” is added.\nIts signing key is in {file}.\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    said(monkeypatch, "add", "email", "mail", "--to=asha@example.com", "--to=ben@example.com")
    secret = "https://hooks.slack.com/services/T0/B0/very-secret"
    said(monkeypatch, "add", "slack_webhook", "#ops", typed=f"{secret}\n")

    assert opened(Channel.objects.get(name="#ops")) == {"url": secret}
    assert said(monkeypatch, "list").splitlines() == [
        "#ops\tslack_webhook\tactive\t0 waiting, 0 not delivered",
        "bot\twebhook\tactive\t0 waiting, 0 not delivered",
        "mail\temail\tactive\t0 waiting, 0 not delivered",
    ]
    assert set(Audit.objects.filter(action="channel.add").values_list("via", flat=True)) == {
        "command"
    }
    receiver.key = file.read_text().strip()
    assert said(monkeypatch, "test", "bot") == "The test message arrived at “bot”.\n"


def test_command_says_what_is_wrong(receiver, monkeypatch):
    make.webhook(receiver)
    receiver.script = [Reply(500)]
    with pytest.raises(CommandError, match=r"It did not arrive. The receiver answered 500."):
        said(monkeypatch, "test", "bot")
    with pytest.raises(CommandError, match="no channel nobody"):
        said(monkeypatch, "test", "nobody")
    with pytest.raises(CommandError, match="is a secret"):
        said(monkeypatch, "add", "slack_webhook", "x", "--url=https://hooks.example/x")
    with pytest.raises(CommandError, match="name: There is a channel of this name"):
        said(monkeypatch, "add", "webhook", "bot", "--url=https://a.example")
