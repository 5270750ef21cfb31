import gzip
import io
import json
import time
import tracemalloc

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from gpu_probe import wire
from ingest import encryption, privacy, tokens, views
from ingest.models import GpuSample, Reject, Score, Span, SpanText
from ingest.models import Project as ProjectModel
from tests.factories.ingest import PoolFactory, ProjectFactory, SourceFactory, push_token
from tests.ingest.sources.otlp_body import START_NS, body
from tests.other_worker import connected

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ingest.urls")]

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 200,
}


@pytest.fixture
def source():
    return SourceFactory()


@pytest.fixture
def post(source):
    """Sends a body to /v1/traces with a good token, unless told otherwise."""
    text = push_token(source)

    def send(
        payload,
        *,
        path="/v1/traces",
        token=text,
        content_type=views.PROTOBUF,
        encoding=None,
        **environ,
    ):
        headers = {"Authorization": f"Bearer {token}", "Content-Encoding": encoding}
        return Client().post(
            path,
            payload,
            content_type=content_type,
            headers={name: value for name, value in headers.items() if value},
            **environ,
        )

    return send


def partial(response) -> ExportTraceServiceResponse:
    message = ExportTraceServiceResponse()
    message.ParseFromString(response.content)
    return message.partial_success


def sentence(response) -> str:
    """What a google.rpc.Status says. OTLP's own partial success has text in field 2 as well."""
    assert response["Content-Type"] == views.PROTOBUF
    message = ExportTracePartialSuccess()
    message.ParseFromString(response.content)
    return message.error_message


# ---- traces


def test_spans_are_stored_and_acknowledged_as_a_whole(post, source):
    response = post(body(CHAT, CHAT))

    assert response.status_code == 200
    assert response["Content-Type"] == "application/x-protobuf"
    assert response.content == b""  # no partial success: everything was taken
    spans = Span.objects.filter(project_id=source.project_id)
    assert spans.count() == 2
    span = spans.first()
    assert (span.input_tokens, span.cache_read_tokens, span.output_tokens) == (200, 1000, 200)
    assert span.service == "search"


def test_same_body_again_changes_nothing(post):
    post(body(CHAT))
    before = Span.objects.values().get()

    response = post(body(CHAT))

    assert response.status_code == 200
    assert Span.objects.values().get() == before


def test_gzip_is_taken(post):
    response = post(gzip.compress(body(CHAT)), encoding="gzip")

    assert response.status_code == 200
    assert Span.objects.count() == 1


def test_empty_request_is_fine(post):
    response = post(b"", CONTENT_TYPE=views.PROTOBUF, CONTENT_LENGTH="0")

    assert response.status_code == 200


def test_rejected_spans_are_counted_and_quarantined_without_text(post, source):
    bad = {**CHAT, "gen_ai.usage.output_tokens": -1, "input.value": "Rumpelstilzchen"}
    future = {**CHAT, "_start_ns": START_NS + 10**18, "_end_ns": START_NS + 10**18}

    response = post(body(CHAT, bad, future))

    assert response.status_code == 200
    assert partial(response).rejected_spans == 2
    message = partial(response).error_message
    assert message.startswith("2 of 3 spans")
    assert "gen_ai.usage.output_tokens" not in message  # the detail, not the attribute, is told
    assert source.name in message
    assert Span.objects.count() == 1
    assert sorted(Reject.objects.values_list("reason", flat=True)) == [
        "bad_tokens", "in_the_future",
    ]  # fmt: skip
    kept = encryption.decrypt(Reject.objects.get(reason="bad_tokens").payload)
    assert b"Rumpelstilzchen" not in kept
    assert json.loads(kept)["attributes"]["gen_ai.usage.output_tokens"] == -1


def test_span_of_impossible_length_is_rejected_and_its_neighbours_are_not(post):
    forever = {**CHAT, "_end_ns": 2**64 - 1}
    patient = {**CHAT, "gen_ai.server.time_to_first_token": 1e300}

    response = post(body(CHAT, forever, patient))

    assert partial(response).rejected_spans == 2
    assert Span.objects.count() == 1


def test_evaluations_are_stored_as_scores(post):
    event = ("gen_ai.evaluation.result", 1, {
        "gen_ai.evaluation.name": "correct", "gen_ai.evaluation.score.value": 1.0,
    })  # fmt: skip

    for _ in range(2):
        assert post(body({**CHAT, "_events": [event]})).content == b""

    score = Score.objects.get()
    assert (score.name, score.number) == ("correct", 1.0)


def test_text_is_kept_only_where_the_project_keeps_it(post, source):
    prompt = {"gen_ai.input.messages": "Rumpelstilzchen"}

    post(body({**CHAT, **prompt}))
    with connection.cursor() as cursor:
        cursor.execute("SELECT s::text, prompt_hash FROM ingest_span s")
        [(row, prompt_hash)] = cursor.fetchall()
    assert "Rumpelstilzchen" not in row
    assert bytes(prompt_hash) == privacy.fingerprint(
        "Rumpelstilzchen", privacy.project_key(source.project_id)
    )

    keeping = SourceFactory(project=ProjectFactory(keeps_text=True))
    post(body({**CHAT, **prompt}), token=push_token(keeping))
    assert SpanText.objects.get(project_id=keeping.project_id).texts == prompt


def test_source_without_a_project_feeds_the_unallocated_one(post):
    post(body(CHAT), token=push_token(SourceFactory(project=None)))

    assert Span.objects.get().project_id == ProjectModel.objects.unallocated().pk


def as_json(**changes):
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "startTimeUnixNano": str(START_NS),
        "endTimeUnixNano": str(START_NS + 1),
        **changes,
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


@pytest.mark.parametrize("path", ["/v1/traces", "/api/public/otel/v1/traces"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_json_is_taken_and_answered_in_json(post, path, encoding):
    payload = as_json().encode()
    if encoding:
        payload = gzip.compress(payload)

    response = post(payload, path=path, content_type="application/json", encoding=encoding)

    assert (response.status_code, response["Content-Type"]) == (200, "application/json")
    assert response.json() == {}
    assert Span.objects.get().span_id == "b7ad6b7169203331"


def test_rejected_spans_of_json_are_counted_in_json(post, source):
    response = post(as_json(spanId="zz"), content_type="application/json")

    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert source.name in response.json()["partialSuccess"]["errorMessage"]


# ---- refusals


@pytest.mark.parametrize("token", [" ", "brk_0123456789abcdef_x", "nonsense"])
def test_unknown_sender_is_asked_for_a_token(post, token):
    response = post(body(CHAT), token=token)

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="breakeven"'
    assert Span.objects.count() == 0


def test_token_for_gpus_may_not_push_traces(post, source):
    assert post(body(CHAT), token=push_token(source, "gpu:write")).status_code == 403


def test_other_types_are_answered_with_the_fix(post):
    response = post("<spans/>", content_type="text/xml")

    assert response.status_code == 415
    assert response["Content-Type"] == "application/problem+json"
    assert response.json() == {
        "type": "about:blank",
        "status": 415,
        "detail": "OTLP is taken as application/x-protobuf or application/json;"
        " set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.",
    }


def test_json_is_refused_in_json(post):
    response = post("[" * 100_000, content_type="application/json")

    assert (response.status_code, response["Content-Type"]) == (400, "application/json")
    assert response.json() == {"message": "The body is nested too deeply; send at most 64 levels."}
    assert post("{}", content_type="application/json", token="x").status_code == 401


def test_get_is_not_allowed(client):
    response = client.get("/v1/traces")

    assert response.status_code == 405
    assert response["Allow"] == "POST"


def test_truncated_bodies_are_400(post):
    whole = body(CHAT)

    assert post(whole[:-7]).status_code == 400
    packed = gzip.compress(whole)
    for broken in (packed[:-9], packed + b"more", whole):
        response = post(broken, encoding="gzip")
        assert response.status_code == 400
        assert "send it" in sentence(response)
    assert Span.objects.count() == 0


def test_unknown_compression_is_415(post):
    response = post(body(CHAT), encoding="br")

    assert response.status_code == 415
    assert response["Accept-Encoding"] == "gzip, identity"


def test_gzip_bomb_is_413_in_little_memory_and_time(post):
    bomb = gzip.compress(bytes(200 * 1024 * 1024), compresslevel=1)
    tracemalloc.start()
    started = time.monotonic()

    response = post(bomb, encoding="gzip")

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 413
    assert peak < 3 * views.MAX_BODY_BYTES
    assert time.monotonic() - started < 3


def test_large_body_is_413_before_it_is_read(post, monkeypatch):
    monkeypatch.setattr(views, "MAX_SENT_BYTES", 10)

    assert post(body(CHAT)).status_code == 413


def test_body_without_a_length_is_411(post):
    assert post(body(CHAT), CONTENT_LENGTH="").status_code == 411


def test_body_shorter_than_announced_is_400(post):
    cut_off = {"wsgi.input": io.BytesIO(body(CHAT)), "CONTENT_LENGTH": "9999"}

    assert post(body(CHAT), **cut_off).status_code == 400


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_database_that_is_away_asks_to_come_back(post, monkeypatch, error):
    def away(*args):
        raise error("connection refused to 10.0.0.5")

    monkeypatch.setattr(views.store, "spans", away)

    response = post(body(CHAT))

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "10.0.0.5" not in sentence(response)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 300, 10_000])
def test_refusal_is_a_valid_rpc_status(size):
    message = ExportTracePartialSuccess()
    message.ParseFromString(views._rpc_status("é" * size))

    assert message.error_message == "é" * size


@pytest.mark.django_db(transaction=True)
def test_acknowledged_means_committed(post):
    assert post(body(CHAT)).status_code == 200

    with connected() as other:
        assert other.execute("SELECT count(*) FROM ingest_span").fetchone() == (1,)


def export(url, token):
    """One span through the real SDK; whether its exporter believes that it arrived."""
    provider = TracerProvider(resource=Resource.create({"service.name": "sdk"}))
    span = provider.get_tracer("test").start_span("chat", attributes=CHAT)
    span.end()
    exporter = OTLPSpanExporter(
        endpoint=f"{url}/v1/traces",
        headers={"Authorization": f"Bearer {token}"},
        compression=Compression.Gzip,
    )
    return exporter.export([span]) is SpanExportResult.SUCCESS


def test_real_sdk_is_served(source, live_server):
    assert export(live_server.url, push_token(source))
    assert Span.objects.values_list("service", "input_tokens").get() == ("sdk", 200)

    assert not export(live_server.url, "brk_0123456789abcdef_x")


# ---- GPU samples


def batch(pool="h100", **changes):
    reading = wire.GpuReading(
        uuid="GPU-1", index=0, name="H100", at=START_NS / 1e9, utilization_pct=40.0, power_w=300.0
    )
    values = {
        "host": "node-1",
        "pool": pool,
        "probe_version": "0.1.0",
        "driver_version": None,
        "boot_id": "b",
        "sequence": 1,
        "simulated": False,
        "readings": (reading,),
    }
    return wire.encode(wire.Batch(**{**values, **changes}))


@pytest.fixture
def gpu_token():
    source = SourceFactory(kind="gpu", pool=PoolFactory(name="h100"))
    return push_token(source, "gpu:write")


def test_gpu_samples_are_stored_and_counted(post, gpu_token):
    def send():
        return post(
            gzip.compress(batch()),
            path="/v1/gpu-samples",
            token=gpu_token,
            content_type="application/json",
            encoding="gzip",
        )

    assert send().json() == {
        "rows_in": 1, "inserted": 1, "updated": 0, "unchanged": 0, "stale": 0, "rejected": 0,
    }  # fmt: skip
    assert send().json()["unchanged"] == 1
    assert GpuSample.objects.get().utilization_pct == 40.0


@pytest.mark.parametrize(
    ("payload", "status", "told"),
    [
        (b"{}", 400, "version: "),
        (b"[" * 10_000, 400, "nested too deeply"),
        (b"\xff", 400, "UTF-8"),
        (batch("a100"), 422, "--pool h100"),
    ],
)
def test_bad_batch_is_told_what_to_mend(post, gpu_token, payload, status, told):
    response = post(
        payload, path="/v1/gpu-samples", token=gpu_token, content_type="application/json"
    )

    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert told in response.json()["detail"]


def test_gpu_source_without_a_pool_is_told_so(post):
    response = post(
        batch(),
        path="/v1/gpu-samples",
        token=push_token(SourceFactory(kind="gpu"), "gpu:write"),
        content_type="application/json",
    )

    assert response.status_code == 409
    assert "choose the pool" in response.json()["detail"]


def test_pushing_needs_no_csrf_cookie_and_sets_none(source):
    tokens.forget()
    client = Client(
        enforce_csrf_checks=True, headers={"Authorization": f"Bearer {push_token(source)}"}
    )

    response = client.post("/v1/traces", body(CHAT), content_type=views.PROTOBUF)

    assert response.status_code == 200
    assert not response.cookies
