"""What a hostile or broken server in Prometheus' place can do: cost one sentence, and no more."""

import base64
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ingest import pull, source_secrets
from ingest.models import MetricSample, Source
from ingest.sources import REGISTRY
from ingest.sources.base import Delayed, FetchError
from ingest.sources.metrics import server as module
from ingest.sources.metrics.server import selector

NOW = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
SECRET = "s3cret-answer"


def success(result):
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})


class Stub:
    """Answers every request with `status`, `headers` and `body`; a number as body is a wait,
    a function is given the path."""

    def __init__(self):
        self.status, self.headers, self.body = 200, {}, ""
        self.asked, self.stop = [], threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                stub.asked.append((self.path, self.headers.get("Authorization")))
                if isinstance(stub.body, int):
                    stub.stop.wait(stub.body)
                    return
                body = stub.body(self.path) if callable(stub.body) else stub.body
                body = body.encode()
                self.send_response(stub.status)
                for name, text in ({"Content-Length": str(len(body))} | stub.headers).items():
                    self.send_header(name, text)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.stop.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def stub(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    stub = Stub()
    yield stub
    stub.close()


def fetch(stub, **config):
    given = {"url": stub.url, "sets": ["triton"], **config}
    return list(REGISTRY["prometheus"].fetch(given, {}, NOW))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "Prometheus answered 500; check the URL and its log."),
        (404, "Prometheus answered 404; check the URL and its log."),
        (401, "Prometheus answered 401; check the user name and password, or the token."),
        (403, "Prometheus answered 403; check the user name and password, or the token."),
        (422, "Prometheus refuses a count of series (422); check its PromQL on Prometheus' own"
              " page."),
    ],
)  # fmt: skip
def test_failure_is_one_sentence_without_the_answer(stub, status, said):
    stub.status, stub.body = status, f"<html>{SECRET}"

    with pytest.raises(FetchError) as failure:
        fetch(stub)

    assert str(failure.value) == said
    assert len(stub.asked) == 1


@pytest.mark.parametrize(
    "body",
    [
        "", "<html>hello", '{"status": "succ', "[]", "null", "5", '{"status": "success"}',
        '{"data": []}', '{"data": {"result": {}}}', '{"data": {"result": [5]}}',
        '{"data": {"result": [{"metric": {}}]}}',
        '{"data": {"result": [{"metric": {"__name__": "x"}, "value": [0, "many"]}]}}',
        '{"data": {"result": [{"metric": {"__name__": "x"}, "value": [0, "1e400"]}]}}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_answer_of_prometheus_is_one_sentence(stub, body):
    stub.body = body

    with pytest.raises(FetchError, match="not Prometheus' JSON"):
        fetch(stub)


@pytest.mark.parametrize(
    "result",
    [
        [5], [{}], [{"metric": 5}], [{"metric": {"a": 5}, "values": []}],
        [{"metric": {}, "values": [[1]]}], [{"metric": {}, "values": [["x", "1"]]}],
        [{"metric": {}, "values": [[1e300, "1"]]}], [{"metric": {}, "values": 5}], "text",
    ],
)  # fmt: skip
def test_series_of_another_shape_are_one_sentence(stub, result):
    stub.body = success(result)

    with pytest.raises(FetchError, match="not Prometheus' JSON"):
        fetch(stub, sets=[], queries=[{"name": "mine", "query": "vector(1)"}])


def test_answer_that_breaks_off_is_one_sentence(stub):
    stub.body, stub.headers = success([]), {"Content-Length": "5000"}

    with pytest.raises(FetchError, match=r"cannot be reached or broke off|not Prometheus' JSON"):
        fetch(stub)


def test_server_that_hangs_is_given_up(stub):
    stub.body = 10
    began = time.monotonic()

    with pytest.raises(FetchError, match="did not answer in time"):
        fetch(stub, timeout_s=1)

    assert time.monotonic() - began < 5
    assert len(stub.asked) == 1


def test_redirect_is_not_followed(stub):
    stub.status, stub.headers = 302, {"Location": "http://169.254.169.254/latest/meta-data"}

    with pytest.raises(FetchError, match="redirects elsewhere"):
        fetch(stub)


def test_private_address_is_refused(stub, settings):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(FetchError, match="BREAKEVEN_PRIVATE_ADDRESSES"):
        fetch(stub)

    assert stub.asked == []


@pytest.mark.parametrize(("header", "pause_s"), [("120", 120), ("soon", 60), ("999999", 3600)])
def test_busy_server_says_when_to_come_again(stub, header, pause_s):
    stub.status, stub.headers = 429, {"Retry-After": header}

    with pytest.raises(Delayed) as delayed:
        fetch(stub)

    pause = delayed.value.until - datetime.now(UTC)
    assert timedelta(seconds=pause_s - 10) < pause <= timedelta(seconds=pause_s)
    assert delayed.value.is_asked


def test_answer_that_is_too_large_is_asked_for_in_parts(stub, monkeypatch):
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 500)
    stub.body = lambda path: " " * 501 if "1020s" in path else success([])

    pages = fetch(stub)

    # An hour: a quarter of it with the two minutes before is too much, seven minutes are not.
    assert [page.cursor["to"][11:16] for page in pages] == [
        "11:14", "11:21", "11:28", "11:35", "11:42", "11:49", "11:56", "12:03", "12:07",
    ]  # fmt: skip


def test_pull_before_the_next_step_says_that_all_is_well(stub):
    """Without a page the source would seem silent."""
    stub.body = success([])
    cursor = {"to": NOW.isoformat()}
    given = {"url": stub.url, "sets": ["triton"]}

    [page] = REGISTRY["prometheus"].fetch(given, cursor, NOW + timedelta(seconds=59))

    assert (page.records, page.cursor) == ([], cursor)
    assert len(stub.asked) == 1


def test_what_is_too_old_to_be_read_is_said_once(stub):
    stub.body = success([])
    cursor = {"to": (NOW - timedelta(days=20)).isoformat()}
    given = {"url": stub.url, "sets": ["triton"], "max_requests": 3}

    first, second = REGISTRY["prometheus"].fetch(given, cursor, NOW)

    assert [reject.detail for reject in first.rejects] == [
        "Not read from 2026-10-21 12:07 to 2026-10-27 12:07 UTC: too old."
    ]
    assert second.rejects == []
    assert first.cursor == {"to": "2026-10-27T12:22:00+00:00"}


def test_answer_that_is_too_large_in_every_part_is_given_up(stub, monkeypatch):
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 500)
    stub.body = lambda path: " " * 501 if "s%5D" in path else success([])

    with pytest.raises(FetchError, match=r"over 500 bytes; ask it for less\. Choose fewer series"):
        fetch(stub)


@pytest.mark.parametrize(
    ("config", "header"),
    [
        ({}, None),
        (
            {"username": "asha", "password": "p:ä"},
            "Basic " + base64.b64encode("asha:p:ä".encode()).decode(),
        ),
        ({"token": "abc.def"}, "Bearer abc.def"),
    ],
)
def test_credentials_are_sent_with_every_request(stub, config, header):
    stub.body = success([])
    fetch(stub, **config)
    stub.status = 404
    with pytest.raises(FetchError):
        REGISTRY["prometheus"].check({"url": stub.url, **config})

    assert {sent for _, sent in stub.asked} == {header}


def test_native_histogram_is_said_not_to_be_read(stub):
    stub.body = success([{"metric": {"__name__": "x"}, "histograms": [[0, {"count": "1"}]]}])

    [page, *_] = fetch(stub, sets=[], queries=[{"name": "mine", "query": "x"}])

    assert [(reject.reason, reject.external_id) for reject in page.rejects] == [
        ("native_histogram", "mine")
    ]


def test_selector_quotes_what_it_is_given():
    assert selector({"b:x", "a_y"}, {"pod": 'x"} or {y="\\\n'}) == (
        '{__name__=~"a_y|b:x",pod="x\\"} or {y=\\"\\\\\\n"}'
    )


@pytest.mark.django_db
def test_worker_reads_with_the_kept_secret_and_stores_with_the_cursor(stub, pool):
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    series = {"metric": {"__name__": "nv_inference_count", "instance": "t:8002", "job": "triton"}}
    stub.body = lambda path: success(
        [series | {"values": [[at.timestamp(), "5"]]} if "s%5D" in path
         else series | {"value": [at.timestamp(), "1"]}]
    )  # fmt: skip
    adapter = REGISTRY["prometheus"]
    config = adapter.check_config({"url": stub.url, "token": "t0ken", "sets": ["triton"]})
    plain, locked = source_secrets.split(adapter, config)
    source = Source.objects.create(
        kind="prometheus", name="Ours", pool=pool, config=plain, secrets=locked
    )

    pull.now(source)

    assert {sent for _, sent in stub.asked} == {"Bearer t0ken"}
    assert "t0ken" not in json.dumps(source.config)
    assert b"t0ken" not in bytes(source.secrets)
    assert [row.value for row in MetricSample.objects.all()] == [5]
    source.refresh_from_db()
    assert source.last_fact_at == at
    assert set(source.cursor) == {"to"}
