"""The sample that an experiment needs, known before it starts.

Knows power, from simulated series judged as the judge will judge them. Refuses optimism: a pilot's
spread is taken at its upper confidence limit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from .compare import RESOLUTION, paired, wilson
from .measures import Ratio, Shares, match, neighbours, summarise
from .needs import bad_rate, last_look
from .questions import QUESTIONS, Question
from .values import CONTROL, QUALITY, SPLIT, Block, Policy, Promise, Summary

Floats = NDArray[np.float64]

FEWEST_PILOT_BLOCKS = 4
PILOT_CONFIDENCE = 0.8
"""Of the upper limit for the spread (Browne, Statistics in Medicine 14 (1995) 1933-1940)."""
SIMULATIONS = 4000
SEED = 20_240_229
"""One for ever: the same plan gets the same promise."""
SMALLEST_SPREAD = 1e-9
"""Shares need no resolution: without errors, the number of requests decides."""


def promised_sample(policy: Policy, pilot: Sequence[Block | Summary]) -> Promise:
    """Blocks and requests with which a true saving of `worthwhile_saving` passes with `power`.

    The pilot is either blocks of the present config in order of time, or both arms of a trial
    without a change (for a split: recorded traffic divided by lot in the planned proportion).
    """
    blocks = summarise(pilot)
    is_one_config = all(one.arm == CONTROL for one in blocks)
    pairs = neighbours(blocks) if is_one_config else match(blocks)
    noises = []
    for question in QUESTIONS:
        if question.name == QUALITY and not (policy.needs_quality or any(b.scored for b in blocks)):
            continue
        data = question.collect(pairs, policy)
        if len(data.differences) < FEWEST_PILOT_BLOCKS - is_one_config:
            return Promise(
                None,
                None,
                f"{question.title} cannot be foreseen from {len(blocks)} pilot blocks: "
                f"{question.see_to}; {FEWEST_PILOT_BLOCKS} usable blocks of an arm are the least.",
            )
        noises.append(_noise(question, data, policy, is_one_config))
    return _search(noises, policy, len(blocks), _requests_a_block(blocks, policy, is_one_config))


@dataclass(frozen=True, slots=True)
class _Noise:
    """What the pilot says of one metric."""

    question: Question
    spread: float
    """Of the difference of one pair."""
    rate: float | None = None
    requests_a_block: tuple[float, float] = (0.0, 0.0)
    """Of control and treated."""

    def power(self, blocks: int, policy: Policy) -> float:
        room = self.question.limit(policy) - self.question.hoped(policy)
        passing = _thresholds(blocks, policy.design, policy.looks, policy.alpha)
        found = float(np.searchsorted(passing, room / self.spread) / len(passing))
        return found if self.rate is None else min(found, self._power_of_counts(blocks, policy))

    def _power_of_counts(self, blocks: int, policy: Policy) -> float:
        """How often the interval for the counts stays within the margin when nothing changed."""
        assert self.rate is not None
        t = _usual_t(blocks, policy)
        control, treated = (1 / requests for requests in self.requests_a_block)
        by_chance = self.rate * (1 - self.rate) * (control + treated)
        burstiness = max(0.0, (self.spread**2 - by_chance) / (2 * self.rate**2))
        low, _ = wilson(self.rate, control, t * t / blocks, burstiness)
        _, high = wilson(self.rate, treated, t * t / blocks, burstiness)
        reach = math.hypot(high - self.rate, self.rate - low)
        error = max(self.spread, math.sqrt(by_chance)) / math.sqrt(blocks)
        return float(ndtr((self.question.limit(policy) - reach) / error))


@lru_cache(maxsize=1024)
def _thresholds(blocks: int, design: str, looks: int, alpha: float) -> Floats:
    """Rooms between hope and limit, in spreads, above which simulated series pass at the last look.

    Sorted, so that a power is a place in the list.
    """
    noise = np.random.default_rng([SEED, blocks]).standard_normal((SIMULATIONS, blocks))
    mean, error, df = paired(noise, design)
    tail = ndtr(-last_look(Policy(alpha=alpha), looks).z)
    return np.sort(mean - stdtrit(df, tail) * error)


def _usual_t(blocks: int, policy: Policy) -> float:
    """The critical value that most series meet at the last look, memory of a split included."""
    passing = _thresholds(blocks, policy.design, policy.looks, policy.alpha)
    enough = float(np.quantile(passing, policy.power))
    return enough * math.sqrt(blocks) - float(ndtri(policy.power))


def _noise(question: Question, data: Ratio | Shares, policy: Policy, is_one_config: bool) -> _Noise:
    differences = data.differences
    if is_one_config:
        # Each block is in two differences: n of them know as much as about two thirds of n.
        df = max(1.0, len(differences) * 2 / 3)
        variance = float((differences**2).mean())
    else:
        df = len(differences) - 1.0
        variance = float(differences.var(ddof=1))
    variance *= df / float(chdtri(df, PILOT_CONFIDENCE))
    if is_one_config and policy.design == SPLIT:
        share = _planned_share(policy)
        variance *= (1 / share + 1 / (1 - share)) / 2  # each arm gets a part of the requests
    if isinstance(data, Ratio):
        return _Noise(question, max(math.sqrt(variance), RESOLUTION))
    control, treated = float(data.control_all.mean()), float(data.treated_all.mean())
    if is_one_config and policy.design == SPLIT:
        treated, control = _divided(control, policy)
    spread = max(math.sqrt(variance), SMALLEST_SPREAD)
    return _Noise(question, spread, _cautious_rate(data), (control, treated))


def _divided(requests: float, policy: Policy) -> tuple[float, float]:
    """Those of treated and control, once the present traffic is split."""
    share = _planned_share(policy)
    return requests * share, requests * (1 - share)


def _cautious_rate(shares: Shares) -> float:
    """The share of bad ones at its upper limit."""
    rate, _ = bad_rate(shares)
    seen = float(shares.control_all.sum() + shares.treated_all.sum())
    return rate + float(ndtri(PILOT_CONFIDENCE)) * math.sqrt(rate * (1 - rate) / seen)


def _search(
    noises: Sequence[_Noise], policy: Policy, pilot_blocks: int, requests_a_block: float
) -> Promise:
    for blocks in _sizes(policy):
        powers = {noise.question.name: noise.power(blocks, policy) for noise in noises}
        if sum(1 - power for power in powers.values()) <= 1 - policy.power:
            break
    else:
        weakest = min(noises, key=lambda noise: powers[noise.question.name])
        return Promise(
            None,
            None,
            f"More than {policy.most_blocks_per_arm} blocks of each arm would be needed, for "
            f"{weakest.question.title} varies too much between blocks: use longer blocks.",
        )
    requests = math.ceil(blocks * requests_a_block)
    limiting = min(noises, key=lambda noise: powers[noise.question.name]).question
    return Promise(
        blocks,
        requests,
        f"{blocks} blocks and about {requests} requests of each arm: then a true saving of "
        f"{policy.worthwhile_saving * 100:g} % that makes nothing else worse passes with "
        f"{policy.power * 100:g} % probability. {limiting.title} decides the number.",
        _assumptions(noises, powers, policy, pilot_blocks, requests_a_block),
    )


def _sizes(policy: Policy) -> list[int]:
    """Multiples of the number of looks, so that the looks are equally far apart."""
    least = math.ceil(policy.min_blocks_per_arm / policy.looks) * policy.looks
    return list(range(least, policy.most_blocks_per_arm + 1, policy.looks))


def _assumptions(
    noises: Sequence[_Noise],
    powers: dict[str, float],
    policy: Policy,
    pilot_blocks: int,
    requests_a_block: float,
) -> dict[str, Any]:
    return {
        "design": policy.design,
        "looks": policy.looks,
        "alpha": policy.alpha,
        "power": policy.power,
        "saving": policy.worthwhile_saving,
        "pilot_blocks": pilot_blocks,
        "requests_per_block": requests_a_block,
        "spread_of_a_pair": {noise.question.name: noise.spread for noise in noises},
        "power_by_metric": powers,
    }


def _requests_a_block(blocks: Sequence[Summary], policy: Policy, is_one_config: bool) -> float:
    """Of the smaller arm."""
    if is_one_config:
        middle = float(np.median([one.requests for one in blocks]))
        return min(_divided(middle, policy)) if policy.design == SPLIT else middle
    arms = {one.arm for one in blocks}
    return min(float(np.median([b.requests for b in blocks if b.arm == arm])) for arm in arms)


def _planned_share(policy: Policy) -> float:
    return 0.5 if policy.treated_share is None else policy.treated_share
