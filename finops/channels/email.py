"""Plain-text mail through the SMTP server that the environment names.

Knows what SMTP's answers mean. Refuses to wait longer than one sending may take.
"""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend
from django.core.validators import validate_email

from finops.channels.base import (
    EVENT_WORDS,
    LATER,
    OFF,
    SEVERITY_WORDS,
    TIMEOUT_S,
    BadConfig,
    Outgoing,
    Sender,
    SendError,
    Taken,
)
from finops.models.channels import EMAIL
from ingest import outgoing

MOST_ADDRESSES = 20
SUBJECT_LENGTH = 200
NO_SERVER = "No mail server is set up; set BREAKEVEN_SMTP_HOST and BREAKEVEN_SMTP_FROM."


class Email(Sender):
    kind = EMAIL
    label = "Email"
    help = "Sends plain text to one or more addresses."

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        if set(config) - {"to"}:
            raise BadConfig("config", "Email has one setting: to, a list of addresses.")
        given = config.get("to")
        listed = given if isinstance(given, list) else []
        addresses = list(dict.fromkeys(str(one).strip() for one in listed))
        if not 0 < len(addresses) <= MOST_ADDRESSES:
            raise BadConfig("to", f"Give 1 to {MOST_ADDRESSES} addresses.")
        for address in addresses:
            try:
                validate_email(address)
            except ValidationError:
                raise BadConfig("to", f"{address[:100]} is no mail address.") from None
        return {"to": addresses}

    def check_secret(self, given: Mapping[str, Any]) -> dict[str, str]:
        if given:
            raise BadConfig("secret", "Leave it out: the mail server's password is a setting.")
        return {}

    def send(
        self, config: Mapping[str, Any], secret: Mapping[str, str], message: Outgoing
    ) -> Taken:
        if not settings.EMAIL_HOST or not settings.DEFAULT_FROM_EMAIL:
            raise SendError(NO_SERVER, OFF)
        with outgoing.Deadline(TIMEOUT_S) as deadline:
            try:
                refused = _send(mail_of(config["to"], message))
            except smtplib.SMTPRecipientsRefused as error:
                raise _of_recipients(error) from error
            except smtplib.SMTPResponseException as error:
                raise _of_answer(error.smtp_code, error.smtp_error) from error
            except smtplib.SMTPNotSupportedError as error:
                raise SendError(
                    f"The mail server cannot do what the settings ask: {error}", OFF
                ) from error
            except (OSError, smtplib.SMTPException) as error:
                slow = deadline.has_passed or isinstance(error, TimeoutError)
                said = (
                    f"did not answer within {TIMEOUT_S:.0f} seconds"
                    if slow
                    else "cannot be reached or broke off"
                )
                raise SendError(f"The mail server {said}.") from error
        return Taken(250, warning=f"Not taken for {_listed(refused)}." if refused else "")

    def where(self, config: Mapping[str, Any]) -> str:
        return ", ".join(config["to"])


class _Watched(smtplib.SMTP):
    """Under the deadline of its thread, and remembers for whom the server took nothing."""

    refused: dict[str, tuple[int, bytes]]

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connected: socket.socket = super()._get_socket(host, port, timeout)  # type: ignore[misc]
        outgoing.watch(connected)
        return connected

    def sendmail(self, *args: Any, **kwargs: Any) -> dict[str, tuple[int, bytes]]:
        self.refused = super().sendmail(*args, **kwargs)
        return self.refused


class _WatchedTls(smtplib.SMTP_SSL, _Watched):
    """`SMTP_SSL` begins TLS on what the next class connected."""


class _Backend(EmailBackend):  # type: ignore[misc]
    @property
    def connection_class(self) -> type[smtplib.SMTP]:
        return _WatchedTls if self.use_ssl else _Watched


def _send(mail: EmailMessage) -> Mapping[str, tuple[int, bytes]]:
    """Those for whom the server took nothing, while it took it for others."""
    backend = _Backend(timeout=TIMEOUT_S)
    backend.open()
    try:
        backend.send_messages([mail])
        refused: Mapping[str, tuple[int, bytes]] = backend.connection.refused
        return refused
    finally:
        backend.close()


def mail_of(to: list[str], message: Outgoing) -> EmailMessage:
    # A line break would begin another header.
    subject = " ".join(f"[Breakeven] {message.headline}".split())[:SUBJECT_LENGTH]
    return EmailMessage(
        subject,
        text_of(message),
        settings.DEFAULT_FROM_EMAIL,
        to,
        headers={
            # The same at each attempt, so that mail programs show it once.
            "Message-ID": f"<{message.public_id}@breakeven>",
            "Breakeven-Id": message.public_id,
            "Auto-Submitted": "auto-generated",
        },
    )


def text_of(message: Outgoing) -> str:
    lines = [message.headline, "", message.text, ""]
    lines += [f"{name}: {value}" for name, value in message.figures.items()]
    lines += [
        f"Project: {message.project}" if message.project else "",
        f"State: {EVENT_WORDS[message.event]}, {SEVERITY_WORDS[message.severity].lower()}",
        f"When: {message.at:%Y-%m-%d %H:%M} UTC",
        f"Alert: {message.alert_id}",
        "",
        message.link,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _of_recipients(error: smtplib.SMTPRecipientsRefused) -> SendError:
    codes = [code for code, _ in error.recipients.values()]
    meaning = OFF if all(500 <= code < 600 for code in codes) else LATER
    said = _listed(error.recipients)
    return SendError(f"The mail server takes nothing for {said}.", meaning, status_code=max(codes))


def _of_answer(code: int, said: bytes | str) -> SendError:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    excerpt = " ".join(text.replace("\0", "").split())[:300]
    is_answer = 200 <= code < 600
    return SendError(
        f"The mail server answered {code}: {excerpt}" if is_answer else "It was no mail server.",
        OFF if 500 <= code < 600 else LATER,
        status_code=code if is_answer else None,
        excerpt=excerpt,
    )


def _listed(refused: Mapping[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{address} ({code})" for address, (code, _) in refused.items())
