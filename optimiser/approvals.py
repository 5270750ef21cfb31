"""Propose, edit, approve, reject, withdraw: what people decide about a change.

Knows who may decide on what, and that a decision is about one plan hash. Refuses to act without an
audit record, and to let anybody approve what they wrote; the database refuses the same by itself
(migration 0002). It touches no server: carrying out is `rollout`.

    proposed ──approve──▶ approved ──begin──▶ rolling_out ──▶ promoted ──▶ rolled_back
       ▲  └─reject, withdraw, expire                    └──▶ rolled_back, failed
       └──── edit, drift: approvals are void
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from finops import audit
from finops.models import User
from optimiser.models import (
    Approval,
    Change,
    ChangeEditor,
    ChangeEvent,
    Recommendation,
    Rollout,
    Target,
)
from optimiser.models.rollouts import OPEN_ROLLOUTS
from optimiser.plan import Moved, Plan, difference, listed, moved_fields
from optimiser.policy import Policy
from optimiser.targets import model_config

EXPIRES_AFTER = timedelta(hours=72)
LONGEST_EXPIRY = timedelta(days=14)

MOVES: Mapping[str, frozenset[str]] = {
    "proposed": frozenset({"approved", "rejected", "withdrawn", "expired"}),
    "approved": frozenset({"proposed", "rolling_out", "withdrawn", "expired"}),
    "rolling_out": frozenset({"promoted", "rolled_back", "failed", "proposed"}),
    "promoted": frozenset({"rolled_back", "failed"}),
    "failed": frozenset({"rolled_back"}),
    "rejected": frozenset(),
    "withdrawn": frozenset(),
    "expired": frozenset(),
    "rolled_back": frozenset(),
}
"""From which state a change may go where. Everything else is a mistake in the program."""

CLOSED = frozenset({"rejected", "withdrawn", "expired", "promoted", "rolled_back", "failed"})


class NotAllowed(Exception):
    """This person may not do this, in one sentence."""


class Conflict(Exception):
    """It cannot be done any more; `moved` says which fields are no longer as they were."""

    def __init__(self, message: str, moved: list[Moved] | None = None) -> None:
        super().__init__(message)
        self.moved = moved or []


class BadEdit(ValueError):
    """A field of a proposal cannot work: `field` says which, `message` how to mend it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Decision:
    """What came of a vote: the row, how many agreed and how many are needed."""

    approval: Approval
    agreed: int
    needed: int

    @property
    def is_enough(self) -> bool:
        return self.agreed >= self.needed


# Proposing and editing


def propose(
    recommendation: Recommendation,
    proposer: User,
    *,
    via: str,
    policy: Policy | None = None,
    why: str = "",
    expires_at: datetime | None = None,
) -> Change:
    """A change out of an open recommendation. Raises NotAllowed, Conflict, BadEdit."""
    must_hold(proposer, "finops.propose_change", recommendation.target, "proposes changes")
    expires_at = expires_at or timezone.now() + EXPIRES_AFTER
    _check_expiry(expires_at)
    with transaction.atomic():
        advice = Recommendation.objects.select_for_update().get(pk=recommendation.pk)
        if advice.state != "open":
            raise Conflict("This recommendation is no longer open; ask for a new one.")
        if not can_be_proposed(advice):
            raise Conflict("There is nothing to propose here: it names no config to change to.")
        moved = outdated(advice)
        if moved:
            raise Conflict(
                f"The live config moved since this was advised: {listed(moved)}. New advice follows"
                " within a minute.",
                moved,
            )
        advice.state = "proposed"
        advice.save(update_fields=["state"])
        change = Change.objects.create(
            target=advice.target,
            recommendation=advice,
            lever=advice.lever,
            title=advice.title,
            why=why.strip(),
            proposer=proposer,
            live_config=advice.current_config,
            desired_config=advice.candidate_config,
            evidence=advice.evidence,
            effect=advice.effect,
            risk=advice.risk,
            rollback=advice.rollback,
            policy=(policy or Policy()).to_json(),
            expires_at=expires_at,
            plan_hash="",
        )
        _seal(change)
        ChangeEditor.objects.create(change=change, editor=proposer)
        told(change, proposer, via, "propose", f"{name_of(proposer)} proposed this change.")
    return change


def can_be_proposed(advice: Recommendation) -> bool:
    """What only an experiment can tell may be proposed too: the canary is that experiment."""
    return advice.candidate_config is not None and advice.outcome in (
        "recommended",
        "needs_experiment",
    )


def outdated(advice: Recommendation) -> list[Moved]:
    """In which fields the target's live config is no longer the one that was advised on."""
    live = advice.target.live_config
    if live is None:
        return []
    spelt = model_config.canonical
    return difference(spelt(advice.current_config), spelt(live))


def close_outdated(target: Target) -> None:
    """Open advice on a config that is not there any more is no advice."""
    open_ones = Recommendation.objects.filter(target=target, state="open")
    for advice in open_ones.select_related("target"):
        if outdated(advice):
            # A proposal that came first keeps its advice.
            still_open = Recommendation.objects.filter(pk=advice.pk, state="open")
            still_open.update(state="superseded", closed_at=timezone.now())


def edit(
    change_id: int,
    editor: User,
    *,
    via: str,
    plan_hash: str,
    desired_config: Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    title: str | None = None,
    why: str | None = None,
    expires_at: datetime | None = None,
) -> Change:
    """Change the proposal. All approvals are void afterwards, and the editor may not give one."""
    with transaction.atomic():
        change = locked(change_id)
        must_hold(editor, "finops.propose_change", change.target, "edits changes")
        if change.state not in ("proposed", "approved"):
            raise Conflict(f"This change is {_said(change.state)} and can no longer be edited.")
        _must_be_current(change, plan_hash)
        if expires_at is not None:
            _check_expiry(expires_at)
        before = plan_of(change)
        old_words = (change.title, change.why)
        change.desired_config = desired_config or change.desired_config
        change.policy = policy.to_json() if policy else change.policy
        change.expires_at = expires_at or change.expires_at
        change.title = title.strip()[:200] if title and title.strip() else change.title
        change.why = why.strip() if why is not None else change.why
        if change.desired_config == change.live_config:
            raise BadEdit("desired_config", "is the live config, so there would be nothing to do.")
        moved = moved_fields(before, plan_of(change))
        if not moved and old_words == (change.title, change.why):
            raise BadEdit("change", "nothing in it is different from before.")
        said = listed(moved) or "its words"
        # Before the seal: a plan does not move under its approvals.
        _void(change, f"{name_of(editor)} edited the change: {said}.")
        change.revision += 1
        change.state = "proposed"
        _seal(change)
        ChangeEditor.objects.get_or_create(change=change, editor=editor)
        detail = {"moved": [str(field) for field in moved]}
        told(change, editor, via, "edit", f"{name_of(editor)} edited {said}.", detail)
    return change


def withdraw(change_id: int, person: User, *, via: str, reason: str = "") -> Change:
    """Take it back, as its proposer or another engineer, before anything has been done."""
    with transaction.atomic():
        change = locked(change_id)
        must_hold(person, "finops.propose_change", change.target, "withdraws changes")
        if change.state not in ("proposed", "approved"):
            raise Conflict(f"This change is {_said(change.state)} and cannot be withdrawn.")
        _void(change, f"{name_of(person)} withdrew the change.")
        _close(change, "withdrawn")
        text = f"{name_of(person)} withdrew it{_because(reason)}."
        told(change, person, via, "withdraw", text)
    return change


# Deciding


def approve(
    change_id: int, approver: User, *, plan_hash: str, comment: str = "", via: str
) -> Decision:
    """Say yes to exactly this plan. Raises NotAllowed, or Conflict with what moved."""
    return _decide(change_id, approver, plan_hash, "approve", comment, via)


def reject(
    change_id: int, approver: User, *, plan_hash: str, comment: str = "", via: str
) -> Decision:
    """Say no; the change is closed."""
    return _decide(change_id, approver, plan_hash, "reject", comment, via)


def ask(change_id: int, approver: User, *, plan_hash: str, comment: str, via: str) -> Decision:
    """Ask for changes: the proposal stays open and earlier approvals are void."""
    return _decide(change_id, approver, plan_hash, "ask", comment, via)


def _decide(
    change_id: int, approver: User, plan_hash: str, decision: str, comment: str, via: str
) -> Decision:
    if decision != "approve" and not comment.strip():
        raise BadEdit("comment", "say why, so that the proposer knows what to do.")
    try:
        with transaction.atomic():
            change = locked(change_id)
            _must_be_second_person(change, approver)
            _must_be_current(change, plan_hash)
            approval = _record(change, approver, decision, comment.strip(), via)
            return Decision(approval, agreed(change), Policy.from_json(change.policy).approvals)
    except NotAllowed as refusal:
        # An attempt at one's own change is worth knowing of: its record outlives the refusal.
        with transaction.atomic():
            change = Change.objects.get(pk=change_id)
            audit.record(approver, via, f"change.{decision}_refused", change, {"why": str(refusal)})
        raise


def _must_be_second_person(change: Change, approver: User) -> None:
    if change.proposer_id == approver.pk:
        raise NotAllowed("Nobody decides on their own change; ask another approver.")
    if change.editors.filter(editor=approver).exists():
        raise NotAllowed("Whoever edited a change does not decide on it; ask another approver.")
    must_hold(approver, "finops.approve_change", change.target, "decides on changes")


def _record(change: Change, approver: User, decision: str, comment: str, via: str) -> Approval:
    if change.state != "proposed":
        raise Conflict(f"This change is {_said(change.state)}; there is nothing left to decide.")
    if change.expires_at <= timezone.now():
        raise Conflict("This change has expired; its proposer can set a new date.")
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                change=change,
                proposer_id=change.proposer_id,
                approver=approver,
                plan_hash=change.plan_hash,
                decision=decision,
                comment=comment,
                via=via,
            )
    except IntegrityError:
        raise Conflict("You have decided on this plan already.") from None
    words = {"approve": "approved", "reject": "rejected", "ask": "asked for changes to"}
    text = f"{name_of(approver)} {words[decision]} plan {change.plan_hash[:12]}"
    detail = {"plan_hash": change.plan_hash, "comment": comment}
    told(change, approver, via, decision, f"{text}{_because(comment)}.", detail)
    if decision == "reject":
        _void(change, f"{name_of(approver)} rejected the change.")
        _close(change, "rejected")
    elif decision == "ask":
        _void(change, f"{name_of(approver)} asked for changes.")
    elif agreed(change) >= Policy.from_json(change.policy).approvals:
        move(change, "approved")
    return approval


def agreed(change: Change) -> int:
    """How many valid approvals the plan has as it is now."""
    return standing(change).filter(decision="approve").values("approver").distinct().count()


def standing(change: Change) -> QuerySet[Approval]:
    """The decisions that are not void."""
    return change.approvals.filter(voided_at=None, plan_hash=change.plan_hash)


# What is not a person's doing


def begin(change_id: int) -> Rollout | None:
    """The rollout of an approved change, if its target is free; None when it has to wait."""
    with transaction.atomic():
        change = locked(change_id)
        if change.state != "approved":
            return None
        # The target's row is the gate: two changes to it begin one after the other.
        Target.objects.select_for_update().get(pk=change.target_id)
        if Rollout.objects.filter(target=change.target, state__in=OPEN_ROLLOUTS).exists():
            return None
        if change.expires_at <= timezone.now():
            _expire(change)
            return None
        rollout = Rollout.objects.create(
            change=change,
            target=change.target,
            plan_hash=change.plan_hash,
            seed=secrets.randbelow(2**31),
        )
        move(change, "rolling_out")
        told(change, None, "system", "begin", "The rollout began.", {"rollout": rollout.pk})
    return rollout


def live_moved(change: Change, moved: Sequence[Moved]) -> None:
    """The live config is not the one the change is based on: its approvals are void.

    For use inside a transaction that holds the change's row. It is open for decision again, under a
    new seal, so that no yes to the old plan is ever counted.
    """
    _void(change, f"The live config is not the approved baseline: {listed(moved)}.")
    if change.state != "proposed":
        move(change, "proposed")
    change.revision += 1
    _seal(change)
    text = f"The live config moved since the plan was made: {listed(moved)}."
    told(change, None, "system", "drift", text, {"moved": [str(field) for field in moved]})


def reopened(change: Change, reason: str) -> None:
    """A rollout that could not begin: nothing was applied, and the approvals are spent."""
    _void(change, reason)
    move(change, "proposed")
    change.revision += 1
    _seal(change)


def expire_overdue(now: datetime) -> int:
    """Close what was not decided, or not begun, in time; how many there were."""
    late = Change.objects.filter(state__in=("proposed", "approved"), expires_at__lte=now)
    done = 0
    for pk in late.values_list("pk", flat=True):
        with transaction.atomic():
            change = locked(pk)
            if change.state in ("proposed", "approved") and change.expires_at <= now:
                _expire(change)
                done += 1
    return done


def _expire(change: Change) -> None:
    _void(change, "The change expired.")
    _close(change, "expired")
    text = "It expired before it was begun; propose it again if it is still wanted."
    told(change, None, "system", "expire", text)


# Shared by this room and `rollout`


def plan_of(change: Change) -> Plan:
    """The plan as the change's row has it now."""
    target = change.target
    evidence = change.evidence
    return Plan(
        change_id=change.pk,
        revision=change.revision,
        target=f"{target.server.url} {target.model}",
        lever=change.lever,
        live_config=change.live_config,
        desired_config=change.desired_config,
        evidence=f"{evidence.pk} {evidence.input_hash}" if evidence else "",
        policy=change.policy,
        expires_at=change.expires_at,
    )


def move(change: Change, state: str) -> None:
    """The only place where a change's state changes."""
    if state not in MOVES[change.state]:
        raise ValueError(f"a change does not go from {change.state} to {state}")
    change.state = state
    change.closed_at = timezone.now() if state in CLOSED else None
    change.save(update_fields=["state", "closed_at"])


def tell(change: Change, kind: str, text: str, detail: Mapping[str, Any] | None = None) -> None:
    """A line in the timeline without a decision behind it."""
    ChangeEvent.objects.create(change=change, kind=kind, text=text, detail=dict(detail or {}))


def told(
    change: Change,
    actor: User | None,
    via: str,
    kind: str,
    text: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """The timeline's line and the audit record, in the transaction of what they tell."""
    said = {"change": change.pk, "plan_hash": change.plan_hash, **(detail or {})}
    audit.record(actor, via, f"change.{kind}", change, said)
    ChangeEvent.objects.create(
        change=change, actor=actor, kind=kind, text=text, detail=dict(detail or {})
    )


def locked(change_id: int) -> Change:
    return (
        Change.objects.select_for_update(of=("self",))
        .select_related("target__server", "target__project", "evidence", "proposer")
        .get(pk=change_id)
    )


def must_hold(person: User, permission: str, target: Target, deed: str) -> None:
    if not person.has_perm(permission, target.project):
        raise NotAllowed(f"No role of yours {deed} in {target.project}; ask an admin for one.")


def _must_be_current(change: Change, plan_hash: str) -> None:
    if plan_hash != change.plan_hash:
        last = change.events.filter(kind__in=("edit", "drift")).last()
        said = f" {last.text}" if last else ""
        raise Conflict(f"The plan has moved since you read it.{said} Read it again.")


def _check_expiry(expires_at: datetime) -> None:
    now = timezone.now()
    if not now < expires_at <= now + LONGEST_EXPIRY:
        raise BadEdit("expires_at", f"must lie within the next {LONGEST_EXPIRY.days} days.")


def _seal(change: Change) -> None:
    change.plan_hash = plan_of(change).sealed()
    change.save()


def _void(change: Change, reason: str) -> None:
    open_ones = change.approvals.filter(voided_at=None)
    open_ones.update(voided_at=timezone.now(), void_reason=reason)


def _close(change: Change, state: str) -> None:
    move(change, state)
    advice = change.recommendation
    if advice is not None and advice.state == "proposed":
        # The advice was not carried out: the next round of advising starts afresh.
        Recommendation.objects.filter(pk=advice.pk).update(
            state="superseded", closed_at=timezone.now()
        )


def name_of(person: User) -> str:
    return person.get_full_name() or person.get_username()


def _because(comment: str) -> str:
    return f": {comment.rstrip('.')}" if comment else ""


def _said(state: str) -> str:
    return state.replace("_", " ")
