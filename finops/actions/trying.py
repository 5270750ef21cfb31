"""Tries the address of a source out: what it answers, or what is wrong and how to mend it.

Knows a time limit and how many may try at once, so that slow servers cannot hold the pages up.
Refuses to save what was tried and to show a secret; that somebody tried is audited beforehand.
"""

from __future__ import annotations

import contextvars
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.models import User
from ingest import fetching
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import BadConfig, FetchError, PullSource

LIMIT_S = 20.0
MOST_AT_ONCE = 4
"""In one process; who gave up waiting for a slow server still holds a turn until it ends."""

_turns = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Tried:
    works: bool
    said: str
    """What was found, or what is wrong with the fix; never what the server said."""
    setting: str = ""
    """The setting to mend, where it is one alone."""
    was_asked: bool = True
    """False where the server must be left alone for now."""


def settings(adapter: PullSource, config: Mapping[str, Any], *, by: User, via: str) -> Tried:
    """Settings that are not saved, secrets and all, as `check_config` gave them."""
    # What is tried has no row yet.
    _tell(Source(pk="", kind=adapter.kind), adapter, config, by, via)
    return _tried(lambda: adapter.check(config))


def source(connected: Source, *, by: User, via: str) -> Tried:
    """A connected source as it stands. Raises FetchError for one that is not pulled."""
    adapter = fetching.adapter_of(connected)
    until = connected.delayed_until
    if until is not None and until > timezone.now():
        return Tried(False, f"{_waits(connected)} Test it after that.", was_asked=False)
    _tell(connected, adapter, connected.config, by, via)
    try:
        config = fetching.config_of(connected)
    except FetchError as failure:
        return Tried(False, str(failure))
    return _tried(lambda: adapter.check(config))


def can_be_tried(kind: str) -> bool:
    return isinstance(REGISTRY.get(kind), PullSource)


def _waits(connected: Source) -> str:
    return (
        f"Its server, or its own budget of requests, allows none before"
        f" {connected.delayed_until:%Y-%m-%d %H:%M} UTC."
    )


def _tell(
    tried: Source, adapter: PullSource, config: Mapping[str, Any], by: User, via: str
) -> None:
    """Requests to addresses that somebody typed in are never made unseen."""
    detail = {"kind": adapter.kind, "name": tried.name, "host": ", ".join(_hosts(config))}
    with transaction.atomic():
        audit.record(by, via, "source.test", tried, detail)


def _hosts(config: Mapping[str, Any]) -> list[str]:
    """Only the hosts: the rest of an address may hold a key."""
    texts = [value for value in config.values() if isinstance(value, str) and "://" in value]
    return sorted({urlsplit(text).hostname or "" for text in texts} - {""})


def _tried(check: Callable[[], str]) -> Tried:
    try:
        return Tried(True, _within_limit(check))
    except BadConfig as bad:
        return Tried(False, bad.message[:1].upper() + bad.message[1:], bad.field)
    except FetchError as failure:
        return Tried(False, str(failure))


def _within_limit(check: Callable[[], str]) -> str:
    """What the check says. A check that takes longer is left to its own timeouts."""
    turns = _turns  # given back to whom it was taken from, however late
    if not turns.acquire(blocking=False):
        raise FetchError("Other connections are being tested; try again in a moment.")
    told: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            outcome: str | BaseException = context.run(check)
        except BaseException as error:  # It is raised again where somebody waits for it.
            outcome = error
        finally:
            turns.release()
        told.put(outcome)

    threading.Thread(target=work, name="test-connection", daemon=True).start()
    try:
        outcome = told.get(timeout=LIMIT_S)
    except queue.Empty:
        raise FetchError(
            f"There was no answer within {LIMIT_S:.0f} seconds; check that the address is right"
            " and that nothing between here and it is in the way."
        ) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
