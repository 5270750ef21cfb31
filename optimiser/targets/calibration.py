"""A calibration run: how long batches of 1 to the maximum take, measured on a model's shadow.

Knows Triton's model control, its statistics and how to make the batcher form a batch of exactly so
many requests: it is told to wait, and gets them all within that time. So each timing is of what
dynamic batching would execute, single requests put together, not of one large request. Refuses to
touch the live model in any way but to read its config. The shadow is the same directory under a
name that nobody calls; it is unloaded again whatever happens.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from tritonclient.http import InferInput
from tritonclient.http.aio import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from optimiser.simulate import ServiceCurve, Timing
from optimiser.simulate.curve import LEAST_REPEATS
from optimiser.targets.base import Config, TargetError
from optimiser.targets.triton import ADMIN_HEADER, NANOSECONDS, PHASES

REPEATS = 8
TIMEOUT_S = 180.0
UNLOAD_S = 20.0
HOLD_US = 60_000
"""The shadow's batcher waits so long for the rest of a burst. Far beyond what a burst takes to
arrive, and not part of any timing."""
WARM_UPS = 3
ALONE = 4
"""Single requests per turn: they also tell the overhead, whose scatter matters."""
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
COUNTED_AFTER_S = 0.002
LEAST_FOR_SPACING = 4
"""Smaller bursts are too short to tell how far their requests lie apart."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a calibration found; `curve` is what the simulator wants of it."""

    timings: tuple[Timing, ...]
    overheads_s: tuple[float, ...]
    """Of single requests, outside queue and model."""
    spacings_s: tuple[float, ...]
    """Of each further request of a burst, at the client that sent it and read its answer."""
    live_config: Config
    """The live model's, as it was read when the calibration began."""
    shadow_config: Config
    executions: int
    at: datetime
    took_s: float

    @property
    def curve(self) -> ServiceCurve:
        return ServiceCurve.fit(self.timings, self.overheads_s, self.spacings_s)


def measure(
    url: str,
    admin_key: str,
    model_name: str,
    shadow_name: str,
    *,
    batch_sizes: Sequence[int] | None = None,
    repeats: int = REPEATS,
    inputs: Mapping[str, np.ndarray] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Measured:
    """Raises TargetError. `inputs` is one row per input; random numbers where it is not given.

    Without `batch_sizes` it measures a dozen from 1 to the model's maximum.
    """
    if shadow_name == model_name:
        raise TargetError(
            "The shadow needs a name of its own: calibration never loads the live model.",
            retriable=False,
        )
    if repeats < LEAST_REPEATS:
        raise TargetError(f"Repeat each size at least {LEAST_REPEATS} times.", retriable=False)
    run = _Run(url, admin_key, model_name, shadow_name)
    try:
        return asyncio.run(run.measure(batch_sizes, repeats, inputs, timeout_s))
    except InferenceServerException as error:
        raise _refusal(error, url, shadow_name) from error
    except TimeoutError as error:
        raise TargetError(
            f"The calibration of {model_name} did not finish within {timeout_s:g} s: "
            "measure fewer sizes, or when the server is less busy.",
            retriable=True,
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise TargetError(
            f"Triton at {url} cannot be reached ({type(error).__name__}): check that it runs and "
            "that the address is right.",
            retriable=True,
        ) from error


def _refusal(error: InferenceServerException, url: str, shadow_name: str) -> TargetError:
    status, said = error.status(), " ".join(str(error.message()).split())[:300]
    if status in ("401", "403"):
        return TargetError(
            f"Triton at {url} refuses the admin key: enter the one that Triton was started with.",
            retriable=False,
        )
    if "failed to poll from model repository" in said or "no such model" in said.lower():
        return TargetError(
            f"Triton has no directory for the shadow {shadow_name}: copy the model's directory "
            "under that name into Triton's model repository.",
            retriable=False,
        )
    return TargetError(f"Triton at {url}: {said}", retriable=not status)


@dataclass(frozen=True, slots=True)
class _Burst:
    """Requests sent at once: when each was answered, and what the server counted for them."""

    size: int
    answers_s: tuple[float, ...]
    executions: Mapping[int, float]
    """Batch size → seconds, of sizes that were executed once."""
    queue_s: float
    """Of all its requests together."""


@dataclass(frozen=True, slots=True)
class _Counted:
    executions: Mapping[int, tuple[int, int]]
    """Batch size → how many, and their nanoseconds."""
    queue_ns: int
    requests: int


@dataclass(frozen=True, slots=True)
class _Run:
    url: str
    admin_key: str
    model_name: str
    shadow_name: str

    async def measure(
        self,
        batch_sizes: Sequence[int] | None,
        repeats: int,
        inputs: Mapping[str, np.ndarray] | None,
        timeout_s: float,
    ) -> Measured:
        """1. Read the live config. 2. Load the shadow with it, told to wait for batches.
        3. Bursts of every size, in turns. 4. Unload the shadow."""
        began, at = time.monotonic(), datetime.now(UTC)
        async with asyncio.timeout(timeout_s), self._client() as client:
            live = await client.get_model_config(self.model_name)
            sizes = _sizes(live, batch_sizes)
            row = _one_row(live, inputs)
            shadow = shadow_config(live, self.shadow_name)
            try:
                await client.load_model(
                    self.shadow_name, headers=self._key, config=json.dumps(shadow)
                )
                bursts = await self._bursts(client, row, sizes, repeats)
            finally:
                await self._unload(client)
        timings = _timings(bursts)
        return Measured(
            timings=timings,
            overheads_s=_overheads_s(bursts),
            spacings_s=_spacings_s(bursts, most=sizes[-1]),
            live_config=live,
            shadow_config=shadow,
            executions=sum(len(one.seconds) for one in timings),
            at=at,
            took_s=time.monotonic() - began,
        )

    @property
    def _key(self) -> dict[str, str]:
        return {ADMIN_HEADER: self.admin_key} if self.admin_key else {}

    def _client(self) -> Client:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TargetError(
                f"{self.url!r} is no address of a Triton: write http://host:8000.", retriable=False
            )
        return Client(
            f"{parts.netloc}{parts.path.rstrip('/')}",
            ssl=parts.scheme == "https",
            conn_limit=max(SIZES),
        )

    async def _bursts(
        self, client: Client, row: list[InferInput], sizes: Sequence[int], repeats: int
    ) -> list[_Burst]:
        # The first executions of a size open connections and fill caches: they are not typical.
        for size in (*[1] * WARM_UPS, *sizes):
            await self._burst(client, row, size)
        # In turns: whatever drifts during the run touches all sizes alike.
        turn = (*[1] * (ALONE - 1), *sizes)
        return [await self._burst(client, row, size) for _ in range(repeats) for size in turn]

    async def _burst(self, client: Client, row: list[InferInput], size: int) -> _Burst:
        before = await self._counters(client)
        began = time.perf_counter()

        async def one() -> float:
            await client.infer(self.shadow_name, row)
            return time.perf_counter() - began

        answers = await asyncio.gather(*(one() for _ in range(size)))
        after = await self._counted(client, before.requests + size)
        executions = {}
        for batch, (count, nanoseconds) in after.executions.items():
            count_before, nanoseconds_before = before.executions.get(batch, (0, 0))
            if count - count_before == 1:
                executions[batch] = (nanoseconds - nanoseconds_before) / NANOSECONDS
        return _Burst(
            size=size,
            answers_s=tuple(sorted(answers)),
            executions=executions,
            queue_s=(after.queue_ns - before.queue_ns) / NANOSECONDS,
        )

    async def _counted(self, client: Client, requests: int) -> _Counted:
        """An execution is counted a moment after its last answer has been sent."""
        while True:
            found = await self._counters(client)
            if found.requests >= requests:
                return found
            await asyncio.sleep(COUNTED_AFTER_S)

    async def _counters(self, client: Client) -> _Counted:
        said = await client.get_inference_statistics(self.shadow_name)
        versions = said["model_stats"]
        by_size: dict[int, tuple[int, int]] = {}
        for batch in (one for version in versions for one in version.get("batch_stats", ())):
            count, nanoseconds = by_size.get(int(batch["batch_size"]), (0, 0))
            by_size[int(batch["batch_size"])] = (
                count + int(batch["compute_infer"]["count"]),
                nanoseconds + sum(int(batch[phase]["ns"]) for phase in PHASES),
            )
        queued = sum(int(one["inference_stats"]["queue"]["ns"]) for one in versions)
        # Of both counts the one that is behind: they are not kept up in one step.
        executed = sum(size * count for size, (count, _) in by_size.items())
        answered = sum(int(one["inference_stats"]["success"]["count"]) for one in versions)
        return _Counted(by_size, queued, min(executed, answered))

    async def _unload(self, client: Client) -> None:
        async with asyncio.timeout(UNLOAD_S):
            await client.unload_model(self.shadow_name, headers=self._key)


def shadow_config(live: Config, shadow_name: str) -> Config:
    """The live config under the shadow's name: one instance that waits for a full batch."""
    groups = live.get("instance_group") or [{"kind": "KIND_AUTO"}]
    return {
        **live,
        "name": shadow_name,
        "instance_group": [
            {**groups[0], "name": shadow_name, "count": 1, "gpus": groups[0].get("gpus", [])[:1]}
        ],
        "dynamic_batching": {
            "preferred_batch_size": [live["max_batch_size"]],
            "max_queue_delay_microseconds": HOLD_US,
        },
        "response_cache": {"enable": False},
    }


def _sizes(live: Config, asked: Sequence[int] | None) -> tuple[int, ...]:
    most = int(live.get("max_batch_size", 0))
    if most < 1:
        raise TargetError(
            f"{live.get('name')} takes no batches (max_batch_size is 0), so there is nothing to "
            "calibrate.",
            retriable=False,
        )
    if asked is not None and any(not 1 <= size <= most for size in asked):
        raise TargetError(f"Sizes lie between 1 and {most}, the max_batch_size.", retriable=False)
    usual = [size for size in SIZES if size < most] + [min(most, SIZES[-1])]
    return tuple(sorted({1, *(usual if asked is None else asked)}))


def _one_row(live: Config, given: Mapping[str, np.ndarray] | None) -> list[InferInput]:
    """A request as callers send it: one row of every input."""
    dice = np.random.default_rng(0)
    row = []
    for said in live["input"]:
        name, dims = said["name"], [int(size) for size in said["dims"]]
        kind = triton_to_np_dtype(said["data_type"].removeprefix("TYPE_"))
        if given is not None and name in given:
            values = np.ascontiguousarray(given[name])
        elif min(dims, default=1) < 1 or kind is None or np.dtype(kind) == np.object_:
            raise TargetError(
                f"Input {name} has no fixed shape of numbers: calibrate with a sample of it.",
                retriable=False,
            )
        elif np.issubdtype(kind, np.floating):
            values = dice.standard_normal((1, *dims)).astype(kind)
        else:
            values = np.zeros((1, *dims), kind)
        tensor = InferInput(name, list(values.shape), said["data_type"].removeprefix("TYPE_"))
        tensor.set_data_from_numpy(values)
        row.append(tensor)
    return row


def _timings(bursts: Sequence[_Burst]) -> tuple[Timing, ...]:
    """By the batch that was executed, whatever was asked for: stragglers make smaller ones."""
    by_size: dict[int, list[float]] = {}
    for burst in bursts:
        for size, seconds in burst.executions.items():
            by_size.setdefault(size, []).append(seconds)
    kept = {size: seconds for size, seconds in by_size.items() if len(seconds) >= LEAST_REPEATS}
    if 1 not in kept or len(kept) < 2:
        raise TargetError(
            "The requests of a burst did not arrive together, so no batch was formed: calibrate "
            "when the server is less busy, or from nearer to it.",
            retriable=True,
        )
    return tuple(Timing(size, tuple(kept[size])) for size in sorted(kept))


def _overheads_s(bursts: Sequence[_Burst]) -> tuple[float, ...]:
    return tuple(
        max(0.0, burst.answers_s[0] - burst.queue_s - burst.executions[1])
        for burst in bursts
        if burst.size == 1 and 1 in burst.executions
    )


def _spacings_s(bursts: Sequence[_Burst], most: int) -> tuple[float, ...]:
    """How far the answers of a burst lie apart, plus how far its requests did on arrival.

    All wait for the same execution, so earlier arrivals show as longer queueing: on average only,
    which is all that the server counts. A full batch waits for its last request, others for the
    end of the hold.
    """
    held = [burst.queue_s for burst in bursts if burst.size == 1]
    apart: list[float] = []
    for burst in bursts:
        if burst.size < LEAST_FOR_SPACING or set(burst.executions) != {burst.size}:
            continue
        waited = burst.queue_s / burst.size
        spread = waited if burst.size == most else float(np.median(held)) - waited
        sending = 2 * max(0.0, spread) / (burst.size - 1)
        apart.extend((sending + np.diff(burst.answers_s)).tolist())
    return tuple(apart) or (0.0,)
