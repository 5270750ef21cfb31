from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal

import pytest

from ingest import privacy
from ingest.records import MAX_TOKENS, SpanRecord
from ingest.sources import otlp
from ingest.sources.base import BadBody, BodyTooLarge
from tests.ingest.sources.otlp_body import MS, START, START_NS, body

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.output_tokens": 200,
}
SECRET = "My mother's maiden name is Rumpelstilzchen, what is my password?"


def one(key, *, keeps_text=False, **attributes):
    decoded = otlp.decode(body(attributes), key=key, keeps_text=keeps_text)
    assert decoded.rejects == []
    return decoded.spans[0]


def rejected(key, **attributes):
    decoded = otlp.decode(body(attributes), key=key)
    assert decoded.spans == []
    return decoded.rejects[0]


# ---- what a span says


def test_span_identity_times_and_version(key):
    parent = (9).to_bytes(8, "big")

    span = one(key, _parent=parent, _end_ns=START_NS + 250 * MS + 1_999, **CHAT)

    assert span.trace_id == f"{1:032x}"
    assert span.span_id == f"{1:016x}"
    assert span.parent_span_id == f"{9:016x}"
    assert span.started_at == START
    assert span.ended_at == START + timedelta(milliseconds=250, microseconds=1)
    assert span.version == START_NS // 1000 + 250_001
    assert span.service == "search"


def test_every_field_of_a_span_is_set(key):
    span = one(key, **CHAT)

    assert span == SpanRecord(**{field.name: getattr(span, field.name) for field in fields(span)})


def test_span_that_has_not_ended_has_no_latency(key):
    span = one(key, _end_ns=0, **CHAT)

    assert span.ended_at is None
    assert span.latency_ms is None
    assert span.version == START_NS // 1000


def test_names_of_every_instrumentation_mean_the_same(key):
    new = one(
        key,
        **{
            **CHAT,
            "gen_ai.usage.cache_read.input_tokens": 1024,
            "gen_ai.usage.reasoning.output_tokens": 50,
            "user.id": "ann",
            "gen_ai.conversation.id": "s1",
        },
    )
    old = one(
        key,
        **{
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "OpenAI",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.usage.prompt_tokens": 1200,
            "gen_ai.usage.completion_tokens": 200,
            "gen_ai.usage.cache_read_input_tokens": 1024,
            "gen_ai.usage.reasoning_tokens": 50,
            "enduser.id": "ann",
            "session.id": "s1",
        },
    )
    openinference = one(
        key,
        **{
            "openinference.span.kind": "LLM",
            "llm.provider": "openai",
            "gen_ai.request.model": "gpt-4o",
            "llm.model_name": "gpt-4o-2024-08-06",
            "llm.token_count.prompt": 1200,
            "llm.token_count.completion": 200,
            "llm.token_count.total": 1400,
            "llm.token_count.prompt_details.cache_read": 1024,
            "llm.token_count.completion_details.reasoning": 50,
            "user.id": "ann",
            "session.id": "s1",
        },
    )

    # What each said in its own words is kept as it was said.
    new, old, openinference = (replace(span, raw_usage=None) for span in (new, old, openinference))
    assert new == old == openinference
    assert (new.input_tokens, new.cache_read_tokens) == (176, 1024)
    assert (new.output_tokens, new.reasoning_tokens) == (150, 50)
    assert new.cache_write_5m_tokens is None
    assert new.usage_convention == "inclusive"
    assert (new.kind, new.provider, new.model) == ("llm", "openai", "gpt-4o-2024-08-06")


def test_the_more_trustworthy_of_two_names_wins_in_either_order(key):
    first = one(key, **{"gen_ai.system": "langchain", "gen_ai.provider.name": "openai"})
    second = one(key, **{"gen_ai.provider.name": "openai", "gen_ai.system": "langchain"})

    assert first.provider == second.provider == "openai"


@pytest.mark.parametrize(
    ("told", "provider"),
    [("aws.bedrock", "aws"), ("gcp.vertex_ai", "google"), ("azure.ai.openai", "azure"),
     ("x_ai", "x-ai"), ("mistral_ai", "mistral"), ("OpenAI", "openai"), ("acme", "acme")],
)  # fmt: skip
def test_provider_is_spelt_as_the_price_book_does(key, told, provider):
    assert one(key, **{"gen_ai.provider.name": told}).provider == provider


def test_model_that_was_asked_for_stands_in_for_the_one_that_answered(key):
    span = one(key, **{"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"})

    assert (span.model, span.request_model) == ("gpt-4o", "gpt-4o")
    assert span.input_tokens is None
    assert span.output_tokens is None
    assert span.usage_convention == ""


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        ({"gen_ai.operation.name": "embeddings"}, "embedding"),
        ({"gen_ai.operation.name": "execute_tool"}, "tool"),
        ({"gen_ai.operation.name": "invoke_agent"}, "agent"),
        ({"openinference.span.kind": "RERANKER"}, "rerank"),
        ({"openinference.span.kind": "RETRIEVER"}, "retriever"),
        ({"openinference.span.kind": "GUARDRAIL"}, "guardrail"),
        ({"traceloop.span.kind": "workflow"}, "chain"),
        ({"langfuse.observation.type": "generation"}, "llm"),
        ({"langfuse.observation.type": "evaluator"}, "evaluator"),
        ({"llm.request.type": "completion"}, "llm"),
        ({"gen_ai.usage.input_tokens": 3}, "llm"),
        ({"gen_ai.operation.name": "inference", "gen_ai.system": "triton"}, "inference"),
        ({"gen_ai.operation.name": "chat", "gen_ai.system": "triton"}, "inference"),
        ({"triton.model_name": "resnet", "gen_ai.system": "triton"}, "inference"),
        (
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.system": "triton",
                "gen_ai.usage.output_tokens": 9,
            },
            "llm",
        ),
        ({"http.request.method": "GET"}, "span"),
    ],
)
def test_kind_of_a_span(key, attributes, kind):
    assert one(key, **attributes).kind == kind


def test_service_tier_of_the_answer_beats_the_one_asked_for(key):
    span = one(
        key,
        **{"openai.request.service_tier": "flex", "openai.response.service_tier": "default"},
    )

    assert span.tier == "standard"
    assert one(key, **{"openai.request.service_tier": "Priority"}).tier == "priority"


def test_failed_span_says_why(key):
    by_attribute = one(key, _status=2, **{"error.type": "RateLimitError"})
    by_event = one(key, _status=2, _events=[("exception", 9, {"exception.type": "TimeoutError"})])

    assert (by_attribute.status, by_attribute.error_type) == ("error", "RateLimitError")
    assert (by_event.status, by_event.error_type) == ("error", "TimeoutError")
    assert one(key, _status=1).status == "ok"


def test_time_to_first_token_from_attribute_event_or_langfuse(key):
    seconds = one(key, **{"gen_ai.server.time_to_first_token": 0.125})
    event = one(
        key,
        _events=[
            ("gen_ai.content.completion.chunk", 40, {}),
            ("gen_ai.content.completion.chunk", 90, {}),
        ],
    )
    langfuse = one(
        key, **{"langfuse.observation.completion_start_time": '"2026-11-10T12:07:00.080Z"'}
    )

    assert seconds.ttft_ms == 125
    assert event.ttft_ms == 40
    assert langfuse.ttft_ms == 80
    assert one(key).ttft_ms is None


def test_langfuse_usage_is_disjoint_already(key):
    span = one(
        key,
        **{
            "langfuse.observation.type": "generation",
            "langfuse.observation.model.name": "claude-sonnet-4",
            "langfuse.observation.usage_details": '{"input": 4, "output": 20, "total": 1189,'
            ' "cache_read_input_tokens": 1165, "output_reasoning_tokens": null}',
            "langfuse.observation.cost_details": '{"input": 0.1, "total": 0.30000000000000001}',
        },
    )

    assert (span.input_tokens, span.cache_read_tokens, span.output_tokens) == (4, 1165, 20)
    assert span.reasoning_tokens is None
    assert span.usage_convention == "exclusive"
    assert span.source_cost_usd == Decimal("0.30000000000000001")


def test_cost_that_the_source_names_is_taken_as_written(key):
    assert one(key, **{"gen_ai.usage.cost": 0.1}).source_cost_usd == Decimal("0.1")


@pytest.mark.parametrize("told", ["1200", 1200.0])
def test_count_sent_as_another_type_is_still_the_count(key, told):
    assert one(key, **{"gen_ai.usage.input_tokens": told}).input_tokens == 1200


def test_zero_tokens_are_known_and_no_tokens_are_unknown(key):
    span = one(key, **{"gen_ai.usage.input_tokens": 0})

    assert span.input_tokens == 0
    assert span.output_tokens is None


def test_evaluation_events_become_scores(key):
    events = [
        ("gen_ai.evaluation.result", 5, {
            "gen_ai.evaluation.name": "correct",
            "gen_ai.evaluation.score.value": 1.0,
            "gen_ai.evaluation.score.label": "pass",
        }),
        ("gen_ai.evaluation.result", 6, {
            "gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "friendly",
        }),
    ]  # fmt: skip

    number, label = otlp.decode(body({"_events": events}), key=key).scores

    assert (number.name, number.number, number.label) == ("correct", 1.0, None)
    assert (label.name, label.number, label.label) == ("tone", None, "friendly")
    assert number.span_id == f"{1:016x}"
    assert number.at == START + timedelta(milliseconds=5)
    assert number.external_id != label.external_id


# ---- text


TEXT_ATTRIBUTES = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.prompt.0.content",
    "gen_ai.completion.0.content",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.query.text",
    "gen_ai.request.structured_output_schema",
    "input.value",
    "output.value",
    "llm.input_messages.0.message.content",
    "llm.input_messages.0.message.contents.1.message_content.text",
    "llm.output_messages.3.message.tool_calls.0.tool_call.function.arguments",
    "llm.invocation_parameters",
    "llm.prompts",
    "embedding.embeddings.0.embedding.text",
    "retrieval.documents.0.document.content",
    "traceloop.entity.input",
    "traceloop.entity.output",
    "langfuse.observation.input",
    "langfuse.trace.output",
    "ai.prompt.messages",
    "ai.response.text",
    "acme.userQuestion",
    "acme.final_answer",
    "acme.note",  # says nothing by its name, but reads like a sentence
)


@pytest.mark.parametrize("name", TEXT_ATTRIBUTES)
def test_text_never_gets_through(key, name):
    span = one(key, **{name: SECRET})

    assert SECRET not in repr(span)
    assert "Rumpelstilzchen" not in repr(span)


def test_short_text_under_a_text_name_does_not_get_through_either(key):
    assert one(key, **{"input.value": "hi", "acme.answer": "yes"}).attributes is None


def test_text_of_events_does_not_get_through(key):
    events = [
        ("gen_ai.content.prompt", 1, {"gen_ai.prompt": SECRET}),
        ("gen_ai.user.message", 1, {"content": SECRET}),
        ("exception", 1, {"exception.type": "ValueError", "exception.message": SECRET}),
    ]

    span = one(key, _events=events)

    assert "Rumpelstilzchen" not in repr(span)
    assert span.prompt_hash == privacy.fingerprint(SECRET, key)


def test_text_is_kept_where_the_project_keeps_text(key):
    span = one(key, keeps_text=True, **{"input.value": SECRET, "output.value": "no"})

    assert span.texts == {"input.value": SECRET, "output.value": "no"}
    assert span.attributes is None
    assert span.prompt_hash == privacy.fingerprint(SECRET, key)


def test_prompt_is_fingerprinted_and_measured(key):
    prompt = "word " * 1000

    span = one(key, **{"gen_ai.input.messages": prompt, "gen_ai.output.messages": "done"})

    assert span.prompt_hash == privacy.fingerprint(prompt, key)
    assert span.prefix_hashes == privacy.prefix_chain(prompt, key)
    assert len(span.prefix_hashes) == 2
    assert (span.input_chars, span.output_chars) == (5000, 4)


def test_system_instructions_come_before_the_messages(key):
    span = one(key, **{"gen_ai.input.messages": "B", "gen_ai.system_instructions": "A"})

    assert span.prompt_hash == privacy.fingerprint("A\nB", key)


def test_numbered_messages_are_joined_in_the_order_of_their_numbers(key):
    span = one(
        key,
        **{
            "input.value": "the whole request again, as JSON",
            "llm.input_messages.10.message.content": "third",
            "llm.input_messages.2.message.content": "second",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "first",
        },
    )

    assert span.prompt_hash == privacy.fingerprint("user\nfirst\nsecond\nthird", key)


def test_span_without_text_has_no_fingerprint(key):
    span = one(key, **CHAT)

    assert span.prompt_hash is None
    assert span.prefix_hashes is None
    assert span.input_chars is None


# ---- other attributes


def test_small_attributes_are_kept(key):
    kept = {
        "gen_ai.request.max_tokens": 1024,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.is_streaming": True,
        "gen_ai.response.finish_reasons": ["stop"],
        "input.mime_type": "text/plain",
        "breakeven.arm": "canary",
    }

    assert one(key, **CHAT, **kept).attributes == kept


def test_what_is_dropped_is_counted(key):
    many = {f"a{number}": number for number in range(50)}

    span = one(key, **many, **{"long": "x" * 201, "nan": float("nan")})

    assert len(span.attributes) == otlp.MAX_ATTRIBUTES + 1
    assert span.attributes[otlp.DROPPED] == 50 - otlp.MAX_ATTRIBUTES + 2


def test_nul_never_reaches_the_database(key):
    span = one(key, _name="a\0b", **{"user.id": "u\0", "la\0bel": "v\0"})

    assert "\0" not in repr(span)
    assert span.name == "a\ufffdb"
    assert span.attributes == {"la\ufffdbel": "v\ufffd"}


# ---- what cannot be taken


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"_trace_id": b""}, "bad_id"),
        ({"_span_id": b"\1\2"}, "bad_id"),
        ({"_start_ns": 0}, "missing_start"),
        ({"gen_ai.usage.input_tokens": -5}, "bad_tokens"),
        ({"gen_ai.usage.output_tokens": "many"}, "bad_tokens"),
        ({"gen_ai.usage.output_tokens": 1.5}, "bad_tokens"),
        ({"gen_ai.usage.output_tokens": float("nan")}, "bad_tokens"),
        ({"gen_ai.usage.output_tokens": "١٢"}, "bad_tokens"),
        ({"langfuse.observation.usage_details": "{"}, "bad_json"),
        ({"langfuse.observation.usage_details": '{"input": -1}'}, "bad_tokens"),
        ({"langfuse.observation.completion_start_time": "soon"}, "bad_time"),
    ],
)
def test_bad_span_is_a_reject_with_its_reason(key, attributes, reason):
    assert rejected(key, **attributes).reason == reason


def test_bad_span_leaves_its_neighbours_alone(key):
    decoded = otlp.decode(body(CHAT, {**CHAT, "gen_ai.usage.input_tokens": -1}, CHAT), key=key)

    assert [span.span_id for span in decoded.spans] == [f"{1:016x}", f"{3:016x}"]
    assert decoded.rejects[0].external_id == f"{2:032x}/{2:016x}"
    assert decoded.rejects[0].field == "gen_ai.usage.input_tokens"


def test_reject_keeps_the_span_but_not_its_text(key):
    reject = rejected(key, **{"gen_ai.usage.input_tokens": -1, "input.value": SECRET})

    assert b"Rumpelstilzchen" not in reject.payload
    assert b'"gen_ai.usage.input_tokens": -1' in reject.payload


def test_impossibly_many_tokens_are_left_to_the_record_to_refuse(key):
    span = one(key, **{"gen_ai.usage.input_tokens": 10**18})

    assert span.input_tokens > MAX_TOKENS
    assert span.problem(START).reason == "impossible_tokens"


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_truncated_body_is_refused(key, cut):
    with pytest.raises(BadBody, match="cut off"):
        otlp.decode(body(CHAT)[:-cut], key=key)


def test_body_of_another_kind_is_refused(key):
    with pytest.raises(BadBody):
        otlp.decode(b'{"resourceSpans": []}', key=key)


def test_ten_thousand_attributes_are_read_and_dropped(key):
    hostile = {f"llm.input_messages.{n}.message.content": "x" for n in range(5_000)}
    hostile |= {f"key{n}": n for n in range(5_000)}

    span = one(key, **hostile)

    assert len(span.attributes) == otlp.MAX_ATTRIBUTES + 1
    assert span.input_chars == 5_000 + 4_999


def test_too_many_spans_in_one_body_are_refused(key, monkeypatch):
    monkeypatch.setattr(otlp.bodies, "MAX_SPANS", 2)

    with pytest.raises(BodyTooLarge, match="3 spans"):
        otlp.decode(body({}, {}, {}), key=key)


# ---- what real libraries sent


def int_of(span, *names):
    for attribute in span.get("attributes", []):
        if attribute["key"] in names:
            return int(attribute["value"]["intValue"])
    return None


@pytest.mark.parametrize(
    ("file", "spans", "names"),
    [
        (
            "otlp_json_openinference_a.jsonl.gz",
            166,
            {
                "input": "llm.token_count.prompt",
                "output": "llm.token_count.completion",
                "cached": "llm.token_count.prompt_details.cache_read",
                "written": "llm.token_count.prompt_details.cache_write",
                "reasoning": "llm.token_count.completion_details.reasoning",
            },
        ),
        (
            "otlp_json_traceloop_0.62.jsonl.gz",
            334,
            {
                "input": "gen_ai.usage.input_tokens",
                "output": "gen_ai.usage.output_tokens",
                "cached": "gen_ai.usage.cache_read.input_tokens",
                "written": "gen_ai.usage.cache_creation.input_tokens",
                "reasoning": "gen_ai.usage.reasoning_tokens",
            },
        ),
    ],
)
def test_recorded_traffic_is_read_to_the_token(key, recorded, file, spans, names):
    seen = 0
    for sent, payload in recorded(file):
        decoded = otlp.decode(payload, key=key)
        assert decoded.rejects == []
        for told, span in zip(sent, decoded.spans, strict=True):
            seen += 1
            assert span.trace_id == told["traceId"]
            given, cached = int_of(told, names["input"]), int_of(told, names["cached"])
            written, reasoning = int_of(told, names["written"]), int_of(told, names["reasoning"])
            answer = int_of(told, names["output"])
            assert span.cache_read_tokens == cached
            assert span.cache_write_5m_tokens == written
            assert span.reasoning_tokens == reasoning
            if given is None:
                assert span.input_tokens is None
            else:
                assert span.usage_convention == "inclusive"
                assert span.input_tokens == given - (cached or 0) - (written or 0)
            if answer is None:
                assert span.output_tokens is None
            else:
                assert span.output_tokens == answer - (reasoning or 0)
            assert span.kind in ("llm", "embedding")
            assert span.provider in ("openai", "anthropic")
            assert span.service == "chat-gateway"
            assert span.prompt_hash is not None
            assert span.status == ("error" if told["status"].get("code", "").endswith("ERROR")
                                   else "ok")  # fmt: skip
            assert span.problem(span.ended_at) is None
    assert seen == spans


def test_recorded_traffic_leaves_no_text_behind(key, recorded):
    """Any string of five words or more in what was sent would be text; none may be kept."""
    for file in ("otlp_json_openinference_a.jsonl.gz", "otlp_json_traceloop_0.62.jsonl.gz"):
        for _, payload in recorded(file):
            for span in otlp.decode(payload, key=key).spans:
                for name, value in (span.attributes or {}).items():
                    assert not privacy.names_text(name) or not isinstance(value, str)
                    assert str(value).count(" ") <= privacy.MOST_SPACES
