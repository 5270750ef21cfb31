"""How often the judge promotes what it must not, fails what is alike, and passes a true saving.

`python -m tests.bench.judge --data FOLDER`: the folder holds a public LLM serving regression test
and a public year of repeated tests on unchanged cloud machines (docs/benches.md names both). Every
run gets a pilot of its own and the sample promised from it, and is judged at five looks; Kayenta's
documented judge sees the same blocks at the same looks.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optimiser.verify import (
    CONTROL,
    FAIL,
    INCONCLUSIVE,
    JUDGE_VERSION,
    PASS,
    SPLIT,
    TREATED,
    Policy,
    Summary,
    judge,
    promised_sample,
)
from tests.bench import kayenta
from tests.bench.common import arguments, report
from tests.bench.worlds import ERROR_RATE, Arms, Dice, Floats, World, worlds

SEED = 20_261_031
RUNS = 1000
LOOKS = 5
PILOT_BLOCKS = 16
WORKERS = 2
PIECES = 4
"""Of each world, so that both workers are busy to the end."""

POLICY = Policy(looks=LOOKS)
JUDGES = ("judge", "kayenta")


@dataclass(frozen=True)
class Scenario:
    name: str
    goal: str
    """What counts: `promote` at the margin, `fail` of what is alike, `power`; or nothing, shown."""
    cost: float = 1.0
    latency: float = 1.0
    more_errors: float = 0.0
    latency_is_missing: bool = False


SCENARIOS = (
    Scenario("no saving", "promote", latency=0.7),
    Scenario("P95 at margin", "promote", cost=0.6, latency=1 + POLICY.latency_margin),
    Scenario("errors at margin", "promote", cost=0.6, latency=0.7, more_errors=POLICY.error_margin),
    Scenario("alike", "fail"),
    Scenario("cost -10 %", "power", cost=0.9),
    Scenario("P95 +30 %", "", cost=0.9, latency=1.3),
    Scenario("P95 not measured", "", cost=0.6, latency_is_missing=True),
)
COUNTED = {"promote": PASS, "fail": FAIL, "power": PASS, "": PASS}


@dataclass
class Tally:
    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(judge, scenario, outcome) → runs."""
    promised: list[int] = field(default_factory=list)
    refused: int = 0

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.promised += other.promised
        self.refused += other.refused

    def share(self, who: str, scenario: Scenario, outcome: str) -> float:
        runs = len(self.promised) + self.refused
        return self.outcomes[who, scenario.name, outcome] / runs


def piece(world_at: int, folder: Path, seed: int, runs: range) -> Tally:
    world = worlds(folder)[world_at]
    tally = Tally()
    for run in runs:
        one_run(world, np.random.default_rng([seed, world_at, run]), tally)
    return tally


def one_run(world: World, dice: Dice, tally: Tally) -> None:
    share = world.treated_share if world.design == SPLIT else None
    policy = Policy(design=world.design, treated_share=share, looks=LOOKS)
    service = world.service(dice)
    before = world.pairs(service, dice, PILOT_BLOCKS)
    blocks = promised_sample(policy, pilot(before, policy, dice)).blocks_per_arm
    if blocks is None:
        tally.refused += 1  # no promise, no experiment: it counts against the power
        return
    tally.promised.append(blocks)
    arms = world.pairs(service, dice, blocks)
    for scenario in SCENARIOS:
        seen = changed(arms, scenario, dice)
        tally.outcomes["judge", scenario.name, ours(seen, policy)] += 1
        tally.outcomes["kayenta", scenario.name, theirs(seen)] += 1


@dataclass(frozen=True)
class Seen:
    """One row per pair, control in column 0."""

    p95_ms: Floats
    cost: Floats
    errors: NDArray[np.int64]
    requests: tuple[int, int]

    def summaries(self) -> list[Summary]:
        return [
            Summary(
                arm=name,
                answered=self.requests[arm] - int(self.errors[pair, arm]),
                errors=int(self.errors[pair, arm]),
                p95_ms=float(tail) if np.isfinite(tail := self.p95_ms[pair, arm]) else None,
                gpu_seconds_per_request=float(self.cost[pair, arm]),
            )
            for pair in range(len(self.cost))
            for arm, name in enumerate((CONTROL, TREATED))
        ]


def changed(arms: Arms, scenario: Scenario, dice: Dice) -> Seen:
    tails = arms.p95_ms * (1.0, scenario.latency)
    if scenario.latency_is_missing:
        tails[:, 1] = np.nan
    rates = arms.error_rate * (1.0, 1 + scenario.more_errors / ERROR_RATE)
    errors = dice.binomial(arms.requests, rates.clip(0, 1))
    return Seen(tails, arms.cost * (1.0, scenario.cost), errors, arms.requests)


def pilot(before: Arms, policy: Policy, dice: Dice) -> list[Summary]:
    """Blocks of the present config, or for a split its traffic divided as the split will."""
    seen = changed(before, Scenario("", ""), dice).summaries()
    return seen if policy.design == SPLIT else [one for one in seen if one.arm == CONTROL]


def ours(seen: Seen, policy: Policy) -> str:
    blocks = seen.summaries()
    for look in range(1, LOOKS + 1):
        said = judge(blocks[: len(blocks) * look // LOOKS], policy, look, LOOKS)
        if said.stop:
            return said.outcome
    raise AssertionError("The last look stops.")


def theirs(seen: Seen) -> str:
    metrics = (seen.p95_ms, seen.cost, seen.errors / seen.requests)
    ends = [len(seen.cost) * look // LOOKS for look in range(1, LOOKS + 1)]
    return kayenta.verdict([[(one[:end, 0], one[:end, 1]) for one in metrics] for end in ends])


def measure(folder: Path, seed: int, runs: int) -> dict[str, Tally]:
    names = [world.name for world in worlds(folder)]
    tallies: dict[str, Tally] = defaultdict(Tally)
    edges = [runs * n // PIECES for n in range(PIECES + 1)]
    parts = [range(start, end) for start, end in pairwise(edges)]
    with ProcessPoolExecutor(WORKERS) as pool:
        asked = [
            (name, pool.submit(piece, at, folder, seed, part))
            for at, name in enumerate(names)
            for part in parts
        ]
        for name, answer in asked:
            tallies[name].add(answer.result())
    return tallies


def worst(tallies: Iterable[Tally], goal: str, who: str) -> float:
    asked = [one for one in SCENARIOS if one.goal == goal]
    shares = [tally.share(who, one, COUNTED[goal]) for tally in tallies for one in asked]
    return min(shares) if goal == "power" else max(shares)


def rows(tallies: dict[str, Tally]) -> list[list[Any]]:
    return [
        [
            f"{name}, {who}",
            *(f"{tally.share(who, one, COUNTED[one.goal]):.3f}" for one in SCENARIOS),
            f"{np.median(tally.promised):.0f}",
        ]
        for name, tally in tallies.items()
        for who in JUDGES
    ]


def cells(tallies: dict[str, Tally]) -> dict[str, Any]:
    return {
        name: {
            "promised_blocks": float(np.median(tally.promised)),
            "no_promise": tally.refused,
            **{
                who: {
                    one.name: {
                        outcome: round(tally.share(who, one, outcome), 4)
                        for outcome in (PASS, FAIL, INCONCLUSIVE)
                    }
                    for one in SCENARIOS
                }
                for who in JUDGES
            },
        }
        for name, tally in tallies.items()
    }


def main() -> None:
    parser = arguments(__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="Of each cell.")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("give --data: the folder with the recorded latencies and machine noise")
    start = time.perf_counter()
    tallies = measure(asked.data, asked.seed, asked.runs)
    took = time.perf_counter() - start
    both = {
        who: {
            "wrong_promote": worst(tallies.values(), "promote", who),
            "wrong_fail": worst(tallies.values(), "fail", who),
            "power": worst(tallies.values(), "power", who),
        }
        for who in JUDGES
    }
    report(
        f"Share promoted ('alike': failed) of {asked.runs} runs, {LOOKS} looks, by world and judge",
        ["world", *(one.name for one in SCENARIOS), "blocks"],
        rows(tallies),
        {
            "bench": "judge",
            "version": JUDGE_VERSION,
            "runs": asked.runs,
            "seed": asked.seed,
            **both["judge"],
            "kayenta": both["kayenta"],
            "seconds": round(took, 1),
            "cells": cells(tallies),
        },
        asked.out,
    )


if __name__ == "__main__":
    main()
