"""What is made in seconds and read by many tests; above all the small estate of the tests of pages,
which is kept from one file to the next.

It lives in a transaction that stays open for as long as tests that share it follow each other. Each
test has a savepoint of its own in there; the first test of any other file finds the database empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test import Client

_open: ExitStack | None = None
_sessions: dict[str, str] = {}


@contextmanager
def kept(blocker: Any) -> Iterator[None]:
    """What is made in here is there for many tests, each in a savepoint, and gone at the end."""
    with blocker.unblock(), transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)


def opened(blocker: Any) -> ModuleType:
    """The module that made it, with its names."""
    from tests.e2e import estate

    global _open
    if _open is None:
        with ExitStack() as stack:
            stack.enter_context(kept(blocker))
            estate.build(spans_a_day=6, days=12)
            _sessions.update((name, _session(name)) for name in estate.PEOPLE)
            stack.callback(_sessions.clear)
            _open = stack.pop_all()
    return estate


def _session(username: str) -> str:
    from finops.models import User

    client = Client()
    client.force_login(User.objects.get(username=username))
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def client_of(username: str) -> Client | None:
    """Of somebody of the estate that is open, signed in since it was made."""
    if username not in _sessions:
        return None
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = _sessions[username]
    return client


def close() -> None:
    """The database is empty again."""
    global _open
    if _open is not None:
        _open.close()
        _open = None
