"""How strict each look must be, so that looking often does not raise the chance of an error.

Knows error spending and the joint normal distribution of the statistic over its looks. Refuses
data: a bound depends on the plan alone, so nobody can choose it after seeing a result.

Sources: Lan and DeMets, Biometrika 70 (1983) 659-663 (spending functions); O'Brien and Fleming,
Biometrics 35 (1979) 549-556 and Pocock, Biometrika 64 (1977) 191-199 (the shapes); Armitage,
McPherson and Rowe, J. R. Stat. Soc. A 132 (1969) 235-244 (the recursion over looks); Jennison and
Turnbull, Group Sequential Methods (2000) section 11.5 (a normal bound's tail probability put on
Student's t when the spread is estimated).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

Spending = Callable[[float, float], float]
Floats = NDArray[np.float64]

MOST_LOOKS = 50
GRID_POINTS = 240
FARTHEST_SD = 9.0
"""Paths farther below zero than this many standard deviations carry no weight a float can see."""


def obrien_fleming(fraction: float, alpha: float) -> float:
    """One-sided error spent so far: next to nothing early on, so the last look is nearly full."""
    return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(fraction)))


def pocock(fraction: float, alpha: float) -> float:
    """About the same error at each look: for harm, which should be noticed early."""
    return alpha * math.log(1 + (math.e - 1) * fraction)


@lru_cache(maxsize=256)
def critical_values(looks: int, alpha: float, spending: Spending) -> tuple[float, ...]:
    """The one-sided critical z of each of `looks` equally spaced looks."""
    if not 1 <= looks <= MOST_LOOKS:
        raise ValueError(f"Plan from 1 to {MOST_LOOKS} looks, not {looks}.")
    if not 0 < alpha < 0.5:
        raise ValueError(f"The error to spend lies between 0 and 0.5; {alpha} does not.")
    spent = [spending(look / looks, alpha) for look in range(1, looks + 1)]
    found = [float(-ndtri(spent[0]))]
    grid, weights = _first_step(looks, found[0])
    for look in range(2, looks + 1):
        step = 1 / math.sqrt(looks)
        limit = _solve(grid, weights, step, spent[look - 1] - spent[look - 2])
        found.append(limit / math.sqrt(look / looks))
        grid, weights = _next_step(grid, weights, step, limit, look / looks)
    return tuple(found)


def critical_z(looks: int, look: int, alpha: float, spending: Spending) -> float:
    if not 1 <= look <= looks:
        raise ValueError(f"Look {look} of {looks} does not exist.")
    return critical_values(looks, alpha, spending)[look - 1]


@lru_cache(maxsize=4096)
def on_t(z: float, df: float) -> float:
    """The same tail probability on Student's t: few blocks know their own spread badly."""
    return float(-stdtrit(df, ndtr(-z)))


def _first_step(looks: int, z: float) -> tuple[Floats, Floats]:
    """Where the sum is after the first look, among the paths that have not crossed."""
    sd = 1 / math.sqrt(looks)
    grid, widths = _nodes(-FARTHEST_SD * sd, z * sd)
    return grid, widths * _density(grid / sd) / sd


def _next_step(
    grid: Floats, weights: Floats, step: float, limit: float, fraction: float
) -> tuple[Floats, Floats]:
    later, widths = _nodes(-FARTHEST_SD * math.sqrt(fraction), limit)
    reached = _density((later[:, None] - grid[None, :]) / step) / step @ weights
    return later, widths * reached


def _solve(grid: Floats, weights: Floats, step: float, error: float) -> float:
    """The limit that the paths still under way cross with just this probability."""
    low, high = -FARTHEST_SD, 4 * FARTHEST_SD
    for _ in range(80):
        middle = (low + high) / 2
        if float(ndtr((grid - middle) / step) @ weights) > error:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _nodes(low: float, high: float) -> tuple[Floats, Floats]:
    points, widths = _legendre()
    half = (high - low) / 2
    return low + half * (points + 1), widths * half


@lru_cache(maxsize=1)
def _legendre() -> tuple[Floats, Floats]:
    points, widths = np.polynomial.legendre.leggauss(GRID_POINTS)
    return np.asarray(points, dtype=np.float64), np.asarray(widths, dtype=np.float64)


def _density(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi), dtype=np.float64)
