"""Has service times measured where somebody asked for it: once at a time for each target.

Knows who may ask and who measures now. Refuses to measure while a change is being tried out on the
same server: each would spoil the other's figures.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from finops import audit
from finops.models import User
from optimiser import adapters
from optimiser.approvals import Conflict, must_hold
from optimiser.leases import Clock, LeaseLost, holder
from optimiser.models import Calibration, Rollout, Target
from optimiser.models.rollouts import OPEN_ROLLOUTS
from optimiser.targets.base import TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optimiser.targets.calibration import Measured

LEASE = timedelta(minutes=5)
"""Longer than a measurement may take, unloading included."""


def request_calibration(target: Target, person: User, via: str) -> Calibration:
    """Ask for service times to be measured. Raises approvals.NotAllowed and approvals.Conflict."""
    must_hold(person, "finops.propose_change", target, "asks for calibrations")
    if not target.shadow_model:
        raise Conflict(
            f"{target} has no shadow model to measure on: name one in the target's settings."
        )
    try:
        with transaction.atomic():
            calibration: Calibration = Calibration.objects.create(
                target=target, requested_by=person
            )
            detail = {"target": str(target), "shadow": target.shadow_model}
            audit.record(person, via, "calibration.request", calibration, detail)
    except IntegrityError:
        raise Conflict("A calibration of this target is on its way already.") from None
    return calibration


def waiting() -> list[int]:
    """Those that wait, or whose measuring process is gone."""
    busy = Rollout.objects.filter(state__in=OPEN_ROLLOUTS).values("target__server")
    found = Calibration.objects.filter(_free()).exclude(target__server__in=busy)
    return list(found.order_by("pk").values_list("pk", flat=True))


def running() -> QuerySet[Calibration]:
    return Calibration.objects.filter(state="running", lease_expires_at__gt=Clock())


def _free() -> Q:
    return Q(state="waiting") | Q(state="running", lease_expires_at__lte=Clock())


def calibrate(calibration_id: int) -> bool:
    """Measure, if nobody else does; whether this call did."""
    claimed = _claim(calibration_id)
    if claimed is None:
        return False
    target = claimed.target
    from optimiser.targets import calibration  # compiles, which takes its time

    try:
        key = adapters.admin_key(target.server)
        measured = calibration.measure(target.server.url, key, target.model, target.shadow_model)
        values = _values(measured)
    except (TargetError, ValueError) as error:
        with _held(claimed) as row:
            _finish(row, "failed", error=str(error))
        return True
    with _held(claimed) as row:
        _finish(row, "done", **values)
    return True


def _claim(calibration_id: int) -> Calibration | None:
    with transaction.atomic():
        row: Calibration | None = (
            Calibration.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("target__server")
            .filter(_free(), pk=calibration_id)
            .first()
        )
        if row is None:
            return None
        row.state, row.epoch, row.started_at = "running", row.epoch + 1, timezone.now()
        row.lease_holder, row.lease_expires_at = holder(), Clock() + LEASE
        row.save(update_fields=["state", "epoch", "started_at", "lease_holder", "lease_expires_at"])
    return row


@contextmanager
def _held(claimed: Calibration) -> Iterator[Calibration]:
    with transaction.atomic():
        mine = Q(pk=claimed.pk, epoch=claimed.epoch, lease_expires_at__gt=Clock())
        row = Calibration.objects.select_for_update().filter(mine).first()
        if row is None:
            raise LeaseLost(f"The lease on calibration {claimed.pk} ran out.")
        yield row


def _values(measured: Measured) -> dict[str, Any]:
    return {
        "config": measured.live_config,
        "curve": measured.curve.to_json(),
        "measurements": {
            "timings": [asdict(one) for one in measured.timings],
            "executions": measured.executions,
            "took_s": measured.took_s,
            "shadow_config": measured.shadow_config,
        },
    }


def _finish(row: Calibration, state: str, **values: Any) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.state, row.finished_at = state, timezone.now()
    row.lease_holder, row.lease_expires_at = "", None
    row.save()
    detail = {"target": str(row.target), "error": row.error}
    audit.record(None, "system", f"calibration.{state}", row, detail)
