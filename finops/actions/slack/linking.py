"""Says that a user of Slack acts as a person here: by a code that Slack shows to that user alone.

Only the person does it, signed in. Refuses to let anybody do it for somebody else: whoever links a
Slack user acts with the other's roles. Each link, and its end, is in the audit chain.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from finops import audit
from finops.models import SlackLink, SlackLinkCode, User

CODE_HOLDS = timedelta(minutes=15)


class Refused(Exception):
    """Why it is not linked, in a sentence with the fix."""


def make_code(team_id: str, slack_user_id: str, slack_name: str, now: datetime) -> str:
    """A fresh one; those that this user got before are void."""
    code = secrets.token_urlsafe(24)
    with transaction.atomic():
        SlackLinkCode.objects.filter(expires_at__lt=now).delete()
        SlackLinkCode.objects.filter(team_id=team_id, slack_user_id=slack_user_id).delete()
        SlackLinkCode.objects.create(
            code_sha256=digest(code),
            team_id=team_id,
            slack_user_id=slack_user_id,
            slack_name=slack_name[:100],
            expires_at=now + CODE_HOLDS,
        )
    return code


def digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def link(code: str, *, by: User, via: str) -> SlackLink:
    """The code works once. Raises Refused."""
    with transaction.atomic():
        audit.take_turn()
        found = SlackLinkCode.objects.select_for_update().filter(code_sha256=digest(code)).first()
        now = timezone.now()
        if found is None or found.expires_at <= now:
            raise Refused(
                "This code was used or has expired; press the button in Slack again for a new one."
            )
        found.delete()
        try:
            with transaction.atomic():
                made: SlackLink = SlackLink.objects.create(
                    user=by,
                    team_id=found.team_id,
                    slack_user_id=found.slack_user_id,
                    slack_name=found.slack_name,
                    linked_at=now,
                )
        except IntegrityError as error:
            raise Refused(
                f"The Slack user {found.slack_name} acts for somebody already, who must end that"
                " first on this page."
            ) from error
        audit.record(by, via, "slack.link", made, _told(made))
    return made


def unlink(held: SlackLink, *, by: User, via: str) -> None:
    with transaction.atomic():
        audit.record(by, via, "slack.unlink", held, _told(held))
        held.delete()


def _told(held: SlackLink) -> dict[str, str]:
    return {
        "user": held.user.get_username(),
        "team": held.team_id,
        "slack_user": held.slack_user_id,
        "slack_name": held.slack_name,
    }
