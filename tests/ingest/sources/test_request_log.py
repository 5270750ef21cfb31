import gzip
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from ingest.records import Reject, SpanRecord
from ingest.sources import REGISTRY
from ingest.sources.base import BadFile

ADAPTER = REGISTRY["request_log"]
COLUMNS = {"started_at": "at", "input_tokens": "in", "output_tokens": "out"}


def read(path, text, *, name="log.csv", columns=None, **config):
    file = path / name
    if isinstance(text, str):
        text = text.encode()
    file.write_bytes(text)
    return list(ADAPTER.read(file, {"columns": {**COLUMNS, **(columns or {})}, **config}))


def test_azure_trace_matches_an_independent_reader(shared):
    path = shared("llm_requests/azure2023_code.csv.gz")
    rows, tokens_in, tokens_out, first, last = duckdb.sql(
        "SELECT count(*), sum(input_tokens), sum(output_tokens), min(ts), max(ts)"
        f" FROM read_csv('{path}', types={{'ts': 'TIMESTAMP_NS'}})"
    ).fetchall()[0]

    spans = list(
        ADAPTER.read(
            path, {"preset": "azure2023_code", "constants": {"provider": "azure", "model": "gpt-4"}}
        )
    )

    assert len(spans) == rows == 8819
    assert sum(span.input_tokens for span in spans) == tokens_in
    assert sum(span.output_tokens for span in spans) == tokens_out
    assert min(span.started_at for span in spans) == first.replace(tzinfo=UTC)
    assert max(span.started_at for span in spans) == last.replace(tzinfo=UTC)
    assert {(span.provider, span.model, span.kind) for span in spans} == {("azure", "gpt-4", "llm")}
    assert len({span.span_id for span in spans}) == rows
    assert all(span.problem(datetime.now(UTC)) is None for span in spans)


def test_mooncake_trace_matches_an_independent_reader(shared):
    path = shared("llm_requests/mooncake_conversation_first30min.jsonl.gz")
    rows, tokens_in, tokens_out, blocks, last_ms = duckdb.sql(
        "SELECT count(*), sum(input_length), sum(output_length), sum(len(hash_ids)),"
        f" max(timestamp) FROM read_json('{path}')"
    ).fetchall()[0]

    spans = list(ADAPTER.read(path, {"preset": "mooncake", "start": "2026-11-01T00:00:00Z"}))

    assert len(spans) == rows == 5719
    assert sum(span.input_tokens for span in spans) == tokens_in
    assert sum(span.output_tokens for span in spans) == tokens_out
    assert sum(len(span.prefix_hashes) for span in spans) == blocks
    assert {span.prefix_hashes[0] for span in spans} == {bytes(8)}
    assert max(span.started_at for span in spans) == datetime(2026, 11, 1, tzinfo=UTC) + timedelta(
        milliseconds=last_ms
    )


def test_every_column_finds_its_field(tmp_path):
    columns = {
        "trace_id": "trace", "span_id": "span", "latency_ms": "ms", "ttft_ms": "first",
        "cache_read_tokens": "cached", "reasoning_tokens": "thought", "model": "model",
        "provider": "vendor", "user_id": "user", "status": "status", "prefix_blocks": "blocks",
        "tier": "tier", "service": "app",
    }  # fmt: skip
    text = (
        "trace,span,at,ms,first,in,out,cached,thought,model,vendor,user,status,blocks,tier,app\n"
        "t1,s1,2026-11-10T12:00:00+02:00,250.5,80,1000,200,600,50,gpt-4o,OpenAI,ann,500,"
        "7 8 zz,default,shop\n"
    )

    [span] = read(tmp_path, text, columns=columns)

    assert span == SpanRecord(
        trace_id="t1",
        span_id="s1",
        started_at=datetime(2026, 11, 10, 10, tzinfo=UTC),
        ended_at=datetime(2026, 11, 10, 10, 0, 0, 250500, tzinfo=UTC),
        external_id="line 2",
        version=int(datetime(2026, 11, 10, 10, tzinfo=UTC).timestamp()) * 1_000_000 + 250500,
        kind="llm",
        service="shop",
        provider="openai",
        model="gpt-4o",
        request_model="gpt-4o",
        status="error",
        user_id="ann",
        ttft_ms=80.0,
        input_tokens=400,
        cache_read_tokens=600,
        output_tokens=150,
        reasoning_tokens=50,
        usage_convention="inclusive",
        prefix_hashes=span.prefix_hashes,
    )
    assert span.prefix_hashes[:2] == (bytes(7) + b"\7", bytes(7) + b"\x08")
    assert len(span.prefix_hashes[2]) == 8


@pytest.mark.parametrize(
    ("time_format", "told"),
    [
        ("epoch_s", "1762776000.25"),
        ("epoch_ms", "1762776000250"),
        ("offset_s", "43200.25"),
        ("offset_ms", "43200250"),
        ("iso", "2025-11-10 12:00:00.2500000"),
    ],
)
def test_time_formats(tmp_path, time_format, told):
    [span] = read(
        tmp_path, f"at,in,out\n{told},1,2\n", time_format=time_format, start="2025-11-10T00:00:00Z"
    )

    assert span.started_at == datetime(2025, 11, 10, 12, 0, 0, 250000, tzinfo=UTC)


def test_loading_again_makes_the_same_ids_and_equal_rows_stay_two(tmp_path):
    text = "at,in,out\n2026-11-10,1,2\n2026-11-10,1,2\n"

    first, again = read(tmp_path, text), read(tmp_path, text)

    assert first == again
    assert first[0].span_id != first[1].span_id
    assert first[0].trace_id != first[1].trace_id


def test_gzip_of_the_same_file_gives_the_same_spans(tmp_path):
    text = b"at,in,out\n2026-11-10,1,2\n"

    assert read(tmp_path, gzip.compress(text), name="log.csv.gz") == read(tmp_path, text)


def test_same_requests_moved_in_time_are_other_requests(tmp_path):
    config = {"time_format": "offset_ms"}

    [one] = read(tmp_path, "at,in,out\n0,1,2\n", start="2026-11-10", **config)
    [other] = read(tmp_path, "at,in,out\n0,1,2\n", start="2026-11-11", **config)

    assert one.span_id != other.span_id


def test_unknown_stays_unknown(tmp_path):
    [span] = read(tmp_path, "at,in,out\n2026-11-10,,\n")

    assert span.input_tokens is None
    assert span.output_tokens is None
    assert span.ended_at is None


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        ("soon,1,2", "bad_time", "at"),
        (",1,2", "missing_time", "at"),
        ("2026-11-10,-1,2", "bad_tokens", "in"),
        ("2026-11-10,1,1e3", "bad_tokens", "out"),
        ("2026-11-10,1,1_000", "bad_tokens", "out"),
        ("2026-11-10,1,١٢", "bad_tokens", "out"),
        ("2026-11-10,1," + "9" * 400, "bad_tokens", "out"),
        ("2026-11-10,1", "unreadable_row", ""),
        ("2026-11-10,1,2,3", "unreadable_row", ""),
        ('2026-11-10,"1"x,2', "unreadable_row", ""),
    ],
)
def test_bad_row_names_its_line_and_column(tmp_path, row, reason, column):
    good = "2026-11-10,1,2"

    before, bad, after = read(tmp_path, f"at,in,out\n{good}\n{row}\n{good}\n")

    assert isinstance(before, SpanRecord)
    assert isinstance(after, SpanRecord)
    assert (bad.reason, bad.field, bad.line) == (reason, column, 3)
    assert bad.detail.startswith("Line 3")
    assert bad.detail.endswith(".")


@pytest.mark.parametrize(
    ("field", "cell", "reason"),
    [("latency_ms", "nan", "bad_number"), ("latency_ms", "-1", "bad_duration"),
     ("latency_ms", "1e400", "bad_number"), ("status", "perhaps", "bad_status")],
)  # fmt: skip
def test_bad_cell_is_a_reject(tmp_path, field, cell, reason):
    [bad] = read(tmp_path, f"at,in,out,x\n2026-11-10,1,2,{cell}\n", columns={field: "x"})

    assert (bad.reason, bad.field) == (reason, "x")


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"at": "2026-11-10", "in": 1.5, "out": 1}', '{"at": NaN, "in": 1, "out": 1}',
     '{"at": "2026-11-10", "in": true, "out": 1}', "[" * 100_000],
)  # fmt: skip
def test_bad_json_line_is_a_reject(tmp_path, line):
    good = json.dumps({"at": "2026-11-10", "in": 1, "out": 2})

    before, bad, after = read(tmp_path, f"{good}\n{line}\n{good}\n", name="upload")

    assert isinstance(bad, Reject)
    assert bad.line == 2
    assert replace(before, external_id="", trace_id="", span_id="") == replace(
        after, external_id="", trace_id="", span_id=""
    )


def test_reject_keeps_no_prompt(tmp_path):
    [bad] = read(tmp_path, "at,in,out,prompt\n2026-11-10,-1,2,secret\n")

    assert json.loads(bad.payload)["prompt"] == "[text of 6 characters]"


def test_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    assert len(read(tmp_path, b"\xef\xbb\xbfat,in,out\n2026-11-10,1,2\n")) == 1


def test_bytes_that_are_no_utf8_cost_their_row_only(tmp_path):
    rows = read(tmp_path, b"at,in,out\n2026-11-10,1,\xff\n2026-11-10,1,2\n")

    assert [type(row) for row in rows] == [Reject, SpanRecord]
    assert "UTF-8" in rows[0].detail


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"at;in;out\n1;2;3\n", "set the delimiter"),
        (b"at,in\n1,2\n", "no column out"),
        (b"at,in,in\n1,2,3\n", "two columns named in"),
        ("at,in,out\n".encode("utf-16"), "is UTF-16"),
        (gzip.compress(b"at,in,out\n2026-11-10,1,2\n", mtime=0)[:-5], "damaged or cut off"),
    ],
)
def test_unreadable_file_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(BadFile, match=message):
        read(tmp_path, content)


def test_semicolons_are_read_when_said_so(tmp_path):
    assert len(read(tmp_path, "at;in;out\n2026-11-10;1;2\n", delimiter=";")) == 1


def test_endless_cell_ends_at_its_row(tmp_path):
    huge = "x" * (9 * 1024 * 1024)

    rows = read(tmp_path, f"at,in,out\n2026-11-10,1,{huge}\n2026-11-10,1,2\n")

    assert [type(row) for row in rows] == [Reject, SpanRecord]


# ---- a log of whole replies -------------------------------------------------------------------

REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "service_tier": "flex",
    "choices": [{"message": {"role": "assistant", "content": "Rumpelstilzchen"}}],
    "usage": {
        "prompt_tokens": 1149,
        "completion_tokens": 353,
        "total_tokens": 1502,
        "prompt_tokens_details": {"cached_tokens": 1024},
    },
}
REPLIES = {"columns": {"started_at": "at", "reply": "response"}}


def read_replies(path, *rows, **config):
    file = path / "log.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows))
    return list(ADAPTER.read(file, {**REPLIES, **config}))


@pytest.mark.parametrize("logged", [REPLY, json.dumps(REPLY)])
def test_log_of_replies_needs_no_counts(tmp_path, logged):
    [span] = read_replies(tmp_path, {"at": "2026-11-10T12:00:00Z", "response": logged})

    assert (span.model, span.tier, span.status) == ("gpt-4o-2024-08-06", "flex", "ok")
    assert (span.input_tokens, span.cache_read_tokens, span.output_tokens) == (125, 1024, 353)
    assert (span.usage_convention, span.raw_usage) == ("inclusive", REPLY["usage"])
    assert "Rumpelstilzchen" not in repr(span)


def test_log_of_streamed_replies_is_read_too(tmp_path):
    usage = {"input_tokens": 4, "cache_read_input_tokens": 1165, "output_tokens": 1}
    start = {"type": "message_start", "message": {"model": "claude-sonnet-4", "usage": usage}}
    end = {"type": "message_delta", "usage": {"output_tokens": 207}}
    stream = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in (start, end))

    [span] = read_replies(tmp_path, {"at": "2026-11-10T12:00:00Z", "response": stream})

    assert (span.provider, span.model) == ("anthropic", "claude-sonnet-4")
    assert (span.input_tokens, span.cache_read_tokens, span.output_tokens) == (4, 1165, 207)
    assert span.usage_convention == "exclusive"


def test_refused_request_is_an_error_with_unknown_usage(tmp_path):
    refused = {"error": {"type": "rate_limit_exceeded", "message": "Rumpelstilzchen"}}

    [span] = read_replies(tmp_path, {"at": "2026-11-10T12:00:00Z", "response": refused})

    assert (span.status, span.error_type) == ("error", "rate_limit_exceeded")
    assert (span.input_tokens, span.output_tokens, span.raw_usage) == (None, None, None)


@pytest.mark.parametrize(
    ("logged", "reason"),
    [
        ("Rumpelstilzchen", "bad_reply"),
        ([1], "bad_reply"),
        ({"object": "model"}, "bad_reply"),
        ({**REPLY, "usage": {"prompt_tokens": -1}}, "bad_tokens"),
    ],
)
def test_what_is_no_reply_costs_its_row_and_leaks_no_text(tmp_path, logged, reason):
    good = {"at": "2026-11-10T12:00:00Z", "response": REPLY}

    bad, span = read_replies(tmp_path, {"at": "2026-11-10T12:00:00Z", "response": logged}, good)

    assert isinstance(bad, Reject)
    assert (bad.reason, bad.field, bad.line) == (reason, "response", 1)
    assert "Rumpelstilzchen" not in repr(bad)
    assert isinstance(span, SpanRecord)


def test_every_recorded_exchange_can_be_loaded_from_a_log(tmp_path, shared):
    with gzip.open(shared("formats/provider_api_exchanges.jsonl.gz"), "rt") as lines:
        rows = [
            {"at": "2026-11-10T12:00:00Z", "response": json.loads(line)["response"]}
            for line in lines
        ]

    spans = read_replies(tmp_path, *rows)

    assert len(spans) == 285
    assert all(isinstance(span, SpanRecord) for span in spans)
    assert sum(span.has_usage for span in spans) == 265
