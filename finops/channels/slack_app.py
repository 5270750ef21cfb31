"""Slack by an app of one's own: one thread per alert, and buttons that acknowledge and snooze.

Knows the methods of Slack's Web API that this needs and what their errors mean. Refuses to say who
pressed a button; see `finops.actions.slack`. Nothing is approved here: a button only leads there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from finops.channels import posting
from finops.channels.base import (
    LATER,
    OFF,
    REFUSED,
    BadConfig,
    Outgoing,
    Sender,
    SendError,
    Taken,
)
from finops.channels.slack import (
    FIELD_LENGTH,
    SECTION_LENGTH,
    blocks_of,
    context_of,
    escaped,
    fallback_of,
    literal,
    open_button,
)
from finops.models.channels import SLACK_APP
from finops.models.slack import ACKNOWLEDGE, SNOOZE

ANSWER_BYTES = 1_000_000
"""Slack sends the whole message back; the word and the name of it must not be cut off."""

DEAD = {
    "account_inactive": "the app was removed from the workspace; install it again, renew its token",
    "channel_not_found": "there is no such Slack channel, or it is private; invite the app there",
    "ekm_access_denied": "an admin of the workspace suspended posting",
    "invalid_auth": "the bot token is not valid; enter the app's token anew",
    "is_archived": "the Slack channel is archived; unarchive it, or name another one",
    "missing_scope": "the app lacks the scope chat:write; add it and install the app again",
    "no_permission": "the app may not post there; invite it to the Slack channel",
    "not_allowed_token_type": "this is no bot token; enter the one that begins with xoxb-",
    "not_authed": "no bot token reached it; enter the app's token anew",
    "not_in_channel": "the app is no member of the Slack channel; invite it there",
    "org_login_required": "the workspace is being moved; switch the channel on when it is done",
    "restricted_action": "the workspace does not let the app post in this Slack channel",
    "restricted_action_read_only_channel": "the Slack channel is read-only for the app",
    "team_access_not_granted": "the app is not installed in this workspace; install it",
    "token_expired": "the bot token has expired; switch token rotation off and enter a new one",
    "token_revoked": "the bot token was revoked; install the app again and enter its new token",
}
"""Slack's word → why nothing will be taken until somebody does something, and what."""

AGAIN = frozenset(
    {
        *("fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout"),
        *("service_unavailable", "team_added_to_org"),
    }
)

GONE = frozenset(
    {
        *("cant_update_message", "cannot_reply_to_message", "edit_window_closed"),
        *("invalid_thread_ts", "message_not_found", "thread_not_found"),
    }
)
"""Somebody deleted the first message: the alert gets a new one."""

LOUD = frozenset({"reminder", "escalated"})
"""Replies that the whole channel sees: they ask somebody to look."""

CHANNEL_ID = re.compile(r"[CG][A-Z0-9]{5,29}")
APP_ID = re.compile(r"A[A-Z0-9]{5,29}")
SIGNING_SECRET = re.compile(r"[0-9A-Za-z]{16,100}")


class SlackApp(Sender):
    kind = SLACK_APP
    label = "Slack app"
    help = "Posts as your Slack app: one thread per alert, with buttons to acknowledge and snooze."
    spacing_s = 1.0

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if set(config) - {"channel", "app_id"}:
            raise BadConfig("config", "A Slack app has two settings: channel and app_id.")
        channel, app_id = (str(config.get(name) or "").strip() for name in ("channel", "app_id"))
        if not CHANNEL_ID.fullmatch(channel):
            raise BadConfig(
                "channel", "Enter the Slack channel's ID, as in C0123ABCD; its details show it."
            )
        if not APP_ID.fullmatch(app_id):
            raise BadConfig(
                "app_id", "Enter the app's ID, as in A0123ABCD, from the page Basic Information."
            )
        return {"channel": channel, "app_id": app_id}

    def check_secret(self, given: Mapping[str, Any]) -> dict[str, str]:
        """Asks Slack whose token it is: only that workspace's buttons are believed."""
        token, secret = (
            str(given.get(name) or "").strip() for name in ("bot_token", "signing_secret")
        )
        if not token.startswith("xoxb-") or not token.isascii() or len(token) > 300:
            raise BadConfig("bot_token", "Enter the bot token; it begins with xoxb-.")
        if not SIGNING_SECRET.fullmatch(secret):
            raise BadConfig(
                "signing_secret", "Enter the signing secret from the page Basic Information."
            )
        try:
            found = called("auth.test", token, {})
        except SendError as error:
            raise BadConfig("bot_token", error.problem) from error
        team = str(found.get("team_id") or "")
        if not team:
            raise BadConfig("bot_token", "Slack does not say whose workspace this token is for.")
        return {"bot_token": token, "signing_secret": secret, "team_id": team}

    def send(
        self, config: Mapping[str, Any], secret: Mapping[str, str], message: Outgoing
    ) -> Taken:
        to = _Place(str(config["channel"]), secret["bot_token"])
        if not message.thread:
            return to.begin(message)
        try:
            return to.follow(message)
        except SendError as error:
            if error.word not in GONE:
                raise
            begun = to.begin(message)
            said = "The first message was deleted in Slack; this one began a new thread."
            return Taken(begun.status_code, begun.excerpt, said, begun.thread)

    def where(self, config: Mapping[str, Any]) -> str:
        return f"Slack channel {config['channel']}"


class _Place:
    """One Slack channel and the token that posts there."""

    def __init__(self, channel: str, token: str) -> None:
        self.channel, self.token = channel, token

    def begin(self, message: Outgoing) -> Taken:
        found = self._call("chat.postMessage", payload_of(message))
        # A test is no alert: nothing follows it.
        thread = "" if message.event == "test" else str(found.get("ts") or "")
        return Taken(200, "ok", thread=thread)

    def follow(self, message: Outgoing) -> Taken:
        """First what may be repeated: a reply that is sent twice would be read twice."""
        if message.is_news:
            self._call("chat.update", {"ts": message.thread, **payload_of(message)})
        reply = {"thread_ts": message.thread, **reply_of(message)}
        if message.event in LOUD:
            reply["reply_broadcast"] = True
        self._call("chat.postMessage", reply)
        return Taken(200, "ok", thread=message.thread)

    def _call(self, method: str, told: Mapping[str, Any]) -> dict[str, Any]:
        return called(method, self.token, {"channel": self.channel, **told})


def whisper(config: Mapping[str, Any], secret: Mapping[str, str], to: str, text: str) -> None:
    """Says something to one user of Slack, in the channel, that nobody else sees."""
    told = {"channel": config["channel"], "user": to, "text": escaped(text, SECTION_LENGTH)}
    called("chat.postEphemeral", secret["bot_token"], told)


def called(method: str, token: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """One method of the Web API. Raises SendError where it says no, or nothing."""
    answer = posting.post(
        f"{settings.SLACK_API_URL}/{method}",
        json.dumps(told).encode(),
        {
            "Content-Type": "application/json; charset=utf-8",
            "Authorization": f"Bearer {token}",
        },
        (token,),
        keep_bytes=ANSWER_BYTES,
    )
    found = _object(answer.text)
    if found.get("ok") is True and answer.status_code == 200:
        return found
    word = str(found.get("error") or "")
    excerpt = answer.text[: posting.EXCERPT_BYTES]
    if not word:
        if 200 <= answer.status_code < 300:
            # A proxy in between may answer in Slack's stead.
            raise SendError(
                "The answer was not Slack's.",
                LATER,
                status_code=answer.status_code,
                excerpt=excerpt,
            )
        judged = posting.judged(answer, "Slack")
        judged.excerpt = excerpt
        raise judged
    meaning = OFF if word in DEAD else LATER if word in AGAIN else REFUSED
    said = DEAD.get(word) or ("try later" if meaning == LATER else "it takes no such message")
    raise SendError(
        f"Slack says {word}: {said}.",
        meaning,
        status_code=answer.status_code,
        retry_after_s=answer.retry_after_s,
        excerpt=excerpt,
        word=word,
    )


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def payload_of(message: Outgoing) -> dict[str, Any]:
    """The alert's own message, as it stands now."""
    blocks = blocks_of(message)
    if buttons := buttons_of(message):
        blocks.append({"type": "actions", "block_id": "alert", "elements": buttons})
    return {"text": fallback_of(message), "blocks": blocks, **_common(message)}


def reply_of(message: Outgoing) -> dict[str, Any]:
    """One line in the thread: what became of it. What it is about stands above."""
    said = escaped(message.headline, SECTION_LENGTH // 2)
    lines = f"*{said}*\n{escaped(message.text, SECTION_LENGTH // 2 - 10)}"
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": lines, "verbatim": True}},
        {"type": "context", "elements": [literal(context_of(message), FIELD_LENGTH)]},
    ]
    return {"text": fallback_of(message), "blocks": blocks, **_common(message)}


def _common(message: Outgoing) -> dict[str, Any]:
    return {
        "unfurl_links": False,
        "unfurl_media": False,
        # For a bot that reads the channel: the same id at each attempt.
        "metadata": {
            "event_type": "breakeven_alert",
            "event_payload": {
                "id": message.public_id,
                "alert": message.alert_id,
                "event": message.event,
            },
        },
    }


TO_ACKNOWLEDGE = frozenset({"opened", "reminder", "escalated", "flapping", "snoozed"})
TO_SNOOZE = TO_ACKNOWLEDGE - {"snoozed"} | {"acknowledged"}


def buttons_of(message: Outgoing) -> list[dict[str, Any]]:
    """What may be done with it after this event."""
    buttons = open_button(message)
    if message.event in TO_ACKNOWLEDGE:
        buttons.append(_button("Acknowledge", ACKNOWLEDGE, message.alert_id))
    if message.event in TO_SNOOZE:
        buttons.append(_button("Snooze 24 h", SNOOZE, message.alert_id))
    return buttons


def _button(text: str, act: str, alert_id: str) -> dict[str, Any]:
    return {
        "type": "button",
        "text": {"type": "plain_text", "text": text},
        "action_id": act,
        "value": alert_id,
    }
