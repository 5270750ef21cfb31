"""Targets, advice, changes and rollouts, as the rooms of the optimiser would have written them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import factory
from django.utils import timezone

from finops.models import User
from optimiser import approvals
from optimiser.models import (
    Calibration,
    Change,
    Evidence,
    Recommendation,
    Rollout,
    RolloutBlock,
    Server,
    Target,
    Verdict,
)
from tests.factories.ingest import PoolFactory, ProjectFactory

WINDOW_FROM = datetime(2026, 11, 20, 8, tzinfo=UTC)

LIVE: dict[str, Any] = {
    "name": "chat",
    "backend": "python",
    "version_policy": {"latest": {"num_versions": 1}},
    "max_batch_size": 32,
    "input": [{"name": "INPUT", "data_type": "TYPE_FP32", "dims": [16]}],
    "output": [{"name": "OUTPUT", "data_type": "TYPE_FP32", "dims": [1]}],
    "instance_group": [{"name": "chat_0", "kind": "KIND_CPU", "count": 1}],
    "parameters": {"fixed_ms": {"string_value": "20"}},
}

CURVE = {
    "timings": [
        {"batch_size": size, "seconds": [0.020 + 0.0002 * size + 0.0001 * at for at in range(3)]}
        for size in (1, 2, 4, 8)
    ],
    "overhead_s": 0.002,
    "spacing_s": 0.0,
}


def setting(summary: str, p95_ms: float, gpu_s: float, **more: Any) -> dict[str, Any]:
    """One setting and what a replay said of it, as a lever writes it."""
    told = {"summary": summary, "p50_ms": p95_ms * 0.7, "p95_ms": p95_ms, "p99_ms": p95_ms * 1.2}
    told |= {"gpu_seconds_per_request": gpu_s, "mean_batch": 0.02 / gpu_s, "busy_share": 0.9}
    return {**told, **more}


RESULTS: dict[str, Any] = {
    "limits": {"p95_may_be_worse": 0.1, "least_gain": 0.05},
    "traffic": {
        "requests": 86_400,
        "window_s": 1800.0,
        "rate_rps": 48.0,
        "met_others": 0.97,
        "under_way_mean": 15.2,
        "latency_ms": {"p50": 310.0, "p95": 420.0},
    },
    "current": setting("one request at a time", 420.0, 0.0200),
    "candidate": setting("batches of up to 8, waiting up to 2 ms", 189.0, 0.0056),
    "grid": [
        setting("batches of up to 8, waiting up to 2 ms", 189.0, 0.0056, within_limit=True),
        setting("batches of up to 8, waiting up to 20 ms", 480.0, 0.0041, within_limit=False),
    ],
    "service_curve": [
        {
            "batch_size": size,
            "executions": 3,
            "mean_ms": 20 + 0.2 * size,
            "low_ms": 19.9 + 0.2 * size,
            "high_ms": 20.3 + 0.2 * size,
            "ms_per_request": 20 / size + 0.2,
        }
        for size in (1, 2, 4, 8)
    ],
    "bootstrap": {"repetitions": 200, "block_s": 72.0, "confidence": 0.95},
    "assumptions": [
        "16 callers wait for their answer.",
        "Several instances do not slow each other.",
    ],
}


def figure(before: float, after: float, change: float, low: float, high: float) -> dict[str, float]:
    """One metric of an effect, as the simulator writes it."""
    ends = {"before_low": before * 0.97, "before_high": before * 1.04}
    ends |= {"after_low": after * 0.95, "after_high": after * 1.06}
    return {"before": before, "after": after, "change": change, "low": low, "high": high, **ends}


EFFECT = {
    "gpu_seconds_per_request": figure(0.0200, 0.0056, 0.72, 0.69, 0.75),
    "p50_ms": figure(310.0, 142.0, 0.54, 0.50, 0.58),
    "p95_ms": figure(420.0, 189.0, 0.55, 0.49, 0.60),
    "p99_ms": figure(510.0, 241.0, 0.53, 0.44, 0.61),
    "throughput_rps": figure(48.0, 49.0, 0.02, 0.01, 0.03),
}


def config(name: str = "chat", **changes: Any) -> dict[str, Any]:
    """A whole config as Triton reports one."""
    return {**copy.deepcopy(LIVE), "name": name, **changes}


def batching(name: str = "chat", delay_us: int = 2000) -> dict[str, Any]:
    said = {"preferred_batch_size": [8], "max_queue_delay_microseconds": delay_us}
    return config(name, dynamic_batching=said)


class ServerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Server

    name = factory.Sequence(lambda n: f"triton-{n}")
    url = factory.Sequence(lambda n: f"http://triton-{n}:8000")


class TargetFactory(factory.django.DjangoModelFactory):
    """In step with what is desired of it."""

    class Meta:
        model = Target

    server = factory.SubFactory(ServerFactory)
    project = factory.SubFactory(ProjectFactory)
    pool = factory.SubFactory(PoolFactory)
    model = factory.Sequence(lambda n: f"chat-{n}")
    request_model = factory.SelfAttribute("model")
    desired_config = factory.LazyAttribute(lambda target: config(target.model))
    live_config = factory.LazyAttribute(lambda target: config(target.model))
    live_state = "in_step"
    desired_since = live_state_since = checked_at = factory.LazyFunction(timezone.now)


class CalibrationFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Calibration

    target = factory.SubFactory(TargetFactory)


class EvidenceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Evidence

    target = factory.SubFactory(TargetFactory)
    kind = "simulation"
    lever = "batching"
    versions = factory.LazyFunction(lambda: {"lever": "1", "simulator": "1"})
    window_from = WINDOW_FROM
    window_to = WINDOW_FROM + timedelta(minutes=30)
    requests = 86_400
    seed = 7
    input_hash = "a" * 64
    results = factory.LazyFunction(lambda: copy.deepcopy(RESULTS))
    calibration = factory.SubFactory(
        CalibrationFactory,
        target=factory.SelfAttribute("..target"),
        state="done",
        curve=CURVE,
        finished_at=WINDOW_FROM,
    )


class RecommendationFactory(factory.django.DjangoModelFactory):
    """Dynamic batching, recommended; `outcome="refused"` and others need no evidence."""

    class Meta:
        model = Recommendation

    target = factory.SubFactory(TargetFactory)
    lever = "batching"
    outcome = "recommended"
    title = factory.LazyAttribute(lambda advice: f"Batch requests to {advice.target.model}")
    reason = "Batches of up to 8 free GPU time without making answers slower."
    current_config = factory.LazyAttribute(lambda advice: config(advice.target.model))
    candidate_config = factory.LazyAttribute(
        lambda advice: batching(advice.target.model) if advice.outcome == "recommended" else None
    )
    effect = factory.LazyAttribute(
        lambda advice: EFFECT if advice.outcome == "recommended" else None
    )
    evidence = factory.SubFactory(EvidenceFactory, target=factory.SelfAttribute("..target"))
    risk = "Requests wait up to 2 ms for others to join their batch."
    rollback = "The full config from before is loaded again, within seconds."


def proposed(by: User, advice: Recommendation | None = None, **more: Any) -> Change:
    """A change through the real door."""
    return approvals.propose(advice or RecommendationFactory(), by, via="page", **more)


def approved(change: Change, by: User) -> Change:
    approvals.approve(change.pk, by, plan_hash=change.plan_hash, via="page")
    change.refresh_from_db()
    return change


def begun(change: Change, *, blocks: int = 0, arms: str = "cttctcct", **more: Any) -> Rollout:
    """The rollout of an approved change, with the first so many blocks measured."""
    rollout = approvals.begin(change.pk)
    assert rollout is not None
    named = {"c": "control", "t": "treated"}
    rollout.arms = [named[arm] for arm in arms]
    rollout.snapshot = change.live_config
    rollout.started_at = timezone.now()
    for name, value in {"state": "measuring", **more}.items():
        setattr(rollout, name, value)
    rollout.save()
    for index in range(blocks):
        start = timezone.now() - timedelta(minutes=blocks - index)
        RolloutBlock.objects.create(
            rollout=rollout,
            index=index,
            arm=rollout.arms[index],
            applied_at=start,
            measured_from=start + timedelta(seconds=10),
            measured_to=start + timedelta(seconds=60),
        )
    change.refresh_from_db()
    return rollout


def metric(name: str = "gpu_seconds_per_request", **changes: Any) -> dict[str, Any]:
    """One metric of a verdict, as the judge writes it."""
    usual = {
        "name": name, "question": "superiority", "outcome": "PASS", "before": 0.02,
        "after": 0.006, "effect": 0.7, "low": 0.65, "high": None, "margin": 0.0,
        "seen": 8, "needed": 4, "unit": "s", "reason": "It is shown to be cheaper.",
    }  # fmt: skip
    return {**usual, **changes}


def verdict(rollout: Rollout, outcome: str = "PASS", *metrics: dict[str, Any], **more: Any):
    usual = {
        "look": 1,
        "looks": 4,
        "outcome": outcome,
        "reason": f"The verdict is {outcome}.",
        "metrics": list(metrics) or [metric(outcome=outcome)],
        "stops": outcome != "INCONCLUSIVE",
        "judge_version": "1",
        "input_hash": "b" * 64,
    }
    return Verdict.objects.create(rollout=rollout, **{**usual, **more})
