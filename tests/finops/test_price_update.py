"""A newer price list changes nothing until its differences were looked at and confirmed."""

import io
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from finops.actions import price_terms, price_update
from finops.actions.price_book import OwnPrice, set_own_price
from finops.actions.price_names import resolve
from finops.actions.price_terms import TermDraft
from finops.costing.rates import BadPriceList
from finops.models import Audit, Price, PriceBook, PriceList
from finops.queries.price_update import ADDED, CHANGED, REMOVED, price_diff
from tests.finops.actions.conftest import book, few, few_models

__all__ = ["book", "few", "few_models"]

pytestmark = pytest.mark.django_db


def prices(**changes):
    """A data file in the library's form, with two models."""
    mini = {"input_mtok": 0.15, "cache_read_mtok": 0.075, "output_mtok": 0.6} | changes
    return [
        {
            "id": "openai",
            "name": "OpenAI",
            "api_pattern": "https://api\\.openai\\.com",
            "models": [
                {"id": "gpt-4o-mini", "match": {"equals": "gpt-4o-mini"}, "prices": mini},
                {
                    "id": "gpt-9-tomorrow",
                    "match": {"equals": "gpt-9-tomorrow"},
                    "prices": {"input_mtok": 3, "output_mtok": 12},
                },
            ],
        }
    ]


def handed_in(**changes):
    content = json.dumps(prices(**changes)).encode()
    return price_update.keep_list("data.json", content, by=None, via="command")


def test_newest_book_has_every_price_of_the_installed_release(book):
    diff = price_diff()
    assert (diff.changes, diff.same) == ((), Price.objects.filter(book=book).count())
    with pytest.raises(price_update.Refused, match="has every price"):
        price_update.take(None, diff.digest, by=None, via="command")


def test_difference_tells_old_and_new_and_the_share(book):
    diff = price_diff(handed_in(input_mtok=0.3))
    changed = [one for one in diff.changes if one.kind == CHANGED]
    assert [
        (one.model, one.rate.unit, one.old.amount, one.new.amount, one.share) for one in changed
    ] == [("gpt-4o-mini", "input", Decimal("0.15"), Decimal("0.3"), 1.0)]
    added = {(one.model, one.rate.unit) for one in diff.changes if one.kind == ADDED}
    assert added == {("gpt-9-tomorrow", "input"), ("gpt-9-tomorrow", "output")}
    assert diff.count(REMOVED) > 0
    assert "gpt-4o" in {one.model for one in diff.changes if one.kind == REMOVED}


def test_looking_at_a_difference_writes_no_version(book):
    price_diff(handed_in(input_mtok=0.3))
    assert PriceBook.objects.count() == 1


def test_confirmed_list_is_the_next_version_and_keeps_own_prices(book):
    set_own_price(OwnPrice("openai", "gpt-4o-mini", "input", Decimal("0.1")))
    wanted = handed_in(input_mtok=0.3)
    diff = price_diff(wanted)
    [covered] = [one for one in diff.changes if one.kind == CHANGED]
    assert (covered.is_covered, diff.own) == (True, 1)
    made = price_update.take(wanted, diff.digest, by=None, via="command").book
    assert (made.version, made.source) == (3, f"data.json {wanted.digest[:12]}")
    assert Price.objects.get(book=made, is_own=True).amount == Decimal("0.1")
    assert price_diff(wanted).changes == ()
    detail = Audit.objects.get(action="price_book.update").detail
    assert (detail["added"], detail["changed"], detail["own_kept"]) == (2, 1, 1)
    # The installed release does not know it; its own name does.
    assert resolve(made, "openai", "gpt-9-tomorrow").price_model == "gpt-9-tomorrow"


def test_review_of_another_book_is_refused(book):
    wanted = handed_in(input_mtok=0.3)
    diff = price_diff(wanted)
    set_own_price(OwnPrice("openai", "gpt-4o-mini", "input", Decimal("0.1")))
    with pytest.raises(price_update.Refused, match="have changed since you looked"):
        price_update.take(wanted, diff.digest, by=None, via="command")
    assert PriceBook.objects.count() == 2


def test_same_file_is_kept_once(book):
    assert handed_in() == handed_in()
    assert Audit.objects.filter(action="price_list.add").count() == 1


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"[1]", b'[{"id": "openai"}]', b"\xff\xfe", b"[" * 100_000,
        json.dumps(prices(input_mtok=-1)).encode(),
        json.dumps(prices(input_mtok=10**12)).encode(),
        json.dumps(prices(input_mtok=float("nan"))).encode(),
        json.dumps(prices(input_mtok="many")).encode(),
    ],
)  # fmt: skip
def test_file_that_is_no_price_list_is_refused(db, content):
    with pytest.raises(BadPriceList):
        price_update.keep_list("data.json", content, by=None, via="command")
    assert not PriceList.objects.exists()


def run(*given):
    out = io.StringIO()
    call_command("prices_diff", *given, stdout=out)
    return out.getvalue()


def test_command_shows_first_and_takes_what_was_reviewed(book, tmp_path):
    file = tmp_path / "data.json"
    file.write_text(json.dumps(prices(input_mtok=0.3)))
    told = run("--file", str(file))
    assert "changed: openai gpt-4o-mini input standard: 0.15 USD to 0.3 USD (+100.0%)" in told
    assert PriceBook.objects.count() == 1
    review = told.strip().rpartition(" ")[2]
    assert run("--file", str(file), "--confirm", review).startswith("Price book v2 (data.json")


def test_command_says_what_is_wrong_with_a_file(book, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        run("--file", str(tmp_path / "none.json"))


def test_setup_takes_no_newer_list_by_itself(book, few_models):
    PriceBook.objects.update(source="genai-prices 0.1.0")
    Price.objects.filter(unit="input").delete()
    call_command("setup", stdout=io.StringIO())
    assert PriceBook.objects.count() == 1
    assert price_diff().count(ADDED) > 0


def test_contracts_are_kept_and_it_is_said_which_would_come_off_nothing(book):
    by = {"by": None, "via": "command"}
    kept = TermDraft(contract="C-1", provider="openai", percent=Decimal(10))
    price_terms.add(kept, **by)
    price_terms.add(replace(kept, contract="C-2", model="gpt-4o"), **by)
    diff = price_diff(handed_in())
    assert (diff.terms, diff.without_price) == (2, ("C-2",))
    assert "0 of our own and 2 contracts are kept." in diff.said
    assert "of a model without a price: C-2." in diff.said
    newest = price_update.take(PriceList.objects.get(), diff.digest, **by).book
    assert sorted(newest.terms.values_list("contract", flat=True)) == ["C-1", "C-2"]
