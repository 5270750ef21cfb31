"""A second person decides on a proposal; what they approve holds from then on.

Knows who may decide, and that a decision is about one seal. Refuses to let anybody decide on what
they wrote, by any door; the database refuses the same by itself (migration 0007).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.actions.alerting import resolve
from finops.models import Alert, Slo, SloDecision, SloProposal, SloVersion, User
from finops.models.alerts import SLO
from finops.models.slos import APPROVED, EXPIRED, PROPOSED, REJECTED, VOID
from finops.queries.slos import APPROVE

from . import evaluating
from .proposing import close, locked, must_be_current, must_be_open, told
from .soundness import Conflict, NotAllowed, Refused, name_is_free


def approve(
    proposal: SloProposal, *, by: User, via: str, plan_hash: str, comment: str = ""
) -> SloProposal:
    """Say yes to exactly this seal: it holds at once."""
    held = _decide(proposal, "approve", by, via, plan_hash, comment)
    if held.state == APPROVED and held.slo is not None:
        evaluating.evaluate(held.slo.pk, timezone.now())
    return held


def reject(
    proposal: SloProposal, *, by: User, via: str, plan_hash: str, comment: str
) -> SloProposal:
    return _decide(proposal, "reject", by, via, plan_hash, comment)


def ask(proposal: SloProposal, *, by: User, via: str, plan_hash: str, comment: str) -> SloProposal:
    """Ask for changes: it stays open, and somebody edits it."""
    return _decide(proposal, "ask", by, via, plan_hash, comment)


def expire_overdue(now: datetime) -> int:
    """Close what nobody decided in time; how many there were."""
    late = SloProposal.objects.filter(state=PROPOSED, expires_at__lte=now)
    count = 0
    for pk in late.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            held = locked(pk)
            if held.state == PROPOSED and held.expires_at <= now:
                close(held, EXPIRED, "Nobody decided in time.", now)
                told(held, None, "system", "expire", {})
                count += 1
    return count


def _decide(
    proposal: SloProposal, decision: str, by: User, via: str, plan_hash: str, comment: str
) -> SloProposal:
    comment = comment.strip()
    if decision != "approve" and not comment:
        raise Refused("comment", "Say why, so that the proposer knows what to do.")
    if len(comment) > 2000:
        raise Refused("comment", "Say it in at most 2,000 characters.")
    try:
        with transaction.atomic():
            held = locked(proposal.pk)
            _must_be_second_person(held, by)
            must_be_open(held)
            must_be_current(held, plan_hash)
            moved = _moved(held)
            if moved:
                close(held, VOID, moved)
                told(held, None, "system", "void", {"why": moved})
            else:
                _record(held, decision, by, via, comment)
    except NotAllowed as refusal:
        # An attempt at one's own change is worth knowing of: its record outlives the refusal.
        with transaction.atomic():
            said = {"why": str(refusal)}
            audit.record(by, via, f"slo_proposal.{decision}_refused", proposal, said)
        raise
    if held.state == VOID:
        raise Conflict(held.why_closed)
    return held


def _must_be_second_person(held: SloProposal, by: User) -> None:
    if held.proposer_id == by.pk:
        raise NotAllowed("Nobody decides on their own proposal; ask another approver.")
    if held.editors.filter(editor=by).exists():
        raise NotAllowed("Whoever edited a proposal does not decide on it; ask another approver.")
    if not by.has_perm(APPROVE, held.project):
        raise NotAllowed("Approvers of the project decide on it; your role does not.")


def _moved(held: SloProposal) -> str:
    """Why it no longer fits what holds; empty: it does."""
    if held.slo is None:
        return ""
    live = Slo.objects.select_for_update(of=("self",)).select_related("current").get(pk=held.slo_id)
    if live.current is None or live.current.number == held.based_on:
        return ""
    if live.current.retires:
        return "The objective was retired since this was proposed."
    return f"The objective is at version {live.current.number} since; propose it anew."


def _record(held: SloProposal, decision: str, by: User, via: str, comment: str) -> None:
    if decision == "approve" and held.act != "retire":
        try:
            name_is_free(held.name, held.project, held.slo_id)
        except Refused as taken:
            raise Conflict(str(taken)) from taken
    SloDecision.objects.create(
        proposal=held,
        proposer_id=held.proposer_id,
        approver=by,
        plan_hash=held.plan_hash,
        decision=decision,
        comment=comment,
        via=via,
    )
    if decision == "approve":
        _take_effect(held)
    elif decision == "reject":
        close(held, REJECTED, comment)
    told(held, by, via, decision, {"comment": comment})


def _take_effect(held: SloProposal) -> None:
    """1. A new objective gets its row. 2. The proposal is closed. 3. It becomes the newest version.
    4. Other proposals on the version before are void, and its alert ends."""
    if held.slo is None:
        held.slo = Slo.objects.create(project=held.project)
        held.save(update_fields=["slo"])
    close(held, APPROVED, "")
    version = SloVersion.objects.create(
        slo=held.slo,
        number=held.based_on + 1,
        proposal=held,
        definition=held.definition,
        retires=held.act == "retire",
    )
    held.slo.current = version
    held.slo.save(update_fields=["current"])
    others = SloProposal.objects.filter(slo=held.slo, state=PROPOSED).exclude(pk=held.pk)
    for pk in others.order_by("pk").values_list("pk", flat=True):
        other = locked(pk)
        if other.state == PROPOSED:
            why = f"Proposal {held.pk} was approved first; propose this anew."
            close(other, VOID, why)
            told(other, None, "system", "void", {"why": why})
    key = evaluating.key_of(held.slo)
    if Alert.objects.filter(kind=SLO, key=key, holds=True).exists():
        said = "The objective was retired." if version.retires else "The objective was changed."
        resolve(SLO, key, said, timezone.now())
