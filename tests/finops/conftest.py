"""One small estate for all tests of pages; each test's own changes are rolled back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from django.test import Client

from finops.models import User
from tests import kept_estate as kept
from tests.stubs import receivers
from tests.stubs import slack as slack_stub

PLAIN_STATIC = {
    **django_settings.STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}


@pytest.fixture
def plain_static(settings):
    """Pages without the manifest that `collectstatic` writes."""
    settings.STORAGES = PLAIN_STATIC


@pytest.fixture(scope="session")
def kept_estate(django_db_setup):
    yield
    kept.close()


@pytest.fixture(scope="module")
def estate(kept_estate, django_db_blocker):
    """Five people, three projects, a pool, a bill: see tests/e2e/estate.py."""
    return kept.opened(django_db_blocker)


@pytest.fixture
def sign_in(db, plain_static):
    """`sign_in("asha")` is a client of hers."""

    def signed_in(username: str) -> Client:
        client = kept.client_of(username)
        if client is not None:
            return client
        client = Client()
        client.force_login(User.objects.get(username=username))
        return client

    return signed_in


@pytest.fixture
def receiver(settings) -> Iterator[receivers.Receiver]:
    """Of messages of a channel; our guard lets us reach it."""
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    settings.PUBLIC_URL = "https://finops.example"
    with receivers.receiver() as made:
        made.key = receivers.KEY
        yield made


@pytest.fixture
def slack(settings, monkeypatch) -> Iterator[slack_stub.Slack]:
    """Slack's Web API; it takes a second message at once."""
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    settings.PUBLIC_URL = "https://finops.example"
    monkeypatch.setattr("finops.channels.slack_app.SlackApp.spacing_s", 0.0)
    with slack_stub.slack() as made:
        settings.SLACK_API_URL = made.api
        yield made
