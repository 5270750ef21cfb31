"""OTLP/JSON: the same spans in the other encoding."""

import gzip
import json

import pytest

from ingest.sources import otlp
from ingest.sources.base import BadBody, BodyTooLarge
from tests.ingest.sources.conftest import protobuf_of

IDS = {"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331"}
TIMES = {"startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225600250000000"}


def attribute(key, **value):
    return {"key": key, "value": value}


def body(*spans, resource=()) -> bytes:
    scope = {"scope": {"name": "test"}, "spans": list(spans)}
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": list(resource)}, "scopeSpans": [scope]}]}
    ).encode()


def decode(key, payload):
    return otlp.decode(payload, key=key, encoding=otlp.JSON)


def span(key, *attributes, **changes):
    decoded = decode(key, body({**IDS, **TIMES, "attributes": list(attributes), **changes}))
    assert decoded.rejects == []
    return decoded.spans[0]


@pytest.mark.parametrize(
    ("file", "count"),
    [("otlp_json_openinference_a.jsonl.gz", 166), ("otlp_json_traceloop_0.62.jsonl.gz", 334)],
)
def test_recorded_json_says_the_same_as_protobuf(key, shared, file, count):
    seen = 0
    with gzip.open(shared(f"formats/{file}"), "rt") as lines:
        for line in lines:
            ours = decode(key, line.encode())
            theirs = otlp.decode(protobuf_of(line), key=key)
            assert (ours.spans, ours.scores) == (theirs.spans, theirs.scores)
            assert ours.rejects == []
            seen += len(ours.spans)
    assert seen == count


def test_ids_are_hex_and_numbers_may_be_strings(key):
    text = span(key, attribute("gen_ai.usage.input_tokens", intValue="1200"))
    number = span(
        key,
        attribute("gen_ai.usage.input_tokens", intValue=1200),
        startTimeUnixNano=1767225600000000000,
        endTimeUnixNano=1767225600250000000,
    )

    assert text == number
    assert (text.trace_id, text.span_id) == (IDS["traceId"], IDS["spanId"])
    assert (text.input_tokens, text.latency_ms) == (1200, 250)


@pytest.mark.parametrize("code", [2, "STATUS_CODE_ERROR"])
def test_enums_are_numbers_or_names(key, code):
    assert span(key, status={"code": code}).status == "error"
    assert span(key, status={"code": "STATUS_CODE_NEW"}).status == "ok"
    assert span(key, kind="SPAN_KIND_CLIENT").status == "ok"


def test_every_type_of_value_is_read(key):
    made = span(
        key,
        attribute("a", stringValue="x"),
        attribute("b", boolValue=False),
        attribute("c", intValue="-3"),
        attribute("d", doubleValue=0.5),
        attribute("e", arrayValue={"values": [{"stringValue": "y"}]}),
        attribute("f", doubleValue="Infinity"),
        attribute("g", kvlistValue={"values": [attribute("h", intValue=1)]}),
        attribute("i", bytesValue="AAEC"),
        attribute("j"),
        attribute("k", newValue=1),
    )

    assert made.attributes == {
        "a": "x", "b": False, "c": -3, "d": 0.5, "e": ["y"], otlp.DROPPED: 5,
    }  # fmt: skip


def test_events_and_resource_are_read(key):
    first = {"name": "gen_ai.first_token", "timeUnixNano": "1767225600040000000"}
    spans = [{**IDS, **TIMES, "events": [first]}]
    service = attribute("service.name", stringValue="search")

    [made] = decode(key, body(*spans, resource=[service])).spans

    assert (made.ttft_ms, made.service) == (40, "search")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"traceId": "CvdlGRbNQ92ESOshHIAxnA=="}, "bad_id", "traceId"),
        ({"traceId": 7}, "bad_json", "traceId"),
        ({"spanId": ""}, "bad_id", "trace_id"),
        ({"startTimeUnixNano": "soon"}, "bad_json", "startTimeUnixNano"),
        ({"startTimeUnixNano": "-1"}, "bad_json", "startTimeUnixNano"),
        ({"endTimeUnixNano": str(2**64)}, "bad_json", "endTimeUnixNano"),
        ({"startTimeUnixNano": None}, "missing_start", "start_time_unix_nano"),
        ({"attributes": {}}, "bad_json", "attributes"),
        ({"attributes": [1]}, "bad_json", "attributes"),
        ({"attributes": [attribute("a", intValue=2**63)]}, "bad_json", "intValue"),
        ({"attributes": [attribute("a", intValue="1e3")]}, "bad_json", "intValue"),
        ({"attributes": [attribute("a", doubleValue="x")]}, "bad_json", "doubleValue"),
        ({"attributes": [attribute("a", boolValue="x")]}, "bad_json", "boolValue"),
        ({"attributes": [attribute("a", bytesValue="?")]}, "bad_json", "bytesValue"),
        ({"attributes": [attribute("a", stringValue=1)]}, "bad_json", "stringValue"),
        ({"events": [None]}, "bad_json", "events"),
        ({"status": "ok"}, "bad_json", "status"),
    ],
)
def test_bad_span_is_a_reject_and_its_neighbours_are_not(key, changes, reason, field):
    good = {**IDS, **TIMES}

    decoded = decode(key, body(good, {**good, **changes}, good))

    assert len(decoded.spans) == 2
    assert [(one.reason, one.field) for one in decoded.rejects] == [(reason, field)]


def test_reject_keeps_no_text(key):
    text = attribute("input.value", stringValue="Rumpelstilzchen")
    bad = attribute("a", intValue="x")

    [reject] = decode(key, body({**IDS, **TIMES, "attributes": [text, bad]})).rejects

    assert b"Rumpelstilzchen" not in reject.payload
    assert json.loads(reject.payload) == {**IDS, **TIMES}


def nested(depth):
    value = {"stringValue": "x"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    return value


def test_depth_is_bounded(key):
    shallow = {**IDS, **TIMES, "attributes": [attribute("a", **nested(3))]}
    deep = {**IDS, **TIMES, "attributes": [attribute("a", **nested(17))]}

    assert decode(key, body(shallow)).rejects == []
    assert decode(key, body(deep)).rejects[0].detail == ("Nests deeper than 16 values; send less.")
    for brackets in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 80 + b"]" * 80):
        with pytest.raises(BadBody, match="nested too deeply"):
            decode(key, brackets)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{", b"3", b"[]", b'{"resourceSpans": 3}', b'{"resourceSpans": [3]}',
     b'{"resourceSpans": [{"scopeSpans": [{"spans": 1}]}]}',
     b'{"resourceSpans": [{"scopeSpans": [{}], "resource": {"attributes": 3}}]}'],
)  # fmt: skip
def test_body_that_is_no_request_is_refused(key, payload):
    with pytest.raises(BadBody):
        decode(key, payload)


def test_empty_request_is_fine(key):
    assert decode(key, b"{}").spans == []


def test_half_of_a_surrogate_pair_does_not_get_through(key):
    made = span(key, attribute("user.id", stringValue="a\ud800b"), name="\udfff")

    assert (made.user_id, made.name) == ("a?b", "?")


def test_too_many_spans_are_refused(key, monkeypatch):
    monkeypatch.setattr(otlp.bodies, "MAX_SPANS", 2)

    with pytest.raises(BodyTooLarge, match="3 spans"):
        decode(key, body({}, {}, {}))
