"""What every sample application needs to call the live Triton and report it by OpenTelemetry.

Knows Triton's HTTP, the SDK and the GenAI attributes. Refuses to invent a duration, an error or a
success: latency is what the request took, waiting for a free connection included, an error is an
answer that did not come, and the model that answered is named only when it has.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

CONNECTIONS = 64
REQUEST_TIMEOUT_S = 10.0
BATCH_EVERY_MS = 1000
# A minute of the busiest burst: the processor must never have to drop.
QUEUE_SPANS = 8192
REPORT_EVERY_S = 60.0
DRAIN_S = 3.0

INPUTS = {"fixedcost": ("INPUT", 16), "hosted": ("INPUT", 16), "matrix": ("INPUT", 64)}
SERVED_BY = "SERVED_BY"
"""The output in which a router says which model answered: its name in UTF-8, zero padded."""


@dataclass(frozen=True)
class Question:
    """What one request asks of Triton, and the right answer where there is one."""

    tensor: str
    values: np.ndarray
    truth: int | None = None


@dataclass(frozen=True)
class Answer:
    """What came back: the first output and, from a router, the model that gave it."""

    output: np.ndarray
    served_by: str


class Questions:
    """Random rows for most models; for the digits, images they were never trained on."""

    def __init__(self, directory: Path, dice: np.random.Generator) -> None:
        self.file, self.dice = directory / "digits-held-out.npz", dice
        self.images: np.ndarray | None = None

    def needed_for(self, model: str) -> Path | None:
        """The file without which there is nothing to ask this model."""
        return None if model in INPUTS else self.file

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

    async def infer(self, model: str, question: Question) -> Answer:
        """Raises whatever went wrong."""
        tensor = plain_triton.InferInput(question.tensor, list(question.values.shape), "FP32")
        tensor.set_data_from_numpy(question.values)
        async with asyncio.timeout(REQUEST_TIMEOUT_S), self.slots:
            answer = await (await self._current()).infer(model, [tensor])
        names = [output["name"] for output in answer.get_response()["outputs"]]
        served_by = answer.as_numpy(SERVED_BY).tobytes() if SERVED_BY in names else model.encode()
        return Answer(answer.as_numpy(names[0]), served_by.rstrip(b"\0").decode())

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
                print(f"demo: waiting for Triton to serve {model}", flush=True)
            await asyncio.sleep(0.5)


@dataclass(frozen=True)
class Reporter:
    """One service's tracer and its own way to the receiver, with its exact count."""

    service: str
    provider: TracerProvider
    tracer: Tracer
    courier: Courier

    @classmethod
    def open(cls, service: str, options: argparse.Namespace, ledger: Ledger) -> Reporter:
        spool = Spool(service, options.count_file.with_suffix(".spool") / service, ledger)
        exporter = OTLPSpanExporter(
            endpoint=options.otlp, compression=Compression.Gzip, session=spool
        )
        resource = Resource.create(
            {
                "service.name": service,
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
        courier = Courier(spool, options.otlp, token_reader(options.token_file, service))
        courier.start()
        return cls(service, provider, provider.get_tracer("breakeven.demo.load"), courier)

    def check(self) -> None:
        if not self.courier.is_alive():
            raise RuntimeError(f"Delivery of {self.service} has ended.")

    async def call(self, server: Triton, question: Question, call: traffic.Call) -> bool:
        """One request and its span; says whether there was an answer."""
        route = call.route
        span = self.tracer.start_span(
            f"{route.operation} {route.model}", kind=SpanKind.CLIENT, attributes=asked(call)
        )
        try:
            answer = await server.infer(route.served_by, question)
        except Exception as error:
            # Whatever went wrong, the caller has no answer: that is the fact to report.
            failed(span, error)
            return False
        else:
            answered(span, call, answer)
            if question.truth is not None:
                evaluated(span, int(answer.output.argmax()) == question.truth)
            return True
        finally:
            span.end()

    async def stop(self) -> None:
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
    if call.service != traffic.BATCH_SERVICE:
        attributes["customer"] = traffic.customer_of(int(call.user_id.rpartition("-")[2]))
    if route.is_hosted:
        attributes["breakeven.sample.served_by"] = route.served_by
    return attributes


def answered(span: Span, call: traffic.Call, answer: Answer) -> None:
    usage = {
        "gen_ai.usage.input_tokens": call.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.cached_input_tokens,
        "gen_ai.usage.output_tokens": call.output_tokens,
    }
    # A stand-in's own name would be a lie about the provider; ours may be a router's choice.
    model = call.route.model if call.route.is_hosted else answer.served_by
    span.set_attribute("gen_ai.response.model", model)
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


def token_reader(files: Sequence[str], service: str) -> Callable[[], str]:
    """Reads the service's token anew each time, so that a rotated one is used at once."""
    own = [name.removeprefix(f"{service}=") for name in files if name.startswith(f"{service}=")]
    common = [name for name in files if "=" not in name]
    chosen = [*own, *common]
    if not chosen:
        raise SystemExit(f"No token for {service}: give --token-file FILE or {service}=FILE.")
    return lambda: Path(chosen[0]).read_text().strip()


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every generator is told alike: where Triton is, where spans go and how they count."""
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
    parser.add_argument("--duration", type=float, help="seconds; without it, until SIGTERM")


def parse(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser.parse_args(arguments)
    if not options.otlp.endswith("/v1/traces"):
        parser.error("--otlp is the whole address, ending in /v1/traces")
    options.count_file.parent.mkdir(parents=True, exist_ok=True)
    return options


def told_to_end() -> asyncio.Event:
    """Set by SIGTERM and Ctrl-C."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    return ending


async def until(
    ending: asyncio.Event, running: list[asyncio.Task[None]], duration_s: float | None
) -> None:
    """Until told to end, the time is up, or one of the tasks breaks."""
    waiting = asyncio.create_task(ending.wait())
    await asyncio.wait([waiting, *running], timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def report(who: str, ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        spans = {name: part.get("spans", 0) for name, part in ledger.summary().items()}
        print(f"{who}: spans {json.dumps(spans)}", flush=True)


def raise_what_broke(running: Sequence[asyncio.Task[None]]) -> None:
    for task in running:
        if not task.cancelled() and (error := task.exception()):
            raise error
