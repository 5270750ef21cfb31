"""A mergeable sketch of positive numbers: counts in logarithmic buckets.

These are the buckets of DDSketch (Masson, Rim, Lee: "DDSketch", PVLDB 12(12), 2019): a value x
falls into bucket ceil(log_gamma x), so every quantile is right to a relative `ACCURACY`, and two
sketches merge by adding counts. Kept as two parallel arrays so that PostgreSQL builds and merges
them itself. Pure: no database.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

ACCURACY = 0.01
GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
LN_GAMMA = math.log(GAMMA)

SMALLEST = 1e-6
"""Whatever is not larger counts as zero and has a bucket of its own."""
ZERO_BUCKET = -32768

ROUNDING = 1e-6
"""A share of a count that is a whole number may come out a little above it."""

BUCKET_SQL = (
    f"(CASE WHEN {{x}} <= {SMALLEST!r} THEN {ZERO_BUCKET}"
    f" ELSE ceil(ln({{x}}) / {LN_GAMMA!r}) END)::smallint"
)
"""The same bucket in SQL; `.format(x=column)`."""


def bucket(value: float) -> int:
    return ZERO_BUCKET if value <= SMALLEST else math.ceil(math.log(value) / LN_GAMMA)


def midpoint(key: int) -> float:
    """The value that stands for a bucket: within `ACCURACY` of everything in it."""
    return 0.0 if key == ZERO_BUCKET else 2 * GAMMA**key / (GAMMA + 1)


def quantile(keys: Sequence[int], counts: Sequence[int], q: float) -> float | None:
    """The q-quantile (0 ≤ q ≤ 1) of a sketch, None of an empty one. Keys need not be sorted.

    By nearest rank: the smallest value that at least this share of all do not exceed.
    """
    return quantiles(keys, counts, (q,))[0]


def quantiles(
    keys: Sequence[int], counts: Sequence[int], qs: Sequence[float]
) -> list[float | None]:
    """Several at once, in the order asked for."""
    buckets = sorted(zip(keys, counts, strict=True))
    upto = list(accumulate(count for _, count in buckets))
    if not upto or not upto[-1]:
        return [None] * len(qs)
    ranks = (max(1, math.ceil(q * upto[-1] - ROUNDING)) for q in qs)
    return [midpoint(buckets[bisect_left(upto, rank)][0]) for rank in ranks]


def merge(sketches: Iterable[tuple[Sequence[int], Sequence[int]]]) -> tuple[list[int], list[int]]:
    merged: dict[int, int] = {}
    for keys, counts in sketches:
        for key, count in zip(keys, counts, strict=True):
            merged[key] = merged.get(key, 0) + count
    return sorted(merged), [merged[key] for key in sorted(merged)]


def merge_sent(sketches: Sequence[tuple[bytes, bytes]]) -> tuple[list[int], list[int]]:
    """`merge` of sketches whose two arrays PostgreSQL's `array_send` wrote.

    To merge months in PostgreSQL takes twice as long as to send them as they are.
    """
    keys = _sent(keys for keys, _ in sketches).astype(np.int64)
    counts = _sent(counts for _, counts in sketches)
    lowest = int(keys.min())
    merged = np.bincount(keys - lowest, weights=counts)
    places = np.flatnonzero(merged)
    return (places + lowest).tolist(), merged[places].astype(np.int64).tolist()


HEADER = 20
"""Bytes before the elements: dimensions, has nulls, type, length, first index; four bytes each."""


def _sent(arrays: Iterable[bytes]) -> np.ndarray:
    """The integers of arrays in PostgreSQL's binary format: each has its size before it."""
    elements = b"".join(array[HEADER:] for array in arrays)
    element = np.dtype([("size", ">i4"), ("value", f">i{int.from_bytes(elements[:4], 'big')}")])
    return np.frombuffer(elements, element)["value"]
