"""How a door for metrics shows who it is: nobody, HTTP Basic, or a bearer token.

Knows the three settings and the header that they become. Refuses both at once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ingest.sources.base import BadConfig, Setting

SETTINGS = (
    Setting("username", "User name", "For HTTP Basic; empty without.", ""),
    Setting("password", "Password", "Of that user; kept encrypted.", "", secret=True),
    Setting("token", "Bearer token", "Instead of a user; kept encrypted.", "", secret=True),
)
MAX_CHARS = 4096


def check(checked: Mapping[str, Any]) -> None:
    for setting in SETTINGS:
        text = checked[setting.name]
        if not isinstance(text, str) or len(text) > MAX_CHARS or not text.isprintable():
            raise BadConfig(setting.name, "must be one line of text.")
    if not checked["token"].isascii() or " " in checked["token"]:
        raise BadConfig("token", "must be the token alone, without the word Bearer.")
    if checked["token"] and checked["username"]:
        raise BadConfig("token", "is given beside a user name; give one of the two.")
    if ":" in checked["username"]:
        raise BadConfig("username", "must not hold a colon; HTTP Basic cannot send one.")


def headers(checked: Mapping[str, Any]) -> dict[str, str]:
    if checked["token"]:
        return {"Authorization": f"Bearer {checked['token']}"}
    if checked["username"]:
        pair = f"{checked['username']}:{checked['password']}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
