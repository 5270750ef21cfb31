"""Whether something that is watched has been wrong for long enough, and right for long enough.

Pure. Knows a threshold and how many of the last quarter hours must agree. Refuses to count what is
unknown as either.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BELOW, ABOVE = "below", "above"
COMPARISONS = (BELOW, ABOVE)

LOOKED_AT = 12
"""Quarter hours that are looked at, three hours: older ones say nothing of now."""


@dataclass(frozen=True, slots=True)
class Watched:
    holds: bool
    """The alert is on, or stays on."""
    wrong: int
    """Of the last known quarter hours."""
    known: int
    newest: float | None


def is_wrong(value: float, comparison: str, threshold: float) -> bool:
    return value < threshold if comparison == BELOW else value > threshold


def watched(
    newest_first: Sequence[float | None],
    comparison: str,
    threshold: float,
    needed: int,
    of_last: int,
    *,
    was_on: bool,
) -> Watched:
    """It begins with `needed` wrong ones of the last `of_last` that are known.

    It ends when fewer are wrong and the newest `needed` are all fine: one good quarter hour in
    between is no end. It ends too where nothing is known for `LOOKED_AT`.
    """
    known = [value for value in newest_first[:LOOKED_AT] if value is not None][:of_last]
    flags = [is_wrong(value, comparison, threshold) for value in known]
    wrong = sum(flags)
    starts = wrong >= needed
    stays = was_on and any(flags[:needed])
    return Watched(starts or stays, wrong, len(known), known[0] if known else None)
