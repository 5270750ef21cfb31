"""What is asked of each metric, and how its answer is put to people.

Knows the scale on which each is compared and the words for it. Refuses to mix the two signs: a
difference in here is positive where treated is worse, an effect that leaves is positive where it is
better.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import measures
from .measures import Pairs, Ratio, Shares
from .values import COST, ERRORS, LATENCY, NON_INFERIORITY, QUALITY, SUPERIORITY, Policy

OPEN = math.log(1000)
"""A factor of a thousand is no bound."""


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    title: str
    kind: str
    unit: str
    margin: Callable[[Policy], float]
    is_ratio: bool
    """Compared by logarithm and told in percent; otherwise a difference of shares, in points."""
    more_is_better: bool
    collect: Callable[[Pairs, Policy], Ratio | Shares]
    see_to: str
    """Where to look when too few blocks can be used."""

    def limit(self, policy: Policy) -> float:
        """The worst difference that is still acceptable."""
        margin = self.margin(policy)
        if self.kind == SUPERIORITY:
            return math.log1p(-margin)
        return math.log1p(margin) if self.is_ratio else margin

    def hoped(self, policy: Policy) -> float:
        """The difference that the sample is planned for."""
        return math.log1p(-policy.worthwhile_saving) if self.kind == SUPERIORITY else 0.0

    def effect(self, difference: float) -> float | None:
        """(before - after) / before for a ratio; None for what has no bound."""
        if not self.is_ratio:
            return min(1.0, max(-1.0, -difference))
        return -math.expm1(difference) if abs(difference) < OPEN else None

    def levels(self, data: Ratio | Shares) -> tuple[float, float]:
        """Before and after, such that the effect follows from them."""
        if isinstance(data, Ratio):
            return float(np.exp(data.control.mean())), float(np.exp(data.treated.mean()))
        before = float((data.control_bad / data.control_all).mean())
        after = float((data.treated_bad / data.treated_all).mean())
        return (1 - before, 1 - after) if self.more_is_better else (before, after)

    def said(self, mean: float, low: float, high: float) -> str:
        """The change as a person reads it: up is up."""
        if self.more_is_better:
            mean, low, high = -mean, -high, -low
        reach = f"{self._change(low)} to {self._change(high)}"
        return f"{self.title} changed by {self._change(mean)} ({reach})"

    def _change(self, difference: float) -> str:
        if not self.is_ratio:
            return f"{min(1.0, max(-1.0, difference)) * 100:+.2f} points"
        if abs(difference) >= OPEN:
            return "unbounded"
        return f"{math.expm1(difference) * 100:+.1f} %"

    def allowed(self, policy: Policy) -> str:
        margin = self.margin(policy) * 100
        if self.kind == SUPERIORITY:
            return f"it must fall by more than {margin:g} %" if margin else "it must fall"
        way = "fall" if self.more_is_better else "rise"
        return f"it may {way} by {margin:g} {'%' if self.is_ratio else 'points'} at most"


QUESTIONS = (
    Question(
        name=COST,
        title="GPU-seconds per request",
        kind=SUPERIORITY,
        unit="GPU-seconds",
        margin=lambda policy: policy.cost_margin,
        is_ratio=True,
        more_is_better=False,
        collect=lambda pairs, policy: measures.ratio(pairs, measures.cost, policy),
        see_to="see whether GPU-seconds are measured and both configs answer requests",
    ),
    Question(
        name=LATENCY,
        title="P95 latency",
        kind=NON_INFERIORITY,
        unit="ms",
        margin=lambda policy: policy.latency_margin,
        is_ratio=True,
        more_is_better=False,
        collect=lambda pairs, policy: measures.ratio(pairs, measures.latency, policy),
        see_to="see whether both configs answer requests",
    ),
    Question(
        name=ERRORS,
        title="Error rate",
        kind=NON_INFERIORITY,
        unit="share",
        margin=lambda policy: policy.error_margin,
        is_ratio=False,
        more_is_better=False,
        collect=measures.errors,
        see_to="see whether requests reach both configs",
    ),
    Question(
        name=QUALITY,
        title="Share of good answers",
        kind=NON_INFERIORITY,
        unit="share",
        margin=lambda policy: policy.quality_margin,
        is_ratio=False,
        more_is_better=True,
        collect=lambda pairs, policy: measures.quality(pairs),
        see_to="see whether answers of both configs are scored",
    ),
)
