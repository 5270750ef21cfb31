"""Clients of the API, by token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.factories.finops import access_token


class Caller:
    """Calls as one person, with a token of one scope."""

    def __init__(self, token: str):
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **query: Any):
        return self.client.get(f"/api/v1/{path}", query, headers=self.headers)

    def send(self, path: str, body: Any = None, method: str = "POST", **headers: str):
        return self.client.generic(
            method,
            f"/api/v1/{path}",
            json.dumps({} if body is None else body),
            "application/json",
            headers={**self.headers, **headers},
        )


@pytest.fixture
def by_token(people):
    """`by_token("asha")`, `by_token("ada", "admin")`; the scope is `write` unless said."""

    def caller(username: str, scope: str = "write") -> Caller:
        return Caller(access_token(people[username], scope))

    return caller
