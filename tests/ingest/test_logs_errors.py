"""Errors from a real OpenTelemetry SDK through the door, sent as often as a sender may."""

import gzip
import logging

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from ingest import tokens
from ingest.models import ErrorCount, Pull
from ingest.sources.otlp import PROTOBUF

pytestmark = pytest.mark.filterwarnings("ignore:.*LoggingHandler:DeprecationWarning")


@pytest.fixture
def logged():
    """What a program's own logger hands to the exporter: two errors, and a warning that is none."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider(resource=Resource.create({"service.name": "search"}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.getLogger("tests.of.logged.errors")
    handler = LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        raise TimeoutError("asked: where is Cleo?")
    except TimeoutError:
        logger.exception("Took %s ms", 12)
    logger.warning("Cleo waits")
    logger.critical("Disk %s is full", 3)
    logger.removeHandler(handler)
    body = encode_logs(exporter.get_finished_logs()).SerializeToString()
    provider.shutdown()
    return body


def test_errors_of_an_sdk_are_counted_once_however_often_they_are_sent(source, client, logged):
    _, token = tokens.issue(source, "SDK", "traces:write", "tests")

    def send(body: bytes, **headers: str):
        headers = {"Authorization": f"Bearer {token}", **headers}
        return client.post("/v1/logs", body, content_type=PROTOBUF, headers=headers)

    answers = [send(logged), send(logged), send(gzip.compress(logged), content_encoding="gzip")]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b"")] * 3
    rows = ErrorCount.objects.order_by("type").values_list("service", "type", "count", "exemplar")
    assert list(rows) == [
        ("search", "Disk <n> is full", 1, "Disk <n> is full"),
        ("search", "TimeoutError", 1, "Took <n> ms"),
    ]
    sums = [sum(getattr(pull, name) for pull in Pull.objects.all()) for name in
            ("rows_in", "inserted", "unchanged")]  # fmt: skip
    assert sums == [6, 2, 4]
