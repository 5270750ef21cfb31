"""What people ask for: a change out of advice, an edit, a dismissal, a calibration, a rollback.

Knows the terms that a person may set and how a field that cannot work is named. Refuses to decide:
states, seals and permissions are `approvals`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.models import User
from optimiser import approvals
from optimiser.approvals import BadEdit, Conflict, NotAllowed
from optimiser.models import Calibration, Change, Recommendation, Rollout, Target
from optimiser.policy import BadPolicy, Policy, check_for_people
from optimiser.targets import model_config
from optimiser.verify import values as verify


def propose(
    advice: Recommendation,
    person: User,
    *,
    via: str,
    terms: Mapping[str, Any] | None = None,
    why: str = "",
    expires_at: datetime | None = None,
) -> Change:
    """Raises NotAllowed, Conflict and BadEdit. Terms that are not given are the usual ones."""
    policy = with_terms(usual_policy(advice.lever), terms or {})
    return approvals.propose(advice, person, via=via, policy=policy, why=why, expires_at=expires_at)


def edit(
    change: Change,
    person: User,
    *,
    via: str,
    plan_hash: str,
    desired_config: Mapping[str, Any] | None = None,
    terms: Mapping[str, Any] | None = None,
    title: str | None = None,
    why: str | None = None,
    expires_at: datetime | None = None,
) -> Change:
    """Raises NotAllowed, Conflict and BadEdit. What is None stays as it is."""
    if desired_config is not None:
        _must_be_possible(change, desired_config)
    policy = with_terms(Policy.from_json(change.policy), terms) if terms else None
    return approvals.edit(
        change.pk,
        person,
        via=via,
        plan_hash=plan_hash,
        desired_config=desired_config,
        policy=policy,
        title=title,
        why=why,
        expires_at=expires_at,
    )


def usual_policy(lever: str) -> Policy:
    """The experiment follows the lever: what does not depend on load gets a share of traffic."""
    if lever in SPLIT_LEVERS:
        return Policy(experiment="split", washout_s=5.0, judge={"needs_quality": True})
    return Policy()


SPLIT_LEVERS = ("variant",)
SET_BY_THE_EXPERIMENT = ("design", "looks", "treated_share")
"""Terms of the judge that the rollout knows better than whoever writes a policy."""


def with_terms(policy: Policy, terms: Mapping[str, Any]) -> Policy:
    """The policy with some terms set by a person. Raises BadEdit."""
    said = policy.to_json()
    judge = terms.get("judge") or {}
    if not isinstance(judge, Mapping):
        raise BadEdit("policy.judge", "must be an object of margins.")
    for name in SET_BY_THE_EXPERIMENT:
        if name in judge:
            raise BadEdit(f"policy.judge.{name}", "follows from the experiment; leave it out.")
    judge = {**said["judge"], **judge}
    try:
        verify.Policy.from_json(judge)
        wanted = Policy.from_json({**said, **terms, "judge": judge})
        return check_for_people(wanted, is_sample=settings.SAMPLE_DATA)
    except BadPolicy as bad:
        raise BadEdit(f"policy.{bad.field}", bad.message) from None
    except verify.BadInput as bad:
        field, _, message = str(bad).partition(": ")
        raise BadEdit(f"policy.judge.{field}", message) from None


def _must_be_possible(change: Change, config: Mapping[str, Any]) -> None:
    wrong = model_config.problems(change.target.model, config, change.live_config)
    if wrong:
        raise BadEdit("desired_config", f"cannot be asked for: {' '.join(wrong)}")


def dismiss(advice_id: int, person: User, *, via: str, reason: str) -> Recommendation:
    """Say why it is not wanted; the lever may come back when the traffic has changed."""
    if not reason.strip():
        raise BadEdit("reason", "say why, so that nobody asks again.")
    with transaction.atomic():
        advice = (
            Recommendation.objects.select_for_update(of=("self",))
            .select_related("target__project", "target__server")
            .get(pk=advice_id)
        )
        if not person.has_perm("finops.propose_change", advice.target.project):
            raise NotAllowed(
                f"No role of yours dismisses advice in {advice.target.project}; ask an engineer."
            )
        if advice.state != "open":
            raise Conflict(f"This recommendation is {advice.state} already.")
        advice.state = "dismissed"
        advice.closed_at = timezone.now()
        advice.closed_by = person
        advice.closed_reason = reason.strip()
        advice.save(update_fields=["state", "closed_at", "closed_by", "closed_reason"])
        detail = {"target": str(advice.target), "lever": advice.lever, "reason": reason.strip()}
        audit.record(person, via, "recommendation.dismiss", advice, detail)
    return advice


def calibration(target: Target, person: User, *, via: str) -> Calibration:
    """Raises NotAllowed and Conflict."""
    # Brings the simulator and its compiler, which no page needs.
    from optimiser import advise

    return advise.request_calibration(target, person, via)


def roll_back(change_id: int, person: User, *, via: str) -> Rollout:
    """Raises NotAllowed and Conflict."""
    # Brings Triton's client, which no page needs.
    from optimiser import rollout

    return rollout.roll_back_now(change_id, person, via)
