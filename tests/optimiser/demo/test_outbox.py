"""Delivery survives an absent receiver and any kill, and the count stays exact."""

import gzip
import json
import threading
import time
from email.utils import formatdate

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from optimiser.demo import outbox, tally
from optimiser.demo.outbox import Courier, Ledger, Spool, grand_total, retry_after_s

from .otlp_stub import TOKEN, Answer, OtlpStub


class Estate:
    """A generator in small: real SDK, real exporter, one batch per span."""

    def __init__(self, folder, url, service="support-chat"):
        self.folder, self.url = folder, url
        self.said = []
        self.ledger = Ledger.open(folder / "count.json")
        self.spool = Spool(service, folder / "spool", self.ledger)
        self.courier = Courier(self.spool, url, lambda: TOKEN, self.said.append)
        exporter = OTLPSpanExporter(endpoint=url, compression=Compression.Gzip, session=self.spool)
        self.provider = TracerProvider(
            resource=Resource({"service.name": service}), shutdown_on_exit=False
        )
        self.provider.add_span_processor(SimpleSpanProcessor(exporter))
        self.tracer = self.provider.get_tracer("test")

    def span(self, input_tokens=100, output_tokens=7, cached=40, fails=False, **more):
        span = self.tracer.start_span("chat gpt-4o-mini")
        span.set_attributes(
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "user.id": "user-01",
                **more,
            }
        )
        if fails:
            span.set_status(StatusCode.ERROR)
        else:
            span.set_attributes(
                {
                    "gen_ai.usage.input_tokens": input_tokens,
                    "gen_ai.usage.cache_read.input_tokens": cached,
                    "gen_ai.usage.output_tokens": output_tokens,
                }
            )
        span.end()

    def counts(self):
        return json.loads((self.folder / "count.json").read_text())

    def spans(self):
        kept = self.counts()
        parts = ("counted", "acknowledged", "pending", "refused")
        return {part: grand_total(kept[part])["spans"] for part in parts}

    def reborn(self):
        """As after kill -9: nothing but the files is left."""
        return Estate(self.folder, self.url)

    def wait_until_delivered(self, within_s=5.0):
        deadline = time.monotonic() + within_s
        while self.spool.waiting() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert self.spool.waiting() == []


def test_a_finished_batch_is_durable_and_counted_before_anybody_receives_it(tmp_path):
    estate = Estate(tmp_path, "http://127.0.0.1:9/v1/traces")
    estate.span()
    assert len(estate.spool.waiting()) == 1
    assert estate.spans() == {"counted": 1, "acknowledged": 0, "pending": 1, "refused": 0}


def test_counts_are_by_service_and_model_with_tokens_by_class(tmp_path):
    estate = Estate(tmp_path, "http://127.0.0.1:9/v1/traces")
    estate.span(input_tokens=100, cached=40, output_tokens=7)
    estate.span(fails=True)
    assert estate.counts()["counted"] == [
        {
            "service": "support-chat",
            "provider": "openai",
            "model": "gpt-4o-mini",
            "spans": 2,
            "errors": 1,
            "input_tokens": 100,
            "cache_read_tokens": 40,
            "output_tokens": 7,
            "evaluations": 0,
        }
    ]


def test_a_receiver_that_is_busy_is_asked_again_when_it_said_and_gets_everything_once(tmp_path):
    busy = [Answer(503, {"Retry-After": "1"}), Answer(503, {"Retry-After": "0"})]
    with OtlpStub(first=busy) as stub:
        estate = Estate(tmp_path, stub.url)
        for _ in range(5):
            estate.span()
        began = time.monotonic()
        estate.courier.start()
        estate.wait_until_delivered()
        waited_s = time.monotonic() - began
        estate.courier.finish(within_s=1)
    assert waited_s >= 1.0
    assert stub.malformed == []
    assert sorted(stub.sightings.values()) == [1] * 5
    assert estate.spans() == {"counted": 5, "acknowledged": 5, "pending": 0, "refused": 0}
    assert estate.counts()["delivery"]["support-chat"]["retries"] == 2


def test_a_receiver_that_is_not_there_loses_nothing(tmp_path):
    with OtlpStub() as stub:
        port = stub.port
    estate = Estate(tmp_path, f"http://127.0.0.1:{port}/v1/traces")
    estate.span()
    estate.courier.start()
    time.sleep(0.3)
    estate.span()
    with OtlpStub(port=port) as stub:
        estate.wait_until_delivered()
        estate.courier.finish(within_s=1)
    assert len(stub.spans) == 2
    assert "ConnectionError" in estate.said[0]


def test_batches_left_by_a_kill_are_counted_and_delivered_by_the_next_run(tmp_path):
    first = Estate(tmp_path, "http://127.0.0.1:9/v1/traces")
    first.span()
    first.span()
    with OtlpStub() as stub:
        first.url = stub.url
        second = first.reborn()
        second.span()
        assert second.spans()["pending"] == 3
        second.courier._send_all(lambda: False)
    assert len(stub.spans) == 3
    assert second.spans() == {"counted": 3, "acknowledged": 3, "pending": 0, "refused": 0}


def test_a_kill_between_writing_a_batch_and_counting_it_is_mended_from_disk(tmp_path):
    estate = Estate(tmp_path, "http://127.0.0.1:9/v1/traces")
    before = (tmp_path / "count.json").read_bytes()
    estate.span()
    (tmp_path / "count.json").write_bytes(before)
    assert estate.reborn().spans()["counted"] == 1


def test_a_kill_between_acknowledgement_and_noting_it_sends_the_same_spans_again(tmp_path):
    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        batch, counted = estate.spool.waiting()[0], (tmp_path / "count.json").read_bytes()
        body = batch.read_bytes()
        estate.courier._send_all(lambda: False)
        batch.write_bytes(body)
        (tmp_path / "count.json").write_bytes(counted)
        again = estate.reborn()
        again.courier._send_all(lambda: False)
    assert list(stub.sightings.values()) == [2]
    assert again.spans() == {"counted": 1, "acknowledged": 1, "pending": 0, "refused": 0}


def test_a_kill_between_noting_an_acknowledgement_and_removing_the_batch_counts_once(tmp_path):
    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        batch = estate.spool.waiting()[0]
        body = batch.read_bytes()
        estate.courier._send_all(lambda: False)
        batch.write_bytes(body)
        again = estate.reborn()
    assert again.spool.waiting() == []
    assert again.spans() == {"counted": 1, "acknowledged": 1, "pending": 0, "refused": 0}


def test_a_batch_delivered_before_it_was_counted_is_settled_after(tmp_path, monkeypatch):
    """The courier looks at the folder at any moment, the one between writing and counting too."""
    delivering = []
    write = outbox.write_atomically

    def write_and_let_the_courier_run(path, body):
        write(path, body)
        delivering.append(threading.Thread(target=estate.courier._send, args=(path,)))
        delivering[0].start()
        delivering[0].join(0.5)

    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        monkeypatch.setattr(outbox, "write_atomically", write_and_let_the_courier_run)
        estate.span()
        delivering[0].join(10)
        assert len(stub.spans) == 1

    assert estate.spans() == {"counted": 1, "acknowledged": 1, "pending": 0, "refused": 0}
    assert estate.spool.waiting() == []


def test_a_batch_stays_until_its_acknowledgement_is_written_down(tmp_path, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        monkeypatch.setattr(estate.ledger, "settle", disk_full)
        estate.courier.start()
        deadline = time.monotonic() + 5
        while not estate.said and time.monotonic() < deadline:
            time.sleep(0.01)
        assert estate.courier.is_alive()
        assert len(estate.spool.waiting()) == 1
        estate.courier.ending.set()
        estate.courier.join(5)
    assert "No space left on device" in estate.said[0]


def test_a_span_that_could_not_be_made_durable_is_not_counted(tmp_path, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    estate = Estate(tmp_path, "http://127.0.0.1:9/v1/traces")
    monkeypatch.setattr(outbox, "write_atomically", disk_full)
    estate.span()
    assert estate.spans()["counted"] == 0


def test_numbers_go_on_after_a_restart_with_nothing_waiting(tmp_path):
    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        estate.courier._send_all(lambda: False)
        again = estate.reborn()
        again.span()
        assert [again.spool.number(file) for file in again.spool.waiting()] == [2]


def test_a_batch_the_receiver_calls_malformed_is_set_aside_and_the_rest_goes_on(tmp_path):
    with OtlpStub(first=[Answer(400, body=b"Not today.")]) as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        estate.span()
        estate.courier._send_all(lambda: False)
    assert estate.spans() == {"counted": 2, "acknowledged": 1, "pending": 0, "refused": 1}
    assert len(list((tmp_path / "spool/refused").iterdir())) == 1
    assert "Not today." in estate.said[0]
    assert estate.reborn().spans() == estate.spans()


def test_spans_the_receiver_could_not_take_are_reported(tmp_path):
    partial = ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=1, error_message="Too old.")
    )
    with OtlpStub(first=[Answer(200, body=partial.SerializeToString())]) as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        estate.courier._send_all(lambda: False)
    delivery = estate.counts()["delivery"]["support-chat"]
    assert (delivery["rejected_spans"], delivery["last_problem"]) == (1, "Too old.")


def test_a_refused_token_is_waited_for_not_dropped(tmp_path):
    with OtlpStub(first=[Answer(401)]) as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span()
        estate.courier.start()
        estate.wait_until_delivered()
        estate.courier.finish(within_s=1)
    assert len(stub.spans) == 1


def test_the_stub_refuses_what_a_careful_receiver_would(tmp_path):
    # Otherwise the tests that say "received" would prove nothing.
    with OtlpStub() as stub:
        estate = Estate(tmp_path, stub.url)
        estate.span(input_tokens=10, cached=11)
        estate.span(**{"user.id": ""})
        estate.spool.keep(gzip.compress(b""))
        (tmp_path / "spool/000000000009.otlp.gz").write_bytes(gzip.compress(b"\xff\xff"))
        with pytest.raises(Exception, match=r"parsing|Error|wire"):
            estate.courier._send_all(lambda: False)
    assert stub.malformed[:2] == [
        "chat gpt-4o-mini has more cached than input tokens",
        "chat gpt-4o-mini lacks user.id",
    ]


def test_retry_after_is_understood_as_seconds_and_as_a_date():
    assert retry_after_s("7") == 7
    assert retry_after_s(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert retry_after_s("-3") == 0
    assert retry_after_s("soon") is None
    assert retry_after_s(None) is None


def test_counting_nothing_is_an_empty_tally():
    assert tally.of_batch(gzip.compress(b"")) == {}
