"""The SDKs and instrumentations people use, each in an environment of its own, against a server.

An environment is made once, of the versions pinned in `environments`; it needs the package index.
"""

import gzip
import json
import os
import subprocess
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ingest.models import Score, Span
from tests.factories.ingest import SourceFactory, push_token

pytestmark = pytest.mark.django_db(transaction=True)

PROGRAMS = Path(__file__).parent / "sdks"
RUNNING_S = 60


def run(python, program, *arguments, **environ):
    """What a program printed."""
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("LANGFUSE_", "OTEL_", "PYTHON", "DJANGO_"))
             and "proxy" not in name.lower()}  # fmt: skip
    done = subprocess.run(
        [str(python), str(PROGRAMS / program), *map(str, arguments)],
        env={**clean, **environ},
        capture_output=True,
        text=True,
        timeout=RUNNING_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # What an SDK could not send it only logs.
    for word in ("Traceback", "rror", "Failed", "Unexpected"):
        assert word not in done.stderr, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture
def source():
    return SourceFactory()


# ---- Langfuse


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("langfuse-2", "langfuse_v2.py"),
        ("langfuse-3", "langfuse_otel.py"),
        ("langfuse-4", "langfuse_otel.py"),
        ("langfuse-5", "langfuse_otel.py"),
    ],
)
def test_langfuse_sdk_works_with_another_url_and_key(
    environment, source, live_server, name, program
):
    token = push_token(source)
    public_key = "_".join(token.split("_")[:2])

    trace_id = run(environment(name), program, live_server.url, public_key, token)

    spans = {span.name: span for span in Span.objects.filter(project_id=source.project_id)}
    assert {span.trace_id for span in spans.values()} == {trace_id}
    assert {span.user_id for span in spans.values()} == {"ann"}
    assert {span.session_id for span in spans.values()} == {"s1"}
    chat, bad = spans["chat"], spans["bad"]
    assert (chat.kind, chat.model) == ("llm", "gpt-4o-mini")
    assert (chat.input_tokens, chat.cache_read_tokens, chat.output_tokens) == (11, 3, 7)
    assert chat.usage_convention == "exclusive"
    assert chat.source_cost_usd == Decimal("0.003")
    assert 40 <= chat.ttft_ms <= chat.latency_ms
    assert chat.prompt_hash is not None
    assert (bad.status, bad.input_tokens, bad.output_tokens) == ("error", 5, 6)
    assert bad.ttft_ms is None
    parent = spans.get("retrieve") or spans["answer"]
    assert chat.parent_span_id == parent.span_id
    assert {score.name: (score.number, score.label, score.truth, score.span_id) for score in
            Score.objects.filter(trace_id=trace_id)} == {
        "quality": (0.9, None, None, ""),
        "tone": (None, "good", None, chat.span_id),
        "right": (None, None, True, ""),
    }  # fmt: skip


# ---- OpenTelemetry instrumentations of the providers' clients


@pytest.fixture
def exchanges(shared):
    """Recorded calls by number: plain and streamed ones of OpenAI and Anthropic."""
    wanted = {
        ("api.openai.com", False): 10,
        ("api.openai.com", True): 3,
        ("api.anthropic.com", False): 6,
        ("api.anthropic.com", True): 6,
    }
    found = {}
    with gzip.open(shared("formats/provider_api_exchanges.jsonl.gz"), "rt") as file:
        for number, line in enumerate(file):
            told = json.loads(line)
            host, path = urlsplit(told["uri"])[1:3]
            if told["status"] != 200 or path not in ("/v1/chat/completions", "/v1/messages"):
                continue
            request = json.loads(told["request"])
            sort = (host, bool(request.get("stream")))
            if wanted.get(sort, 0):
                wanted[sort] -= 1
                vendor = host.split(".")[1]
                found[number] = (vendor, request, told["response"])
    return found


@pytest.fixture
def stub(exchanges):
    """Answers as the provider did: the number of the exchange is the first part of the path."""

    class Replay(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            _, request, response = exchanges[int(self.path.split("/")[1])]
            is_stream = bool(request.get("stream"))
            payload = response.encode()
            self.send_response(200)
            kind = "text/event-stream" if is_stream else "application/json"
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            time.sleep(0.02)
            self.wfile.write(payload)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def usage_of(vendor, request, response):
    """(all input, what the output may be) as the provider counted them, streamed or not."""
    if request.get("stream"):
        lines = [line[5:].strip() for line in response.splitlines() if line.startswith("data:")]
        replies = [json.loads(line) for line in lines if line != "[DONE]"]
    else:
        replies = [json.loads(response)]
    usage, first = {}, 0
    for reply in replies:
        for place in (reply, reply.get("message") or {}):
            known = {k: v for k, v in (place.get("usage") or {}).items() if v is not None}
            usage |= known
    if vendor == "openai":
        return usage.get("prompt_tokens"), {usage.get("completion_tokens")}
    cached = sum(usage.get(f"cache_{kind}_input_tokens", 0) for kind in ("read", "creation"))
    if request.get("stream"):
        # Traceloop adds the count of the first event to that of the last, which holds it already.
        first = replies[0]["message"]["usage"]["output_tokens"]
    return usage["input_tokens"] + cached, {usage["output_tokens"], usage["output_tokens"] + first}


INPUT = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "audio_input_tokens")
OUTPUT = ("output_tokens", "reasoning_tokens", "audio_output_tokens")
TELL_FIRST_TOKEN = {"openinference", "traceloop"}
"""For most streamed answers; with the others it stays unknown."""


@pytest.mark.parametrize(
    ("name", "kind", "vendors"),
    [
        ("opentelemetry", "opentelemetry", ("openai",)),
        ("opentelemetry", "openinference", ("openai",)),
        ("traceloop", "traceloop", ("openai", "anthropic")),
    ],
)
def test_instrumented_clients_are_understood_to_the_token(
    environment, exchanges, stub, source, live_server, tmp_path, name, kind, vendors
):
    token = push_token(source)
    calls = [
        (number, vendor, request)
        for number, (vendor, request, _) in exchanges.items()
        if vendor in vendors
    ]
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(calls), encoding="utf-8")

    run(
        environment(name), "instrumented.py", kind, stub, file,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{live_server.url}/v1/traces",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS=f"authorization=Bearer%20{token}",
        OTEL_SERVICE_NAME="search",
    )  # fmt: skip

    spans = {span.span_id: span for span in Span.objects.filter(project_id=source.project_id)}
    answered = {spans[span.parent_span_id].name: span for span in spans.values()
                if span.parent_span_id}  # fmt: skip
    assert len(answered) == len(calls)
    for number, vendor, request in calls:
        span = answered[f"exchange {number}"]
        given, said = usage_of(vendor, request, exchanges[number][2])
        assert (span.kind, span.provider, span.service) == ("llm", vendor, "search")
        assert span.model.startswith(request["model"][:5]), number
        assert sum(getattr(span, name) or 0 for name in INPUT) == given, number
        assert sum(getattr(span, name) or 0 for name in OUTPUT) in said, number
        assert span.latency_ms >= 15
        # Traceloop's clock for it starts a little before the span's own.
        assert span.ttft_ms is None or 0 < span.ttft_ms < 1000 + span.latency_ms, number
        assert span.status == "ok"
    streamed = [answered[f"exchange {number}"] for number, _, request in calls
                if request.get("stream")]  # fmt: skip
    told = [span for span in streamed if span.ttft_ms is not None]
    assert bool(told) == (kind in TELL_FIRST_TOKEN)
