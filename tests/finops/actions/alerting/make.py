"""Findings and what channels were handed, for the tests of this room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from finops.actions.alerting import Finding
from finops.models import AlertRule, Message

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def finding(**changes: Any) -> Finding:
    usual = {
        "kind": "source_lag",
        "key": "source:1",
        "severity": "warning",
        "title": "Langfuse is silent",
        "text": "Silent since 11:00.",
        "path": "/sources/1",
    }
    return Finding(**{**usual, **changes})


def rule(kind: str = "source_lag", **changes: Any) -> AlertRule:
    return AlertRule.objects.create(kind=kind, **changes)


def sent() -> list[tuple[int, str, str]]:
    """(channel, event, severity), in order."""
    return [
        (message.channel_id, message.event, message.payload["severity"])
        for message in Message.objects.order_by("pk")
    ]
