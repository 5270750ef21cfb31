"""Changes as their readers see them: what is asked, who decided, how the rollout goes.

Says also what a reader may do and, where not, why: pages show the reason beside the button, and
`approvals` refuses by its own rules whatever a page showed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Prefetch, Q, QuerySet
from django.utils import timezone

from finops import access
from finops.models import Audit, SloProposal, User
from finops.queries import slos
from optimiser.models import (
    CHANGE_STATES,
    Approval,
    Change,
    ChangeEvent,
    Rollout,
    Verdict,
)
from optimiser.models.rollouts import OPEN_ROLLOUTS
from optimiser.plan import Moved, difference
from optimiser.policy import Policy

from . import targets
from .paging import Page, newest_first

SEE = "finops.view_spend"
OPEN = ("proposed", "approved", "rolling_out")
APPLIED = ("rolling_out", "promoted", "failed")
STATES = ("open", *CHANGE_STATES, "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    change: Change
    """With target, server, project and proposer fetched."""
    agreed: int
    needed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutDetail:
    rollout: Rollout
    """With `blocks`, `verdicts` and who asked to stop it fetched."""
    is_running: bool

    @property
    def blocks(self) -> list[Any]:
        return list(self.rollout.blocks.all())

    @property
    def verdicts(self) -> list[Verdict]:
        return list(self.rollout.verdicts.all())


@dataclass(frozen=True, slots=True, kw_only=True)
class May:
    """What this reader may do; each is empty or the reason why not."""

    decide: str
    edit: str
    withdraw: str
    roll_back: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeDetail(ChangeRow):
    approvals: tuple[Approval, ...]
    """All of them, void ones too, oldest first."""
    events: tuple[ChangeEvent, ...]
    editors: tuple[User, ...]
    rollouts: tuple[RolloutDetail, ...]
    """Newest first; a change that drift sent back may have several."""
    moved: tuple[Moved, ...]
    """What the desired config changes."""
    edited: tuple[Moved, ...]
    """Where the desired config is no longer the one that the evidence is about."""
    may: May

    @property
    def is_applied(self) -> bool:
        """Whether there may be something to roll back."""
        return bool(self.rollouts) and self.change.state in APPLIED

    @property
    def is_running(self) -> bool:
        return any(one.is_running for one in self.rollouts)


def visible(user: Any) -> QuerySet[Change]:
    found = Change.objects.select_related(
        "target__server", "target__project", "proposer", "evidence"
    ).defer("evidence__results")
    mine = access.visible_projects(user, SEE)
    return found if mine.everything else found.filter(target__project__in=mine.ids)


def change_list(user: Any, state: str = "open", limit: int = 50, cursor: str | None = None) -> Page:
    """`ChangeRow`s, newest first."""
    found = _counted(visible(user))
    if state == "open":
        found = found.filter(state__in=OPEN)
    elif state != "all":
        found = found.filter(state=state)
    page = newest_first(found, limit, cursor)
    return Page(tuple(map(_row, page.rows)), page.next)


def change_detail(user: Any, pk: int) -> ChangeDetail | None:
    change = _counted(visible(user)).select_related("recommendation").filter(pk=pk).first()
    if change is None:
        return None
    row = _row(change)
    approvals = tuple(change.approvals.select_related("approver"))
    editors = tuple(User.objects.filter(pk__in=change.editors.values("editor")))
    rollouts = rollouts_of(change)
    return ChangeDetail(
        change=change,
        agreed=row.agreed,
        needed=row.needed,
        approvals=approvals,
        events=tuple(change.events.select_related("actor")),
        editors=editors,
        rollouts=rollouts,
        moved=tuple(difference(change.live_config, change.desired_config)),
        edited=_edited(change),
        may=what_may(user, change, approvals, editors, rollouts),
    )


def _edited(change: Change) -> tuple[Moved, ...]:
    advice = change.recommendation
    if advice is None or advice.candidate_config is None:
        return ()
    return tuple(difference(advice.candidate_config, change.desired_config))


def rollouts_of(change: Change) -> tuple[RolloutDetail, ...]:
    found = change.rollouts.select_related("stop_asked_by").prefetch_related(
        "blocks", Prefetch("verdicts", Verdict.objects.order_by("look"))
    )
    return tuple(
        RolloutDetail(rollout=rollout, is_running=rollout.state in OPEN_ROLLOUTS)
        for rollout in found.order_by("-created_at", "-pk")
    )


def _counted(found: QuerySet[Change]) -> QuerySet[Change]:
    valid = Q(approvals__voided_at=None, approvals__decision="approve") & Q(
        approvals__plan_hash=F("plan_hash")
    )
    return found.annotate(agreed=Count("approvals__approver", filter=valid, distinct=True))


def _row(change: Any) -> ChangeRow:
    return ChangeRow(
        change=change, agreed=change.agreed, needed=Policy.from_json(change.policy).approvals
    )


# What a reader may do


def what_may(
    user: Any,
    change: Change,
    approvals: tuple[Approval, ...],
    editors: tuple[User, ...],
    rollouts: tuple[RolloutDetail, ...],
) -> May:
    project = change.target.project
    proposes = user.has_perm("finops.propose_change", project)
    approves = user.has_perm("finops.approve_change", project)
    still_open = change.state in ("proposed", "approved")
    over = f"This change is {said(change.state)}."
    engineers = "Engineers of the project do this; your role does not."
    return May(
        decide=_why_not_decide(user, change, approvals, editors, approves),
        edit=over if not still_open else "" if proposes else engineers,
        withdraw=over if not still_open else "" if proposes else engineers,
        roll_back=_why_not_roll_back(change, rollouts, proposes or approves),
    )


def _why_not_decide(
    user: Any,
    change: Change,
    approvals: tuple[Approval, ...],
    editors: tuple[User, ...],
    approves: bool,
) -> str:
    if change.state != "proposed":
        return f"This change is {said(change.state)}; there is nothing left to decide."
    if change.expires_at <= timezone.now():
        return "This change has expired; its proposer can set a new date."
    if change.proposer_id == user.pk:
        return "You proposed this change, so somebody else decides on it."
    if any(editor.pk == user.pk for editor in editors):
        return "You edited this change, so somebody else decides on it."
    if not approves:
        return "Approvers of the project decide on it; your role does not."
    mine = (one for one in approvals if one.approver_id == user.pk and one.voided_at is None)
    if any(one.decision == "approve" and one.plan_hash == change.plan_hash for one in mine):
        return "You have approved this plan; it waits for another approver."
    return ""


def _why_not_roll_back(change: Change, rollouts: tuple[RolloutDetail, ...], may_ask: bool) -> str:
    if not rollouts or change.state not in APPLIED:
        return "Nothing of this change is applied."
    if not may_ask:
        return "Engineers and approvers of the project roll back; your role does not."
    if rollouts[0].rollout.stop_asked_at is not None and rollouts[0].is_running:
        return "It is being rolled back."
    return ""


def said(state: str) -> str:
    return state.replace("_", " ")


def moved_since(change: Change, plan_hash: str) -> list[str]:
    """What was edited since the plan somebody read, as its audit records tell.

    Of a hash that the change never had nothing is known but that it is another one.
    """
    records = Audit.objects.filter(
        object_type=Change._meta.label_lower, object_id=str(change.pk)
    ).order_by("id")
    moved: list[str] = []
    is_after = False
    for detail in records.values_list("detail", flat=True):
        if is_after:
            moved += [str(field) for field in detail.get("moved", ())]
        is_after = is_after or detail.get("plan_hash") == plan_hash
    return moved


# What waits for somebody


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """For the overview: what this person can move on now."""

    to_decide: tuple[Change, ...]
    objectives: tuple[SloProposal, ...]
    """Proposals to set, change or retire an objective, which this person may decide on."""
    rolling_out: tuple[Change, ...]
    drifted: tuple[Any, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.to_decide or self.objectives or self.rolling_out or self.drifted)


def waiting(user: Any) -> Waiting:
    seen = visible(user)
    return Waiting(
        to_decide=tuple(to_decide(user)),
        objectives=tuple(slos.to_decide(user)),
        rolling_out=tuple(seen.filter(state="rolling_out")),
        drifted=tuple(targets.visible(user).filter(live_state__in=("drifted", "away"))),
    )


def to_decide(user: Any) -> QuerySet[Change]:
    """Proposed by others, open, in a project where this person approves, and not decided yet."""
    mine = access.visible_projects(user, "finops.approve_change")
    found = visible(user).filter(
        target__project__in=mine.ids, state="proposed", expires_at__gt=timezone.now()
    )
    decided = Approval.objects.filter(approver=user, voided_at=None).exclude(decision="ask")
    return found.exclude(editors__editor=user).exclude(approvals__in=decided)
