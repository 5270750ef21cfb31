from dataclasses import replace
from datetime import UTC, datetime, time
from decimal import Decimal

import pytest

from finops.actions import price_book
from finops.actions.price_book import (
    BadPrice,
    OwnPrice,
    remove_own_price,
    seed_price_book,
    set_hardware_price,
    set_own_price,
    set_own_prices,
)
from finops.actions.price_names import resolve
from finops.costing.rates import rates_at
from finops.models import HardwarePrice, ModelAlias, Price, PriceBook

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
CONTRACT = OwnPrice("openai", "gpt-4o-mini", "input", Decimal("0.12"))


def card(book, provider, model, tier="standard", at=AT):
    alias = resolve(book, provider, model)
    name = (alias.price_provider, alias.price_model)
    return rates_at(price_book.rates_of(book, {name})[name], tier, 0, at)


def test_seeding_takes_the_whole_snapshot_and_says_what_it_left_out():
    seeded = seed_price_book()
    assert seeded.created
    assert Price.objects.filter(book=seeded.book).count() == seeded.prices > 8_000
    assert seeded.book.source == "genai-prices 0.2.3"
    assert "unit web_searches_kcount: 319" in seeded.book.note


def test_seeding_again_changes_nothing(book):
    again = seed_price_book()
    assert (again.created, again.book) == (False, book)
    assert PriceBook.objects.count() == 1


def test_seeding_a_newer_snapshot_keeps_own_and_hardware_prices(book):
    set_own_price(CONTRACT)
    PriceBook.objects.update(source="genai-prices 0.1.0")
    set_hardware_price("H100", Decimal("2.5"))
    seeded = seed_price_book()
    assert (seeded.created, seeded.book.version) == (True, 4)
    own = Price.objects.get(book=seeded.book, is_own=True)
    assert (own.model, own.amount) == ("gpt-4o-mini", Decimal("0.12"))
    assert HardwarePrice.objects.get(book=seeded.book).hourly == Decimal("2.5")
    assert Price.objects.filter(book=seeded.book, is_own=False).count() == seeded.prices
    assert not seed_price_book().created


def test_own_price_lies_over_the_list_for_its_unit_alone(book):
    listed = card(book, "openai", "gpt-4o-mini")
    ours = card(set_own_price(CONTRACT), "openai", "gpt-4o-mini")
    assert ours.amounts == {**listed.amounts, "input": Decimal("0.12")}


def test_own_price_makes_a_new_version_and_leaves_the_old_one_alone(book):
    newer = set_own_price(CONTRACT)
    assert newer.version == book.version + 1
    assert card(book, "openai", "gpt-4o-mini").amounts["input"] == Decimal("0.15")


def test_own_price_for_the_same_case_replaces_the_one_before(book):
    set_own_price(CONTRACT)
    newer = set_own_price(replace(CONTRACT, amount=Decimal("0.1")))
    assert [row.amount for row in Price.objects.filter(book=newer, is_own=True)] == [Decimal("0.1")]


def test_removed_own_price_lets_the_list_hold_again(book):
    set_own_price(CONTRACT)
    newer = remove_own_price(CONTRACT)
    assert card(newer, "openai", "gpt-4o-mini").amounts["input"] == Decimal("0.15")
    with pytest.raises(BadPrice, match="no own price"):
        remove_own_price(CONTRACT)


def test_own_price_starts_on_its_day(book):
    newer = set_own_price(replace(CONTRACT, valid_from=AT))
    before = datetime(2026, 11, 10, 11, 45, tzinfo=UTC)
    assert card(newer, "openai", "gpt-4o-mini", at=before).amounts["input"] == Decimal("0.15")
    assert card(newer, "openai", "gpt-4o-mini", at=AT).amounts["input"] == Decimal("0.12")


def test_own_price_in_another_currency_hides_the_lists_instead_of_adding_to_it(book):
    newer = set_own_price(replace(CONTRACT, currency="EUR"))
    ours = card(newer, "openai", "gpt-4o-mini")
    assert (ours.currency, ours.amounts) == ("EUR", {"input": Decimal("0.12")})
    assert ours.rate_of("output") is None


def test_model_that_no_list_knows_gets_a_price_by_its_reported_name(book):
    assert resolve(book, "vllm", "Our-Llama").price_model == ""
    newer = set_own_prices(
        [
            OwnPrice("vllm", "our-llama", "input", Decimal(1)),
            OwnPrice("vllm", "our-llama", "output", Decimal(2)),
        ]
    )
    assert card(newer, "vllm", "Our-Llama").amounts == {"input": 1, "output": 2}


def test_alias_is_stored_so_that_it_stays_what_it_was(book):
    resolve(book, "azure.ai.openai", "gpt-4o")
    alias = ModelAlias.objects.get()
    assert (alias.price_provider, alias.price_model) == ("azure", "openai/gpt-4o")
    ModelAlias.objects.update(price_model="openai/gpt-4o-mini")
    assert resolve(book, "azure.ai.openai", "gpt-4o").price_model == "openai/gpt-4o-mini"


def test_alias_never_names_a_model_that_its_book_does_not_have(book):
    Price.objects.filter(book=book, provider="openai", model="gpt-4o").delete()
    assert resolve(book, "openai", "gpt-4o").price_model == ""


def test_names_too_long_to_be_kept_are_unpriced(book):
    assert resolve(book, "openai", "x" * 301) is None


def test_hardware_price_is_dated(book):
    set_hardware_price("H100", Decimal("2.5"))
    newer = set_hardware_price("H100", Decimal(2), valid_from=AT)
    assert {(row.valid_from, row.hourly) for row in newer.hardware.all()} == {
        (None, Decimal("2.5")),
        (AT, Decimal(2)),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"provider": " "}, "Give the provider"),
        ({"model": "x" * 201}, "at most 100 and a model"),
        ({"unit": "word"}, "word is not a unit"),
        ({"amount": Decimal(-1)}, "-1 is not a price"),
        ({"amount": Decimal("NaN")}, "NaN is not a price"),
        ({"amount": Decimal("1e-15")}, "more than 14 decimals"),
        ({"input_over": 150_000}, "Prompt sizes are kept in steps"),
        ({"time_from": time(8)}, "both times of day"),
        ({"time_from": time(8), "time_to": time(9, 10)}, "times such as 16:30"),
        ({"valid_from": datetime(2026, 11, 10)}, "with its time zone"),
        ({"valid_from": datetime(2026, 11, 10, 9, 10, tzinfo=UTC)}, "start on one"),
        ({"currency": ""}, "Give a currency"),
    ],
)
def test_bad_own_price_is_refused_with_the_fix(change, message):
    with pytest.raises(BadPrice, match=message):
        set_own_price(replace(CONTRACT, **change))
    assert not PriceBook.objects.exists()
