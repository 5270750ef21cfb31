"""The sample estate's applications: they call the live Triton and report it as OpenTelemetry does.

`python -m optimiser.demo.load --triton DIR/triton.json --otlp URL --token-file FILE
--count-file DIR/load-count.json` sends requests in the rhythm of published traces (open loop, so
a slow answer delays nobody's next question) and one span per request through the real SDK.

Knows Triton's HTTP, the SDK and the traffic's shape. Refuses to invent a duration, an error or a
success: latency is what the request took, waiting for a free connection included, and an error
is an answer that did not come. Token counts and the hosted providers' names are sample data, so
every resource says `breakeven.sample = true` and every hosted call names the model that stood in.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tritonclient.http as plain_triton
import tritonclient.http.aio as triton
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from optimiser.demo import traffic
from optimiser.demo.endpoints import Endpoints
from optimiser.demo.outbox import Courier, Ledger, Spool

RATE_PER_S = 12.0
HOSTED_FACTOR = 0.003
"""Of the mix's calls to hosted models so many are made: as many a day as in `history`, so that
today's bill fits yesterday's. Triton's own models are paid by the hour and get the rest."""
CONNECTIONS = 64
REQUEST_TIMEOUT_S = 10.0
BATCH_EVERY_MS = 1000
# A minute of the busiest burst: the processor must never have to drop.
QUEUE_SPANS = 8192
REPORT_EVERY_S = 60.0
DRAIN_S = 3.0
# Asleep for longer than this (a suspended laptop), the missed requests are not made up for.
LARGEST_LAG_S = 5.0

INPUTS = {"fixedcost": ("INPUT", 16), "hosted": ("INPUT", 16), "matrix": ("INPUT", 64)}


@dataclass(frozen=True)
class Question:
    """What one request asks of Triton, and the right answer where there is one."""

    tensor: str
    values: np.ndarray
    truth: int | None = None


class Questions:
    """Random rows for most models; for the digits, images they were never trained on."""

    def __init__(self, directory: Path, dice: np.random.Generator) -> None:
        self.file, self.dice = directory / "digits-held-out.npz", dice
        self.images: np.ndarray | None = None

    def about(self, model: str) -> Question:
        if model in INPUTS:
            tensor, columns = INPUTS[model]
            return Question(tensor, self.dice.standard_normal((1, columns), dtype=np.float32))
        if self.images is None:
            with np.load(self.file) as held_out:
                self.images, self.labels = held_out["images"], held_out["labels"]
        row = int(self.dice.integers(len(self.images)))
        return Question("PIXELS", self.images[row : row + 1], int(self.labels[row]))


class Triton:
    """The live server, found again when it comes back somewhere else."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.client: triton.InferenceServerClient | None = None
        self.url = ""
        self.slots = asyncio.Semaphore(CONNECTIONS)

    async def infer(self, model: str, question: Question) -> np.ndarray:
        """The answer's first output; raises whatever went wrong."""
        tensor = plain_triton.InferInput(question.tensor, list(question.values.shape), "FP32")
        tensor.set_data_from_numpy(question.values)
        async with asyncio.timeout(REQUEST_TIMEOUT_S), self.slots:
            answer = await (await self._current()).infer(model, [tensor])
        output: np.ndarray = answer.as_numpy(answer.get_response()["outputs"][0]["name"])
        return output

    async def _current(self) -> triton.InferenceServerClient:
        endpoints = Endpoints.read(self.file)
        if self.client is None or endpoints.http != self.url:
            await self.close()
            self.url = endpoints.http
            self.client = triton.InferenceServerClient(
                endpoints.http.removeprefix("http://"), conn_limit=CONNECTIONS
            )
        return self.client

    async def close(self) -> None:
        if self.client is not None:
            await self.client.close()
            self.client = None

    async def wait_for(self, model: str, needs: Path | None = None) -> None:
        """Traffic begins when its model is there; from then on an absent model is an error."""
        for attempt in itertools.count():
            endpoints = Endpoints.read_if_there(self.file)
            prepared = needs is None or needs.exists()
            if endpoints and prepared and await asyncio.to_thread(endpoints.is_ready, model):
                return
            if attempt == 0:
                print(f"load: waiting for Triton to serve {model}", flush=True)
            await asyncio.sleep(0.5)


@dataclass
class Application:
    """One service of the estate: its callers, its tracer and its own way to the receiver."""

    service: traffic.Service
    callers: traffic.Callers
    arrivals: traffic.Arrivals
    questions: Questions
    triton: Triton
    provider: TracerProvider
    tracer: Tracer
    courier: Courier
    open_requests: set[asyncio.Task[None]] = field(default_factory=set)
    broken: list[BaseException] = field(default_factory=list)

    async def run(self) -> None:
        for route in self.service.routes:
            needs = None if route.served_by in INPUTS else self.questions.file
            await self.triton.wait_for(route.served_by, needs)
        at = time.time()
        while not self.broken:
            at = self.arrivals.next_after(max(at, time.time() - LARGEST_LAG_S))
            await asyncio.sleep(max(0.0, at - time.time()))
            task = asyncio.create_task(self.one_request(self.callers.next_call()))
            self.open_requests.add(task)
            task.add_done_callback(self._request_ended)
            if not self.courier.is_alive():
                self.broken.append(RuntimeError(f"Delivery of {self.service.name} has ended."))
        raise self.broken[0]

    def _request_ended(self, task: asyncio.Task[None]) -> None:
        """A failed call is a span; an exception here is a fault of the generator itself."""
        self.open_requests.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.broken.append(error)

    async def one_request(self, call: traffic.Call) -> None:
        route = call.route
        question = self.questions.about(route.served_by)
        span = self.tracer.start_span(
            f"{route.operation} {route.model}", kind=SpanKind.CLIENT, attributes=asked(call)
        )
        try:
            answer = await self.triton.infer(route.served_by, question)
        except Exception as error:
            # Whatever went wrong, the caller has no answer: that is the fact to report.
            failed(span, error)
        else:
            answered(span, call)
            if question.truth is not None:
                evaluated(span, int(answer.argmax()) == question.truth)
        span.end()

    async def stop(self) -> None:
        if self.open_requests:
            await asyncio.wait(self.open_requests, timeout=REQUEST_TIMEOUT_S + 1)
        self.provider.shutdown()
        await asyncio.to_thread(self.courier.finish, DRAIN_S)


def asked(call: traffic.Call) -> dict[str, str]:
    """What is known before the answer; both names of the provider, as SDKs send today."""
    route = call.route
    attributes = {
        "gen_ai.operation.name": route.operation,
        "gen_ai.provider.name": route.provider,
        "gen_ai.system": route.provider,
        "gen_ai.request.model": route.model,
        "user.id": call.user_id,
        "session.id": call.session_id,
    }
    if route.is_hosted:
        attributes["breakeven.sample.served_by"] = route.served_by
    return attributes


def answered(span: Span, call: traffic.Call) -> None:
    usage = {
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.cached_input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
    }
    span.set_attribute("gen_ai.response.model", call.route.model)
    span.set_attributes({name: count for name, count in usage.items() if count is not None})


def failed(span: Span, error: Exception) -> None:
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR, str(error)[:200])


def evaluated(span: Span, is_right: bool) -> None:
    """The digits' truth is known, so each answer is scored against it."""
    span.add_event(
        "gen_ai.evaluation.result",
        {
            "gen_ai.evaluation.name": "correct_digit",
            "gen_ai.evaluation.score.value": float(is_right),
            "gen_ai.evaluation.score.label": "pass" if is_right else "fail",
        },
    )


def build(
    service: traffic.Service,
    server: Triton,
    options: argparse.Namespace,
    ledger: Ledger,
    dice: np.random.Generator,
) -> Application:
    spool = Spool(service.name, options.count_file.with_suffix(".spool") / service.name, ledger)
    exporter = OTLPSpanExporter(endpoint=options.otlp, compression=Compression.Gzip, session=spool)
    resource = Resource.create(
        {
            "service.name": service.name,
            "deployment.environment.name": "production",
            "breakeven.sample": True,
        }
    )
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(
        BatchSpanProcessor(
            exporter, max_queue_size=QUEUE_SPANS, schedule_delay_millis=BATCH_EVERY_MS
        )
    )
    return Application(
        service=service,
        callers=traffic.Callers(service, dice, options.hosted_factor),
        arrivals=traffic.arrivals(service, options.rate * service.share, dice),
        questions=Questions(options.triton.parent, dice),
        triton=server,
        provider=provider,
        tracer=provider.get_tracer("breakeven.demo.load"),
        courier=Courier(spool, options.otlp, token_reader(options.token_file, service.name)),
    )


def token_reader(files: Sequence[str], service: str) -> Callable[[], str]:
    """Reads the service's token anew each time, so that a rotated one is used at once."""
    own = [name.removeprefix(f"{service}=") for name in files if name.startswith(f"{service}=")]
    common = [name for name in files if "=" not in name]
    chosen = [*own, *common]
    if not chosen:
        raise SystemExit(f"No token for {service}: give --token-file FILE or {service}=FILE.")
    return lambda: Path(chosen[0]).read_text().strip()


async def run(options: argparse.Namespace) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    options.count_file.parent.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.open(options.count_file)
    server = Triton(options.triton)
    seeds = np.random.SeedSequence(options.seed).spawn(len(traffic.SERVICES))
    applications = [
        build(service, server, options, ledger, np.random.default_rng(seed))
        for service, seed in zip(traffic.SERVICES, seeds, strict=True)
    ]
    for application in applications:
        application.courier.start()
    running = [asyncio.create_task(application.run()) for application in applications]
    running.append(asyncio.create_task(report(ledger)))
    await until(ending, running, options.duration)
    for task in running:
        task.cancel()
    await asyncio.gather(*(application.stop() for application in applications))
    await server.close()
    print(f"load: ended, {json.dumps(ledger.summary())}", flush=True)
    for task in running:
        if not task.cancelled() and (error := task.exception()):
            raise error


async def until(
    ending: asyncio.Event, running: list[asyncio.Task[None]], duration_s: float | None
) -> None:
    """Until told to end, the time is up, or one of the applications breaks."""
    waiting = asyncio.create_task(ending.wait())
    await asyncio.wait([waiting, *running], timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def report(ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        spans = {name: part.get("spans", 0) for name, part in ledger.summary().items()}
        print(f"load: spans {json.dumps(spans)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m optimiser.demo.load", description=__doc__)
    parser.add_argument("--triton", type=Path, required=True, help="DIR/triton.json")
    parser.add_argument("--otlp", required=True, help="where spans go, ending in /v1/traces")
    parser.add_argument(
        "--token-file",
        action="append",
        required=True,
        metavar="[SERVICE=]FILE",
        help="holds the push token; once for all services, or one per service",
    )
    parser.add_argument("--count-file", type=Path, required=True, help="the exact count, kept here")
    parser.add_argument("--seed", type=int, help="the same rhythm and sizes again")
    parser.add_argument("--rate", type=float, default=RATE_PER_S, help="requests a second, overall")
    parser.add_argument(
        "--hosted-factor",
        type=float,
        default=HOSTED_FACTOR,
        help="how many of the mix's calls to hosted models are made, from 0 to 1",
    )
    parser.add_argument("--duration", type=float, help="seconds; without it, until SIGTERM")
    options = parser.parse_args(arguments)
    if not options.rate > 0:
        parser.error("--rate must be above 0")
    if not options.otlp.endswith("/v1/traces"):
        parser.error("--otlp is the whole address, ending in /v1/traces")
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
