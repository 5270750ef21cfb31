"""Objectives and proposals: which there are, who may see them, and who may decide on what.

Objectives belong to a project, and are for those who may read its requests. Refuses figures: the
list shows those of the newest evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from finops import access
from finops.costing.burn import STATES, UNKNOWN
from finops.costing.objectives import Definition, Differs, difference
from finops.models import Slo, SloDecision, SloEditor, SloProposal, SloStatus, SloVersion, User
from finops.models.slos import PROPOSAL_STATES, PROPOSED
from finops.queries import cursors

SEE = "finops.view_requests"
PROPOSE = "finops.propose_slo"
APPROVE = "finops.approve_change"
RETIRED = "retired"
STATES_SHOWN = (*STATES, RETIRED)
PROPOSALS_SHOWN = ("open", *PROPOSAL_STATES, "all")


@dataclass(frozen=True, slots=True)
class SloRow:
    """One objective with the figures of its newest evaluation."""

    slo: Slo
    definition: Definition
    status: SloStatus | None
    """None until it was first evaluated, and of a retired one."""

    @property
    def state(self) -> str:
        if self.slo.current is not None and self.slo.current.retires:
            return RETIRED
        return self.status.state if self.status else UNKNOWN

    @property
    def why(self) -> str:
        if self.state == RETIRED:
            return "It is retired: nothing is computed and nobody is told."
        return self.status.why if self.status else "Not computed yet: that takes about a minute."

    @property
    def version(self) -> int:
        return self.slo.current.number if self.slo.current else 0


@dataclass(frozen=True, slots=True)
class SloPage:
    rows: tuple[SloRow, ...]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class ProposalPage:
    rows: tuple[SloProposal, ...]
    """Newest first."""
    next: str | None


@dataclass(frozen=True, slots=True)
class ProposalRow:
    proposal: SloProposal
    differs: tuple[Differs, ...]
    """From the version it is based on."""
    editors: tuple[User, ...]
    decisions: tuple[SloDecision, ...]
    why_not_decide: str
    """Empty: this reader may decide."""
    why_not_edit: str


def slos(user: Any) -> list[SloRow]:
    """Every objective this reader may see, those in force first, by project and name."""
    ids = access.visible_projects(user, SEE).ids
    found = [_row(slo) for slo in _known().filter(project__in=ids)]
    return sorted(found, key=_order)


def slo_page(
    every: Sequence[SloRow],
    *,
    state: str = "",
    project: str = "",
    limit: int,
    cursor: str | None = None,
) -> SloPage:
    """Without a state, those that are in force."""
    found = [
        row
        for row in every
        if (row.state == state if state else row.state != RETIRED)
        and (not project or row.slo.project.slug == project)
    ]
    rest = found
    if cursor:
        (pk,) = cursors.decode(cursor, cursors.identity)
        places = [at for at, row in enumerate(found) if row.slo.pk == pk]
        if not places:
            raise cursors.BadCursor
        rest = found[places[0] + 1 :]
    page = tuple(rest[:limit])
    more = len(rest) > limit
    return SloPage(page, cursors.encode(page[-1].slo.pk) if more else None, len(found))


def one(user: Any, pk: int) -> SloRow | None:
    ids = access.visible_projects(user, SEE).ids
    slo = _known().filter(pk=pk, project__in=ids).first()
    return _row(slo) if slo else None


def versions(slo: Slo) -> list[SloVersion]:
    """Newest first, each with who proposed and who approved it."""
    found = slo.versions.select_related("proposal__proposer")
    return list(found.prefetch_related("proposal__decisions__approver").order_by("-number"))


# Proposals


def proposals(user: Any, state: str = "open", slo: Slo | None = None) -> list[SloProposal]:
    """Newest first. `open` waits for a decision, `all` is every one."""
    found = _proposals(user)
    if slo is not None:
        found = found.filter(slo=slo)
    return list(_in_state(found, state))


def proposal_page(user: Any, state: str, *, limit: int, cursor: str | None = None) -> ProposalPage:
    """The same, a page at a time."""
    found = _in_state(_proposals(user), state)
    if cursor:
        (pk,) = cursors.decode(cursor, cursors.identity)
        found = found.filter(pk__lt=pk)
    rows = list(found[: limit + 1])
    more = len(rows) > limit
    return ProposalPage(tuple(rows[:limit]), cursors.encode(rows[limit - 1].pk) if more else None)


def _in_state(found: QuerySet[SloProposal], state: str) -> QuerySet[SloProposal]:
    if state == "open":
        return found.filter(state=PROPOSED, expires_at__gt=timezone.now())
    return found if state == "all" else found.filter(state=state)


def proposal(user: Any, pk: int) -> ProposalRow | None:
    found = _proposals(user).filter(pk=pk).first()
    return proposal_row(user, found) if found else None


def proposal_row(user: Any, found: SloProposal) -> ProposalRow:
    editors = tuple(one.editor for one in found.editors.select_related("editor").order_by("pk"))
    return ProposalRow(
        proposal=found,
        differs=difference(base_of(found), None if found.act == "retire" else found.definition),
        editors=editors,
        decisions=tuple(found.decisions.select_related("approver")),
        why_not_decide=why_not_decide(user, found, editors),
        why_not_edit=why_not_edit(user, found),
    )


def base_of(found: SloProposal) -> dict[str, Any] | None:
    if found.slo_id is None or not found.based_on:
        return None
    based = SloVersion.objects.filter(slo=found.slo_id, number=found.based_on).first()
    return based.definition if based else None


def to_decide(user: Any) -> list[SloProposal]:
    """Open, by others, in projects where this person approves."""
    mine = access.visible_projects(user, APPROVE)
    own = SloEditor.objects.filter(editor=user).values("proposal")
    found = _proposals(user).filter(
        project__in=mine.ids, state=PROPOSED, expires_at__gt=timezone.now()
    )
    return list(found.exclude(pk__in=own))


def why_not_decide(user: Any, found: SloProposal, editors: Sequence[User]) -> str:
    if found.state != PROPOSED:
        return f"This proposal is {found.state}; there is nothing left to decide."
    if found.expires_at <= timezone.now():
        return "This proposal has expired; propose it anew."
    if found.proposer_id == user.pk:
        return "You proposed this, so somebody else decides on it."
    if any(editor.pk == user.pk for editor in editors):
        return "You edited this, so somebody else decides on it."
    if not user.has_perm(APPROVE, found.project):
        return "Approvers of the project decide on it; your role does not."
    return ""


def why_not_edit(user: Any, found: SloProposal) -> str:
    if found.state != PROPOSED:
        return f"This proposal is {found.state}."
    if found.expires_at <= timezone.now():
        return "This proposal has expired; propose it anew."
    if not user.has_perm(PROPOSE, found.project):
        return "Engineers and analysts of the project do this; your role does not."
    return ""


def _proposals(user: Any) -> QuerySet[SloProposal]:
    ids = access.visible_projects(user, SEE).ids
    found = SloProposal.objects.filter(project__in=ids)
    return found.select_related("project", "proposer", "slo").order_by("-pk")


def _known() -> QuerySet[Slo]:
    return Slo.objects.exclude(current=None).select_related("project", "current", "status")


def _row(slo: Slo) -> SloRow:
    status = getattr(slo, "status", None)
    assert slo.current is not None
    is_current = status is not None and status.version == slo.current.number
    keeps = is_current and not slo.current.retires
    return SloRow(slo, slo.definition, status if keeps else None)


def _order(row: SloRow) -> tuple[bool, str, str, int]:
    return (row.state == RETIRED, row.slo.project.name, row.definition.name, row.slo.pk)
