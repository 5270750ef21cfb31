"""What no honest sender sends: told what to mend, never a 5xx, and nothing half taken."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pytest
from django.db.models import Sum
from django.test import Client

from ingest import files, rollup, store
from ingest.models import Reject, Span, SpanHour
from ingest.sources.base import BadFile
from tests.factories.ingest import PoolFactory, SourceFactory, push_token
from tests.ingest.make import bill_line, span
from tests.ingest.sources.otlp_body import START_NS, body

pytestmark = [pytest.mark.django_db, pytest.mark.urls("ingest.urls")]

DOORS = ("/v1/traces", "/v1/logs", "/api/public/ingestion", "/api/public/scores", "/v1/gpu-samples")
HOSTILE = {
    "nothing": b" ",
    "cut off": b'{"resourceSpans": [{"sco',
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 5_000 + b"]" * 5_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "NaN": b'{"resourceSpans": NaN, "batch": Infinity, "host": -Infinity}',
    "a number of 5,000 digits": b'{"batch": ' + b"9" * 5_000 + b"}",
    "half a surrogate pair": b'{"batch": ["\\ud800"], "host": "\\udfff"}',
    "NUL": b'{"batch": [{"id": "\\u0000"}], "host": "\\u0000"}',
    "names twice": b'{"batch": [], "batch": 5, "host": "a", "host": "b"}',
    "Latin-1": '{"batch": "é"}'.encode("latin-1"),
    "UTF-16": '{"batch": []}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"batch": {}}',
    "another type": b'"text"',
    "null": b"null",
    "a list of nothing": b"[null, 1, true, [], {}]",
    "wrong insides": b'{"resourceSpans": [{"scopeSpans": 5}], "resourceLogs": [1], "batch": 5}',
}


@pytest.fixture
def tokens():
    gpus = SourceFactory(kind="gpu", pool=PoolFactory(name="h100"))
    traces = push_token(SourceFactory())
    return {**dict.fromkeys(DOORS, traces), "/v1/gpu-samples": push_token(gpus, "gpu:write")}


def send(path, token, payload, content_type="application/json", **headers):
    headers = {"Authorization": f"Bearer {token}", **headers}
    return Client().post(path, payload, content_type, headers=headers)


@pytest.mark.parametrize("path", DOORS)
def test_hostile_json_is_told_what_to_mend(tokens, path):
    for name, payload in HOSTILE.items():
        answer = send(path, tokens[path], payload)
        assert answer.status_code in (200, 202, 207, 400), (name, answer.status_code)
        if answer.status_code == 400:
            told = answer.json()
            assert told.get("detail") or told.get("message"), name
    assert Span.objects.count() == 0


@pytest.mark.parametrize("path", DOORS)
def test_bomb_and_unknown_charset_are_refused(tokens, path):
    bomb = gzip.compress(b" " * (64 * 1024 * 1024), 9)
    assert len(bomb) * 900 < 64 * 1024 * 1024
    assert send(path, tokens[path], bomb, **{"Content-Encoding": "gzip"}).status_code == 413
    # Django's own client would look the charset up.
    told = {"CONTENT_TYPE": "application/json; charset=klingon"}
    odd = {**told, "HTTP_AUTHORIZATION": f"Bearer {tokens[path]}"}
    assert Client().generic("POST", path, b"{}", **odd).status_code in (200, 400)
    wrong = send(path, tokens[path], b"a=1", "application/x-www-form-urlencoded")
    assert wrong.status_code == 415


def test_span_of_no_length_is_taken_and_one_that_ends_first_is_not(tokens):
    told = [{"_end_ns": START_NS}, {"_end_ns": START_NS - 1}]
    answer = send("/v1/traces", tokens["/v1/traces"], body(*told), "application/x-protobuf")
    assert answer.status_code == 200
    assert [one.latency_ms for one in Span.objects.all()] == [0.0]
    assert list(Reject.objects.values_list("reason", flat=True)) == ["ends_before_start"]


def test_spans_that_are_each_others_parents_end_no_process(tokens):
    ids = [b"\1" * 8, b"\2" * 8, b"\3" * 8]
    usage = {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 1,
        "_trace_id": b"\7" * 16,
    }
    pair = [
        {**usage, "_span_id": ids[0], "_parent": ids[1]},
        {**usage, "_span_id": ids[1], "_parent": ids[0]},
        {**usage, "_span_id": ids[2], "_parent": ids[2]},
    ]
    for _ in range(2):
        sent = send("/v1/traces", tokens["/v1/traces"], body(*pair), "application/x-protobuf")
        assert sent.status_code == 200
        while rollup.roll_up():
            pass
    assert Span.objects.count() == 3
    assert SpanHour.objects.aggregate(n=Sum("spans"))["n"] == 3


def test_usage_of_a_span_that_is_its_own_parent_counts():
    own = span(1, parent_span_id=f"{1:016x}", input_tokens=5)
    store.spans(SourceFactory(), [own])
    rollup.roll_up()
    assert SpanHour.objects.aggregate(n=Sum("input_tokens"))["n"] == 5


@pytest.mark.parametrize("count", [-1, 10**18, 2**63 - 1])
def test_impossible_tokens_are_quarantined_with_the_reason(count):
    source = SourceFactory()
    counts = store.spans(source, [span(1, input_tokens=count), span(2)])
    assert (counts.inserted, counts.rejected) == (1, 1)
    assert Reject.objects.get().reason == "impossible_tokens"


def test_currencies_of_one_bill_are_never_added_together():
    from ingest.models import BillDay

    source = SourceFactory(kind="focus_csv", pool=None, project=None)
    rows = [
        bill_line(1), bill_line(2, billing_currency="EUR"),
        bill_line(3, billing_currency="CREDITS", provider_name="OpenAI"),
    ]  # fmt: skip
    store.bill(source, name="a.csv", sha256=b"1" * 32, complete=True, rows=rows)
    found = BillDay.objects.order_by("currency").values_list("currency", "effective_cost")
    assert [(currency, str(cost.normalize())) for currency, cost in found] == [
        ("CREDITS", "12.5"), ("EUR", "12.5"), ("USD", "12.5"),
    ]  # fmt: skip


def zipped(**inside: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
    return packed.getvalue()


@pytest.mark.parametrize("kind", ["focus_csv", "bill_file", "request_log"])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(zipped(**{"../../../../tmp/evil.csv": b"a,b\n1,2\n"}), id="slip"),
        pytest.param(zipped(**{"inner.zip": zipped(**{"a.csv": b"a\n1\n"})}), id="nested"),
    ],
)
def test_archive_is_refused_whatever_it_holds(tmp_path, kind, content):
    columns = {"started_at": "at", "input_tokens": "in", "output_tokens": "out"}
    config = {"columns": columns} if kind == "request_log" else {}
    source = SourceFactory(kind=kind, config=config)
    path = tmp_path / "delivery.csv"
    path.write_bytes(content)
    with pytest.raises(BadFile, match="zip archive"):
        files.take(source, path, name="delivery.csv")
    assert list(tmp_path.iterdir()) == [path]
    assert not Reject.objects.exists()


def test_bodies_are_json_of_their_own(tokens):
    """The list above bites: the same door takes what is right."""
    token = tokens["/api/public/ingestion"]
    assert send("/api/public/ingestion", token, json.dumps({"batch": []})).status_code == 207
