"""Clients of the API: by session and by token."""

from __future__ import annotations

import pytest
from django.test import Client

from finops.models import User
from tests.factories.finops import access_token


class Caller:
    """Calls as one person, with a token of one scope or with a session."""

    def __init__(self, client: Client, headers: dict[str, str]):
        self.client, self.headers = client, headers

    def get(self, path, **query):
        return self.client.get(path, query, headers=self.headers)

    def post(self, path, body, content_type="application/json", **headers):
        return self._send("POST", path, body, content_type, headers)

    def put(self, path, body, content_type="application/json", **headers):
        return self._send("PUT", path, body, content_type, headers)

    def patch(self, path, body, content_type="application/json", **headers):
        return self._send("PATCH", path, body, content_type, headers)

    def _send(self, method, path, body, content_type, headers):
        # As it is: the client's own `post` would encode it in the charset it names.
        raw = body.encode() if isinstance(body, str) else body
        headers = {**self.headers, **headers}
        return self.client.generic(method, path, raw, content_type, headers=headers)

    def delete(self, path):
        return self.client.delete(path, headers=self.headers)


@pytest.fixture(scope="session")
def anybody():
    """One client for all calls without a session: each new one loads all middleware anew."""
    return Client(raise_request_exception=False)


@pytest.fixture
def by_token(db, anybody):
    """`by_token("asha")`, `by_token("ada", "admin")`."""

    def caller(username: str, scope: str = "read") -> Caller:
        text = access_token(User.objects.get(username=username), scope)
        return Caller(anybody, {"Authorization": f"Bearer {text}"})

    return caller


@pytest.fixture
def by_session(db):
    def caller(username: str, **options) -> Caller:
        client = Client(raise_request_exception=False, **options)
        client.force_login(User.objects.get(username=username))
        return Caller(client, {})

    return caller
