"""One call, told in several spellings, comes to the same tokens.

The recordings hold the very same calls: as the provider replied, as OpenInference tells them and as
OpenLLMetry tells them. A call is known by the id that the provider gave its reply.
"""

import gzip
import json
import re

import pytest

from ingest.sources import langfuse_usage, otlp, provider_replies

OPENINFERENCE = "otlp_json_openinference_a.jsonl.gz"
OPENLLMETRY = "otlp_json_traceloop_0.62.jsonl.gz"
SPELLING_LACKS = {
    # What a spelling has no name for, or its instrumentation does not send, stays unknown there.
    OPENINFERENCE: set(),
    OPENLLMETRY: {"audio_input", "audio_output"},
}


@pytest.fixture
def bodies(shared):
    with gzip.open(shared("formats/provider_api_exchanges.jsonl.gz"), "rt") as lines:
        return [json.loads(line)["response"] for line in lines]


@pytest.fixture
def replies(bodies):
    """Each reply with usage by its id, as the provider said it."""
    read = map(provider_replies.read, bodies)
    return {reply.reply_id: reply for reply in read if reply.reply_id and reply.raw_usage}


@pytest.fixture
def overcounted(bodies):
    """Reply id → output tokens too many: OpenLLMetry adds the placeholder that begins a stream of
    Anthropic's to the sum that ends it."""
    first = re.compile(r'"message_start".*?"id":"(\w+)".*?"output_tokens":(\d+)')
    return {found[1]: int(found[2]) for body in bodies if (found := first.search(body))}


def attributes_of(span: dict) -> dict:
    return {pair["key"]: next(iter(pair["value"].values()), None) for pair in span["attributes"]}


def reply_id(told: dict) -> str:
    if "gen_ai.response.id" in told:
        return told["gen_ai.response.id"]
    try:
        return json.loads(told["output.value"])["id"]
    except (KeyError, ValueError, TypeError):
        return ""


def classes(usage, without=()) -> dict:
    """An absent count of nothing and a count of nothing are the same tokens."""
    told = usage._asdict()
    return {name: told[name] or 0 for name in told if name not in {"convention", *without}}


def of_record(span, without=()) -> dict:
    names = provider_replies.UNKNOWN._fields[:9]
    return {name: getattr(span, f"{name}_tokens") or 0 for name in names if name not in without}


@pytest.mark.parametrize(("file", "fewest"), [(OPENINFERENCE, 100), (OPENLLMETRY, 200)])
def test_same_call_has_the_same_tokens_in_every_spelling(
    key, recorded, replies, overcounted, file, fewest
):
    met = 0
    for sent, payload in recorded(file):
        for told, span in zip(sent, otlp.decode(payload, key=key).spans, strict=True):
            own_id = reply_id(attributes_of(told))
            reply = replies.get(own_id)
            if reply is None or span.input_tokens is None:
                continue
            met += 1
            lacking = SPELLING_LACKS[file]
            expected = classes(reply.usage, lacking)
            expected["output"] += overcounted.get(own_id, 0)
            assert of_record(span, lacking) == expected, attributes_of(told)

    assert met >= fewest


def test_same_call_has_the_same_tokens_in_langfuses_spelling(replies):
    """Langfuse's SDKs post whole numbers alone under `usageDetails`, nested ones as they are."""
    for reply in replies.values():
        details = {
            name: count
            for name, count in reply.raw_usage.items()
            if isinstance(count, int | dict) and name != "cache_creation"
        }
        usage, other = langfuse_usage.tokens({"usageDetails": details})
        without = (
            {"cache_write_5m", "cache_write_1h"} if "cache_creation" in reply.raw_usage else ()
        )

        assert classes(usage, without) == classes(reply.usage, without)
        assert not set(other) - {"total_tokens"}


def test_raw_usage_is_kept_in_the_senders_own_words(key, recorded):
    for file in (OPENINFERENCE, OPENLLMETRY):
        for sent, payload in recorded(file):
            for told, span in zip(sent, otlp.decode(payload, key=key).spans, strict=True):
                said = {
                    name: int(value)
                    for name, value in attributes_of(told).items()
                    if ("usage" in name or "token_count" in name) and value is not None
                }
                assert (span.raw_usage or {}) == said


def test_parameters_are_hashed_and_tools_are_among_them(key):
    from .otlp_body import body

    def hashed(**told):
        [span] = otlp.decode(body(told), key=key).spans
        return span.parameters_hash

    plain = hashed(**{"gen_ai.request.temperature": 0.0, "gen_ai.request.max_tokens": 64})
    tools = {"gen_ai.tool.definitions": '[{"name": "search"}]'}

    assert plain == hashed(**{"llm.invocation_parameters": '{"max_tokens": 64, "temperature": 0}'})
    assert plain == hashed(
        **{"langfuse.observation.model.parameters": '{"temperature": 0, "max_tokens": 64}'}
    )
    assert plain != hashed(**{"gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 64})
    assert None is not hashed(**tools) != plain
    assert hashed(**{"gen_ai.request.model": "gpt-4o"}) is None
