from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from finops.costing.rates import Rate, rates_at

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
SUMMER = datetime(2026, 7, 1, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 1, tzinfo=UTC)


def rate(unit: str, amount: str, **changes) -> Rate:
    return Rate(unit, Decimal(amount), **changes)


def amounts(*rates, tier="standard", band=0, at=AT):
    card = rates_at(rates, tier, band, at)
    return {unit: str(amount) for unit, amount in card.amounts.items()} if card else None


def test_latest_start_wins():
    prices = (rate("input", "3"), rate("input", "2", valid_from=SUMMER))
    assert amounts(*prices) == {"input": "2"}
    assert amounts(*prices, at=datetime(2026, 6, 30, 23, 59, tzinfo=UTC)) == {"input": "3"}


def test_price_change_replaces_the_whole_set():
    old = (rate("input", "3"), rate("cache_read", "1"))
    assert amounts(*old, rate("input", "2", valid_from=SUMMER)) == {"input": "2"}


def test_time_of_day_beats_a_later_start():
    night = rate("input", "1", time_from=time(22), time_to=time(6))
    prices = (rate("input", "3"), night, rate("input", "2", valid_from=AUTUMN))
    for hour, price in {21: "2", 22: "1", 3: "1", 6: "2"}.items():
        assert amounts(*prices, at=AT.replace(hour=hour)) == {"input": price}


def test_highest_step_that_the_prompt_exceeds_wins():
    prices = (
        rate("input", "3"),
        rate("input", "6", input_over=200_000),
        rate("input", "9", input_over=512_000),
        rate("output", "15"),
    )
    assert amounts(*prices, band=128_000) == {"input": "3", "output": "15"}
    assert amounts(*prices, band=256_000) == {"input": "6", "output": "15"}


@pytest.mark.parametrize("said", ["", "auto", "default", "on_demand", " Standard "])
def test_tier_that_was_not_said_is_the_standard_one(said):
    assert amounts(rate("input", "3"), tier=said) == {"input": "3"}


def test_tier_without_a_price_of_its_own_has_none():
    prices = (rate("input", "3"), rate("input", "1.5", tier="batch"))
    assert amounts(*prices, tier="Batch") == {"input": "1.5"}
    assert amounts(*prices, tier="priority") is None


def test_price_that_starts_later_is_no_price_yet():
    assert amounts(rate("input", "3", valid_from=AT.replace(hour=13))) is None


def test_own_price_lies_over_the_list_unit_by_unit():
    prices = (
        rate("input", "3"),
        rate("output", "15"),
        rate("input", "2", is_own=True),
    )
    assert amounts(*prices) == {"input": "2", "output": "15"}


def test_own_price_stays_when_the_list_changes():
    prices = (rate("input", "2", is_own=True), rate("input", "1", valid_from=AUTUMN))
    assert amounts(*prices) == {"input": "2"}


def test_own_price_takes_the_lists_steps_away():
    prices = (
        rate("input", "3"),
        rate("input", "6", input_over=200_000),
        rate("input", "2", is_own=True),
    )
    assert amounts(*prices, band=200_000) == {"input": "2"}


def test_own_price_is_for_its_tier_only():
    prices = (rate("input", "3"), rate("input", "2", is_own=True, tier="batch"))
    assert amounts(*prices) == {"input": "3"}


def test_card_holds_one_currency_that_of_the_newest_own_price():
    prices = (
        rate("input", "3"),
        rate("output", "15"),
        rate("input", "2", is_own=True, currency="USD"),
        rate("output", "9", is_own=True, currency="EUR", valid_from=AUTUMN),
    )
    card = rates_at(prices, "standard", 0, AT)
    assert (card.currency, dict(card.amounts)) == ("EUR", {"output": Decimal(9)})


def test_class_without_a_special_price_is_billed_as_the_wider_one():
    card = rates_at([rate("input", "3"), rate("cache_write_5m", "4")], "standard", 0, AT)
    assert {
        name: card.rate_of(name) for name in ("cache_read", "cache_write_1h", "audio_input")
    } == {"cache_read": 3, "cache_write_1h": 4, "audio_input": 3}
    assert card.rate_of("reasoning") is None
