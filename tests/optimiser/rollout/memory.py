"""A server in memory that behaves as Triton was measured to: what it loads it may forget.

Loads reset the counters, a load of what is there already does nothing, a restart brings the files'
config back. Calls can be made to fail. Requests answered are known by moment and model, so that
what callers would have traced can be told afterwards.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from django.utils import timezone

from optimiser.observe import Request
from optimiser.plan import canonical
from optimiser.targets import base, model_config, router
from optimiser.targets.base import Config, Statistics, TargetError

RATE_RPS = 200
"""Fast enough for a block of a second to hold more than the judge wants."""


@dataclass
class Behaviour:
    """What one config does to a request."""

    latency_ms: float = 100.0
    gpu_s: float = 0.020
    errors: float = 0.0


@dataclass
class Server:
    """One model of a server, or a router with its two arms."""

    files: Config
    usual: Behaviour = field(default_factory=Behaviour)
    changed: Behaviour = field(default_factory=lambda: Behaviour(60.0, 0.005))
    """With any config but the files' one; in a split, of the canary."""
    traffic_rps: float = RATE_RPS
    loads: list[Config] = field(default_factory=list)
    refuses: Callable[[Config], TargetError | None] = lambda _config: None
    away: bool = False
    canary_ready: bool = True
    before_load: Callable[[], None] = lambda: None
    after_load: Callable[[], None] = lambda: None
    history: list[tuple[datetime, Config]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()
        self.config = copy.deepcopy(self.files)
        self.base_count = {"": 0.0}
        self.note()

    def note(self) -> None:
        self.history.append((timezone.now(), copy.deepcopy(self.config)))
        self.reset_at = timezone.now()

    def restart(self) -> None:
        """Whatever was loaded over the files is forgotten."""
        self.config = copy.deepcopy(self.files)
        self.note()

    def load(self, config: Config) -> None:
        self.before_load()
        problem = self.refuses(config)
        if problem is not None:
            raise problem
        with self.lock:
            if canonical(config) != canonical(self.config):
                self.config = copy.deepcopy(config)
                self.loads.append(self.config)
                self.note()
        self.after_load()

    def config_at(self, moment: datetime) -> Config:
        return [config for at, config in self.history if at <= moment][-1]

    def behaviour_at(self, moment: datetime) -> Behaviour:
        same = canonical(self.config_at(moment)) == canonical(self.files)
        return self.usual if same else self.changed

    def requests(self, _target: object, start: datetime, end: datetime, most: int | None = None):
        """What callers would have traced in `[start, end)`, evenly spread."""
        # By the time since its start: the same test throws the same dice at any hour of the day.
        since_start_s = (start - self.history[0][0]).total_seconds()
        dice = np.random.default_rng(abs(round(since_start_s * 1000)))
        count = int((end - start).total_seconds() * self.traffic_rps)
        found = []
        for n in range(count):
            at = start + timedelta(seconds=n / self.traffic_rps)
            model, how = self.answering(at, dice)
            is_error = bool(dice.random() < how.errors)
            latency = float(how.latency_ms * dice.lognormal(0, 0.02))
            found.append(Request(at, latency, is_error, model, None))
        return found

    def answering(self, at: datetime, dice: np.random.Generator) -> tuple[str, Behaviour]:
        config = self.config_at(at)
        if not router.is_router(config):
            return config["name"], self.behaviour_at(at)
        arms = router.arms(config)
        splits = arms.is_splitting(at) and self.canary_ready
        if splits and dice.random() < arms.weight:
            return arms.canary, self.changed
        return arms.base, self.usual


@dataclass
class Memory(base.Target):
    """The adapter to it."""

    server: Server
    model: str

    def read(self) -> Config:
        self._must_answer()
        return copy.deepcopy(self.server.config)

    def apply(self, config: Config) -> Config:
        self._must_answer()
        wrong = self.problems(config, self.server.config)
        if wrong:
            raise TargetError(wrong[0], retriable=False)
        self.server.load(config)
        return self.read()

    def restore(self, config: Config) -> Config:
        self._must_answer()
        self.server.load(config)
        return self.read()

    def is_ready(self) -> bool:
        return not self.server.away and self.server.canary_ready

    def statistics(self) -> Statistics:
        self._must_answer()
        now, server = timezone.now(), self.server
        seconds = (now - server.reset_at).total_seconds()
        how, share = server.behaviour_at(now), 1.0
        if router.is_router(server.config):
            arms = router.arms(server.config)
            is_canary = self.model == arms.canary
            how = server.changed if is_canary else server.usual
            share = arms.weight if is_canary else 1 - arms.weight
            # A router's arms are models of their own, which its loads leave alone.
            seconds = (now - server.history[0][0]).total_seconds()
        answered = int(seconds * server.traffic_rps * share)
        return Statistics(self.model, now, answered, 0, answered, answered * how.gpu_s, {})

    def problems(self, config: Config, live: Config | None = None) -> list[str]:
        return model_config.problems(self.server.files["name"], config, live)

    def canonical(self, config: Config) -> Config:
        return model_config.canonical(config)

    def _must_answer(self) -> None:
        if self.server.away:
            raise TargetError("Triton cannot be reached.", retriable=True)
