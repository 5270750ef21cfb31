"""Who may write for a rollout, or repair a target, and until when by the database's clock.

A lease is short, because nobody brings the old config back before it has run out. Every write names
the epoch it was taken in; an outside call is given less time than is left. Refuses to know what is
done under it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.db.models import DateTimeField, Func, Q

from optimiser.models import Change, Rollout, Target
from optimiser.models.rollouts import OPEN_ROLLOUTS

LEASE = timedelta(seconds=15)
SPARE_S = 2.0
"""What is left of the lease when an outside call has used up its time: enough to write it down."""
NEW = 0.9
"""A lease of which so much is left need not be renewed."""


class LeaseLost(Exception):
    """Somebody else may hold it now; whoever gets this must stop writing."""


class Clock(Func):  # type: ignore[misc]  # Django is untyped
    """The database's clock at this very moment; `Now()` stands still while a statement waits."""

    template = "clock_timestamp()"
    output_field = DateTimeField()


def holder() -> str:
    """This process, and no other one that ever had its number."""
    return _holder(os.getpid())


@lru_cache(maxsize=1)
def _holder(pid: int) -> str:
    return f"{socket.gethostname()[:60]}:{pid}:{secrets.token_hex(4)}"


@dataclass
class Lease:
    """The right to write for one rollout."""

    rollout_id: int
    change_id: int
    target_id: int
    epoch: int
    gone_s: float | None
    """For how long nobody had held it when it was taken from a holder that did not give it back."""
    _ends: float = field(default=0.0, repr=False)

    def renew(self) -> None:
        asked = time.monotonic()
        held = Rollout.objects.filter(self._mine, pk=self.rollout_id)
        if held.update(lease_expires_at=Clock() + LEASE) != 1:
            raise LeaseLost(f"The lease on rollout {self.rollout_id} ran out.")
        self._ends = asked + LEASE.total_seconds()

    def time_for_a_call(self) -> float:
        """Seconds that an outside call may take now. Renews what is not new any more first, so that
        they are always about as many."""
        if self._ends - time.monotonic() < NEW * LEASE.total_seconds():
            self.renew()
        return self._ends - time.monotonic() - min(SPARE_S, LEASE.total_seconds() / 5)

    @contextmanager
    def held(self) -> Iterator[Rollout]:
        """A transaction that holds change, target and rollout in this order, or LeaseLost.

        Everybody locks in this order, so nobody waits for each other in a circle.
        """
        with transaction.atomic():
            # Only held here: the rollout brings them along.
            Change.objects.select_for_update().values_list("pk").get(pk=self.change_id)
            Target.objects.select_for_update().values_list("pk").get(pk=self.target_id)
            rollout = (
                Rollout.objects.select_for_update(of=("self",))
                .select_related("change", "target__server", "target__project")
                .filter(self._mine, pk=self.rollout_id)
                .first()
            )
            if rollout is None:
                raise LeaseLost(f"The lease on rollout {self.rollout_id} ran out.")
            rollout.change.target = rollout.target
            yield rollout

    def release(self, unless: Collection[str] = ()) -> None:
        """Others need not wait for it to run out. Losing it meanwhile is no harm."""
        held = Rollout.objects.filter(self._mine, pk=self.rollout_id).exclude(state__in=unless)
        held.update(lease_expires_at=None, lease_holder="")

    @property
    def _mine(self) -> Q:
        return Q(epoch=self.epoch, lease_expires_at__gt=Clock())


def claim(rollout_id: int, who: str) -> Lease | None:
    """Take or keep the lease; None while somebody else holds it, or a repair its target."""
    asked = time.monotonic()
    with transaction.atomic():
        row = (
            Rollout.objects.select_for_update(skip_locked=True, of=("self",))
            .filter(_free_for(who), pk=rollout_id, state__in=OPEN_ROLLOUTS)
            # A repair is begun where no rollout is open, so that this one sees it.
            .exclude(target__lease_expires_at__gt=Clock())
            .annotate(clock=Clock())
            .only("change", "target", "epoch", "lease_holder", "lease_expires_at")
            .first()
        )
        if row is None:
            return None
        ran_out = row.lease_expires_at is not None and row.lease_expires_at <= row.clock
        gone_s = (row.clock - row.lease_expires_at).total_seconds() if ran_out else None
        if ran_out or row.lease_holder != who:
            row.epoch += 1
        row.lease_holder, row.lease_expires_at = who, Clock() + LEASE
        row.save(update_fields=["epoch", "lease_holder", "lease_expires_at"])
    lease = Lease(row.pk, row.change_id, row.target_id, row.epoch, gone_s)
    lease._ends = asked + LEASE.total_seconds()
    return lease


def _free_for(who: str) -> Q:
    return Q(lease_expires_at=None) | Q(lease_expires_at__lte=Clock()) | Q(lease_holder=who)


# Repairs of a target that no rollout holds


@dataclass(frozen=True)
class Repair:
    """The right to load a config outside of any rollout."""

    target_id: int
    epoch: int

    @contextmanager
    def held(self) -> Iterator[Target]:
        with transaction.atomic():
            target = (
                Target.objects.select_for_update(of=("self",))
                .select_related("server", "project")
                .filter(pk=self.target_id, epoch=self.epoch, lease_expires_at__gt=Clock())
                .first()
            )
            if target is None:
                raise LeaseLost(f"The lease on target {self.target_id} ran out.")
            yield target

    def release(self) -> None:
        held: Any = Target.objects.filter(pk=self.target_id, epoch=self.epoch)
        held.update(lease_expires_at=None, lease_holder="")


def claim_repair(target: Target, who: str) -> Repair | None:
    """For use in a transaction that holds the target's row and knows that no rollout is open."""
    if Target.objects.filter(pk=target.pk, lease_expires_at__gt=Clock()).exists():
        return None
    target.epoch += 1
    target.lease_holder, target.lease_expires_at = who, Clock() + LEASE
    target.save(update_fields=["epoch", "lease_holder", "lease_expires_at"])
    return Repair(target.pk, target.epoch)
