"""A real SMTP server of a few words, on the loopback, that keeps what it is given.

`answers` names what it says to a command instead of taking it: {"MAIL": "451 later"}; for one
recipient, {"RCPT TO:<x@example.com>": "550 no such user"}. "" says nothing at all.
"""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage


@dataclass
class MailServer:
    port: int
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    """To whom it was taken, and the mail."""
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Talk)
    server.daemon_threads = True
    server.box = MailServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
    thread.start()
    try:
        yield server.box
    finally:
        server.box.ended.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Talk(socketserver.StreamRequestHandler):
    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def answer_to(self, line: str) -> str | None:
        for command, answer in self.server.box.answers.items():
            if line.upper().startswith(command.upper()):
                return answer
        return None

    def handle(self) -> None:
        greeting = self.answer_to("") if "" in self.server.box.answers else "220 stub ready"
        if not greeting:
            self.server.box.ended.wait(30)
            return
        self.say(greeting)
        taken: list[str] = []
        for raw in self.rfile:
            line = raw.decode().strip()
            other = self.answer_to(line)
            if other == "":
                self.server.box.ended.wait(30)
                return
            if other is not None:
                self.say(other)
            elif line.upper().startswith("DATA"):
                self.take(taken)
                taken = []
            elif line.upper() == "QUIT":
                self.say("221 bye")
                return
            else:
                if line.upper().startswith("RCPT"):
                    taken.append(line.partition("<")[2].rpartition(">")[0])
                self.say("250 fine")

    def take(self, to: list[str]) -> None:
        self.say("354 go on")
        lines = []
        for raw in self.rfile:
            if raw == b".\r\n":
                break
            lines.append(raw.removeprefix(b".") if raw.startswith(b"..") else raw)
        message = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.server.box.mails.append((to, message))
        self.say("250 taken")
