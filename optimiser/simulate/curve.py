"""How long an execution takes for each batch size, with its scatter, from a calibration run.

Pure. Knows measured executions and the time a request spends outside the model. Refuses to guess
beyond the largest batch that was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batcher import Unsupported

Floats = NDArray[np.float64]

LEAST_REPEATS = 3
"""Fewer executions of one size say nothing about their scatter."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Executions of one batch size, as the server timed them."""

    batch_size: int
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class ServiceCurve:
    """Service times of batches from 1 to `largest`, between measured sizes on a straight line."""

    timings: tuple[Timing, ...]
    overheads_s: tuple[float, ...]
    """What single requests took outside queue and model: client, transport and server."""
    spacings_s: tuple[float, ...] = (0.0,)
    """What each further answer of a burst took at the client, which handles them in turn."""

    @classmethod
    def fit(
        cls,
        timings: Iterable[Timing],
        overhead_s: float | Sequence[float],
        spacing_s: float | Sequence[float] = 0.0,
    ) -> ServiceCurve:
        """From measurements, or from one number where there is no more. Raises ValueError when
        they do not make a curve."""
        together: dict[int, list[float]] = {}
        for one in timings:
            together.setdefault(one.batch_size, []).extend(one.seconds)
        if 1 not in together:
            raise ValueError("A batch of 1 was not measured: repeat the calibration.")
        for size, seconds in together.items():
            if len(seconds) < LEAST_REPEATS:
                raise ValueError(
                    f"A batch of {size} was measured {len(seconds)} times, "
                    f"at least {LEAST_REPEATS} are needed: repeat the calibration."
                )
        measured = [*(one for of_size in together.values() for one in of_size)]
        if not all(0 < one < float("inf") for one in measured) or min(together) < 1:
            raise ValueError("Every execution has a batch of at least 1 and takes some time.")
        ordered = tuple(Timing(size, tuple(together[size])) for size in sorted(together))
        return cls(ordered, _times(overhead_s), _times(spacing_s))

    @property
    def overhead_s(self) -> float:
        return float(np.median(self.overheads_s))

    @property
    def spacing_s(self) -> float:
        return float(np.mean(self.spacings_s))

    @property
    def largest(self) -> int:
        return self.timings[-1].batch_size

    def seconds(self, batch_size: int) -> float:
        """The mean time of one execution. Raises Unsupported beyond the calibration."""
        if not 1 <= batch_size <= self.largest:
            raise Unsupported(
                f"Batches of {batch_size} were not measured, the largest was {self.largest}: "
                "calibrate again."
            )
        return float(self.table[batch_size])

    @cached_property
    def table(self) -> Floats:
        """Mean seconds by batch size; place 0 is not used."""
        sizes = [one.batch_size for one in self.timings]
        means = _never_falling(
            [float(np.mean(one.seconds)) for one in self.timings],
            [len(one.seconds) for one in self.timings],
        )
        return np.interp(np.arange(self.largest + 1), sizes, means)

    @cached_property
    def residuals(self) -> Floats:
        """Row per measured size: how far its executions lay from their mean, evenly many each."""
        width = max(len(one.seconds) for one in self.timings)
        rows = [np.array(one.seconds) - np.mean(one.seconds) for one in self.timings]
        places = [np.arange(width) * len(row) // width for row in rows]
        return np.array([np.sort(row)[place] for row, place in zip(rows, places, strict=True)])

    @cached_property
    def residual_row(self) -> NDArray[np.int64]:
        """Batch size → the row of the measured size nearest to it."""
        sizes = np.array([one.batch_size for one in self.timings])
        distance = np.abs(np.arange(self.largest + 1)[:, None] - sizes)
        nearest: NDArray[np.int64] = np.argmin(distance, axis=1).astype(np.int64)
        return nearest

    def resampled(self, dice: np.random.Generator) -> ServiceCurve:
        """As if the calibration had been repeated: drawn anew from its own executions."""
        drawn = tuple(
            Timing(one.batch_size, tuple(dice.choice(one.seconds, len(one.seconds)).tolist()))
            for one in self.timings
        )
        return ServiceCurve(drawn, self.overheads_s, self.spacings_s)

    def to_json(self) -> dict[str, Any]:
        return {
            "timings": [
                {"batch_size": one.batch_size, "seconds": list(one.seconds)} for one in self.timings
            ],
            "overhead_s": list(self.overheads_s),
            "spacing_s": list(self.spacings_s),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> ServiceCurve:
        timings = (Timing(one["batch_size"], tuple(one["seconds"])) for one in said["timings"])
        return cls.fit(timings, said["overhead_s"], said["spacing_s"])


def _times(said: float | Sequence[float]) -> tuple[float, ...]:
    times = tuple(said) if isinstance(said, Sequence) else (said,)
    if not times or not all(0 <= one < float("inf") for one in times):
        raise ValueError("Overhead and spacing are times from 0 s.")
    return times


def _never_falling(means: list[float], weights: list[int]) -> list[float]:
    """A larger batch is not quicker: neighbours that say so, by chance, share their mean."""
    pools: list[tuple[float, int, int]] = []  # mean, weight, how many sizes
    for mean, weight in zip(means, weights, strict=True):
        pool = (mean, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            before = pools.pop()
            both = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / both, both, before[2] + pool[2])
        pools.append(pool)
    return [mean for mean, _, count in pools for _ in range(count)]
