"""One row of Langfuse's, in each of its spellings."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ingest import privacy
from ingest.records import SpanRecord
from ingest.sources import langfuse_observation as langfuse
from ingest.sources.langfuse_observation import BadRow, reject, score, span, with_trace

START = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
PROMPT = "Please tell me, in a few words, what this contract says about its end."

V2 = {
    "id": "8f1c0d2e3b4a5968",
    "traceId": "0af7651916cd43dd8448eb211c80319c",
    "projectId": "p1",
    "type": "GENERATION",
    "name": "answer",
    "startTime": "2026-11-10T12:07:00.000Z",
    "endTime": "2026-11-10T12:07:02.500Z",
    "completionStartTime": "2026-11-10T12:07:00.400Z",
    "updatedAt": "2026-11-10T12:08:00.123Z",
    "parentObservationId": "aaaaaaaaaaaaaaaa",
    "level": "DEFAULT",
    "environment": "production",
    "userId": "ann",
    "sessionId": "s1",
    "tags": ["beta", "eu"],
    "traceName": "chat",
    "providedModelName": "gpt-4o-2024-08-06",
    "usageDetails": {
        "input": 176,
        "input_cached_tokens": 1024,
        "output": 150,
        "output_reasoning_tokens": 50,
        "total": 1400,
    },
    "costDetails": {"input": 0.001, "output": 0.0025, "total": 0.0035},
    "totalCost": 0.0035,
    "latency": 2.5,
    "timeToFirstToken": 0.4,
    "input": PROMPT,
    "output": "It ends after two years.",
    "metadata": {"ls_provider": "OpenAI", "region": "eu", "question": "secret"},
}
RECORD = {
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
    "span_id": "8f1c0d2e3b4a5968",
    "external_id": "8f1c0d2e3b4a5968",
    "parent_span_id": "aaaaaaaaaaaaaaaa",
    "started_at": START,
    "ended_at": START.replace(second=2, microsecond=500_000),
    "version": 1_794_312_480_123_000,
    "kind": "llm",
    "name": "answer",
    "provider": "openai",
    "model": "gpt-4o-2024-08-06",
    "user_id": "ann",
    "session_id": "s1",
    "ttft_ms": 400.0,
    "input_tokens": 176,
    "cache_read_tokens": 1024,
    "output_tokens": 150,
    "reasoning_tokens": 50,
    "usage_convention": "exclusive",
    "source_cost_usd": Decimal("0.0035"),
    "input_chars": len(PROMPT),
    "output_chars": 24,
}


def taken(key, keeps_text=False, **changes) -> SpanRecord:
    return span({**V2, **changes}, key=key, keeps_text=keeps_text)


def said(record: SpanRecord) -> dict:
    return {name: getattr(record, name) for name in RECORD}


def test_observation_of_the_second_api(key):
    record = taken(key)

    assert said(record) == RECORD
    mark = privacy.prompt(PROMPT, key)
    assert (record.prompt_hash, record.prefix_hashes) == (mark.prompt, mark.prefixes)
    assert record.prompt_signature == mark.signature
    assert record.raw_usage == {"usageDetails": V2["usageDetails"]}
    assert record.problem(START) is None


def test_every_spelling_is_the_same_observation(key):
    model = {"model": V2["providedModelName"], "providedModelName": None}
    first_api = {
        **model,
        "totalCost": None,
        "costDetails": {},
        "calculatedTotalCost": "0.0035",
        "usage": {"input": 1200, "output": 200, "total": 1400, "unit": "TOKENS"},
        "promptTokens": 1200,
        "usageDetails": {name: str(count) for name, count in V2["usageDetails"].items()},
        "timeToFirstToken": "0.4",
        "completionStartTime": None,
    }
    posted = {
        **model,
        "usageDetails": {
            "prompt_tokens": 1200,
            "completion_tokens": 200,
            "total_tokens": 1400,
            "prompt_tokens_details": {"cached_tokens": 1024},
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
        "timestamp": V2["updatedAt"],
        "updatedAt": None,
    }

    assert said(taken(key, **first_api)) == RECORD
    assert said(taken(key, **posted)) == {**RECORD, "usage_convention": "inclusive"}


def usage_of(key, **changes):
    empty = {"usageDetails": None, "costDetails": None, "totalCost": None}
    record = taken(key, **{**empty, **changes})
    return record.input_tokens, record.cache_read_tokens, record.output_tokens


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ({}, (None, None, None)),
        ({"usageDetails": {}}, (None, None, None)),
        ({"usageDetails": {"input": 0, "output": 0}}, (0, None, 0)),
        ({"usageDetails": {"total": 9}}, (None, None, None)),
        ({"usageDetails": {"input": 3, "input_text_tokens": 4, "output": 1}}, (7, None, 1)),
        ({"usageDetails": {"input": 3, "output": 1, "service_tier": "standard"}}, (3, None, 1)),
        (
            {
                "usageDetails": {
                    "input_tokens": 5,
                    "cache_read_input_tokens": 90,
                    "output_tokens": 2,
                }
            },
            (5, 90, 2),
        ),
        (
            {
                "usageDetails": {
                    "input_tokens": 100,
                    "output_tokens": 2,
                    "total_tokens": 102,
                    "input_tokens_details": {"cached_tokens": 90},
                }
            },
            (10, 90, 2),
        ),
        ({"usage": {"input": 0, "output": 0, "total": 0}}, (None, None, None)),
        ({"usage": {"input": 8, "output": 0, "total": 8, "unit": "TOKENS"}}, (8, None, 0)),
        ({"usage": {"input": 8, "output": 2, "unit": "CHARACTERS"}}, (None, None, None)),
        ({"usage": {"promptTokens": 8, "completionTokens": 2}}, (8, None, 2)),
        ({"promptTokens": 8, "completionTokens": 2, "totalTokens": 10}, (8, None, 2)),
        ({"usage": {"prompt_tokens": 8, "completion_tokens": "2"}}, (8, None, 2)),
    ],
)
def test_usage_in_its_spellings(key, row, counts):
    assert usage_of(key, **row) == counts


def test_what_is_no_token_class_is_kept_as_a_label(key):
    searches = taken(key, usageDetails={"input": 3, "searches": 2})
    characters = taken(key, usageDetails={}, usage={"input": 8, "unit": "CHARACTERS"})
    total = taken(key, usageDetails={"total": 9})

    assert searches.attributes["langfuse.usage.searches"] == 2
    assert characters.attributes["langfuse.usage.input.characters"] == 8
    assert total.attributes["langfuse.usage.total"] == 9


@pytest.mark.parametrize(
    ("row", "cost"),
    [
        ({}, None),
        ({"totalCost": 0}, None),
        ({"costDetails": {"total": 0}}, Decimal(0)),
        ({"costDetails": {"input": "0.1", "output": "0.02"}}, Decimal("0.12")),
        ({"totalCost": 8e-07}, Decimal("8E-7")),
        ({"totalCost": "0.0000000000000000001"}, Decimal("1E-19")),
        ({"calculatedTotalCost": 0.3}, Decimal("0.3")),
        ({"usage": {"input": 1, "output": 1, "totalCost": 0.5}}, Decimal("0.5")),
    ],
)
def test_its_own_cost_is_an_exact_decimal(key, row, cost):
    empty = {"costDetails": {}, "totalCost": None}
    assert taken(key, **{**empty, **row}).source_cost_usd == cost


@pytest.mark.parametrize(
    ("row", "ttft_ms"),
    [
        ({"timeToFirstToken": 0.4}, 400.0),
        ({"timeToFirstToken": 400}, 400.0),  # 400 seconds would be after the end
        ({"timeToFirstToken": 400, "endTime": None}, 400_000.0),
        ({"timeToFirstToken": 90_000}, None),
        ({"completionStartTime": "2026-11-10T12:06:59Z"}, None),
        ({}, None),
    ],
)
def test_time_to_first_token_in_milliseconds(key, row, ttft_ms):
    empty = {"completionStartTime": None, "timeToFirstToken": None}
    assert taken(key, **{**empty, **row}).ttft_ms == ttft_ms


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        ("GENERATION", "llm"), ("EMBEDDING", "embedding"), ("EVENT", "span"), ("SPAN", "span"),
        ("AGENT", "agent"), ("TOOL", "tool"), ("RETRIEVER", "retriever"), ("NEW", "llm"),
    ],
)  # fmt: skip
def test_kind(key, kind, ours):
    assert taken(key, type=kind).kind == ours


def test_model_server_without_tokens_is_an_inference(key):
    metadata = {"attributes": {"gen_ai.system": "triton"}}
    assert taken(key, metadata=metadata, usageDetails=None).kind == "inference"


def test_error_keeps_its_class_and_not_its_message(key):
    failed = taken(key, level="ERROR", statusMessage=f"RateLimitError: {PROMPT}")
    silent = taken(key, level="ERROR", statusMessage=PROMPT)

    assert (failed.status, failed.error_type) == ("error", "RateLimitError")
    assert (silent.status, silent.error_type) == ("error", "")


def test_no_text_is_kept_unless_the_project_does(key):
    closed, opened = taken(key), taken(key, keeps_text=True)

    assert PROMPT not in repr(closed)
    assert "two years" not in repr(closed)
    assert "secret" not in repr(closed)
    assert closed.texts is None
    assert opened.texts == {
        "langfuse.observation.input": PROMPT,
        "langfuse.observation.output": "It ends after two years.",
    }
    assert closed.attributes == {
        "langfuse.environment": "production",
        "langfuse.observation.level": "DEFAULT",
        "langfuse.trace.name": "chat",
        "langfuse.trace.tags": ["beta", "eu"],
        "langfuse.observation.metadata.ls_provider": "OpenAI",
        "langfuse.observation.metadata.region": "eu",
    }


def test_prompt_is_the_same_whether_it_comes_as_json_or_as_its_string(key):
    messages = [{"role": "user", "content": PROMPT}]

    as_json = taken(key, input=messages)
    assert as_json.prompt_hash == taken(key, input=json.dumps(messages)).prompt_hash
    assert as_json.prompt_hash != taken(key).prompt_hash
    assert taken(key, input=None).prompt_hash is None


def test_trace_fills_in_what_the_observation_does_not_say(key):
    trace = {"id": "t", "userId": "ben", "sessionId": "s9", "tags": ["eu"], "name": "chat"}
    alone = {**V2, "userId": None, "sessionId": "own", "tags": []}

    record = span(with_trace(alone, trace), key=key, keeps_text=False)

    assert (record.user_id, record.session_id) == ("ben", "own")
    assert record.attributes["langfuse.trace.tags"] == ["eu"]
    assert with_trace(alone, None) is alone


def test_observation_without_a_trace_is_a_trace_of_its_own(key):
    assert taken(key, traceId=None).trace_id == V2["id"]


@pytest.mark.parametrize(
    ("row", "reason", "field"),
    [
        ({"id": ""}, "bad_id", "id"),
        ({"id": 7}, "bad_id", "id"),
        ({"traceId": "x" * 201}, "bad_id", "traceId"),
        ({"startTime": None}, "missing_start", "startTime"),
        ({"startTime": "yesterday"}, "bad_time", "startTime"),
        ({"endTime": 5}, "bad_time", "endTime"),
        ({"usageDetails": {"input": -1}}, "bad_tokens", "usageDetails.input"),
        ({"usageDetails": {"input": 1.5}}, "bad_tokens", "usageDetails.input"),
        ({"usageDetails": {"input": True}}, "bad_tokens", "usageDetails.input"),
        ({"usageDetails": {"input": "1e999999999"}}, "bad_tokens", "usageDetails.input"),
        ({"usageDetails": {"input": "NaN"}}, "bad_tokens", "usageDetails.input"),
    ],
)
def test_row_that_cannot_be_taken_says_why(key, row, reason, field):
    with pytest.raises(BadRow) as bad:
        taken(key, **row)

    assert (bad.value.reason, bad.value.field) == (reason, field)
    kept = reject({**V2, **row}, bad.value, langfuse.OBSERVATION)
    assert kept.reason == reason
    assert PROMPT.encode() not in kept.payload


def test_text_that_no_database_holds_is_mended(key):
    record = taken(key, id="a\0b", name="half \ud83d pair", tags=["nul\0"])

    assert (record.span_id, record.name) == ("a\ufffdb", "half ? pair")
    assert record.attributes["langfuse.trace.tags"] == ["nul\ufffd"]


def test_parameters_are_hashed(key):
    warm = taken(key, modelParameters={"temperature": 1, "service_tier": "flex"})
    cold = taken(key, modelParameters='{"temperature": 0}')

    assert warm.tier == "flex"
    assert None not in (warm.parameters_hash, cold.parameters_hash)
    assert warm.parameters_hash != cold.parameters_hash


def test_what_is_no_object_is_a_reject(key):
    with pytest.raises(BadRow) as bad:
        span(["a"], key=key, keeps_text=False)

    assert reject(["a"], bad.value, langfuse.OBSERVATION).external_id == ""


SCORE = {
    "id": "score-1",
    "traceId": "t1",
    "observationId": "o1",
    "name": "correct",
    "value": 1,
    "timestamp": "2026-11-10T12:07:00Z",
    "updatedAt": "2026-11-10T12:08:00.123Z",
}


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ({"dataType": "NUMERIC", "value": 0.7}, (0.7, None, None)),
        ({"value": 1}, (1.0, None, None)),
        ({"value": "0.7", "dataType": "NUMERIC"}, (0.7, None, None)),
        ({"dataType": "BOOLEAN", "value": 1, "stringValue": "True"}, (None, None, True)),
        ({"dataType": "BOOLEAN", "value": False}, (None, None, False)),
        ({"value": True}, (None, None, True)),
        ({"dataType": "CATEGORICAL", "value": 2, "stringValue": "good"}, (None, "good", None)),
        ({"value": "good"}, (None, "good", None)),
    ],
)
def test_score_has_exactly_one_value(row, value):
    record = score({**SCORE, **row})

    assert (record.number, record.label, record.truth) == value
    assert (record.external_id, record.trace_id, record.span_id) == ("score-1", "t1", "o1")
    assert (record.at, record.version) == (START, 1_794_312_480_123_000)


@pytest.mark.parametrize(
    ("subject", "ids"),
    [
        ({"kind": "observation", "id": "o7", "traceId": "t7"}, ("t7", "o7")),
        ({"kind": "trace", "id": "t8"}, ("t8", "")),
    ],
)
def test_subject_of_the_third_api(subject, ids):
    row = {**SCORE, "subject": subject, "traceId": None, "observationId": None}
    record = score(row)

    assert (record.trace_id, record.span_id) == ids


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"traceId": None, "sessionId": "s1"}, "score_without_trace"),
        ({"subject": {"kind": "session", "id": "s1"}, "traceId": None}, "score_without_trace"),
        ({"timestamp": None}, "missing_time"),
        ({"value": None}, "bad_score"),
        ({"value": float("nan")}, "bad_score"),
        ({"value": 3, "dataType": "BOOLEAN"}, "bad_score"),
        ({"value": "", "dataType": "CATEGORICAL"}, "bad_score"),
        ({"value": PROMPT}, "score_is_text"),
        ({"stringValue": "fine", "value": None, "dataType": "CORRECTION"}, "score_is_text"),
    ],
)
def test_score_that_cannot_be_taken_says_why(row, reason):
    with pytest.raises(BadRow) as bad:
        score({**SCORE, **row})

    assert bad.value.reason == reason
    assert PROMPT.encode() not in reject({**SCORE, **row}, bad.value, langfuse.SCORE).payload
