"""Channels and notices as tests need them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from finops.actions import channels
from finops.channels.secret import locked
from finops.models import Channel
from tests.stubs import slack as slack_stub
from tests.stubs.receivers import KEY

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def notice(**changes: Any) -> channels.Notice:
    told = {
        "alert_id": "7",
        "event": "opened",
        "severity": "critical",
        "title": "Budget of search used up",
        "text": "Search spent 102 % of its month.",
        "url_path": "/alerts/7",
        "project": "search",
        "figures": {"Spent": "1,020.00 USD", "Budget": "1,000.00 USD"},
        "at": NOON,
    }
    return channels.Notice(**{**told, **changes})


def channel(
    kind: str = "email",
    name: str = "ops",
    *,
    url: str = "",
    to: tuple[str, ...] = ("asha@example.com",),
    **changes: Any,
) -> Channel:
    config = {
        "slack_webhook": {},
        "slack_app": slack_stub.CONFIG,
        "webhook": {"url": url},
        "email": {"to": list(to)},
    }[kind]
    secret = {
        "slack_webhook": {"url": url},
        "slack_app": {**slack_stub.SECRET, "team_id": slack_stub.TEAM},
        "webhook": {"key": KEY},
        "email": {},
    }[kind]
    told = {"kind": kind, "name": name, "config": config, "secret": locked(secret)}
    return Channel.objects.create(**{**told, "state_at": timezone.now(), **changes})


def slack(at: Any, name: str = "ops", **changes: Any) -> Channel:
    """A Slack channel whose webhook is at this receiver."""
    return channel("slack_webhook", name, url=f"{at.url}/services/T0/B0/secret-part", **changes)


def webhook(at: Any, name: str = "bot", **changes: Any) -> Channel:
    return channel("webhook", name, url=f"{at.url}/hook", **changes)
