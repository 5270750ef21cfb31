"""How many more blocks an open question needs, with the spread seen so far.

Knows the usual sample-size formulae. Refuses to call errors impossible because none was seen.
"""

from __future__ import annotations

import math

from scipy.special import ndtri

from . import bounds
from .compare import Difference, Level
from .measures import Shares
from .questions import Question
from .values import Policy


def last_look(policy: Policy, looks: int) -> Level:
    return Level(looks, looks, policy.alpha, bounds.obrien_fleming)


def blocks_needed(question: Question, policy: Policy, seen: Difference, looks: int) -> int:
    """Blocks of each arm. Guenther, The American Statistician 35 (1981) 243-244: the normal sample
    size, and z²/2 more for Student's t."""
    z = last_look(policy, looks).z
    room = question.limit(policy) - question.hoped(policy)
    needed = (z + float(ndtri(policy.power))) ** 2 * seen.variance / room**2 + z * z / 2
    if seen.shares is not None:
        rate, per_block = bad_rate(seen.shares)
        needed = max(needed, requests_needed(rate, room, z, policy.power) / per_block)
    return max(policy.min_blocks_per_arm, math.ceil(needed))


def bad_rate(shares: Shares) -> tuple[float, float]:
    """The share of bad ones, never quite none, and the requests per block of the smaller arm."""
    bad = float(shares.control_bad.sum() + shares.treated_bad.sum())
    every = float(shares.control_all.sum() + shares.treated_all.sum())
    smaller = min(float(shares.control_all.mean()), float(shares.treated_all.mean()))
    return (bad + 1) / (every + 2), smaller


def requests_needed(rate: float, margin: float, z: float, power: float) -> float:
    """Of each arm, were they independent; even without any error, chance leaves room for some."""
    by_chance = (z + float(ndtri(power))) ** 2 * 2 * rate * (1 - rate) / margin**2
    return max(by_chance, z * z * (1 - margin) / margin)
