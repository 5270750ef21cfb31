from __future__ import annotations

from collections.abc import Iterator

import pytest

from finops.channels import base, email, posting
from tests.stubs.smtp import MailServer, mail_server


@pytest.fixture
def mails(settings) -> Iterator[MailServer]:
    settings.PUBLIC_URL = "https://finops.example"
    with mail_server() as made:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", made.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.DEFAULT_FROM_EMAIL = "breakeven@example.com"
        yield made


@pytest.fixture
def impatient(monkeypatch) -> float:
    """Sending ends after this; nobody waits ten seconds in a test."""
    for module in (base, email, posting):
        monkeypatch.setattr(module, "TIMEOUT_S", 1.5)
    return 1.5


@pytest.fixture
def unhurried(monkeypatch) -> None:
    """Slack takes a second message at once."""
    from finops.channels import SENDERS

    monkeypatch.setattr(type(SENDERS["slack_webhook"]), "spacing_s", 0.0)
