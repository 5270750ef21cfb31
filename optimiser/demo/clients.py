"""A batch job of the sample estate: callers who each wait for their answer before they ask again.

`python -m optimiser.demo.clients --service nightly-batch --clients 16 --think-ms 150 …` keeps that
many requests with one model of the live Triton. A closed loop: a slow model slows its callers, so
its throughput says how much it can take, and more callers cannot make it fall over.

`--control FILE` holds `{"clients": 16, "think_ms": 150}` and is read again and again, so that the
load can be changed while it runs. Knows callers and their pauses. Refuses to hurry: who got no
answer waits for a second, as a client library does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from optimiser.demo import calling, traffic
from optimiser.demo.files import write_json
from optimiser.demo.outbox import Ledger

CLIENTS = 16
THINK_MS = 150.0
THINK_JITTER = 0.2
"""Callers that all pause alike would march in step."""
PAUSE_AFTER_FAILURE_S = 1.0
LOOK_EVERY_S = 0.2

MOST_CLIENTS = 64
"""As many as there are connections: beyond that a caller would wait for a connection, not for
Triton."""
MOST_THINK_MS = 3_600_000.0


class BadSettings(ValueError):
    """The control file says something that cannot be done."""


@dataclass(frozen=True)
class Settings:
    clients: int
    think_ms: float

    def __post_init__(self) -> None:
        if type(self.clients) is not int or not 0 <= self.clients <= MOST_CLIENTS:
            raise BadSettings(f"clients is {self.clients!r}: use 0 to {MOST_CLIENTS}.")
        if type(self.think_ms) not in (int, float) or not 0 <= self.think_ms <= MOST_THINK_MS:
            raise BadSettings(f"think_ms is {self.think_ms!r}: use 0 to {MOST_THINK_MS:g}.")

    @classmethod
    def read(cls, file: Path) -> Settings:
        try:
            return cls(**json.loads(file.read_text()))
        except (TypeError, json.JSONDecodeError) as error:
            raise BadSettings(f"{file}: {error}") from error


@dataclass
class Crew:
    """The callers of one service. Caller n works while n is below the number wanted."""

    settings: Settings
    control: Path | None
    route: traffic.Route
    questions: calling.Questions
    triton: calling.Triton
    reporter: calling.Reporter
    dice: np.random.Generator
    session: str = field(default_factory=lambda: f"batch-{int(time.time())}")
    callers: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    complaint: str = ""

    async def run(self) -> None:
        model = self.route.served_by
        await self.triton.wait_for(model, self.questions.needed_for(model))
        while True:
            self._look()
            for number in range(self.settings.clients):
                if number not in self.callers:
                    self.callers[number] = asyncio.create_task(self._work(number))
            for number, task in list(self.callers.items()):
                if task.done():
                    del self.callers[number]
                    task.result()
            self.reporter.check()
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        """What cannot be done is said once, and things go on as they are."""
        if self.control is None:
            return
        try:
            wanted, complaint = Settings.read(self.control), ""
        except (BadSettings, OSError) as error:
            wanted, complaint = self.settings, f"{error}"
        if complaint and complaint != self.complaint:
            print(f"clients: {complaint} Going on with {self.settings}.", flush=True)
        self.complaint = complaint
        if wanted != self.settings:
            print(f"clients: from {self.settings} to {wanted}", flush=True)
            self.settings = wanted

    async def _work(self, number: int) -> None:
        # A part of the pause first, so that they do not all begin at once.
        await asyncio.sleep(self.dice.random() * self.settings.think_ms / 1000)
        while number < self.settings.clients:
            question = self.questions.about(self.route.served_by)
            answered = await self.reporter.call(self.triton, question, self._call(number))
            pause_s = self.settings.think_ms / 1000
            pause_s *= self.dice.uniform(1 - THINK_JITTER, 1 + THINK_JITTER)
            await asyncio.sleep(pause_s if answered else max(pause_s, PAUSE_AFTER_FAILURE_S))

    def _call(self, number: int) -> traffic.Call:
        return traffic.Call(
            service=self.reporter.service,
            route=self.route,
            user_id=f"caller-{number + 1:02d}",
            session_id=self.session,
            input_tokens=None,
            cached_input_tokens=None,
            output_tokens=None,
        )

    async def stop(self) -> None:
        self.settings = Settings(0, 0.0)
        if self.callers:
            await asyncio.wait(self.callers.values(), timeout=calling.REQUEST_TIMEOUT_S + 1)
        await self.reporter.stop()


async def run(options: argparse.Namespace) -> None:
    ending = calling.told_to_end()
    ledger = Ledger.open(options.count_file)
    server = calling.Triton(options.triton)
    settings = Settings(options.clients, options.think_ms)
    if options.control and not options.control.exists():
        options.control.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.control, asdict(settings))
    dice = np.random.default_rng(options.seed)
    crew = Crew(
        settings=settings,
        control=options.control,
        route=traffic.Route(1.0, "triton", options.model, "inference", served_by=options.model),
        questions=calling.Questions(options.triton.parent, dice),
        triton=server,
        reporter=calling.Reporter.open(options.service, options, ledger),
        dice=dice,
    )
    running = [
        asyncio.create_task(crew.run()),
        asyncio.create_task(calling.report("clients", ledger)),
    ]
    await calling.until(ending, running, options.duration)
    for task in running:
        task.cancel()
    await crew.stop()
    await server.close()
    print(f"clients: ended, {json.dumps(ledger.summary())}", flush=True)
    calling.raise_what_broke(running)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.clients", description=__doc__)
    calling.add_options(parser)
    parser.add_argument("--service", default=traffic.BATCH_SERVICE, help="whose requests they are")
    parser.add_argument("--model", default=traffic.BATCH_MODEL, help="the model they ask")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many wait at most")
    parser.add_argument(
        "--think-ms", type=float, default=THINK_MS, help="from an answer to the next question"
    )
    parser.add_argument(
        "--control", type=Path, help="a file with clients and think_ms; made when it is absent"
    )
    options = calling.parse(parser, arguments)
    try:
        Settings(options.clients, options.think_ms)
    except BadSettings as error:
        parser.error(str(error))
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
