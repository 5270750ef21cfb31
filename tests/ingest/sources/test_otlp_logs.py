"""OTLP log records: which are errors, what they are called, what is kept of them."""

import json

import pytest

from ingest.records import Reject
from ingest.sources.base import BadBody, BodyTooLarge
from ingest.sources.otlp import JSON, PROTOBUF, log_bodies
from ingest.sources.otlp.log_bodies import log_groups
from ingest.sources.otlp.logs import ErrorLogs, error_records
from tests.ingest.sources.otlp_logs_body import (
    LOGGED,
    LOGGED_NS,
    TRACE,
    WARN,
    otlp_json,
    protobuf,
)

BOOM = {
    "_body": "Job 17 failed for asha@example.com",
    "exception.type": "TimeoutError",
    "exception.stacktrace": "File app.py, line 3, in ask: prompt='Where is Cleo?'",
}


def found(*logs: dict, service: str = "search") -> ErrorLogs:
    return error_records(log_groups(protobuf(*logs, service=service), PROTOBUF, []))


def test_error_is_its_type_its_time_and_one_masked_message():
    (record,) = found(BOOM).records

    assert (record.service, record.type, record.at) == ("search", "TimeoutError", LOGGED)
    assert record.exemplar == "Job <n> failed for <email>"
    assert record.trace_id == TRACE.hex()
    assert "Cleo" not in str(record)


@pytest.mark.parametrize("sent", [[BOOM], [BOOM, {"_body": {"msg": "broke", "n": 1}}]])
def test_both_encodings_say_the_same(sent):
    from_json = error_records(log_groups(otlp_json(*sent), JSON, []))

    assert from_json == found(*sent)
    assert len(from_json.records) == len(sent)


@pytest.mark.parametrize(
    ("told", "is_error"),
    [
        ({"_severity": 17}, True),
        ({"_severity": 24}, True),
        ({"_severity": 16}, False),
        ({"_severity": 9, "_severity_text": "ERROR"}, False),
        ({"_severity": 0, "_severity_text": " Error "}, True),
        ({"_severity": 0, "_severity_text": "INFO"}, False),
        ({"_severity": 0}, False),
        ({"_severity": WARN, "exception.type": "ValueError"}, True),
        ({"_severity": WARN, "exception.message": "broke"}, True),
        ({"_severity": WARN, "error.type": "timeout"}, False),
    ],
)
def test_error_is_severe_or_an_exception(told, is_error):
    assert len(found({"_body": "x", **told}).records) == is_error


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"exception.type": "a.b.C", "error.type": "500"}, "a.b.C"),
        ({"error.type": "503"}, "503"),
        ({"error.type": "cannot tell asha@example.com why"}, "cannot tell <email> why"),
        ({"_body": "Took 12 ms for user 7"}, "Took <n> ms for user <n>"),
        ({"_body": {"message": "Took 12 ms"}}, "Took <n> ms"),
        ({"exception.message": "Where is Cleo?"}, "unknown"),
        ({"_body": {"prompt": "Where is Cleo?"}}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_type_is_the_exceptions_or_the_errors_or_the_messages_shape(told, kind):
    (record,) = found(told).records

    assert record.type == kind


def test_service_without_a_name_is_unknown():
    assert found(BOOM, service="").records[0].service == "unknown"


def test_time_of_observation_stands_in_for_the_time():
    (record,) = found({**BOOM, "_at_ns": 0, "_observed_ns": LOGGED_NS}).records

    assert record.at == LOGGED


@pytest.mark.parametrize("at_ns", [0, 2**64 - 1])
def test_error_without_a_time_that_can_be_is_refused_alone(at_ns):
    both = found({**BOOM, "_at_ns": at_ns}, BOOM)

    if at_ns:  # the year 2554 is for the store to refuse, which knows what time it is
        assert len(both.records) == 2
    else:
        assert [reject.reason for reject in both.rejects] == ["missing_time"]
        assert len(both.records) == 1


def test_identity_is_the_same_when_sent_again_and_differs_otherwise():
    (first,) = found(BOOM).records
    (again,) = found({**BOOM, "_observed_ns": LOGGED_NS + 5}).records
    others = [
        found({**BOOM, "_body": "x"}).records[0],
        found({**BOOM, "_span_id": bytes(8)}).records[0],
        found({**BOOM, "_at_ns": LOGGED_NS + 1}).records[0],
        found(BOOM, service="chat").records[0],
    ]

    assert again.identity == first.identity
    assert len({first.identity, *(one.identity for one in others)}) == 5


def test_two_like_errors_in_one_body_are_two_however_often_it_is_sent():
    twice = [record.identity for record in found(BOOM, BOOM).records]

    assert len(set(twice)) == 2
    assert [record.identity for record in found(BOOM, BOOM).records] == twice


# ---- bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"\xff\xff", PROTOBUF),
        (b"[]", JSON),
        (b"{", JSON),
        (b'{"resourceLogs": {}}', JSON),
        (b'{"resourceLogs": [1]}', JSON),
        (b'{"resourceLogs": [{"resource": {"attributes": 7}, "scopeLogs": [{}]}]}', JSON),
        (b'{"resourceLogs": ' + b"[" * 100_000, JSON),
    ],
)
def test_body_that_cannot_be_read_is_refused_with_a_sentence(body, encoding):
    with pytest.raises(BadBody, match=r"\.$"):
        log_groups(body, encoding, [])


def test_body_of_too_many_records_is_too_large(monkeypatch):
    monkeypatch.setattr(log_bodies, "MAX_LOG_RECORDS", 1)

    for body, encoding in ((protobuf(BOOM, BOOM), PROTOBUF), (otlp_json(BOOM, BOOM), JSON)):
        with pytest.raises(BodyTooLarge, match="2 log records"):
            log_groups(body, encoding, [])


@pytest.mark.parametrize(
    "bad",
    [
        7,
        {"timeUnixNano": "soon"},
        {"timeUnixNano": -1},
        {"attributes": [7]},
        {"body": "plain"},
        {"severityNumber": {}},
        {"attributes": [{"key": "k", "value": {"intValue": "x"}}]},
    ],
)
def test_bad_record_of_json_costs_only_itself(bad):
    plain = json.loads(otlp_json(BOOM))
    plain["resourceLogs"][0]["scopeLogs"][0]["logRecords"].append(bad)
    rejects: list[Reject] = []

    groups = log_groups(json.dumps(plain).encode(), JSON, rejects)

    assert len(error_records(groups).records) == 1
    assert [reject.reason for reject in rejects] == ["bad_json"]
    assert all(b"plain" not in reject.payload for reject in rejects)


def test_json_by_hand_is_read_like_an_sdks():
    body = {
        "resourceLogs": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "search"}}]
                },
                "scopeLogs": [
                    {
                        "logRecords": [
                            {
                                "timeUnixNano": str(LOGGED_NS),
                                "severityNumber": "SEVERITY_NUMBER_ERROR2",
                                "body": {"stringValue": "broke"},
                                "traceId": "not hex",
                                "newField": {"of": "tomorrow"},
                            }
                        ]
                    }
                ],
            }
        ]
    }

    (record,) = error_records(log_groups(json.dumps(body).encode(), JSON, [])).records

    assert (record.type, record.trace_id, record.at) == ("broke", "", LOGGED)
