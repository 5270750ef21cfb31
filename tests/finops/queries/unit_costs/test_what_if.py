"""The same tokens at other prices, and models side by side."""

from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from finops.models import Price
from finops.queries import unit_costs
from finops.queries.unit_costs import Candidate
from finops.queries.unit_costs.what_if import Fallback
from tests.finops.queries.unit_costs.conftest import request, score
from tests.finops.queries.unit_costs.test_figures import EACH, OCTOBER, asked

MINI = "to1=openai:gpt-4o-mini"


def outcome(filters, query=MINI):
    [found] = unit_costs.what_if(filters, asked(query)).outcomes
    return found


def test_tokens_are_priced_as_the_candidate_with_the_cache_falling_back_to_input(ask, told):
    told([request(1), request(2)])
    found = outcome(ask(OCTOBER))
    # 2 × (600 + 400) × 0.15 and 2 × 200 × 0.6, in millionths.
    assert (found.cost_now, found.cost_then) == (2 * EACH, Decimal("0.00054"))
    assert found.difference == Decimal("-0.00746")
    assert found.change == pytest.approx(-0.9325)
    assert (found.requests, found.tokens, found.left_out) == (2, 2400, 0)
    assert found.fallbacks == (Fallback("cache_read", "input"),)


def test_model_that_is_used_costs_what_it_costs(ask, told):
    told([request(1), request(2, status="error")])
    found = outcome(ask(OCTOBER), "to1=openai:gpt-4o")
    assert (found.cost_now, found.cost_then, found.change) == (2 * EACH, 2 * EACH, 0)


def test_candidate_of_another_currency_is_not_compared(ask, told):
    told([request(1)])
    found = outcome(ask(OCTOBER), "to1=mistral:mistral-large")
    assert (found.cost_now, found.cost_then, found.difference, found.change) == (None,) * 4
    assert found.reason == "Its prices are in EUR; they are not converted to USD."
    assert (found.left_out, found.left_out_cost) == (1, EACH)


def test_what_cannot_be_priced_is_in_neither_cost(ask, told):
    told([request(1), request(2, tier="batch")])
    assert outcome(ask(OCTOBER)).requests == 1  # batch has no price now either
    found = outcome(ask(OCTOBER), "to1=half:input-only")
    assert (found.requests, found.cost_then, found.left_out) == (0, None, 1)
    assert found.reason == "It has no price for these tiers or token classes."
    assert outcome(ask(OCTOBER), "to1=openai:unheard-of").reason == (
        "The price book has no model openai:unheard-of; the page Prices lists them."
    )


def test_part_that_cannot_be_priced_is_counted_with_what_it_costs_now(ask, told, price_list):
    Price.objects.create(
        book=price_list, provider="openai", model="gpt-4o", unit="input", tier="batch", amount=1
    )
    Price.objects.create(
        book=price_list, provider="openai", model="gpt-4o", unit="output", tier="batch", amount=5
    )
    told([request(1), request(2, tier="batch")])
    found = outcome(ask(OCTOBER))
    assert (found.requests, found.cost_now) == (1, EACH)
    assert (found.left_out, found.left_out_cost) == (1, Decimal("0.002"))


def test_only_priced_chat_requests_are_compared_and_the_rest_is_counted(ask, told):
    told([request(1), request(2, kind="embedding"), request(3, model="nobody-prices-this"),
          request(4, input_tokens=None, cache_read_tokens=None, output_tokens=None),
          request(5, provider="mistral", model="mistral-large")])  # fmt: skip
    found = unit_costs.what_if(ask(OCTOBER), asked(MINI))
    assert (found.requests, found.cost_now, found.unpriced) == (1, EACH, 3)
    assert found.book.version == 7


def test_prices_by_the_time_of_day_meet_requests_by_their_time_of_day(ask, told, price_list):
    for unit, amount in (("input", "0.1"), ("output", "0.5")):
        Price.objects.create(
            book=price_list, provider="deepseek", model="deepseek-chat", unit=unit,
            amount=Decimal(amount), time_from=time(16, 30), time_to=time(0, 30),
        )  # fmt: skip
    night = datetime(2025, 10, 1, 16, 30, tzinfo=UTC)
    told([request(1), request(2, started_at=night)])
    found = outcome(ask(OCTOBER), "to1=deepseek:deepseek-chat")
    # 1,000 × 0.27 and 200 × 1.1 by day; 1,000 × 0.1 and 200 × 0.5 by night.
    assert (found.cost_now, found.cost_then) == (2 * EACH, Decimal("0.00069"))


def test_three_candidates_are_answered_in_their_order(ask, told):
    told([request(1)])
    query = f"{MINI}&to2=openai:gpt-4o&to3=openai:gpt-4o-mini"
    found = unit_costs.what_if(ask(OCTOBER), asked(query)).outcomes
    assert [str(one.candidate) for one in found] == ["openai:gpt-4o-mini", "openai:gpt-4o"]


def test_choices_are_models_that_write_answers_of_providers_in_use(ask, told):
    told([request(1)])
    assert unit_costs.choices(ask(OCTOBER)) == ["openai:gpt-4o", "openai:gpt-4o-mini"]
    assert Candidate("a", "b:c") == asked("to1=a:b:c").candidates[0]


def test_comparison_is_of_the_same_kind_and_size_of_request(ask, told):
    big = {"input_tokens": 40_000, "cache_read_tokens": None}
    told([request(n) for n in (1, 2, 3)]
         + [request(4, status="error"), request(5, model="gpt-4o-mini"), request(6, **big),
            request(7, kind="embedding", model="gpt-4o-mini")],
         [score(1, 1.0), score(2, 0.5), score(5, 0.2)])  # fmt: skip
    table = unit_costs.comparison(ask(OCTOBER), asked("score=helpful"))
    rows = {(row.kind, row.input_band, row.model): row for row in table.rows}
    assert list(rows) == [
        ("embedding", 0, "gpt-4o-mini"), ("llm", 0, "gpt-4o"), ("llm", 0, "gpt-4o-mini"),
        ("llm", 32_000, "gpt-4o"),
    ]  # fmt: skip
    four = rows["llm", 0, "gpt-4o"]
    assert (four.requests, four.error_rate, four.price.value, four.is_few) == (4, 0.25, 4, True)
    assert (four.quality, four.scored) == (0.75, 2)
    assert four.latency.p50_ms == pytest.approx(250, rel=0.01)
    assert (four.band, rows["llm", 32_000, "gpt-4o"].band) == (
        "up to 32,000 tokens", "32,000 to 100,000 tokens",
    )  # fmt: skip
    mini = rows["llm", 0, "gpt-4o-mini"]
    assert (mini.price.value, mini.quality, mini.scored) == (Decimal("0.27"), 0.2, 1)
    assert rows["llm", 32_000, "gpt-4o"].quality is None


def test_comparison_without_a_price_is_unknown(ask, told):
    told([request(1, model="nobody-prices-this")])
    [row] = unit_costs.comparison(ask(OCTOBER), asked()).rows
    assert (row.price.value, row.price.coverage) == (
        None, "1 of 1 requests have no price of their own.",
    )  # fmt: skip
