"""A Slack with its Web API: it checks tokens and limits, keeps messages, and signs what is pressed.

What it is told to answer, it answers in that order; after that as Slack would.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

from tests.stubs.receivers import Got, Receiver, Reply, _Handler, block_kit_objections

TOKEN, SIGNING_SECRET = "xoxb-of-the-tests", "0123456789abcdef0123456789abcdef"
CHANNEL, APP, TEAM = "C0FINOPS", "A0BREAKEVEN", "T0ACME"
CONFIG = {"channel": CHANNEL, "app_id": APP}
SECRET = {"bot_token": TOKEN, "signing_secret": SIGNING_SECRET}


def says(status: int = 200, headers: dict[str, str] | None = None, **told: Any) -> Reply:
    """As Slack says no: with a word, mostly under status 200."""
    return Reply(status, json.dumps({"ok": False, **told}).encode(), headers or {})


class Slack(Receiver):
    """`messages` by their ts, in order; `whispers` are what one user alone saw."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        super().__init__(server)
        self.api = f"{self.url}/api"
        self.messages: dict[str, dict[str, Any]] = {}
        self.whispers: list[dict[str, Any]] = []
        self.members = {CHANNEL}
        self._lock = threading.Lock()

    def reply_to(self, got: Got) -> Reply:
        if self.script:
            return self.script.pop(0)
        if got.headers.get("Authorization") != f"Bearer {TOKEN}":
            return says(error="invalid_auth")
        method = getattr(self, got.path.removeprefix("/api/").replace(".", "_"), None)
        if method is None:
            return says(error="unknown_method")
        with self._lock:
            answer = method(got.json)
        return Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def auth_test(self, told: Any) -> dict[str, Any]:
        return {"ok": True, "team_id": TEAM, "user_id": "U0BOT", "bot_id": "B0BOT"}

    def chat_postMessage(self, told: Any) -> dict[str, Any]:
        if error := self._objection(told):
            return {"ok": False, "error": error}
        parent = told.get("thread_ts")
        if parent is not None and parent not in self.messages:
            return {"ok": False, "error": "thread_not_found"}
        ts = f"{1_700_000_000 + len(self.messages)}.000100"
        self.messages[ts] = told
        # The name comes last, behind a message that may be long.
        return {"ok": True, "channel": told["channel"], "message": told, "ts": ts}

    def chat_update(self, told: Any) -> dict[str, Any]:
        if error := self._objection(told):
            return {"ok": False, "error": error}
        if told["ts"] not in self.messages:
            return {"ok": False, "error": "message_not_found"}
        self.messages[told["ts"]] = {**self.messages[told["ts"]], **told}
        return {"ok": True, "channel": told["channel"], "ts": told["ts"]}

    def chat_postEphemeral(self, told: Any) -> dict[str, Any]:
        self.whispers.append(told)
        return {"ok": True, "message_ts": "1"}

    def _objection(self, told: Any) -> str:
        if told["channel"] not in self.members:
            return "not_in_channel"
        found = block_kit_objections(told)
        self.objections += found
        return "invalid_blocks" if found else ""

    @property
    def firsts(self) -> list[dict[str, Any]]:
        """Of each thread the message it begins with."""
        return [one for one in self.messages.values() if "thread_ts" not in one]

    @property
    def replies(self) -> list[dict[str, Any]]:
        return [one for one in self.messages.values() if "thread_ts" in one]

    def thread(self) -> list[str]:
        """What each message told of, in order: an event, and `*` where all of the channel saw it.

        Of the first one what it told of when it was last changed.
        """
        return [
            f"{event_of(one)}{'*' if one.get('reply_broadcast') else ''}"
            for one in self.messages.values()
        ]


def event_of(message: dict[str, Any]) -> str:
    event: str = message["metadata"]["event_payload"]["event"]
    return event


def buttons(message: dict[str, Any]) -> list[str]:
    """What can be pressed under it."""
    return [
        element["action_id"]
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]


def pressed(act: str, alert_id: str, by: str = "U0ASHA", **changes: Any) -> dict[str, Any]:
    """What Slack tells of a press; `changes` replace parts of it."""
    return {
        "type": "block_actions",
        # Of each press its own, so that two in one second are signed differently.
        "trigger_id": secrets.token_hex(12),
        "team": {"id": TEAM, "domain": "acme"},
        "user": {"id": by, "username": by.removeprefix("U0").lower(), "team_id": TEAM},
        "api_app_id": APP,
        "container": {"type": "message", "channel_id": CHANNEL, "message_ts": "1"},
        "channel": {"id": CHANNEL, "name": "finops"},
        "actions": [{"type": "button", "action_id": act, "value": alert_id}],
        **changes,
    }


def signed(
    payload: Any, *, secret: str = SIGNING_SECRET, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """The body and headers as Slack sends them; written from its documentation, not from ours."""
    body = urlencode({"payload": json.dumps(payload)}).encode()
    timestamp = str(int(time.time() if at is None else at))
    basis = f"v0:{timestamp}:{body.decode()}"
    digest = hmac.new(secret.encode(), basis.encode(), hashlib.sha256).hexdigest()
    return body, {
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest}",
    }


@contextmanager
def slack() -> Iterator[Slack]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    made = server.receiver = Slack(server)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
