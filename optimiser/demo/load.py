"""The sample estate's applications: they call the live Triton and report it as OpenTelemetry does.

`python -m optimiser.demo.load --triton DIR/triton.json --otlp URL --token-file FILE
--count-file DIR/load-count.json` sends requests in the rhythm of published traces (open loop, so
a slow answer delays nobody's next question) and one span per request through the real SDK.

Knows the traffic's shape. Token counts and the hosted providers' names are sample data, so every
resource says `breakeven.sample = true` and every hosted call names the model that stood in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from optimiser.demo import calling, traffic
from optimiser.demo.outbox import Ledger

RATE_PER_S = 12.0
HOSTED_FACTOR = 0.008
"""Of the mix's calls to hosted models so many are made: as many a day as in `history`, so that
today's bill fits yesterday's. Triton's own models are paid by the hour and get all of theirs."""
# Asleep for longer than this (a suspended laptop), the missed requests are not made up for.
LARGEST_LAG_S = 5.0


@dataclass
class Application:
    """One service of the estate: its callers, their rhythm and its way to the receiver."""

    service: traffic.Service
    callers: traffic.Callers
    arrivals: traffic.Arrivals
    questions: calling.Questions
    triton: calling.Triton
    reporter: calling.Reporter
    open_requests: set[asyncio.Task[bool]] = field(default_factory=set)
    broken: list[BaseException] = field(default_factory=list)

    async def run(self) -> None:
        for route in self.service.routes:
            await self.triton.wait_for(route.served_by, self.questions.needed_for(route.served_by))
        at = time.time()
        while not self.broken:
            at = self.arrivals.next_after(max(at, time.time() - LARGEST_LAG_S))
            await asyncio.sleep(max(0.0, at - time.time()))
            if call := self.callers.next_call():
                self._begin(call)
            self.reporter.check()
        raise self.broken[0]

    def _begin(self, call: traffic.Call) -> None:
        question = self.questions.about(call.route.served_by)
        task = asyncio.create_task(self.reporter.call(self.triton, question, call))
        self.open_requests.add(task)
        task.add_done_callback(self._request_ended)

    def _request_ended(self, task: asyncio.Task[bool]) -> None:
        """A failed call is a span; an exception here is a fault of the generator itself."""
        self.open_requests.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.broken.append(error)

    async def stop(self) -> None:
        if self.open_requests:
            await asyncio.wait(self.open_requests, timeout=calling.REQUEST_TIMEOUT_S + 1)
        await self.reporter.stop()


def build(
    service: traffic.Service,
    server: calling.Triton,
    options: argparse.Namespace,
    ledger: Ledger,
    dice: np.random.Generator,
) -> Application:
    return Application(
        service=service,
        callers=traffic.Callers(service, dice, options.hosted_factor),
        arrivals=traffic.arrivals(service, options.rate * service.share, dice),
        questions=calling.Questions(options.triton.parent, dice),
        triton=server,
        reporter=calling.Reporter.open(service.name, options, ledger),
    )


async def run(options: argparse.Namespace) -> None:
    ending = calling.told_to_end()
    ledger = Ledger.open(options.count_file)
    server = calling.Triton(options.triton)
    seeds = np.random.SeedSequence(options.seed).spawn(len(traffic.SERVICES))
    applications = [
        build(service, server, options, ledger, np.random.default_rng(seed))
        for service, seed in zip(traffic.SERVICES, seeds, strict=True)
    ]
    running = [asyncio.create_task(application.run()) for application in applications]
    running.append(asyncio.create_task(calling.report("load", ledger)))
    await calling.until(ending, running, options.duration)
    for task in running:
        task.cancel()
    await asyncio.gather(*(application.stop() for application in applications))
    await server.close()
    print(f"load: ended, {json.dumps(ledger.summary())}", flush=True)
    calling.raise_what_broke(running)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.load", description=__doc__)
    calling.add_options(parser)
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="requests a second, overall")
    parser.add_argument(
        "--hosted-factor",
        type=float,
        default=HOSTED_FACTOR,
        help="how many of the mix's calls to hosted models are made, from 0 to 1",
    )
    options = calling.parse(parser, arguments)
    if not options.rate > 0:
        parser.error("--rate must be above 0")
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
