"""Slack by incoming webhook: a message of blocks, and a button that leads to the alert's page.

Knows Block Kit's limits and what Slack's answers mean. Refuses markup of others: what they wrote is
shown as they wrote it, and mentions nobody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from finops.channels import posting
from finops.channels.base import (
    EVENT_WORDS,
    LATER,
    OFF,
    SEVERITY_WORDS,
    BadConfig,
    Outgoing,
    Sender,
    SendError,
    Taken,
)
from finops.models.channels import SLACK
from ingest import outgoing

HEADER_LENGTH, SECTION_LENGTH, FIELD_LENGTH, URL_LENGTH = 150, 3000, 2000, 3000
FIELDS_PER_SECTION = 10
MOST_FIGURES = 40
"""Four sections: far from the 50 blocks that one message may have."""

DEAD = {
    "account_inactive": "the app that owns the webhook was removed",
    "action_prohibited": "an admin of the workspace does not allow it",
    "channel_is_archived": "the Slack channel is archived",
    "channel_not_found": "the Slack channel no longer exists",
    "invalid_token": "the webhook's token is not valid",
    "no_active_hooks": "the webhook was switched off",
    "no_service": "the webhook was removed or switched off",
    "no_service_id": "the webhook's URL is not complete",
    "no_team": "the workspace no longer exists",
    "posting_to_general_channel_denied": "the workspace does not allow it in this Slack channel",
    "team_disabled": "the workspace is switched off",
    "token_revoked": "the webhook's token was revoked",
}
"""Slack's word → why this webhook will never work again."""


class Slack(Sender):
    kind = SLACK
    label = "Slack"
    help = "Posts into one Slack channel through an incoming webhook."
    spacing_s = 1.0

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if config:
            raise BadConfig("config", "Leave it out: Slack needs its webhook URL alone.")
        return {}

    def check_secret(self, given: Mapping[str, Any]) -> dict[str, str]:
        url = given.get("url")
        if not isinstance(url, str) or not url.strip():
            raise BadConfig(
                "url", "Enter the webhook's URL, as in https://hooks.slack.com/services/…"
            )
        try:
            outgoing.check_entered(url.strip())
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from refused
        return {"url": url.strip()}

    def send(
        self, config: Mapping[str, Any], secret: Mapping[str, str], message: Outgoing
    ) -> Taken:
        url = secret["url"]
        body = json.dumps(payload_of(message)).encode()
        headers = {"Content-Type": "application/json", "Breakeven-Id": message.public_id}
        answer = posting.post(url, body, headers, (url, urlsplit(url).path.lstrip("/")))
        word = word_of(answer.text)
        if word in DEAD:
            raise SendError(
                f"Slack says {word}: {DEAD[word]}.",
                OFF,
                status_code=answer.status_code,
                excerpt=answer.text,
            )
        if 200 <= answer.status_code < 300:
            if word == "ok":
                return Taken(answer.status_code, answer.text)
            # A proxy in between may answer 200 in Slack's stead.
            raise SendError(
                "The answer was not Slack's “ok”.",
                LATER,
                status_code=answer.status_code,
                excerpt=answer.text,
            )
        raise posting.judged(answer, "Slack")

    def where(self, config: Mapping[str, Any]) -> str:
        return "An incoming webhook of Slack"


def word_of(text: str) -> str:
    """Slack answers with one word; some of its doors wrap it in JSON."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text.strip()
    if not isinstance(found, dict):
        return text.strip()
    return "ok" if found.get("ok") is True else str(found.get("error", ""))


def payload_of(message: Outgoing) -> dict[str, Any]:
    """The whole message, within every limit of Block Kit."""
    blocks = blocks_of(message)
    if buttons := open_button(message):
        blocks.append({"type": "actions", "elements": buttons})
    return {"text": fallback_of(message), "blocks": blocks}


def fallback_of(message: Outgoing) -> str:
    """For notifications, and for whoever shows no blocks."""
    return escaped(f"{message.headline}. {message.text}", SECTION_LENGTH)


def blocks_of(message: Outgoing) -> list[dict[str, Any]]:
    """What it says, without anything to press."""
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": escaped(message.headline, HEADER_LENGTH)},
        }
    ]
    if message.text.strip():
        blocks.append({"type": "section", "text": literal(message.text, SECTION_LENGTH)})
    blocks += figures_of(message.figures)
    blocks.append({"type": "context", "elements": [literal(context_of(message), FIELD_LENGTH)]})
    return blocks


def open_button(message: Outgoing) -> list[dict[str, Any]]:
    """One, or none where nobody said what this installation's address is."""
    if not message.link or len(message.link) > URL_LENGTH:
        return []
    return [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": "Open in Breakeven"},
            "url": message.link,
            "action_id": "open",
        }
    ]


def figures_of(figures: Mapping[str, str]) -> list[dict[str, Any]]:
    shown = list(figures.items())[:MOST_FIGURES]
    fields = [
        # The name may not take all the room, nor may its stars be lost to it.
        {
            "type": "mrkdwn",
            "text": f"*{escaped(name, 200)}*\n{escaped(value, FIELD_LENGTH - 210)}",
            "verbatim": True,
        }
        for name, value in shown
    ]
    return [
        {"type": "section", "fields": fields[start : start + FIELDS_PER_SECTION]}
        for start in range(0, len(fields), FIELDS_PER_SECTION)
    ]


def context_of(message: Outgoing) -> str:
    left_out = len(message.figures) - MOST_FIGURES
    parts = (
        EVENT_WORDS[message.event],
        SEVERITY_WORDS[message.severity],
        message.project,
        f"{message.at:%Y-%m-%d %H:%M} UTC",
        f"alert {message.alert_id}",
        f"{left_out} more figures on its page" if left_out > 0 else "",
    )
    return " · ".join(part for part in parts if part)


def literal(text: str, most: int) -> dict[str, Any]:
    """Mentions nobody and links nothing, whatever it says."""
    return {"type": "mrkdwn", "text": escaped(text, most), "verbatim": True}


def escaped(text: str, most: int) -> str:
    """Slack's three control characters as entities, at most so long, no entity cut in two."""
    parts = [
        {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(sign, sign) for sign in text.strip() or "–"
    ]
    if sum(map(len, parts)) <= most:
        return "".join(parts)
    kept, length = [], 1
    for part in parts:
        length += len(part)
        if length > most:
            break
        kept.append(part)
    return "".join(kept) + "…"
