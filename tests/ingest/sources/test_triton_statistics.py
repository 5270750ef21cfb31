"""Triton's statistics: a recorded reply of 1,290 requests answered in 161 batches in 5 s."""

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ingest.records import MetricRecord, SeriesKey
from ingest.sources import REGISTRY, triton_statistics
from ingest.sources.base import FetchError
from ingest.sources.triton_statistics import parse

NOW = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
RECORDED = Path(__file__).parents[2] / "recorded" / "triton_statistics_batched.json"


def read(name, records):
    return {
        record.series.name.removeprefix("triton_model_"): record.value
        for record in records
        if dict(record.series.labels)["model"] == name
    }


def test_execution_is_counted_once_whatever_the_size_of_its_batch():
    records, rejects = parse(RECORDED.read_bytes(), NOW)

    assert rejects == []
    assert read("fixedcost", records) == {
        # `inference_stats` of the same reply adds up to 39.9 s, and the clock had moved by 5.07 s.
        "execution_seconds": 4.969141,
        "executions": 161,
        "requests_ok": 1290,
        "requests_failed": 0,
    }


def test_model_that_did_nothing_worked_for_no_time():
    records, _ = parse(RECORDED.read_bytes(), NOW)

    assert set(read("matrix", records).values()) == {0.0}


def test_reading_is_a_counter_of_model_and_version():
    [first, *_], _ = parse(RECORDED.read_bytes(), NOW)

    labels = (("model", "fixedcost"), ("version", "1"))
    key = SeriesKey("triton_model_execution_seconds", "counter", "s", labels)
    assert first == MetricRecord(key, NOW, 4.969141)


def test_router_waits_and_does_not_work():
    records, _ = parse(RECORDED.read_bytes(), NOW, frozenset({"fixedcost"}))

    assert read("fixedcost", records)["execution_seconds"] == 0
    assert read("fixedcost", records)["requests_ok"] == 1290


@pytest.mark.parametrize(
    "without", ["batch_stats", "inference_stats", "execution_count", "version"]
)
def test_model_without_its_counts_costs_itself_alone(without):
    answer = json.loads(RECORDED.read_text())
    del answer["model_stats"][0][without]

    records, [reject] = parse(json.dumps(answer).encode(), NOW)

    assert read("fixedcost", records) == {}
    assert len(read("matrix", records)) == 4
    assert (reject.reason, reject.external_id) == ("no_counts", "fixedcost")


@pytest.mark.parametrize("model", [None, "fixedcost", []])
def test_what_is_no_model_is_a_reject(model):
    records, [reject] = parse(json.dumps({"model_stats": [model]}).encode(), NOW)

    assert (records, reject.reason) == ([], "no_counts")


@pytest.mark.parametrize("text", ["<html>", "{}", "[]", '{"model_stats": 3}', "\xff"])
def test_what_is_no_statistics_is_one_sentence(text):
    with pytest.raises(FetchError, match=r"is not Triton's statistics; check that the URL"):
        parse(text.encode("latin-1"), NOW)


@pytest.fixture
def server(settings):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = RECORDED.read_bytes()
            self.send_response(200 if self.path == "/v2/models/stats" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def fetch(url, **config):
    [page] = REGISTRY["triton_statistics"].fetch({"url": url, **config}, {}, NOW)
    return page


@pytest.mark.parametrize("rest", ["", "/", "/v2/models/stats"])
def test_fetch_brings_one_page(server, rest):
    page = fetch(server + rest)

    assert len(page.records) == 8
    assert page.cursor == {"at": "2026-11-10T12:07:00+00:00"}


def test_other_answers_are_named_by_status_alone(server):
    with pytest.raises(FetchError, match=r"answered 404; give Triton's HTTP address"):
        fetch(server + "/metrics")


def test_private_address_is_refused(server, settings):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(FetchError, match="not a public address"):
        fetch(server)


def test_too_many_models_are_refused(server, monkeypatch):
    monkeypatch.setattr(triton_statistics, "MAX_MODELS", 1)

    with pytest.raises(FetchError, match="has 2 models, more than 1"):
        fetch(server)


def test_bad_config_is_a_failed_pull():
    with pytest.raises(FetchError, match="url"):
        fetch("")
