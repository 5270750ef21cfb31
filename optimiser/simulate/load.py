"""What a load is: arrivals that come whatever happens, or callers who wait for their answer.

Pure. Knows recorded requests (start and latency) and tells the two kinds of load apart, since the
same change lets callers who wait ask more often, and does nothing to the others. Refuses to call a
load closed on a hunch: callers who pause show only where spans name them, and without a sign of
waiting callers arrivals are open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

LEAST_REQUESTS = 50
"""Below so many a rhythm cannot be told from chance."""

OVERLAP_S = 0.001
"""Clocks of spans are that coarse: a start so little before the last end is no overlap."""
MOST_OVERLAPS = 0.02
LEAST_PER_CALLER = 5

FULL_SHARE = 0.85
"""Callers without a pause keep this share of their number waiting all the time."""
LEAST_WAITING = 0.05
"""Callers who wait for less of their time would hardly ask more often if answers came sooner."""


@dataclass(frozen=True, slots=True, eq=False)
class Traffic:
    """Recorded requests, in seconds since `window_from`, in order of their start."""

    started_s: Floats
    latency_s: Floats
    window_from: datetime
    window_to: datetime
    callers: Whole | None = None
    """Who asked, as numbers, where spans say so: 0, 1, …; it settles what kind of load it is."""

    def __post_init__(self) -> None:
        if len(self.started_s) != len(self.latency_s):
            raise ValueError("Each request has a start and a latency.")
        if self.callers is not None and len(self.callers) != len(self.started_s):
            raise ValueError("Name the caller of each request, or of none.")
        if self.window_to <= self.window_from:
            raise ValueError("A window ends after it begins.")
        if (np.diff(self.started_s) < 0).any():
            raise ValueError("Requests come in order of their start.")
        if not (np.isfinite(self.latency_s).all() and (self.latency_s >= 0).all()):
            raise ValueError("Every latency is a finite time from 0 s.")
        if (
            len(self.started_s)
            and not 0 <= self.started_s[0] <= self.started_s[-1] <= self.window_s
        ):
            raise ValueError("Requests start within the window.")

    @property
    def requests(self) -> int:
        return len(self.started_s)

    @property
    def window_s(self) -> float:
        return (self.window_to - self.window_from).total_seconds()

    @property
    def rate_rps(self) -> float:
        return self.requests / self.window_s


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """Requests that start at their own times, however long the others take."""

    arrivals_s: Floats
    window_s: float

    def to_json(self) -> dict[str, Any]:
        return {"kind": "open", "rate_rps": len(self.arrivals_s) / self.window_s}


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """So many callers, each of whom pauses after an answer and then asks again."""

    clients: int
    think_s: Floats
    """Pauses to draw from, in the order in which they were seen."""
    window_s: float
    told_by: str = "callers"
    """`callers` when spans name them, `rhythm` when it shows in starts and ends alone."""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "closed",
            "clients": self.clients,
            "think_ms": float(np.mean(self.think_s)) * 1000,
            "told_by": self.told_by,
        }


Load = Open | Closed


def recognise(traffic: Traffic) -> Load:
    """Closed if the traffic shows callers who wait for their answer, open otherwise."""
    found = None
    if traffic.requests >= LEAST_REQUESTS:
        if traffic.callers is not None:
            found = _closed_by_callers(traffic, traffic.callers)
        found = found or _always_full(traffic)
    return found or Open(traffic.started_s, traffic.window_s)


def _closed_by_callers(traffic: Traffic, callers: Whole) -> Closed | None:
    """Each caller's requests follow one another without overlap, or there is none."""
    order = np.lexsort((traffic.started_s, callers))
    who, start = callers[order], traffic.started_s[order]
    end = start + traffic.latency_s[order]
    same = who[1:] == who[:-1]
    gaps, at = (start[1:] - end[:-1])[same], end[:-1][same]
    count = len(np.unique(who))
    if len(who) < LEAST_PER_CALLER * count:
        return None
    if np.mean(gaps < -OVERLAP_S) > MOST_OVERLAPS:
        return None
    waiting_s, pausing_s = float(np.sum(traffic.latency_s)), float(np.sum(np.maximum(gaps, 0)))
    if waiting_s < LEAST_WAITING * (waiting_s + pausing_s):
        return None
    first = np.flatnonzero(np.r_[True, ~same])
    last = np.r_[first[1:] - 1, len(who) - 1]
    # Who is first seen in the middle of a round was there from its begin, and the same at the end.
    half_s = (waiting_s + pausing_s) / len(who) / 2
    came = np.maximum(start[first] - half_s, 0.0)
    left = np.minimum(end[last] + half_s, traffic.window_s)
    clients = max(1, round(float(np.sum(left - came)) / float(left.max() - came.min())))
    in_order = np.maximum(gaps, 0.0)[np.argsort(at, kind="stable")]
    return Closed(clients, in_order, traffic.window_s)


def _always_full(traffic: Traffic) -> Closed | None:
    """Callers that hardly pause: nearly all of them wait nearly all the time."""
    found_waiting = _found_waiting(traffic)
    clients = 1 + int(np.max(found_waiting))
    busy_s = float(np.sum(traffic.latency_s))
    ends = traffic.started_s + traffic.latency_s
    span_s = float(ends.max() - traffic.started_s[0])
    if busy_s < FULL_SHARE * clients * span_s:
        return None
    if clients * LEAST_PER_CALLER > traffic.requests:
        return None
    return Closed(clients, _matched_pauses(traffic, clients), traffic.window_s, "rhythm")


def _found_waiting(traffic: Traffic) -> Whole:
    """How many earlier requests had no answer yet when each of them began."""
    ends = np.sort(traffic.started_s + traffic.latency_s)
    answered = np.searchsorted(ends, traffic.started_s + OVERLAP_S, side="right")
    found: Whole = np.maximum(np.arange(traffic.requests) - answered, 0)
    return found


def _matched_pauses(traffic: Traffic, clients: int) -> Floats:
    """Pauses with the right mean: the nth start after all have begun follows the nth answer."""
    ends = np.sort(traffic.started_s + traffic.latency_s)
    return np.maximum(traffic.started_s[clients:] - ends[: -clients or None], 0.0)
