"""A real HTTP server that receives messages: a Slack with its limits, a webhook that verifies.

What it is told to answer, it answers in that order; after that it takes everything that is sound.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "whsec_of_the_tests"
"""What webhooks of tests sign with."""


@dataclass
class Reply:
    status: int = 200
    body: bytes = b"ok"
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    """Between two bytes of the body."""
    never: bool = False
    """Takes the request and says nothing until the server ends."""


@dataclass
class Got:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """`url` is where it listens. `key`: it takes only what that key has signed."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.got: list[Got] = []
        self.script: list[Reply] = []
        self.key = ""
        self.ended = threading.Event()
        self.objections: list[str] = []

    def reply_to(self, got: Got) -> Reply:
        if self.script:
            return self.script.pop(0)
        if got.path.startswith("/services/"):
            self.objections += block_kit_objections(got.json)
            return Reply(400, b"invalid_blocks") if self.objections else Reply()
        if self.key and not is_signed(got, self.key):
            self.objections.append("bad signature")
            return Reply(400, b"bad signature")
        return Reply(204, b"")


@contextmanager
def receiver() -> Iterator[Receiver]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.receiver = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.receiver.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        at: Receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        got = Got(self.path, dict(self.headers), body, time.time())
        at.got.append(got)
        reply = at.reply_to(got)
        if reply.never:
            at.ended.wait(30)
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        for byte in reply.body:
            self.wfile.write(bytes([byte]))
            if reply.drip_s and at.ended.wait(reply.drip_s):
                return

    def log_message(self, *args: object) -> None:
        """Quiet."""


def is_signed(got: Got, key: str, tolerance_s: float = 300) -> bool:
    """As docs/channels.md tells receivers to check it."""
    parts = [part.split("=", 1) for part in got.headers["Breakeven-Signature"].split(",")]
    at = next(value for name, value in parts if name == "t")
    signed = at.encode() + b"." + got.body
    wanted = hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()
    found = [value for name, value in parts if name == "v1"]
    return abs(time.time() - int(at)) <= tolerance_s and any(
        hmac.compare_digest(one, wanted) for one in found
    )


# Block Kit

NOT_ESCAPED = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
TEXT_KINDS = ("plain_text", "mrkdwn")


def block_kit_objections(payload: Any) -> list[str]:
    """What Slack would refuse, and what would let somebody's text mention people."""
    said: list[str] = []
    if not payload.get("text"):
        said.append("no text to fall back on")
    blocks = payload.get("blocks", [])
    if not 0 < len(blocks) <= 50:
        said.append(f"{len(blocks)} blocks")
    for block in blocks:
        check = _BLOCKS.get(block.get("type"))
        said += check(block) if check else [f"unknown block {block.get('type')}"]
    return said


def _text(text: Any, most: int, kinds: tuple[str, ...] = TEXT_KINDS) -> list[str]:
    said = []
    if text.get("type") not in kinds:
        said.append(f"{text.get('type')} where {kinds} may be")
    if not 0 < len(text.get("text", "")) <= most:
        said.append(f"a text of {len(text.get('text', ''))} signs where {most} may be")
    if NOT_ESCAPED.search(text.get("text", "")):
        said.append(f"not escaped: {text['text'][:80]}")
    return said


def _header(block: Any) -> list[str]:
    return _text(block["text"], 150, ("plain_text",))


def _section(block: Any) -> list[str]:
    fields = block.get("fields", [])
    said = [] if "text" in block or fields else ["a section of nothing"]
    if "text" in block:
        said += _text(block["text"], 3000)
    if len(fields) > 10:
        said.append(f"{len(fields)} fields")
    return said + [one for text in fields for one in _text(text, 2000)]


def _context(block: Any) -> list[str]:
    elements = block["elements"]
    said = [] if 0 < len(elements) <= 10 else [f"{len(elements)} elements"]
    return said + [one for text in elements for one in _text(text, 3000)]


def _actions(block: Any) -> list[str]:
    elements = block["elements"]
    said = [] if 0 < len(elements) <= 25 else [f"{len(elements)} elements"]
    acts = [element.get("action_id", "") for element in elements]
    if len(set(acts)) < len(acts) or not all(0 < len(act) <= 255 for act in acts):
        said.append(f"buttons named {acts}")
    for element in elements:
        if element["type"] != "button":
            said.append(f"no button: {element['type']}")
        said += _text(element["text"], 75, ("plain_text",))
        url, value = element.get("url", ""), element.get("value", "")
        if len(url) > 3000 or len(value) > 2000 or not (url or value):
            said.append("a button that leads nowhere and says nothing")
    return said


_BLOCKS = {"header": _header, "section": _section, "context": _context, "actions": _actions}
