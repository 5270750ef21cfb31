"""Asks the levers about each target and keeps what they said, with the evidence behind it.

Knows recorded traffic, the last calibration and which advice is open. Refuses to touch advice that
somebody has proposed, and to advise on a target while a change is on its way there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from django.db import IntegrityError, transaction
from django.utils import timezone
from numpy.typing import NDArray

from optimiser import observe
from optimiser.calibrating import request_calibration
from optimiser.models import Calibration, Change, Evidence, Recommendation, Rollout, Target
from optimiser.models.rollouts import OPEN_ROLLOUTS
from optimiser.plan import digest

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from optimiser.levers.base import Finding, Lever
    from optimiser.simulate import Traffic

__all__ = ["advise", "advise_all", "recorded", "request_calibration"]

log = structlog.get_logger()

LEVERS_FOR = {"model": ("batching",), "router": ("variant",)}
"""Which levers are asked about which kind of target; the others have nothing to say there."""

WINDOW = timedelta(minutes=60)
MOST_REQUESTS = 50_000
ARRIVING = timedelta(seconds=10)
"""Spans of the last seconds are still on their way."""

KEEP_FOR = timedelta(hours=1)
"""Advice with the same outcome is renewed with newer evidence so often."""
STANDS_FOR = timedelta(minutes=5)
"""What is recommended is not taken back sooner: somebody may be reading it."""
LET_REST_FOR = timedelta(days=7)
"""What somebody dismissed is not said again for so long."""

ON_THEIR_WAY = ("proposed", "approved", "rolling_out")


def advise_all() -> None:
    for pk in Target.objects.exclude(live_config=None).order_by("pk").values_list("pk", flat=True):
        advise(pk)


def advise(target_id: int, now: datetime | None = None) -> list[Recommendation]:
    """Run every lever over the target's recorded traffic; what is new."""
    target = Target.objects.select_related("server").get(pk=target_id)
    if target.live_state != "in_step" or _is_busy(target):
        return []
    # Before anything is read: an hour's requests and their replay take seconds.
    keys = [key for key in LEVERS_FOR[target.kind] if not _has_spoken(target, key)]
    if not keys:
        return []
    from optimiser.levers import REGISTRY  # compiles, which takes its time

    traffic = recorded(target, now or timezone.now())
    said = [_ask(REGISTRY[key], target, traffic) for key in keys]
    return [one for one in said if one is not None]


def _is_busy(target: Target) -> bool:
    busy: bool = Rollout.objects.filter(target=target, state__in=OPEN_ROLLOUTS).exists()
    return busy


def _has_spoken(target: Target, lever_key: str) -> bool:
    """Whatever it found now would not be said: its advice is on its way, or stands."""
    changes = Change.objects.filter(target=target, lever=lever_key, state__in=ON_THEIR_WAY)
    return changes.exists() or _stands(target, lever_key)


def _stands(target: Target, lever_key: str) -> bool:
    found: bool = (
        _on_live_config(target, lever_key)
        .filter(
            state="open",
            outcome="recommended",
            created_at__gte=timezone.now() - STANDS_FOR,
        )
        .exists()
    )
    return found


def _on_live_config(target: Target, lever_key: str) -> QuerySet[Recommendation]:
    return Recommendation.objects.filter(
        target=target, lever=lever_key, current_config=target.live_config
    )


def recorded(target: Target, now: datetime) -> Traffic:
    """The last hour's answered requests, not from before the config was last changed."""
    from optimiser.simulate import Traffic

    start, end = now - WINDOW, now - ARRIVING
    last = Rollout.objects.filter(target=target, finished_at__isnull=False, snapshot__isnull=False)
    changed = last.order_by("-finished_at").values_list("finished_at", flat=True).first()
    start = max(start, changed) if changed else start
    start = min(start, end - timedelta(seconds=1))
    found = observe.requests(target, start, end, MOST_REQUESTS)
    if len(found) == MOST_REQUESTS:
        start = found[0].started_at
    answered = [one for one in found if not one.is_error and one.latency_ms is not None]
    return Traffic(
        started_s=np.array([(one.started_at - start).total_seconds() for one in answered]),
        latency_s=np.array([(one.latency_ms or 0.0) / 1000 for one in answered]),
        window_from=start,
        window_to=end,
        callers=_callers(answered),
    )


def _callers(found: Sequence[observe.Request]) -> NDArray[np.int64] | None:
    """Who asked, as numbers; None when one of them is unknown."""
    names = [one.caller for one in found]
    if not all(names):
        return None
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def last_calibration(target: Target) -> Calibration | None:
    """Measured beside the config that is live: the service times of another one tell nothing."""
    found: Calibration | None = (
        target.calibrations.filter(state="done").order_by("-finished_at").first()
    )
    return found


# One lever on one target


def _ask(lever: Lever, target: Target, traffic: Traffic) -> Recommendation | None:
    from optimiser.simulate import SIMULATOR_VERSION, ServiceCurve

    calibration = last_calibration(target)
    curve = ServiceCurve.from_json(calibration.curve) if calibration else None
    inputs = {
        "started_s": _hash(traffic.started_s),
        "latency_s": _hash(traffic.latency_s),
        "callers": None if traffic.callers is None else _hash(traffic.callers),
        "window": [traffic.window_from.isoformat(), traffic.window_to.isoformat()],
        "config": target.live_config,
        "curve": calibration.curve if calibration else None,
    }
    input_hash = digest(inputs)
    seed = int(input_hash[:8], 16)
    finding = lever.propose(traffic, target.live_config, curve, seed)
    if _is_known(target, lever, finding, calibration):
        return None
    versions = {"lever": lever.version, "simulator": SIMULATOR_VERSION}
    evidence = Evidence(
        target=target,
        kind="simulation",
        lever=lever.key,
        versions=versions,
        calibration=calibration,
        window_from=traffic.window_from,
        window_to=traffic.window_to,
        requests=len(traffic.started_s),
        seed=seed,
        input_hash=input_hash,
        results=finding.evidence,
    )
    return _keep(lever, target, finding, evidence)


def _hash(values: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _is_known(
    target: Target, lever: Lever, finding: Finding, calibration: Calibration | None
) -> bool:
    """Whether the like of it, from the same calibration, is open and fresh, or was not wanted.

    Of two settings that are as good as each other now the one wins and now the other: what a
    person reads does not change under them for that.
    """
    if _stands(target, lever.key):
        return True  # another controller was quicker
    now = timezone.now()
    same = _on_live_config(target, lever.key).filter(outcome=finding.outcome)
    unwanted = same.filter(state="dismissed", candidate_config=finding.candidate_config)
    if unwanted.filter(closed_at__gte=now - LET_REST_FOR).exists():
        return True
    fresh = same.filter(state="open", created_at__gte=now - KEEP_FOR)
    found: bool = fresh.filter(evidence__calibration=calibration).exists()
    return found


def _keep(
    lever: Lever, target: Target, finding: Finding, evidence: Evidence
) -> Recommendation | None:
    effect = None if finding.effect is None else finding.effect.to_json()
    try:
        with transaction.atomic():
            open_ones = Recommendation.objects.select_for_update().filter(
                target=target, lever=lever.key, state="open"
            )
            for old in open_ones:
                old.state, old.closed_at = "superseded", timezone.now()
                old.save(update_fields=["state", "closed_at"])
            evidence.save()
            advice: Recommendation = Recommendation.objects.create(
                target=target,
                lever=lever.key,
                outcome=finding.outcome,
                reason=finding.reason,
                title=f"{lever.label} for {target.model}"[:200],
                evidence=evidence,
                current_config=target.live_config,
                candidate_config=finding.candidate_config,
                effect=effect,
                risk=finding.risk,
                rollback=finding.rollback,
            )
    except IntegrityError:
        log.info("advice_kept_elsewhere", target=target.pk, lever=lever.key)
        return None
    return advice
