"""How different two arms are, and how sure that is; positive where treated is worse.

Knows paired means, Student's t and Newcombe's interval for shares. Refuses certainty: a handful of
blocks that happen to agree, or no error in a few hundred requests, still leave an interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import bounds
from .measures import Shares
from .values import SPLIT

Floats = NDArray[np.float64]

RESOLUTION = 0.005
"""Spread that no meter is trusted beyond, as a fraction of what it reads: rounded or repeated
readings can agree exactly, and their agreement proves nothing."""

MOST_CORRELATION = 0.8

UNUSED_ALPHA = 0.2
"""Share of the allowed error kept back. Student's t in a sequential bound is an approximation: on
normal differences it spent up to 0.056 of 0.05 in simulation (4 to 60 pairs, 1 to 5 looks)."""


@dataclass(frozen=True, slots=True)
class Level:
    """One look's critical values, as a function of the degrees of freedom."""

    look: int
    looks: int
    alpha: float
    spending: bounds.Spending

    @property
    def z(self) -> float:
        spent = self.alpha * (1 - UNUSED_ALPHA)
        return bounds.critical_z(self.looks, self.look, spent, self.spending)

    def t(self, df: float) -> float:
        return bounds.on_t(self.z, df)


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean difference of the pairs, with what its uncertainty rests on."""

    mean: float
    error: float
    """Standard error, from the spread between pairs."""
    df: float
    pairs: int
    shares: Shares | None = None
    burstiness: float = 0.0

    @property
    def variance(self) -> float:
        """Of one pair, so that the need for more of them can be foreseen."""
        return self.error**2 * self.pairs

    def interval(self, level: Level) -> tuple[float, float]:
        reach = level.t(self.df) * self.error
        low, high = self.mean - reach, self.mean + reach
        if self.shares is not None:
            of_counts = newcombe(self.shares, level.t(self.df), self.burstiness)
            low, high = min(low, of_counts[0]), max(high, of_counts[1])
        return low, high


def of_ratios(differences: Floats, design: str) -> Difference:
    mean, error, df = paired(differences, design, least_spread=RESOLUTION)
    return Difference(float(mean), float(error), float(df), len(differences))


def of_shares(shares: Shares, design: str) -> Difference:
    mean, error, df = paired(shares.differences, design)
    pairs = len(shares.control_all)
    bursts = burstiness(shares, float(error) ** 2 * pairs)
    return Difference(float(mean), float(error), float(df), pairs, shares, bursts)


def paired(
    differences: Floats, design: str, least_spread: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Mean, standard error and degrees of freedom along the last axis.

    The randomised order of a switchback makes differences uncorrelated whatever the noise does in
    time. A split has no such lot, so there a correlation between neighbouring slices counts as
    fewer slices.
    """
    pairs = differences.shape[-1]
    mean = differences.mean(axis=-1)
    centred = differences - mean[..., None]
    squares = (centred * centred).sum(axis=-1)
    spread = np.maximum(np.sqrt(squares / (pairs - 1)), least_spread)
    worth = np.full(mean.shape, float(pairs))
    if design == SPLIT:
        worth = np.maximum(_independent(centred, squares), 2.0)
    return mean, spread / np.sqrt(worth), worth - 1


def _independent(centred: Floats, squares: Floats) -> Floats:
    """As many independent slices would know as much: n(1-r)/(1+r), r corrected for the downward
    bias that a fitted mean gives it (Marriott and Pope, Biometrika 41 (1954) 390-402)."""
    pairs = centred.shape[-1]
    products = (centred[..., 1:] * centred[..., :-1]).sum(axis=-1)
    raw = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    room = max(1 - 4 / pairs, 0.25)
    correlation = np.clip((raw + 1 / pairs) / room, 0.0, MOST_CORRELATION)
    return np.asarray(pairs * (1 - correlation) / (1 + correlation), dtype=np.float64)


def burstiness(shares: Shares, variance: float) -> float:
    """How much the true share varies between blocks, as its squared coefficient of variation.

    What is left of the variance of a pair's difference without the chance of independent requests.
    """
    by_chance = squares = 0.0
    for bad, every in (
        (shares.control_bad, shares.control_all),
        (shares.treated_bad, shares.treated_all),
    ):
        share = float(bad.sum() / every.sum())
        by_chance += share * (1 - share) * float((1 / every).mean())
        squares += share * share
    return max(0.0, (variance - by_chance) / squares) if squares else 0.0


def newcombe(shares: Shares, t: float, burstiness: float) -> tuple[float, float]:
    """Treated minus control, by method 10 of Newcombe, Statistics in Medicine 17 (1998) 873-890.

    It stays honest where nothing or little went wrong: there the spread between blocks is zero or
    small just because the worst ones are still to come.
    """
    control, low_c, high_c = _of_arm(shares.control_bad, shares.control_all, t, burstiness)
    treated, low_t, high_t = _of_arm(shares.treated_bad, shares.treated_all, t, burstiness)
    difference = treated - control
    low = difference - math.hypot(treated - low_t, high_c - control)
    high = difference + math.hypot(high_t - treated, control - low_c)
    return low, high


def _of_arm(bad: Floats, every: Floats, t: float, burstiness: float) -> tuple[float, float, float]:
    share = float(bad.sum() / every.sum())
    low, high = wilson(share, float((1 / every).mean()), t * t / len(every), burstiness)
    return share, low, high


def wilson(
    share: float, per_request: float, reach: float, burstiness: float
) -> tuple[float, float]:
    """Wilson's interval, whose variance is that of the share in question, not of the one seen.

    With bursts that variance is p(1-p)/requests + burstiness p² per block, for a higher share has
    worse bursts. `reach` is the critical value squared, per block.
    """
    chance = reach * per_request
    scale = 1 + chance - reach * burstiness
    half = share + chance / 2
    root = math.sqrt(max(0.0, half * half - scale * share * share))
    low = share * share / (half + root) if share else 0.0
    return low, min(1.0, (half + root) / scale) if scale > 0 else 1.0
