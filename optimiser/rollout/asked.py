"""People's one way into a rollout: roll back now.

Knows who may ask and what there is to roll back. Refuses only where nothing of the change is
applied, or another change stands on it; it touches no server itself.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from finops.models import User
from optimiser import approvals
from optimiser.approvals import Conflict, NotAllowed
from optimiser.models import Change, Rollout, Target
from optimiser.models.rollouts import OPEN_ROLLOUTS

from .step import move


def roll_back_now(change_id: int, person: User, via: str) -> Rollout:
    """The old config comes back, during a rollout and after it; asking twice is no harm.

    Raises NotAllowed and Conflict. Nothing that may be wrong with the change, the live config or
    another rollout is a reason to refuse: what is running on the target is stopped first.
    """
    with transaction.atomic():
        change = approvals.locked(change_id)
        _must_be_allowed(person, change)
        target = Target.objects.select_for_update().get(pk=change.target_id)
        rollout: Rollout | None = change.rollouts.select_for_update().order_by("-pk").first()
        if rollout is None or rollout.state in ("rolled_back", "refused"):
            raise Conflict("Nothing of this change is applied, so there is nothing to roll back.")
        if rollout.state == "promoted":
            _must_be_on_top(change, rollout)
        if rollout.stop_asked_at is None:
            rollout.stop_asked_by, rollout.stop_asked_at = person, timezone.now()
        rollout.not_before = None
        rollout.save(update_fields=["stop_asked_by", "stop_asked_at", "not_before"])
        _stop_others(target, rollout, person)
        name = approvals.name_of(person)
        text = f"{name} asked for the old config."
        approvals.told(change, person, via, "roll_back", text, {"rollout": rollout.pk})
        _start(rollout)
    return rollout


def _must_be_allowed(person: User, change: Change) -> None:
    project = change.target.project
    if not any(
        person.has_perm(permission, project)
        for permission in ("finops.propose_change", "finops.approve_change")
    ):
        raise NotAllowed(f"No role of yours rolls back changes in {project}; ask an admin for one.")


def _must_be_on_top(change: Change, rollout: Rollout) -> None:
    later = Rollout.objects.filter(
        target=rollout.target_id, state="promoted", finished_at__gt=rollout.finished_at
    ).select_related("change")
    first = later.order_by("-finished_at").first()
    if first is not None:
        raise Conflict(
            f"Change {first.change_id}, {first.change.title!r}, was promoted on top of this one:"
            " roll that back first."
        )


def _stop_others(target: Target, rollout: Rollout, person: User) -> None:
    """A change being tried out on top of this one goes first; ours follows when it is gone."""
    others = Rollout.objects.filter(target=target, state__in=OPEN_ROLLOUTS).exclude(pk=rollout.pk)
    others.filter(stop_asked_at=None).update(
        stop_asked_by=person, stop_asked_at=timezone.now(), not_before=None
    )


def _start(rollout: Rollout) -> None:
    """A promoted rollout turns round as soon as its target is free."""
    others = Rollout.objects.filter(target=rollout.target_id, state__in=OPEN_ROLLOUTS)
    if rollout.state == "promoted" and not others.exclude(pk=rollout.pk).exists():
        move(rollout, "restoring", timezone.now(), "Somebody asked for the old config.")


def start_waiting_rollbacks() -> int:
    """Those that were asked for while another rollout held the target; how many there were."""
    busy = Rollout.objects.filter(target=OuterRef("target"), state__in=OPEN_ROLLOUTS)
    waiting = Rollout.objects.filter(
        ~Exists(busy), state="promoted", stop_asked_at__isnull=False
    ).values_list("pk", "change_id")
    for pk, change_id in waiting:
        with transaction.atomic():
            change = approvals.locked(change_id)
            Target.objects.select_for_update().get(pk=change.target_id)
            rollout = Rollout.objects.select_for_update().get(pk=pk)
            if rollout.stop_asked_at is not None:
                _start(rollout)
    return len(waiting)
