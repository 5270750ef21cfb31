"""From what a provider says to dollars, to the last digit: tiers, caches, long prompts, hours.

The amounts are worked out by hand from the providers' price lists, in dollars per million tokens.
Both conventions are here: OpenAI's input count holds the cached tokens, Anthropic's does not.
"""

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from finops.costing import snapshot
from finops.costing.lines import Usage, cost_of_spans
from finops.costing.rates import rates_at
from ingest.records import TOKEN_CLASSES, TOKEN_FIELDS, input_band
from ingest.sources import otlp, provider_replies, vocabulary
from tests.ingest.sources.conftest import key
from tests.ingest.sources.otlp_body import body

__all__ = ["key"]

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def book():
    rates = defaultdict(list)
    for provider, model, rate in snapshot.read().rates:
        rates[provider, model].append(rate)
    return rates


def chat(model, usage, **more):
    return {"object": "chat.completion", "model": model, "usage": usage, **more}


def openai(prompt, completion, *, cached=0, reasoning=0):
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def message(usage):
    return {"type": "message", "model": "claude-sonnet-4-5", "usage": usage}


def anthropic(fresh, output, *, read=0, five=0, hour=0, tier="standard"):
    return {
        "input_tokens": fresh,
        "output_tokens": output,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": five + hour,
        "cache_creation": {
            "ephemeral_5m_input_tokens": five,
            "ephemeral_1h_input_tokens": hour,
        },
        "service_tier": tier,
    }


REPLIES = {
    # 200 fresh at 2.50, 1,000 cached at 1.25, 150 out at 10.
    "cached prompt": (chat("gpt-4o", openai(1200, 150, cached=1000)), "0.00325"),
    # 1,000 at 1.25, and 500 out of which 400 were thoughts: all at 10.
    "reasoning": (chat("gpt-5", openai(1000, 500, reasoning=400)), "0.00625"),
    # 600 at 0.625, 400 cached at 0.0625, 100 at 5.
    "flex": (chat("gpt-5", openai(1000, 100, cached=400), service_tier="flex"), "0.0009"),
    # 1,000 at 2.50, 100 at 20.
    "priority": (chat("gpt-5", openai(1000, 100), service_tier="priority"), "0.0045"),
    # 800 at 1.25, 200 cached at 1.25, 100 at 5.
    "batch": (chat("gpt-4o", openai(1000, 100, cached=200), service_tier="batch"), "0.00175"),
    # `default` is OpenAI's word for the ordinary tier: 1,000 at 2.50, 100 at 10.
    "default tier": (chat("gpt-4o", openai(1000, 100), service_tier="default"), "0.0035"),
    # At 272,000 tokens still 5 and 30; with one more 10 and 45, the cached ones 1.
    "long prompt, not yet": (chat("gpt-5.5", openai(272_000, 100)), "1.363"),
    "long prompt": (chat("gpt-5.5", openai(272_001, 100, cached=2001)), "2.706501"),
    # 100 at 3, 5,000 read at 0.30, 1,000 written at 3.75 and 2,000 at 6, 300 out at 15.
    "caches of both ages": (
        message(anthropic(100, 300, read=5000, five=1000, hour=2000)),
        "0.02205",
    ),
    # All of it at half.
    "caches in a batch": (
        message(anthropic(100, 300, read=5000, five=1000, hour=2000, tier="batch")),
        "0.011025",
    ),
    # What is read from the cache counts as prompt: 200,001 tokens, so 6, 0.60 and 22.50.
    "long prompt by its cache": (message(anthropic(1001, 100, read=199_000)), "0.127656"),
    "long prompt, not by one": (message(anthropic(1000, 100, read=199_000)), "0.0642"),
}


@pytest.mark.parametrize("name", REPLIES)
def test_reply_is_priced_to_the_last_digit(book, name):
    body, dollars = REPLIES[name]
    reply = provider_replies.read(body)
    counts = {one: getattr(reply.usage, one) or 0 for one in TOKEN_CLASSES}
    assert cost(book, reply.provider or "openai", reply.model, reply.tier, counts) == Decimal(
        dollars
    )


SPANS = {
    # OpenTelemetry counts the cached tokens into the input, for Anthropic as for OpenAI.
    "OpenAI, flex": (
        "openai", "gpt-5",
        {
            "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 100,
            "gen_ai.usage.cache_read.input_tokens": 400, "openai.response.service_tier": "flex",
        },
        "0.0009",
    ),
    "Anthropic, written to the cache": (
        "anthropic", "claude-sonnet-4-5",
        {
            "gen_ai.usage.input_tokens": 6100, "gen_ai.usage.output_tokens": 300,
            "gen_ai.usage.cache_read.input_tokens": 5000,
            "gen_ai.usage.cache_creation.input_tokens": 1000,
        },
        # 100 at 3, 5,000 at 0.30, 1,000 at 3.75, 300 at 15.
        "0.01005",
    ),
    # More cached than input: these are Anthropic's own counts.
    "Anthropic's own counts, in a batch": (
        "anthropic", "claude-sonnet-4-5",
        {
            "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 300,
            "gen_ai.usage.cache_read.input_tokens": 5000,
            "gen_ai.response.service_tier": "batch",
        },
        # Half of: 100 at 3, 5,000 at 0.30, 300 at 15.
        "0.00315",
    ),
    "Gemini, long": (
        "gcp.gemini", "gemini-2.5-pro",
        {"gen_ai.usage.input_tokens": 200_001, "gen_ai.usage.output_tokens": 10},
        # At 2.50 and 15 instead of 1.25 and 10.
        "0.5001525",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPANS)
def test_span_is_priced_to_the_last_digit(book, key, name):
    provider, model, attributes, dollars = SPANS[name]
    said = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.response.model": model,
        **attributes,
    }
    [span] = otlp.decode(body(said), key=key).spans
    counts = {
        one: getattr(span, field) or 0
        for one, field in zip(TOKEN_CLASSES, TOKEN_FIELDS, strict=True)
    }
    assert cost(book, span.provider, span.model, span.tier, counts) == Decimal(dollars)


def test_time_of_day_is_priced_to_the_last_digit(book):
    """DeepSeek's off-peak hours begin at 16:30 UTC: half the price."""
    counts = dict.fromkeys(TOKEN_CLASSES, 0) | {"input": 1000, "cache_read": 500, "output": 100}
    asked = (book, "deepseek", "deepseek-chat", "", counts)
    assert cost(*asked) == Decimal("0.000415")
    assert cost(*asked, at=NIGHT) == Decimal("0.0002075")


def test_tier_that_the_provider_has_no_price_for_is_unpriced(book):
    reply = provider_replies.read(message(anthropic(100, 10, tier="priority")))
    counts = {one: getattr(reply.usage, one) or 0 for one in TOKEN_CLASSES}
    assert cost(book, "anthropic", reply.model, reply.tier, counts) is None


def cost(book, provider, model, tier, counts, at=NOVEMBER):
    """By the same steps as pricing: match, band, card, line. None: unpriced."""
    outputs = ("output", "reasoning", "audio_output")
    prompt = sum(count for one, count in counts.items() if one not in outputs)
    name = snapshot.match(vocabulary.provider(provider), model)
    card = rates_at(book[name], vocabulary.tier(tier), input_band(prompt), at)
    found = cost_of_spans(Usage("llm", counts), card)
    return None if found.unpriced_spans else found.line.total
