"""The real server: batching is switched back and forth under callers, proved, and kept over a
restart that forgets it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from ingest import store
from ingest.encryption import encrypt
from optimiser import approvals, reconcile, rollout
from optimiser.demo import triton
from optimiser.models import Rollout
from optimiser.policy import Policy
from optimiser.targets.triton import TritonModel
from tests.conftest import require
from tests.factories.ingest import SourceFactory
from tests.ingest.make import span
from tests.optimiser import made
from tests.optimiser.targets.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.triton]

CALLERS = 8
POLICY = Policy(
    blocks=8, block_s=1.2, washout_s=0.3, looks=1, settle_s=0.5, deadline_s=300,
    book_least_minutes=0,
    # A second holds some dozen requests: enough for a clear case, not for a fine one.
    judge={"min_requests_per_block": 10, "error_margin": 0.1, "latency_margin": 1},
)  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    require("triton", triton.why_not())
    with triton.start(tmp_path_factory.mktemp("rollout"), with_digits=False) as running:
        yield running


class Callers:
    """Applications that wait for each answer, and report every request."""

    def __init__(self, server) -> None:
        self.server, self.ending, self.lock = server, threading.Event(), threading.Lock()
        self.asked: list[tuple[float, float, bool]] = []
        self.failures = 0
        self.threads = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def _call(self) -> None:
        with Caller(self.server, "fixedcost") as caller:
            while not self.ending.is_set():
                began, is_error = time.time(), False
                try:
                    caller.ask()
                except Exception:
                    is_error = True
                with self.lock:
                    self.failures += is_error
                    self.asked.append((began, time.time(), is_error))

    def report(self, source) -> None:
        with self.lock:
            asked, self.asked = self.asked, []
        records = []
        for began, ended, is_error in asked:
            usual = {
                "kind": "inference", "provider": "triton", "model": "fixedcost",
                "request_model": "fixedcost", "status": "error" if is_error else "ok",
                "started_at": datetime.fromtimestamp(began, UTC),
                "ended_at": datetime.fromtimestamp(ended, UTC),
            }  # fmt: skip
            records.append(span(int(began * 1e6), **usual))
        store.spans(source, records)

    def __enter__(self):
        for one in self.threads:
            one.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for one in self.threads:
            one.join()


@pytest.fixture
def target(server, db):
    endpoints = server.endpoints
    found = made.TargetFactory(
        model="fixedcost",
        server__url=endpoints.http,
        server__admin_key=encrypt(endpoints.admin_key.encode()),
        desired_config=None,
        live_config=None,
        live_state="unknown",
        checked_at=None,
    )
    reconcile.reconcile(found.pk)
    found.refresh_from_db()
    return found


def live(server):
    key = server.endpoints.admin_key
    return TritonModel(server.endpoints.http, key, "fixedcost", 10).read()


def finished(found: Rollout, meanwhile=lambda: None) -> Rollout:
    deadline = time.monotonic() + 120
    while found.finished_at is None:
        assert time.monotonic() < deadline, f"{found.state} {found.reason} {found.error}"
        if not rollout.advance(found.pk):
            meanwhile()
            time.sleep(0.05)
        found.refresh_from_db()
    return found


def test_batching_is_proved_promoted_and_put_back_after_a_restart(server, target, people):
    old = target.desired_config
    new = {
        **old,
        "dynamic_batching": {
            "preferred_batch_size": [8], "max_queue_delay_microseconds": 1000,
        },
    }  # fmt: skip
    advice = made.RecommendationFactory(target=target, current_config=old, candidate_config=new)
    change = made.approved(made.proposed(people["dev"], advice, policy=POLICY), people["ben"])
    source = SourceFactory(project=target.project)
    with Callers(server) as callers:
        found = finished(approvals.begin(change.pk), lambda: callers.report(source))
    callers.report(source)
    assert callers.failures == 0

    verdict = found.verdicts.get()
    assert (found.state, verdict.outcome) == ("promoted", "PASS"), verdict.reason
    cost = next(one for one in verdict.metrics if one["name"] == "gpu_seconds_per_request")
    # Eight requests in an execution of 28 ms, after one alone in 21 ms.
    assert 0.018 < cost["before"] < 0.05
    assert cost["effect"] > 0.5
    assert sum(one.dropped_reason != "" for one in found.blocks.all()) == 0
    assert live(server)["dynamic_batching"]["preferred_batch_size"] == [8]

    server.kill()
    again = triton.start(server.directory, with_digits=False)
    try:
        assert "dynamic_batching" not in live(again)
        target.server.url = again.endpoints.http
        target.server.save()
        reconcile.reconcile(target.pk)
        target.refresh_from_db()
        assert target.live_state == "in_step"
        assert live(again)["dynamic_batching"]["preferred_batch_size"] == [8]
        assert change.events.last().kind == "reapplied"

        rollout.roll_back_now(change.pk, people["ben"], "page")
        asked = timezone.now()
        found = finished(Rollout.objects.get(pk=found.pk))
        assert found.state == "rolled_back"
        assert (found.finished_at - asked).total_seconds() < 30
        assert "dynamic_batching" not in live(again)
    finally:
        again.stop()
