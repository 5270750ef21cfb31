"""A thousand approvals, beginnings and loads at once: each happens once, none by the proposer, none
on a config that has moved."""

from __future__ import annotations

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection

from optimiser import adapters, approvals, leases, rollout
from optimiser.approvals import Conflict, NotAllowed
from optimiser.models import Approval, Change, Rollout
from optimiser.policy import Policy
from tests.factories.finops import person
from tests.optimiser import made
from tests.optimiser.rollout.conftest import TERMS
from tests.optimiser.rollout.memory import Memory, Server

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES = 50
ATTEMPTS = 20
"""Of each change: a thousand in all."""
THREADS = 8


@pytest.fixture
def estate(db, monkeypatch):
    """Fifty models, each with a change; ten of them have drifted since."""
    proposer, approvers = person("dev", "engineer"), [person(f"ben-{n}", "approver") for n in "12"]
    # Who loses the processor for long must lose neither its lease, nor its rollout its deadline:
    # that is what kills are for.
    monkeypatch.setattr(leases, "LEASE", timedelta(minutes=10))
    policy = Policy(**TERMS | {"deadline_s": 600})
    servers = {}
    for n in range(CHANGES):
        target = made.TargetFactory(model=f"chat-{n}", server__name=f"triton-{n}")
        made.proposed(proposer, made.RecommendationFactory(target=target), policy=policy)
        live = made.config(target.model, **({"max_batch_size": 4} if n % 5 == 0 else {}))
        servers[target.pk] = Server(live)
    monkeypatch.setattr(adapters, "of", lambda of, **_: Memory(servers[of.pk], of.model))
    return proposer, approvers, servers


def race(jobs) -> Counter:
    """All of them on a few threads, in no order; what came of it."""
    random.Random(7).shuffle(jobs)
    outcomes: Counter = Counter()
    lock = threading.Lock()

    def one(job):
        try:
            said = job()
        except (NotAllowed, Conflict) as refused:
            said = type(refused).__name__
        finally:
            connection.close()
        with lock:
            outcomes[str(said)] += 1

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(one, job) for job in jobs]:
            done.result()
    return outcomes


def test_a_thousand_raced_approvals_beginnings_and_steps(estate):
    proposer, approvers, servers = estate
    changes = list(Change.objects.order_by("pk"))

    def approve(change, who):
        approvals.approve(change.pk, who, plan_hash=change.plan_hash, via="api")
        return "approved"

    def begin(change):
        return "begun" if approvals.begin(change.pk) else "waited"

    people = [*approvers, proposer]
    jobs = [
        (lambda c=change, w=people[n % 3]: approve(c, w)) if n % 2 else (lambda c=change: begin(c))
        for change in changes
        for n in range(ATTEMPTS)
    ]
    outcomes = race(jobs)

    assert sum(outcomes.values()) == CHANGES * ATTEMPTS == 1000
    assert outcomes["approved"] == CHANGES
    assert not Approval.objects.filter(approver=proposer).exists()
    assert Approval.objects.filter(voided_at=None).count() == CHANGES

    race([lambda c=change: begin(c) for change in changes for _ in range(2)])
    assert Rollout.objects.count() == CHANGES

    found = list(Rollout.objects.values_list("pk", flat=True))
    race([lambda pk=pk: rollout.advance(pk) for pk in found for _ in range(8)])
    drifted = {pk for pk, server in servers.items() if server.files["max_batch_size"] == 4}
    on_drift = Rollout.objects.filter(target__in=drifted)
    assert set(on_drift.values_list("state", flat=True)) <= {"refused", "waiting", "snapshot"}
    for pk in on_drift.values_list("pk", flat=True):
        while rollout.advance(pk):
            pass
    assert set(on_drift.values_list("state", flat=True)) == {"refused"}
    assert [servers[pk].loads for pk in drifted] == [[]] * len(drifted)
    assert Change.objects.filter(target__in=drifted).exclude(state="proposed").count() == 0
    applied = 0
    for one in Rollout.objects.exclude(target__in=drifted):
        arms = one.blocks.filter(applied_at__isnull=False).values_list("arm", flat=True)
        wanted = [one.change.desired_config if arm == "treated" else one.snapshot for arm in arms]
        # Each block's config was loaded once, and not at all where it was there already.
        loads = [new for old, new in pairwise([one.snapshot, *wanted]) if new != old]
        assert servers[one.target_id].loads == loads
        applied += len(wanted)
    assert applied >= len(servers) - len(drifted)
