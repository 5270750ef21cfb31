"""Objectives are proposed: set, changed, retired; proposals are edited and withdrawn.

Every act has its audit record in the same transaction. Refuses to change an objective: that takes
a second person, see `deciding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.costing.objectives import Definition, Sealed, difference
from finops.models import Slo, SloEditor, SloProposal, User
from finops.models.slos import PROPOSED, WITHDRAWN
from finops.queries.slos import PROPOSE
from ingest.models import Project

from .soundness import Conflict, NotAllowed, Refused, checked

EXPIRES_AFTER = timedelta(hours=72)
LONGEST_WHY = 2000


def propose(
    project: Project, definition: Definition, *, by: User, via: str, why: str = ""
) -> SloProposal:
    """A new objective of a project."""
    must_propose(by, project)
    checked(definition, project, None)
    return _propose("create", project, None, definition.to_json(), by, via, why)


def propose_change(
    slo: Slo, definition: Definition, *, by: User, via: str, why: str = "", version: int
) -> SloProposal:
    """`version` is the one that was read: a change made in between is not undone."""
    must_propose(by, slo.project)
    checked(definition, slo.project, slo.pk)
    with transaction.atomic():
        held = _live(slo, version)
        if held.current is not None and not difference(
            held.current.definition, definition.to_json()
        ):
            raise Refused("", "Nothing in it is different from what holds now.")
        return _propose("change", held.project, held, definition.to_json(), by, via, why)


def propose_retirement(slo: Slo, *, by: User, via: str, why: str = "", version: int) -> SloProposal:
    must_propose(by, slo.project)
    with transaction.atomic():
        held = _live(slo, version)
        assert held.current is not None
        return _propose("retire", held.project, held, held.current.definition, by, via, why)


def edit(
    proposal: SloProposal,
    definition: Definition,
    *,
    by: User,
    via: str,
    plan_hash: str,
    why: str | None = None,
) -> SloProposal:
    """Whoever edits it may not decide on it; it has a new seal, and 72 hours anew."""
    must_propose(by, proposal.project)
    checked(definition, proposal.project, proposal.slo_id)
    with transaction.atomic():
        held = locked(proposal.pk)
        must_be_open(held)
        must_be_current(held, plan_hash)
        if held.act == "retire":
            raise Conflict("There is nothing to edit in a retirement; withdraw it instead.")
        before, after = held.definition, definition.to_json()
        moved = difference(before, after)
        if not moved and why in (None, held.why):
            raise Refused("", "Nothing in it is different from before.")
        held.definition = after
        held.why = _why(why) if why is not None else held.why
        held.revision += 1
        held.expires_at = timezone.now() + EXPIRES_AFTER
        held.plan_hash = sealed(held)
        held.save(update_fields=["definition", "why", "revision", "expires_at", "plan_hash"])
        SloEditor.objects.get_or_create(proposal=held, editor=by)
        fields = {one.field: [one.old, one.new] for one in moved}
        told(held, by, via, "edit", {"moved": fields})
    return held


def withdraw(
    proposal: SloProposal, *, by: User, via: str, plan_hash: str, why: str = ""
) -> SloProposal:
    """As its proposer, or another who may propose, before it is decided."""
    must_propose(by, proposal.project)
    with transaction.atomic():
        held = locked(proposal.pk)
        must_be_open(held)
        must_be_current(held, plan_hash)
        close(held, WITHDRAWN, _why(why))
        told(held, by, via, "withdraw", {"why": held.why_closed})
    return held


def sealed(proposal: SloProposal) -> str:
    return Sealed(
        act=proposal.act,
        project=proposal.project.slug,
        slo=proposal.slo_id if proposal.based_on else None,
        based_on=proposal.based_on,
        definition=proposal.definition,
        expires_at=proposal.expires_at,
        revision=proposal.revision,
    ).hash()


# What deciding asks as well


def must_propose(by: User, project: Project) -> None:
    if not by.has_perm(PROPOSE, project):
        raise NotAllowed("Engineers and analysts of the project propose; your role does not.")


def must_be_open(held: SloProposal) -> None:
    if held.state != PROPOSED:
        raise Conflict(f"This proposal is {held.state}; there is nothing left to decide.")
    if held.expires_at <= timezone.now():
        raise Conflict("This proposal has expired; propose it anew.")


def must_be_current(held: SloProposal, plan_hash: str) -> None:
    """A decision is about what was read."""
    if plan_hash != held.plan_hash:
        raise Conflict("The proposal was edited since you read it; read it again.")


def locked(pk: int) -> SloProposal:
    """The row as it is now, held until the transaction ends. Rows are locked before the audit
    chain, here and in the evaluation, so that no two wait for each other."""
    found = SloProposal.objects.select_for_update(of=("self",)).select_related("project", "slo")
    held: SloProposal = found.get(pk=pk)
    return held


def close(held: SloProposal, state: str, why: str, at: datetime | None = None) -> None:
    held.state, held.why_closed, held.closed_at = state, why, at or timezone.now()
    held.save(update_fields=["state", "why_closed", "closed_at"])


def told(held: SloProposal, by: User | None, via: str, act: str, detail: Mapping[str, Any]) -> None:
    said = {"name": held.name, "act": held.act, "plan_hash": held.plan_hash, **detail}
    audit.record(by, via, f"slo_proposal.{act}", held, said)


def _propose(
    act: str,
    project: Project,
    slo: Slo | None,
    definition: Mapping[str, Any],
    by: User,
    via: str,
    why: str,
) -> SloProposal:
    with transaction.atomic():
        made = SloProposal(
            slo=slo,
            project=project,
            act=act,
            definition=dict(definition),
            based_on=slo.current.number if slo and slo.current else 0,
            why=_why(why),
            proposer=by,
            expires_at=timezone.now() + EXPIRES_AFTER,
        )
        made.plan_hash = sealed(made)
        made.save()
        SloEditor.objects.create(proposal=made, editor=by)
        told(made, by, via, "propose", {"definition": made.definition, "why": made.why})
    return made


def _live(slo: Slo, version: int) -> Slo:
    found = Slo.objects.select_for_update(of=("self",)).select_related("project", "current")
    held: Slo = found.get(pk=slo.pk)
    if held.current is None or held.current.retires:
        raise Conflict("This objective is retired; propose a new one.")
    if held.current.number != version:
        raise Conflict("It has changed since you read it. Read it again.")
    return held


def _why(text: str) -> str:
    if len(text) > LONGEST_WHY:
        raise Refused("why", f"Say it in at most {LONGEST_WHY:,} characters.")
    return text.strip()
