"""Kayenta's default canary judge, our own implementation of what its documentation describes.

For comparison only. Each metric is two lists of points, one per block. Mann-Whitney at 98 %
confidence gives an interval for the shift; a metric is High when the whole interval lies above a
quarter of the Hodges-Lehmann estimate, and passes otherwise. A metric without data is left out of
the score, a group without any scores 100, and from half of the metrics without data the canary
fails. https://spinnaker.io/docs/guides/user/canary/judge/
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CONFIDENCE_Z = 2.3263478740408408
"""Two-sided 98 %."""
TOLERANCE = 0.25
MOST_WITHOUT_DATA = 0.5
PASS_SCORE, MARGINAL_SCORE = 95, 75
"""As in Spinnaker's guides; each user sets them."""

HIGH, PASSES, NO_DATA = "High", "Pass", "Nodata"


def classify(control: Floats, treated: Floats) -> str:
    """More is worse for every metric of the bench."""
    control, treated = control[np.isfinite(control)], treated[np.isfinite(treated)]
    if not len(control) or not len(treated):
        return NO_DATA
    if np.array_equal(control, treated):
        return PASSES
    shifts = np.sort(np.subtract.outer(treated, control), axis=None)
    estimate = (shifts[(len(shifts) - 1) // 2] + shifts[len(shifts) // 2]) / 2
    return (
        HIGH
        if lower_limit(shifts, len(treated), len(control)) > TOLERANCE * abs(estimate)
        else PASSES
    )


def lower_limit(shifts: Floats, m: int, n: int) -> float:
    """Of the Hodges-Lehmann interval: an order statistic of all pairwise shifts."""
    rank = m * n / 2 - CONFIDENCE_Z * math.sqrt(m * n * (m + n + 1) / 12)
    return float(shifts[max(round(rank) - 1, 0)])


def score(classes: Sequence[str]) -> float:
    known = [one for one in classes if one != NO_DATA]
    if len(classes) - len(known) >= MOST_WITHOUT_DATA * len(classes):
        return 0.0
    return 100 * known.count(PASSES) / len(known) if known else 100.0


def verdict(looks: Sequence[Sequence[tuple[Floats, Floats]]]) -> str:
    """At each look every metric's points so far: below marginal it ends, the last look decides."""
    reached = 0.0
    for metrics in looks:
        reached = score([classify(control, treated) for control, treated in metrics])
        if reached < MARGINAL_SCORE:
            return "FAIL"
    return "PASS" if reached >= PASS_SCORE else "INCONCLUSIVE"
