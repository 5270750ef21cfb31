"""Whose user in Slack is whose here, and what a code that came from Slack would link.

Knows reading; refuses everybody's links to whoever may not manage people.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from finops.actions.slack.linking import digest
from finops.models import SlackLink, SlackLinkCode

MANAGE = "finops.manage_people"


def links(user: Any) -> list[SlackLink]:
    """One's own, and for whoever manages people everybody's; the newest first."""
    return list(_visible(user))


def one_link(user: Any, pk: int) -> SlackLink | None:
    found: SlackLink | None = _visible(user).filter(pk=pk).first()
    return found


def waiting(code: str, now: datetime) -> SlackLinkCode | None:
    """The user of Slack whom this code would link; None where it was used or is too old."""
    found = SlackLinkCode.objects.filter(code_sha256=digest(code), expires_at__gt=now)
    row: SlackLinkCode | None = found.first()
    return row


def _visible(user: Any) -> QuerySet[SlackLink]:
    found = SlackLink.objects.select_related("user")
    return found if user.has_perm(MANAGE) else found.filter(user=user)
