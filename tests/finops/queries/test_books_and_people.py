from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from finops import audit
from finops.actions import people as actions
from finops.models import Price
from finops.queries import people, prices
from finops.queries.cursors import BadCursor
from tests.factories.finops import PriceBookFactory, person
from tests.factories.ingest import SourceFactory, push_token


def price(book, model, provider="openai", unit="input", **changes):
    return Price.objects.create(
        book=book, provider=provider, model=model, unit=unit, amount=Decimal("2.5"), **changes
    )


@pytest.mark.django_db
def test_pages_of_prices_hold_each_once_in_order():
    book = PriceBookFactory()
    for model in ("b", "a"):
        for unit in ("output", "input"):
            for over in (200_000, 0):
                price(book, model, unit=unit, input_over=over)
    price(PriceBookFactory(), "of another version")
    found, cursor = [], None
    while True:
        page = prices.price_page(book, limit=3, cursor=cursor)
        found += [(row.model, row.input_over, row.unit) for row in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert found == sorted(found)
    assert len(found) == len(set(found)) == 8


@pytest.mark.django_db
def test_prices_are_found_by_a_part_of_either_name():
    book = PriceBookFactory()
    price(book, "gpt-4o")
    price(book, "claude", provider="anthropic")
    price(book, "house", is_own=True)
    names = lambda **asked: [row.model for row in prices.price_page(book, **asked).rows]  # noqa: E731
    assert names(search="GPT") == ["gpt-4o"]
    assert names(search="anthr") == ["claude"]
    assert names(own_only=True) == ["house"]
    assert names(provider="openai", model="house") == ["house"]
    assert names(search="%") == []


@pytest.mark.django_db
def test_without_a_book_there_are_no_prices_and_no_error():
    assert prices.price_page(prices.price_book()) == prices.PricePage(None, (), None)


@pytest.mark.django_db
def test_cursor_of_prices_cannot_smuggle_anything_in():
    book = PriceBookFactory()
    for cursor in ("x", "WzEsMiwzLDQsNSw2XQ", "WyJcdTAwMDAiLCJhIiwiYSIsMSwiYSIsMV0"):
        with pytest.raises(BadCursor):
            prices.price_page(book, cursor=cursor)


@pytest.mark.django_db
def test_tokens_say_whether_they_still_work():
    asha = person("asha", "analyst")
    for name, ends in (("a", None), ("b", timezone.now() + timedelta(seconds=1))):
        actions.issue_token(asha, name, "read", expires_at=ends, via="page")
    by_name = {token.name: token for token in people.access_tokens(asha)}
    by_name["b"].expires_at = timezone.now() - timedelta(seconds=1)
    actions.revoke_token(by_name["a"], by=asha, via="page")
    by_name["a"].refresh_from_db()
    assert [people.token_state(by_name[name]) for name in "ab"] == ["revoked", "expired"]
    assert people.access_tokens(person("ben", "approver")) == []


@pytest.mark.django_db
def test_push_tokens_are_listed_with_their_sources(django_assert_num_queries):
    sources = SourceFactory.create_batch(3)
    for source in sources:
        push_token(source)
    with django_assert_num_queries(1):
        assert {token.source.name for token in people.push_tokens()} == {s.name for s in sources}
    assert [token.source for token in people.push_tokens(sources[:1])] == sources[:1]


@pytest.mark.django_db
def test_audit_is_read_newest_first_and_by_page():
    asha = person("asha", "analyst")
    with transaction.atomic():
        for n in range(5):
            audit.record(asha, "page", f"price.{'set' if n % 2 else 'remove'}", asha, {"n": n})
        audit.record(None, "system", "source.add", SourceFactory())
    first = people.audit_page(4)
    second = people.audit_page(4, first.next)
    assert [entry.detail.get("n") for entry in (*first.rows, *second.rows)] == [
        None, 4, 3, 2, 1, 0,
    ]  # fmt: skip
    assert second.next is None
    assert len(people.audit_page(actor="asha").rows) == 5
    assert len(people.audit_page(action="price").rows) == 5
    assert len(people.audit_page(action="price.set").rows) == 2
    assert len(people.audit_page(obj=f"finops.user:{asha.pk}").rows) == 5
    assert len(people.audit_page(obj="ingest.source").rows) == 1
