"""Takes a button's request from Slack: is it Slack's, of our app and channel, and not seen before?

Keeps it and answers at once; a worker carries it out. Refuses everything else with a status and a
sentence, and believes nothing of a request before its signature.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from django.db import IntegrityError, transaction

from finops.channels import secret, slack_signing
from finops.models import Channel, SlackPress
from finops.models.channels import ACTIVE, SLACK_APP
from finops.models.slack import PRESSES
from ingest import encryption
from ingest.nudge import nudge

log = logging.getLogger(__name__)

CARRY_OUT = "finops.tasks.carry_out_press"
LINK_BUTTON = "open"
"""Slack tells of a press of a link as well; there is nothing to do."""
SLACK_ID = re.compile(r"[A-Z0-9]{1,30}")
ALERT_ID = re.compile(r"A-[0-9]{1,18}")
MOST_BYTES = 1_000_000
"""Slack sends the whole message with each press."""


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def take(body: bytes, timestamp: str, signature: str, now: datetime) -> SlackPress | None:
    """The press, kept; None where there is nothing to do. Raises Refused."""
    if not slack_signing.is_timely(timestamp, now):
        raise Refused(401, "The time of the request is missing, or over five minutes away.")
    signers = [
        (channel, opened)
        for channel, opened in _apps()
        if slack_signing.is_signed(body, timestamp, signature, opened["signing_secret"])
    ]
    if not signers:
        raise Refused(401, "No Slack app that is set up here signed this.")
    payload = _payload(body)
    channel = _channel(payload, signers)
    action = payload["actions"][0]
    act, alert_id = str(action.get("action_id")), str(action.get("value", ""))
    if act == LINK_BUTTON:
        return None
    user = payload["user"]
    known = SLACK_ID.fullmatch(user["id"]) and ALERT_ID.fullmatch(alert_id)
    if act not in PRESSES or not known:
        raise Refused(400, "There is no such button here.")
    press = SlackPress(
        digest=hashlib.sha256(f"{timestamp}:{signature}".encode()).digest(),
        channel=channel,
        team_id=payload["team"]["id"],
        slack_user_id=user["id"],
        slack_name=_name(user),
        alert_id=alert_id,
        act=act,
        at=now,
    )
    _keep(press)
    return press


def _name(user: Mapping[str, Any]) -> str:
    """As Slack tells it, without signs that no database keeps."""
    said = str(user.get("username") or user.get("name") or "")
    return "".join(sign for sign in said if sign.isprintable())[:100] or str(user["id"])


def _keep(press: SlackPress) -> None:
    try:
        with transaction.atomic():
            press.save(force_insert=True)
            transaction.on_commit(lambda: nudge(CARRY_OUT, press.pk))
    except IntegrityError as error:
        raise Refused(409, "This request was taken already.") from error


def _apps() -> list[tuple[Channel, dict[str, str]]]:
    there = Channel.objects.filter(kind=SLACK_APP, state=ACTIVE).order_by("pk")
    found = []
    for channel in there:
        try:
            found.append((channel, secret.opened(channel)))
        except encryption.CannotDecrypt as error:
            # Another app's press must not fail with it.
            log.error("slack_secret_not_opened channel=%s why=%s", channel.pk, error)
    return found


def _payload(body: bytes) -> dict[str, Any]:
    """What was pressed, by whom, where; Slack sends it as JSON in a field of a form."""
    try:
        [text] = parse_qs(body.decode(), strict_parsing=True, max_num_fields=10)["payload"]
        payload = json.loads(text)
        is_press = payload["type"] == "block_actions"
        texts = (
            payload["team"]["id"],
            payload["api_app_id"],
            payload["user"]["id"],
            payload["channel"]["id"],
        )
        is_whole = all(isinstance(one, str) for one in texts) and bool(payload["actions"][0])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise Refused(400, "This is no press of a button.") from error
    if not is_press or not is_whole:
        raise Refused(400, "This is no press of a button.")
    found: dict[str, Any] = payload
    return found


def _channel(payload: Mapping[str, Any], signers: list[tuple[Channel, dict[str, str]]]) -> Channel:
    team, user_team = payload["team"]["id"], payload["user"].get("team_id")
    for channel, opened in signers:
        if (
            opened["team_id"] == team
            and channel.config["app_id"] == payload["api_app_id"]
            and channel.config["channel"] == payload["channel"]["id"]
            # In a channel shared with another company, its people are not ours.
            and user_team in (None, team)
        ):
            return channel
    raise Refused(403, "This is another workspace, app or Slack channel than the one set up here.")
