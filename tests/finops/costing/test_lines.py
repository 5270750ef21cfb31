from decimal import Decimal, Inexact

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops.costing.lines import MOST_DECIMALS, CostLine, SpansCost, Usage, cost_of, cost_of_spans
from finops.costing.rates import RateCard
from ingest.records import TOKEN_CLASSES

CARD = RateCard("USD", {"input": Decimal(3), "cache_read": Decimal("0.3"), "output": Decimal(15)})
FEE = RateCard("USD", {"request": Decimal(5)})

amounts = st.decimals(0, 10_000, places=MOST_DECIMALS)
cards = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from([*TOKEN_CLASSES, "request"]), amounts, min_size=1).map(
        lambda rates: RateCard("USD", rates)
    ),
)
counts = st.dictionaries(st.sampled_from(TOKEN_CLASSES), st.integers(1, 10**9), min_size=1)


@st.composite
def llm_spans(draw):
    """Spans as the rollup sees them: one that failed may have used nothing, and nothing else."""
    state = draw(st.sampled_from(["used", "failed", "unknown"]))
    tokens = draw(counts) if state == "used" else {}
    return Usage("llm", tokens, 1, int(state == "failed"), int(state == "unknown"))


def summed(spans):
    return Usage(
        "llm",
        {name: sum(span.tokens.get(name, 0) for span in spans) for name in TOKEN_CLASSES},
        len(spans),
        sum(span.errors for span in spans),
        sum(span.usage_unknown for span in spans),
    )


def test_each_class_has_its_part():
    usage = {"input": 1_000, "cache_read": 10_000, "output": 100, "reasoning": 100}
    line = cost_of(usage, CARD, requests=1)
    assert line == CostLine(
        "USD", Decimal("0.003"), Decimal("0.003"), Decimal("0.003"), tokens=11_200
    )
    assert line.total == Decimal("0.009")


def test_without_a_card_all_tokens_are_unpriced():
    line = cost_of({"input": 7, "output": 3}, None, requests=1)
    assert line == CostLine(tokens=10, unpriced_tokens=10)


def test_class_that_nothing_covers_is_unpriced_beside_the_rest():
    line = cost_of({"input": 7, "output": 3}, RateCard("USD", {"input": Decimal(1)}), requests=1)
    assert (line.total, line.unpriced_tokens) == (Decimal("0.000007"), 3)


def test_result_that_would_have_to_be_rounded_is_an_error():
    with pytest.raises(Inexact):
        cost_of(
            {"input": 10**9 + 1}, RateCard("USD", {"input": Decimal("1." + "3" * 49)}), requests=1
        )


@settings(max_examples=200, deadline=None)
@given(st.lists(llm_spans(), min_size=1, max_size=8), cards)
def test_cost_of_a_row_is_the_sum_of_its_spans_exactly(spans, card):
    row = cost_of_spans(summed(spans), card).line
    alone = [cost_of_spans(span, card).line for span in spans]
    for part in ("input", "cache", "output", "other", "total", "tokens", "unpriced_tokens"):
        assert getattr(row, part) == sum(getattr(line, part) for line in alone)


@settings(max_examples=100, deadline=None)
@given(counts, cards)
def test_cost_fits_into_twenty_decimals(tokens, card):
    exponent = cost_of(tokens, card, requests=1).total.normalize().as_tuple().exponent
    assert exponent >= -20


def test_kinds_of_spans_are_counted_apart():
    used = {"input": 10}
    none: dict[str, int] = {}
    cases = {
        ("llm", 5, 1, 2): (3, 0, 2),
        ("agent", 5, 0, 0): (5, 0, 0),
    }
    for (kind, spans, errors, unknown), expected in cases.items():
        cost = cost_of_spans(Usage(kind, used, spans, errors, unknown), CARD)
        assert (cost.priced_spans, cost.unpriced_spans, cost.unknown_spans) == expected
    assert cost_of_spans(Usage("tool", none, 5), CARD) == SpansCost(CostLine())
    assert cost_of_spans(Usage("tool", none, 5), None) == SpansCost(CostLine())


def test_usage_without_a_card_is_unpriced():
    cost = cost_of_spans(Usage("llm", {"input": 10}, 5, 0, 2), None)
    assert (cost.priced_spans, cost.unpriced_spans, cost.unknown_spans) == (0, 3, 2)


def test_failed_request_that_used_nothing_is_not_unpriced():
    assert cost_of_spans(Usage("llm", {}, 1, errors=1), None) == SpansCost(CostLine())


def test_request_to_a_model_server_is_unpriced_without_a_fee():
    for card in (None, CARD):
        assert cost_of_spans(Usage("inference", {}, 4), card).unpriced_spans == 4
    cost = cost_of_spans(Usage("inference", {}, 4, errors=1), FEE)
    assert (cost.line.other, cost.priced_spans) == (Decimal("0.015"), 4)


def test_span_of_which_nothing_has_a_price_is_unpriced():
    cost = cost_of_spans(Usage("llm", {"input": 10}), RateCard("USD", {"output": Decimal(1)}))
    assert cost == SpansCost(CostLine(tokens=10, unpriced_tokens=10), unpriced_spans=1)
