"""PASS, FAIL or INCONCLUSIVE, per metric and overall, at one planned look.

Knows the rules of the verdict. Refuses to take absence of evidence for evidence: PASS needs every
metric shown acceptable, FAIL needs one shown worse, and everything else is INCONCLUSIVE.

1. A metric is compared pair by pair, on the blocks that both arms filled.
2. It passes when its whole interval lies on the acceptable side of the margin.
3. It fails when it is shown worse than control, at a stricter level of its own, and the best
   estimate is beyond the margin. This binds: nothing seen later takes it back.
4. Overall: FAIL if any metric fails; PASS if all pass at this look and the traffic was divided as
   planned; INCONCLUSIVE otherwise.
5. A saving worth having that lies outside the interval ends the experiment, as INCONCLUSIVE: it is
   no harm to be alike, and no gain either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from . import bounds
from .compare import Difference, Level, of_ratios, of_shares, paired
from .measures import Pairs, Ratio, match, summarise
from .needs import blocks_needed
from .questions import QUESTIONS, Question
from .values import (
    COST,
    FAIL,
    INCONCLUSIVE,
    PASS,
    QUALITY,
    SPLIT,
    Block,
    Judgement,
    MetricVerdict,
    Policy,
    Summary,
)

JUDGE_VERSION = "1"

SHARE_TOLERANCE = 0.1
"""Of the planned share of traffic."""
SHARE_ALPHA = 0.001


def judge(blocks: Sequence[Block | Summary], policy: Policy, look: int, looks: int) -> Judgement:
    """The verdict on all blocks so far, at look `look` of `looks` equally spaced ones."""
    pairs = match(summarise(blocks))
    asked = [one for one in QUESTIONS if one.name != QUALITY or _has_scores(pairs, policy)]
    accept = Level(look, looks, policy.alpha, bounds.obrien_fleming)
    harm = Level(look, looks, policy.harm_alpha / len(asked), bounds.pocock)
    metrics = tuple(_ask(one, pairs, policy, accept, harm) for one in asked)
    outcome, reason, is_over = _overall(metrics, pairs, policy)
    stop = is_over or look == looks
    if look == looks and outcome == INCONCLUSIVE:
        reason = f"No verdict at the last look. {reason}"
    return Judgement(outcome, reason, metrics, stop, look, looks, JUDGE_VERSION)


def _has_scores(pairs: Pairs, policy: Policy) -> bool:
    return policy.needs_quality or any(c.scored or t.scored for c, t in pairs.matched)


def _ask(
    question: Question, pairs: Pairs, policy: Policy, accept: Level, harm: Level
) -> MetricVerdict:
    data = question.collect(pairs, policy)
    seen = len(data.differences)
    least = _fewest_pairs(pairs, policy)
    if seen < least:
        return _not_enough(question, pairs, policy, seen, least)
    if isinstance(data, Ratio):
        difference = of_ratios(data.differences, policy.design)
    else:
        difference = of_shares(data, policy.design)
    low, high = difference.interval(accept)
    outcome = _outcome(question, policy, difference, high, harm)
    needed = blocks_needed(question, policy, difference, accept.looks)
    before, after = question.levels(data)
    said = question.said(difference.mean, low, high)
    return MetricVerdict(
        name=question.name,
        question=question.kind,
        outcome=outcome,
        before=before,
        after=after,
        effect=question.effect(difference.mean),
        low=question.effect(high),
        high=question.effect(low),
        margin=question.margin(policy),
        seen=seen,
        needed=needed,
        unit=question.unit,
        reason=_reason(question, policy, outcome, said, low, needed, seen),
    )


def _fewest_pairs(pairs: Pairs, policy: Policy) -> int:
    """One pair may still be under way; of the others most must be usable."""
    usable = math.ceil(policy.least_usable_share * (pairs.expected - 1))
    return max(policy.min_blocks_per_arm, usable)


def _not_enough(
    question: Question, pairs: Pairs, policy: Policy, seen: int, least: int
) -> MetricVerdict:
    return MetricVerdict(
        name=question.name,
        question=question.kind,
        outcome=INCONCLUSIVE,
        before=None,
        after=None,
        effect=None,
        low=None,
        high=None,
        margin=question.margin(policy),
        seen=seen,
        needed=least,
        unit=question.unit,
        reason=f"{question.title}: not enough data, {seen} of {pairs.expected} pairs of blocks "
        f"can be used and {least} are the least; {question.see_to}.",
    )


def _outcome(
    question: Question, policy: Policy, difference: Difference, high: float, harm: Level
) -> str:
    limit = question.limit(policy)
    if high < limit:
        return PASS
    is_shown_worse = difference.mean > limit and difference.interval(harm)[0] > 0
    return FAIL if is_shown_worse else INCONCLUSIVE


def _reason(
    question: Question,
    policy: Policy,
    outcome: str,
    said: str,
    low: float,
    needed: int,
    seen: int,
) -> str:
    allowed = question.allowed(policy)
    if outcome == PASS:
        return f"{said}; {allowed}: shown."
    if outcome == FAIL:
        return f"{said}; {allowed}: shown to be worse."
    if question.name == COST and low > question.hoped(policy):
        return f"{said}: a saving of {policy.worthwhile_saving * 100:g} % is out of reach."
    more = f", {seen} of about {needed} blocks of each arm seen" if seen < needed else ""
    return f"{said}; {allowed}: not shown{more}."


def _overall(
    metrics: Sequence[MetricVerdict], pairs: Pairs, policy: Policy
) -> tuple[str, str, bool]:
    """Outcome, reason, and whether it is over."""
    failed = [one for one in metrics if one.outcome == FAIL]
    if failed:
        return FAIL, " ".join(one.reason for one in failed), True
    skew = _skew(pairs, policy)
    if skew:
        return INCONCLUSIVE, skew, False
    still_open = [one for one in metrics if one.outcome == INCONCLUSIVE]
    if not still_open:
        return PASS, " ".join(one.reason for one in metrics), True
    is_futile = any(
        one.name == COST and one.high is not None and one.high < policy.worthwhile_saving
        for one in still_open
    )
    return INCONCLUSIVE, " ".join(one.reason for one in still_open), is_futile


def _skew(pairs: Pairs, policy: Policy) -> str:
    """What is wrong when a split's canary gets another part of the traffic than planned."""
    planned = policy.treated_share
    shares = _treated_shares(pairs)
    if policy.design != SPLIT or planned is None or len(shares) < policy.min_blocks_per_arm:
        return ""
    mean, error, df = paired(shares - planned, policy.design)
    reach = -float(stdtrit(df, SHARE_ALPHA / 2)) * float(error)
    if abs(float(mean)) <= max(reach, SHARE_TOLERANCE * planned):
        return ""
    return (
        f"The treated arm answered {float(shares.mean()) * 100:.1f} % of the requests where "
        f"{planned * 100:g} % were planned, so the arms may not be alike: see why requests fall "
        "back or bypass the split."
    )


def _treated_shares(pairs: Pairs) -> NDArray[np.float64]:
    counts = [(t.requests, c.requests + t.requests) for c, t in pairs.matched]
    return np.array([part / whole for part, whole in counts if whole], dtype=np.float64)
