"""A webhook of one's own: JSON, signed, with an id by which a receiver drops what it has already.

Knows the signature. Refuses to say a key twice: after it was made, only its owner has it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from finops.channels import posting
from finops.channels.base import BadConfig, Outgoing, Sender, Taken
from finops.models.channels import WEBHOOK
from ingest import outgoing

SIGNATURE = "Breakeven-Signature"
ID = "Breakeven-Id"
OLD_KEY_HOLDS = timedelta(hours=24)
"""How long both keys sign after a new one was made, so that a receiver can change over calmly."""


class Webhook(Sender):
    kind = WEBHOOK
    label = "Webhook"
    help = "Posts signed JSON to an address of yours, such as a bot or an on-call tool."

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if set(config) - {"url"}:
            raise BadConfig("config", "A webhook has one setting: url.")
        url = config.get("url")
        if not isinstance(url, str) or not url.strip():
            raise BadConfig("url", "Enter the URL, as in https://bot.example.com/breakeven.")
        try:
            outgoing.check_entered(url.strip())
        except outgoing.Refused as refused:
            raise BadConfig("url", str(refused)) from refused
        return {"url": url.strip()}

    def check_secret(self, given: Mapping[str, Any]) -> dict[str, str]:
        if given:
            raise BadConfig("secret", "Leave it out: the signing key is made here.")
        return {"key": new_key()}

    def send(
        self, config: Mapping[str, Any], secret: Mapping[str, str], message: Outgoing
    ) -> Taken:
        body = body_of(message)
        now_s = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Breakeven",
            ID: message.public_id,
            "Breakeven-Event": f"alert.{message.event}",
            "Breakeven-Attempt": str(message.attempt),
            SIGNATURE: signature(body, now_s, keys_at(secret, now_s)),
        }
        answer = posting.post(config["url"], body, headers, tuple(keys_at(secret, now_s)))
        if 200 <= answer.status_code < 300:
            return Taken(answer.status_code, answer.text)
        raise posting.judged(answer, "The receiver")

    def where(self, config: Mapping[str, Any]) -> str:
        return str(config["url"])


def new_key() -> str:
    return f"whsec_{secrets.token_urlsafe(32)}"


def with_new_key(secret: Mapping[str, str], now: datetime) -> dict[str, str]:
    """A new key beside the one there, which signs for a while yet."""
    until = now + OLD_KEY_HOLDS
    return {"key": new_key(), "old_key": secret["key"], "old_until": until.isoformat()}


def keys_at(secret: Mapping[str, str], now_s: float) -> list[str]:
    """Those that sign now, the newest first."""
    until = secret.get("old_until")
    old_holds = until is not None and datetime.fromisoformat(until).timestamp() > now_s
    return [secret["key"], secret["old_key"]] if old_holds else [secret["key"]]


def signature(body: bytes, now_s: int, keys: list[str]) -> str:
    """`t=<seconds>,v1=<hex>`, one v1 per key: HMAC-SHA256 over `<seconds>.<body>`."""
    signed = f"{now_s}.".encode() + body
    made = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={now_s}", *(f"v1={one}" for one in made)])


def body_of(message: Outgoing) -> bytes:
    """The same bytes at each attempt; the signature's time alone moves on."""
    told = {
        "id": message.public_id,
        "type": f"alert.{message.event}",
        "alert": {
            "id": message.alert_id,
            "severity": message.severity,
            "title": message.title,
            "text": message.text,
            "project": message.project,
            "figures": dict(message.figures),
            "at": message.at.isoformat(),
            "url": message.link,
        },
    }
    return json.dumps(told, separators=(",", ":")).encode()
