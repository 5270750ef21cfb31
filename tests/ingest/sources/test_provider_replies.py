"""Every recorded exchange, read and held against figures that the test finds by itself."""

import gzip
import json
import re
from functools import cache

import pytest

from ingest.records import TOKEN_CLASSES
from ingest.sources import provider_replies
from ingest.sources.provider_replies import NoReply, Reply
from ingest.sources.usage import BadUsage, Usage, of_vendor, raw
from tests.conftest import SHARED, require

FILE = SHARED / "formats/provider_api_exchanges.jsonl.gz"


@cache
def exchanges():
    require("data", None if FILE.exists() else "there is no ../shared/data/formats")
    with gzip.open(FILE, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def api_of(uri: str) -> str:
    """What an address answers, by OpenAI's and Anthropic's documentation alone."""
    path = uri.split("?")[0]
    if "/threads/" in path:
        return "thread.run"
    return {
        "chat/completions": "chat.completion",
        "v1/completions": "text_completion",
        "v1/responses": "response",
        "v1/messages": "message",
        "test-deployment/embeddings": "list",
    }["/".join(path.split("/")[-2:])]


def said(body: str, name: str) -> list[int]:
    """Every whole number under a name, in the order of the text: no parser, no structure."""
    return [int(found) for found in re.findall(rf'"{name}"\s*:\s*(\d+)', body)]


def last(body: str, *names: str) -> int | None:
    found = [number for name in names for number in said(body, name)]
    return found[-1] if found else None


def expected(body: str) -> dict[str, int | None]:
    """The figures by each vendor's documented rule; the last word of a stream counts."""
    nothing = dict.fromkeys(TOKEN_CLASSES)
    if (
        said(body, "prompt_tokens")
        or said(body, "input_tokens_details")
        or said(body, "total_tokens")
    ):
        cached = last(body, "cached_tokens")
        reasoning = last(body, "reasoning_tokens")
        audio_in, audio_out = audio(body, "prompt"), audio(body, "completion")
        return nothing | {
            "input": last(body, "prompt_tokens", "input_tokens") - (cached or 0) - (audio_in or 0),
            "cache_read": cached,
            "output": (last(body, "completion_tokens", "output_tokens"))
            - (reasoning or 0)
            - (audio_out or 0),
            "reasoning": reasoning,
            "audio_input": audio_in,
            "audio_output": audio_out,
        }
    if said(body, "input_tokens"):
        written_1h = last(body, "ephemeral_1h_input_tokens")
        written = last(body, "cache_creation_input_tokens")
        return nothing | {
            "input": last(body, "input_tokens"),
            "cache_read": last(body, "cache_read_input_tokens"),
            "cache_write_5m": None if written is None else written - (written_1h or 0),
            "cache_write_1h": written_1h,
            "output": last(body, "output_tokens"),
        }
    return nothing


def audio(body: str, side: str) -> int | None:
    details = re.findall(rf'"{side}_tokens_details"\s*:\s*{{([^}}]*)}}', body)
    return last(details[-1], "audio_tokens") if details else None


def shown(exchange: dict) -> str:
    return f"{exchange['uri']} {exchange['response'][:300]}"


def test_every_exchange_is_classified():
    for exchange in exchanges():
        reply = provider_replies.read(exchange["response"])
        is_error = '"error": {' in exchange["response"][:20] or exchange["status"] >= 400

        assert reply.api == ("error" if is_error else api_of(exchange["uri"])), shown(exchange)
        assert reply.status == ("error" if is_error else "ok")
        assert reply.is_stream is (exchange["response"].lstrip()[0] != "{")
        assert reply.is_whole
        if "azure" in exchange["uri"] and not is_error:
            assert reply.provider == "azure"
        assert (reply.provider == "anthropic") == ("anthropic" in exchange["uri"])


def test_every_exchange_gives_the_expected_tokens():
    counted = 0
    for exchange in exchanges():
        usage = provider_replies.read(exchange["response"]).usage
        assert usage._asdict() | {"convention": ""} == expected(exchange["response"]) | {
            "convention": ""
        }, shown(exchange)
        counted += usage.input is not None

    assert len(exchanges()) == 285
    assert counted == 265, "18 runs were not done and two requests were refused"


def test_unfinished_run_has_unknown_usage_and_not_none():
    runs = [
        provider_replies.read(exchange["response"])
        for exchange in exchanges()
        if '"usage": null' in exchange["response"]
        and "/threads/" in exchange["uri"]
        and exchange["response"].lstrip()[0] == "{"
    ]

    assert {run.usage for run in runs} == {Usage()}
    assert {run.raw_usage for run in runs} == {None}


def test_every_total_is_kept_by_its_convention():
    """Inclusive: classes add up to the vendor's total. Exclusive: input is as the vendor said."""
    for exchange in exchanges():
        reply = provider_replies.read(exchange["response"])
        told = reply.raw_usage
        if told is None:
            continue
        everything = sum(count for count in reply.usage[:9] if count)
        if "anthropic" in exchange["uri"]:
            assert reply.usage.convention == "exclusive"
            assert everything == sum(
                told.get(name) or 0
                for name in (
                    "input_tokens", "output_tokens", "cache_read_input_tokens",
                    "cache_creation_input_tokens",
                )
            )  # fmt: skip
        else:
            assert reply.usage.convention == "inclusive"
            assert everything == told["total_tokens"]


def test_raw_usage_is_the_vendors_own_object():
    for exchange in exchanges():
        body = exchange["response"]
        if body.lstrip()[0] == "{":
            assert provider_replies.read(body).raw_usage == json.loads(body).get("usage")


def test_model_and_id_are_the_replys_own():
    for exchange in exchanges():
        reply = provider_replies.read(exchange["response"])
        if reply.api != "error":
            assert f'"model":"{reply.model}"' in exchange["response"].replace('": "', '":"')
            assert reply.model
            assert reply.reply_id


# ---- what the recordings do not hold ------------------------------------------------------------


def events(*plain: dict, end: str = "") -> str:
    return "".join(f"data: {json.dumps(one)}\n\n" for one in plain) + end


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "gpt-4o", "choices": [{}]}


def test_stream_without_usage_has_unknown_usage():
    reply = provider_replies.read(events(CHUNK, CHUNK, end="data: [DONE]\n\n"))

    assert reply == Reply(
        "chat.completion", "llm", model="gpt-4o", reply_id="c", is_stream=True, is_whole=True
    )


def test_stream_cut_off_before_its_usage_says_so():
    whole = events(CHUNK, CHUNK, {**CHUNK, "usage": {"prompt_tokens": 5, "completion_tokens": 1}})

    reply = provider_replies.read(whole[:-20])

    assert (reply.is_whole, reply.usage) == (False, Usage())


def test_anthropic_stream_cut_off_knows_what_went_in_and_not_what_came_out():
    usage = {"input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1}
    start = {"type": "message_start", "message": {"model": "claude", "usage": usage}}

    reply = provider_replies.read(events(start, {"type": "content_block_delta"}))

    assert reply.usage == Usage(input=10, cache_read=900, convention="exclusive")
    assert not reply.is_whole


def test_anthropic_stream_that_failed_midway_is_an_error():
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 10}}}
    failed = {"type": "error", "error": {"type": "overloaded_error"}}

    reply = provider_replies.read(events(start, failed))

    assert (reply.status, reply.error_type) == ("error", "overloaded_error")
    assert reply.usage.output is None


def test_anthropic_cache_writes_are_told_apart_by_time_to_live():
    usage = of_vendor(
        {
            "input_tokens": 4,
            "cache_creation_input_tokens": 1500,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 500,
                "ephemeral_1h_input_tokens": 1000,
            },
            "cache_read_input_tokens": 0,
            "output_tokens": 20,
        }
    )

    assert usage == Usage(
        input=4, cache_read=0, cache_write_5m=500, cache_write_1h=1000, output=20,
        convention="exclusive",
    )  # fmt: skip


def test_embedding_reply_has_input_alone():
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }

    reply = provider_replies.read(body)

    assert (reply.kind, reply.model) == ("embedding", "text-embedding-3-small")
    assert reply.usage == Usage(input=8, convention="inclusive")


def test_audio_is_taken_out_of_the_text():
    usage = of_vendor(
        {
            "prompt_tokens": 500,
            "completion_tokens": 300,
            "total_tokens": 800,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 350, "text_tokens": 150},
            "completion_tokens_details": {"audio_tokens": 250, "reasoning_tokens": 0},
        }
    )

    assert usage == Usage(
        input=150, cache_read=0, output=50, reasoning=0, audio_input=350, audio_output=250,
        convention="inclusive",
    )  # fmt: skip


def test_separator_inside_a_json_string_does_not_break_the_stream():
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    chunk = {**CHUNK, "usage": usage, "choices": [{"text": "a\u2028b\x85c"}]}
    body = f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"

    assert provider_replies.read(body).usage.input == 5


@pytest.mark.parametrize(
    "body", ["", "hello", "[1]", '"x"', '{"object": "model"}', "data: [DONE]\n\n", "{}"]
)
def test_what_is_no_reply_is_refused(body):
    with pytest.raises(NoReply):
        provider_replies.read(body)


@pytest.mark.parametrize("count", [-1, 1.5, True, "7", 10**30, [3]])
def test_count_that_is_none_is_refused_and_named(count):
    with pytest.raises(BadUsage) as refused:
        of_vendor({"prompt_tokens": count, "completion_tokens": 1})

    assert refused.value.name == "prompt_tokens"


def test_raw_usage_keeps_no_text_and_stays_small():
    told = {"input_tokens": 3, "note": "what is the capital of France?", "tier": "batch"}

    assert raw(told) == {"input_tokens": 3, "tier": "batch"}
    assert raw({f"name_{n}": n for n in range(1000)}) is None
    assert raw({"cost": float("nan"), "a b": 1}) is None
