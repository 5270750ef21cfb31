"""The small estate of the tests of pages: made in seconds, so kept from one file to the next.

It lives in a transaction that stays open for as long as tests that share it follow each other. Each
test has a savepoint of its own in there; the first test of any other file finds the database empty.
"""

from __future__ import annotations

from contextlib import ExitStack
from types import ModuleType
from typing import Any

from django.db import transaction

_open: ExitStack | None = None


def opened(blocker: Any) -> ModuleType:
    """The module that made it, with its names."""
    from tests.e2e import estate

    global _open
    if _open is None:
        with ExitStack() as stack:
            stack.enter_context(blocker.unblock())
            stack.enter_context(transaction.atomic())
            estate.build(spans_a_day=6, days=12)
            stack.callback(transaction.set_rollback, True)
            _open = stack.pop_all()
    return estate


def close() -> None:
    """The database is empty again."""
    global _open
    if _open is not None:
        _open.close()
        _open = None
