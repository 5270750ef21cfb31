"""Rollouts against a server in memory, with a clock that the tests move."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from optimiser import adapters, approvals, leases, observe, rollout
from optimiser.models import Rollout, Target
from optimiser.policy import Policy
from tests.optimiser import made

from .memory import Memory, Server

TERMS = {
    "blocks": 8, "block_s": 1, "washout_s": 0.5, "looks": 1, "settle_s": 1, "deadline_s": 60,
    # So few requests cannot tell error rates apart more closely.
    "judge": {"error_margin": 0.03},
    "book_least_minutes": 0,
}  # fmt: skip
SHORT = Policy(**TERMS)
SPLIT = Policy(**TERMS | {"experiment": "split", "weight": 0.4})


class Clock:
    """Moves only when it is told to."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now

    def on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch):
    found = Clock(timezone.now())
    monkeypatch.setattr(timezone, "now", found)
    return found


@pytest.fixture
def memory(monkeypatch, clock, target):
    """The server behind the target `chat`."""
    server = Server(made.config("chat"))

    def opened(of: Target, *, most_s: float, model: str = "") -> Memory:
        assert 0 < most_s <= leases.LEASE.total_seconds()
        return Memory(server, model or of.model)

    monkeypatch.setattr(adapters, "of", opened)
    monkeypatch.setattr(observe, "requests", server.requests)
    return server


@pytest.fixture
def begin(people, memory):
    """`begin(policy)` is a rollout of approved batching that waits for its first step."""

    def begun(policy=SHORT, advice=None, **more):
        change = made.proposed(people["dev"], advice, policy=policy, **more)
        made.approved(change, people["ben"])
        found = approvals.begin(change.pk)
        assert found is not None
        return found

    return begun


@pytest.fixture
def waiting(begin, advice):
    return begin(SHORT, advice)


@pytest.fixture
def run(clock):
    """`run(rollout, until)` takes steps, moving the clock where nothing is due."""

    def taken(found: Rollout, until: str | tuple[str, ...] = (), most: int = 400) -> Rollout:
        states = (until,) if isinstance(until, str) else until
        for _ in range(most):
            found.refresh_from_db()
            if found.state in (states or ("promoted", "rolled_back", "refused", "rollback_failed")):
                return found
            if not rollout.advance(found.pk):
                begun = found.blocks.filter(measured_to=None, dropped_reason="")
                clock.on(1 if begun.exclude(measured_from=None).exists() else 0.5)
        raise AssertionError(f"{found.state}: {found.reason} {found.error}")

    return taken
