"""One small estate for all tests of pages of a module; each test's own changes are rolled back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.test import Client

from finops.models import User
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


@pytest.fixture(scope="module")
def estate(django_db_setup, django_db_blocker):
    """Five people, three projects, a pool, a bill: see tests/e2e/estate.py."""
    from tests.e2e import estate

    with django_db_blocker.unblock(), transaction.atomic():
        estate.build(spans_a_day=6, days=12)
        yield estate
        transaction.set_rollback(True)


@pytest.fixture
def sign_in(db, plain_static):
    """`sign_in("asha")` is a client of hers."""

    def signed_in(username: str) -> Client:
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
