"""Contracts and regions over listed rates: which one holds, and what is paid to the last digit."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops.costing.lines import MOST_DECIMALS, cost_of
from finops.costing.rates import Rate, RateCard
from finops.costing.terms import Agreed, Buying, Term, card_at, offer_at

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 1, tzinfo=UTC)
NAME = ("openai", "gpt-4o")
LIST = (
    Rate("input", Decimal(3)),
    Rate("cache_read", Decimal("0.3")),
    Rate("output", Decimal(15)),
    Rate("input", Decimal("1.5"), tier="batch"),
)
TEN = Term(uid="ten", contract="C-1", provider="openai", percent=Decimal(10))
SEARCH = 7


def paid(*agreed, rates=LIST, project=None, tier="standard", band=0, at=AT, name=NAME):
    terms = tuple(one for one in agreed if isinstance(one, Term))
    buying = tuple(one for one in agreed if isinstance(one, Buying))
    card = card_at(rates, Agreed(terms, buying), project, name, tier, band, at)
    return {unit: str(amount) for unit, amount in card.amounts.items()} if card else None


def test_percentage_comes_off_every_price_of_its_provider():
    assert paid(TEN) == {"input": "2.7", "cache_read": "0.27", "output": "13.5"}
    assert paid(TEN, tier="batch") == {"input": "1.35"}
    assert paid(TEN, name=("azure", "gpt-4o")) == {
        "input": "3",
        "cache_read": "0.3",
        "output": "15",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"model": "o3"},
        {"tier": "batch"},
        {"region": "eu"},
        {"project": SEARCH},
        {"unit": "request"},
        {"valid_from": datetime(2026, 11, 10, 12, 15, tzinfo=UTC)},
        {"valid_to": AT},
    ],
)
def test_term_that_does_not_fit_changes_nothing(change):
    assert paid(replace(TEN, **change)) == paid()


def test_of_several_terms_one_holds_and_they_are_never_added():
    project = replace(TEN, uid="p", project=SEARCH, percent=Decimal(20))
    model = replace(TEN, uid="m", model="gpt-4o", percent=Decimal(30))
    output = replace(TEN, uid="o", unit="output", percent=Decimal(50))
    assert paid(TEN, model, output) == {"input": "2.1", "cache_read": "0.21", "output": "10.5"}
    assert paid(TEN, output) == {"input": "2.7", "cache_read": "0.27", "output": "7.5"}
    assert paid(TEN, project, model, project=SEARCH)["output"] == "12.0"
    assert paid(TEN, replace(TEN, uid="n", valid_from=AUTUMN, percent=Decimal(40)))["input"] == (
        "1.8"
    )


def test_zero_percent_for_a_model_keeps_it_out_of_the_general_discount():
    assert paid(TEN, replace(TEN, uid="0", model="gpt-4o", percent=Decimal(0))) == paid()


def test_negative_percentage_is_a_surcharge():
    assert paid(replace(TEN, percent=Decimal(-10)))["input"] == "3.3"


def test_class_without_a_price_of_its_own_follows_the_wider_one_unless_a_term_names_it():
    reasoning = replace(TEN, uid="r", unit="reasoning", percent=Decimal(50))
    card = card_at(LIST, Agreed((TEN, reasoning)), None, NAME, "standard", 0, AT)
    assert (card.rate_of("output"), card.rate_of("reasoning")) == (Decimal("13.5"), Decimal("7.5"))
    assert card.rate_of("audio_output") == Decimal("13.5")
    assert card.list_rate_of("reasoning") == 15


def test_amount_stands_instead_of_the_list_price():
    fixed = replace(
        TEN, uid="f", model="gpt-4o", unit="output", percent=None, amount=Decimal(12),
        currency="USD",
    )  # fmt: skip
    assert paid(TEN, fixed) == {"input": "2.7", "cache_read": "0.27", "output": "12"}
    # Two currencies never share a card: such usage is unpriced, and seen.
    assert paid(replace(fixed, currency="EUR")) is None


def test_percentage_leaves_a_price_that_was_agreed_as_it_stands():
    own = Rate("input", Decimal(2), is_own=True)
    assert paid(TEN, rates=(*LIST, own))["input"] == "2"
    asked = replace(own, is_list_price=True)
    assert paid(TEN, rates=(*LIST, asked))["input"] == "1.8"


def test_region_of_purchase_chooses_own_list_prices_and_terms():
    eu = Rate("input", Decimal("3.3"), is_own=True, region="eu", is_list_price=True)
    everywhere = Buying(region="us", provider="openai")
    search = Buying(region="eu", provider="openai", project=SEARCH, valid_from=AUTUMN)
    rates = (*LIST, eu)
    assert paid(everywhere, search, rates=rates)["input"] == "3"
    assert paid(everywhere, search, rates=rates, project=SEARCH)["input"] == "3.3"
    before = datetime(2026, 9, 30, tzinfo=UTC)
    assert paid(everywhere, search, rates=rates, project=SEARCH, at=before)["input"] == "3"
    uplift = replace(TEN, uid="u", region="eu", percent=Decimal(-10))
    found = offer_at(LIST, Agreed((TEN, uplift), (search,)), SEARCH, NAME, "standard", 0, AT)
    assert (found.region, found.card.amounts["output"]) == ("eu", Decimal("16.5"))
    assert {term.uid for term in found.terms.values()} == {"u"}


def test_both_amounts_are_kept_and_the_list_is_unknown_where_it_says_nothing():
    usage = {"input": 1_000, "cache_read": 500, "output": 200}
    card = card_at(LIST, Agreed((TEN,)), None, NAME, "standard", 0, AT)
    line = cost_of(usage, card, requests=1)
    assert (line.total, line.listed) == (Decimal("0.005535"), Decimal("0.00615"))
    ours = Rate("reasoning", Decimal(1), is_own=True)
    only_ours = card_at((ours,), Agreed(), None, NAME, "standard", 0, AT)
    assert cost_of({"reasoning": 10}, only_ours, requests=1).listed is None
    # The list bills reasoning as output, so with a list it is known.
    both = card_at((*LIST, ours), Agreed(), None, NAME, "standard", 0, AT)
    line = cost_of({"reasoning": 10}, both, requests=1)
    assert (line.total, line.listed) == (Decimal("0.00001"), Decimal("0.00015"))


prices = st.decimals("0", "1000", places=MOST_DECIMALS, allow_nan=False)
percents = st.decimals("-99", "100", places=6, allow_nan=False)


@given(prices, percents, st.integers(0, 10**12))
def test_discounted_prices_stay_exact_in_what_is_stored(price, percent, tokens):
    term = replace(TEN, percent=percent)
    card = card_at((Rate("input", price),), Agreed((term,)), None, NAME, "standard", 0, AT)
    total = cost_of({"input": tokens}, card, requests=1).total
    assert -total.as_tuple().exponent <= 20
    assert abs(total - price * tokens * (100 - percent) / Decimal(10**8)) <= Decimal("1e-8")
    if percent >= 0:
        assert (
            total <= cost_of({"input": tokens}, RateCard("USD", {"input": price}), requests=1).total
        )
