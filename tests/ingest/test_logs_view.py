"""The door /v1/logs: both encodings, events and errors, and bodies that are none."""

import gzip
import json
import time
from threading import Thread

import pytest
from django.db import OperationalError, connection
from django.test import Client
from opentelemetry._logs import LogRecord as SdkRecord
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from ingest import views
from ingest.models import ErrorCount, Event, Reject
from ingest.store import Counts
from tests.factories.ingest import ProjectFactory, SourceFactory, push_token
from tests.ingest.sources.otlp_body import put
from tests.pulled import pulled

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ingest.urls")]


@pytest.fixture
def at_ns():
    """Errors are taken while they are fresh."""
    return time.time_ns() // 1000 * 1000


@pytest.fixture
def source():
    return SourceFactory()


@pytest.fixture
def post(source):
    text = push_token(source)

    def send(payload, *, token=text, content_type=views.PROTOBUF, encoding=None):
        headers = {"Authorization": f"Bearer {token}"} | (
            {"Content-Encoding": encoding} if encoding else {}
        )
        return Client().post("/v1/logs", payload, content_type=content_type, headers=headers)

    return send


def release(at_ns, more=None, **attributes):
    told = {"name": "deployment", "service.version": "1.4.2", "at_ns": at_ns}
    return told | attributes | (more or {})


def packed(*records) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    put(resource.resource.attributes.add(), "service.name", "search")
    scope = resource.scope_logs.add()
    for told in records:
        made = scope.log_records.add(
            event_name=told.get("name", ""),
            time_unix_nano=told.get("at_ns", 0),
            severity_number=told.get("severity", 9),
        )
        made.body.string_value = told.get("body", "")
        for key, value in told.items():
            if "." in key:
                put(made.attributes.add(), key, value)
    return request


def as_json(*records) -> dict:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": [_pair("service.name", "search")]},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "eventName": told.get("name", ""),
                                "timeUnixNano": str(told["at_ns"]),
                                "severityNumber": told.get("severity", 9),
                                "traceId": "5b8efff798038103d269b633813fc60c",
                                "body": {"stringValue": told.get("body", "")},
                                "attributes": [
                                    _pair(key, value) for key, value in told.items() if "." in key
                                ],
                            }
                            for told in records
                        ]
                    }
                ],
            }
        ]
    }


def _pair(key, value):
    return {"key": key, "value": {"stringValue": value}}


def test_release_in_protobuf_becomes_an_event_of_the_tokens_project(post, source, at_ns):
    answer = post(packed(release(at_ns)).SerializeToString())
    assert (answer.status_code, answer["Content-Type"]) == (200, views.PROTOBUF)
    assert not ExportLogsServiceResponse.FromString(answer.content).HasField("partial_success")
    event = Event.objects.get()
    assert (event.kind, event.title, event.origin) == ("release", "search 1.4.2", "otlp")
    assert (event.project, event.source) == (source.project, source)


def test_json_and_gzip_say_the_same_as_protobuf(post, at_ns):
    told = release(at_ns, **{"deployment.environment.name": "production"})
    post(packed(told).SerializeToString())
    event = Event.objects.values().get()
    answer = post(json.dumps(as_json(told)), content_type=views.JSON)
    assert (answer.status_code, answer.json()) == (200, {})
    packed_again = gzip.compress(packed(told).SerializeToString())
    assert post(packed_again, encoding="gzip").status_code == 200
    assert Event.objects.values().get() == event
    assert pulled() == Counts(inserted=1, unchanged=2)


def test_severe_records_are_counted_as_errors_and_a_severe_event_is_none(post, at_ns):
    error = {"severity": 17, "at_ns": at_ns, "body": "boom", "exception.type": "ValueError"}
    outage = {"name": "incident", "severity": 17, "at_ns": at_ns, "body": "Search is down"}
    plain = {"severity": 9, "at_ns": at_ns, "body": "hello"}
    body = packed(error, outage, plain).SerializeToString()
    for _ in range(2):
        assert post(body).status_code == 200
    assert Event.objects.values_list("kind", "title").get() == ("incident", "Search is down")
    counted = ErrorCount.objects.values_list("service", "type", "count")
    assert list(counted) == [("search", "ValueError", 1)]
    assert not Reject.objects.exists()


def test_service_that_logs_no_error_is_heard_of(post, source, at_ns):
    assert post(packed({"severity": 9, "at_ns": at_ns, "body": "hello"}).SerializeToString())
    source.refresh_from_db()
    assert source.last_success_at is not None
    assert (pulled().rows_in, ErrorCount.objects.count()) == (0, 0)


def test_bad_event_costs_only_itself_and_the_answer_says_why(post, at_ns):
    bad = release(at_ns, **{"deployment.url": "javascript:x", "deployment.id": "2"})
    answer = post(packed(release(at_ns), bad).SerializeToString())
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_log_records == 1
    assert partial.error_message.startswith("1 of 2 events and errors were not taken;")
    assert Event.objects.count() == 1
    assert Reject.objects.get().reason == "bad_link"


@pytest.mark.parametrize(
    "hostile",
    [
        {"service.version": "v" * 5000, "service.name": "s" * 5000},
        {"deployment.id": "x" * 5000},
        {"deployment.id": "a\0b\x1bc"},
        {"event.title": "\0\n" * 500},
        {"deployment.environment.name": "e" * 5000},
        {"deployment.url": "https://[::1"},
        {"deployment.url": "https://x.example/" + "y" * 5000},
        {"at_ns": 2**64 - 1},
        {"at_ns": 1},
    ],
)
def test_hostile_event_is_taken_or_refused_with_a_reason(post, at_ns, hostile):
    answer = post(packed(release(at_ns, hostile)).SerializeToString())
    assert answer.status_code == 200
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert Event.objects.count() + partial.rejected_log_records == 1
    assert Reject.objects.count() == partial.rejected_log_records


def test_json_record_that_cannot_be_read_costs_only_itself(post, at_ns):
    body = as_json(release(at_ns), release(at_ns))
    body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][1]["timeUnixNano"] = "soon"
    answer = post(json.dumps(body), content_type=views.JSON)
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "1"
    assert (Event.objects.count(), Reject.objects.get().reason) == (1, "bad_json")


@pytest.mark.parametrize(
    ("payload", "content_type", "encoding", "status"),
    [
        (b"\xff\xff\xff", views.PROTOBUF, None, 400),
        (b"{", views.JSON, None, 400),
        (b"[]", views.JSON, None, 400),
        (b'{"resourceLogs": 7}', views.JSON, None, 400),
        (b"[" * 100_000, views.JSON, None, 400),
        (b"x", "text/plain", None, 415),
        (b"not gzip", views.PROTOBUF, "gzip", 400),
        (b"x", views.PROTOBUF, "br", 415),
        (gzip.compress(bytes(views.MAX_BODY_BYTES + 1)), views.PROTOBUF, "gzip", 413),
    ],
)
def test_body_that_is_none_is_refused_and_nothing_kept(
    post, payload, content_type, encoding, status
):
    answer = post(payload, content_type=content_type, encoding=encoding)
    assert answer.status_code == status
    assert not Event.objects.exists()


def test_too_many_records_are_refused_whole(post):
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for _ in range(20_001):
        records.add()
    assert post(request.SerializeToString()).status_code == 413


def test_token_of_another_scope_or_project_reaches_no_event_of_this_one(post, source, at_ns):
    told = release(at_ns, **{"deployment.id": "7"})
    post(packed(told).SerializeToString())
    gpu = push_token(source, "gpu:write")
    assert post(packed(told).SerializeToString(), token=gpu).status_code == 403
    assert post(packed(told).SerializeToString(), token="brk_x").status_code == 401
    other = SourceFactory(project=ProjectFactory())
    changed = release(at_ns + 1000, **{"deployment.id": "7", "event.title": "Taken over"})
    assert post(packed(changed).SerializeToString(), token=push_token(other)).status_code == 200
    assert Event.objects.get(project=source.project).title == "search 1.4.2"
    assert Event.objects.get(project=other.project).title == "Taken over"


def test_events_and_errors_of_a_request_are_kept_together_or_not_at_all(post, at_ns, monkeypatch):
    def away(*_):
        raise OperationalError("gone")

    monkeypatch.setattr(views.store.events, "take", away)
    error = {"severity": 17, "at_ns": at_ns, "body": "boom", "exception.type": "ValueError"}
    body = packed(error, release(at_ns)).SerializeToString()
    answer = post(body)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert not ErrorCount.objects.exists()
    monkeypatch.undo()
    assert post(body).status_code == 200
    assert (ErrorCount.objects.get().count, Event.objects.count()) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_two_senders_of_the_same_body_at_once_give_it_once(at_ns):
    """Events and errors in one body, errors alone and events alone: none waits for ever."""
    source = SourceFactory()
    token = push_token(source)
    error = {"severity": 17, "at_ns": at_ns, "body": "boom", "exception.type": "ValueError"}
    bodies = [packed(error, release(at_ns)), packed(error), packed(release(at_ns))]
    statuses = []

    def send(payload):
        try:
            for _ in range(8):
                headers = {"Authorization": f"Bearer {token}"}
                answer = Client().post("/v1/logs", payload, views.PROTOBUF, headers=headers)
                statuses.append(answer.status_code)
        finally:
            connection.close()

    threads = [Thread(target=send, args=[body.SerializeToString()]) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert statuses == [200] * 24
    assert (ErrorCount.objects.get().count, Event.objects.count()) == (1, 1)
    assert pulled().inserted == 2


def test_real_sdk_is_served(source, live_server):
    """An event by the SDK's own call, and an error by Python's own logging."""
    exporter = OTLPLogExporter(
        endpoint=f"{live_server.url}/v1/logs",
        headers={"Authorization": f"Bearer {push_token(source)}"},
        compression=Compression.Gzip,
    )
    resource = Resource.create({"service.name": "search", "service.version": "1.4.2"})
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("deploy")
    logger.emit(
        SdkRecord(
            timestamp=time.time_ns(),
            severity_number=SeverityNumber.INFO,
            event_name="deployment",
            attributes={"deployment.id": "1208", "deployment.environment.name": "production"},
        )
    )
    logger.emit(
        SdkRecord(timestamp=time.time_ns(), severity_number=SeverityNumber.ERROR, body="boom")
    )
    event = Event.objects.get()
    assert (event.title, event.environment) == ("search 1.4.2", "production")
    assert event.external_id == "deployment:1208:search:production"
    assert ErrorCount.objects.values_list("service", "count").get() == ("search", 1)
