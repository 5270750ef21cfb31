"""The preview of a re-pricing is what the re-pricing then does, to the last digit."""

from datetime import timedelta
from decimal import Decimal

import pytest

from finops.actions import repricing as actions
from finops.actions.price_book import OwnPrice, set_hardware_price, set_own_prices
from finops.actions.pricing import price_hours
from finops.models import Audit, CostDay, CostQuarter, ModelAlias, PoolQuarter, PricedHour
from finops.queries import repricing
from finops.queries.repricing_plan import Scope, Volume
from ingest import store
from ingest.rollup import roll_up
from tests.finops.actions.conftest import (
    book,
    few,
    few_models,
    pool,
    pool_source,
    project,
    source,
)
from tests.ingest.make import NOON, span

__all__ = ["book", "few", "few_models", "pool", "pool_source", "project", "source"]

pytestmark = pytest.mark.django_db

TWELVE = NOON.replace(minute=0)
DAY = Scope(TWELVE - timedelta(hours=6), TWELVE + timedelta(hours=6))


def price(source, *records):
    store.spans(source, records)
    roll_up()
    return price_hours()


def traffic():
    return [
        span(
            n,
            started_at=NOON + timedelta(minutes=7 * n),
            model=["gpt-4o", "gpt-4o-mini", "o3", "house-model"][n % 4],
            input_tokens=[137, 300_001, 7][n % 3],
            cache_read_tokens=n * 11,
            output_tokens=n + 1,
        )
        for n in range(40)
    ]


def new_prices():
    """One dearer in its last digits, one in another currency, one that had none, one lost."""
    return set_own_prices(
        [
            OwnPrice("openai", "gpt-4o-mini", "input", Decimal("0.15000000000001")),
            OwnPrice("openai", "gpt-4o", "input", Decimal(2), "EUR"),
            OwnPrice("openai", "house-model", "input", Decimal("0.3")),
        ]
    )


def stored(table=CostDay):
    """(model, currency) → cost, and unpriced requests and tokens in all."""
    costs, spans, tokens = {}, 0, 0
    for row in table.objects.all():
        if row.currency:
            key = (row.model, row.currency)
            costs[key] = costs.get(key, Decimal(0)) + row.cost
        spans, tokens = spans + row.unpriced_spans, tokens + row.unpriced_tokens
    return costs, spans, tokens


def side(plan, name):
    return {
        (one.model, one.currency): getattr(one, name)
        for one in plan.changes
        if getattr(one, name) is not None
    }


def test_preview_is_what_repricing_then_does_to_the_last_digit(source, book):
    price(source, *traffic())
    newer = new_prices()
    before, spans_before, tokens_before = stored()
    plan = repricing.preview(DAY, newer)
    assert side(plan, "before") == before
    actions.confirm(DAY, newer, plan.digest, by=None, via="command")
    assert price_hours() == plan.hours == 5
    after, spans_after, tokens_after = stored()
    assert side(plan, "after") == after != before
    gained, lost = plan.newly_priced, plan.newly_unpriced
    assert spans_before - spans_after == gained.requests - lost.requests
    assert tokens_before - tokens_after == gained.tokens - lost.tokens
    assert gained.tokens > 0 < lost.tokens
    assert stored(CostQuarter) == stored()


def test_preview_writes_nothing(source, book):
    price(source, *traffic())
    newer = new_prices()
    seen = stored(), list(PricedHour.objects.values_list("book", "revision", "priced_at"))
    aliases = ModelAlias.objects.count()
    repricing.preview(DAY, newer)
    now = stored(), list(PricedHour.objects.values_list("book", "revision", "priced_at"))
    assert (now, ModelAlias.objects.count(), price_hours()) == (seen, aliases, 0)


def test_currencies_are_never_added(source, book):
    price(source, *traffic())
    plan = repricing.preview(DAY, new_prices())
    assert [total.currency for total in plan.totals] == ["EUR", "USD"]
    euro, dollar = plan.totals
    assert (euro.before, euro.after) == (0, side(plan, "after")["gpt-4o", "EUR"])
    assert dollar.before == sum(side(plan, "before").values())
    [was] = [one for one in plan.changes if (one.model, one.currency) == ("gpt-4o", "USD")]
    assert (was.after, was.difference) == (None, -was.before)


def test_late_facts_are_in_the_preview_as_they_are_in_the_price(source, book):
    price(source, span(1))
    newer = new_prices()
    store.spans(source, [span(2)])
    roll_up()
    plan = repricing.preview(DAY, newer)
    actions.confirm(DAY, newer, plan.digest, by=None, via="command")
    price_hours()
    assert side(plan, "after") == stored()[0]


def test_confirmation_is_refused_when_the_difference_has_changed(source, book):
    price(source, span(1))
    newer = new_prices()
    plan = repricing.preview(DAY, newer)
    price(source, span(2))
    with pytest.raises(actions.Refused, match="has changed since the preview"):
        actions.confirm(DAY, newer, plan.digest, by=None, via="command")
    assert {hour.book for hour in PricedHour.objects.all()} == {book}
    assert not Audit.objects.filter(action="prices.reprice").exists()


def test_confirmation_of_another_range_is_refused(source, book):
    price(source, span(1))
    newer = new_prices()
    plan = repricing.preview(DAY, newer)
    other = Scope(DAY.start, DAY.end + timedelta(hours=1))
    with pytest.raises(actions.Refused, match="has changed"):
        actions.confirm(other, newer, plan.digest, by=None, via="command")


def test_hours_outside_the_range_keep_their_version(source, book):
    price(source, span(1), span(2, started_at=NOON + timedelta(hours=2)))
    newer = new_prices()
    scope = Scope(TWELVE, TWELVE + timedelta(hours=1))
    plan = repricing.preview(scope, newer)
    assert plan.hours == 1
    actions.confirm(scope, newer, plan.digest, by=None, via="command")
    price_hours()
    assert {hour.hour.hour: hour.book for hour in PricedHour.objects.all()} == {
        12: newer,
        14: book,
    }


def test_projects_that_were_not_chosen_keep_their_version(source, book):
    price(source, span(1))
    nobody = Scope(DAY.start, DAY.end, (source.project_id + 1,))
    assert repricing.preview(nobody, new_prices()).hours == 0


def test_pricing_again_what_would_not_change_is_refused(source, book):
    price(source, span(1))
    plan = repricing.preview(DAY, book)
    assert plan.changes_nothing
    with pytest.raises(actions.Refused, match="would change nothing"):
        actions.confirm(DAY, book, plan.digest, by=None, via="command")


def test_empty_range_is_refused(book):
    plan = repricing.preview(DAY, book)
    with pytest.raises(actions.Refused, match="nothing to price again"):
        actions.confirm(DAY, book, plan.digest, by=None, via="command")


def test_progress_counts_the_hours_that_are_priced_again(source, book):
    price(source, span(1), span(2, started_at=NOON + timedelta(hours=2)))
    newer = new_prices()
    plan = repricing.preview(DAY, newer)
    made = actions.confirm(DAY, newer, plan.digest, by=None, via="command")
    assert repricing.repricing(made.pk).said == "0 of 2 hours are priced again."
    price_hours(limit=1)
    assert repricing.repricing(made.pk).said == "1 of 2 hours are priced again."
    price_hours()
    assert [one.said for one in repricing.progress()] == ["All 2 hours are priced again."]


def test_confirmation_is_audited_with_the_difference(source, book):
    price(source, span(1))
    newer = new_prices()
    plan = repricing.preview(DAY, newer)
    made = actions.confirm(DAY, newer, plan.digest, "Contract", by=None, via="command")
    detail = Audit.objects.get(action="prices.reprice").detail
    assert (detail["hours"], detail["version"], detail["plan"]) == (1, newer.version, plan.digest)
    assert detail["cost"] == {"USD": "0.000027 to 0.000027000000000001"}
    assert (detail["note"], made.totals) == (
        "Contract",
        {"USD": ["0.000027", "0.000027000000000001"]},
    )


def test_hardware_is_previewed_as_it_is_then_priced(pool, pool_source, book):
    first = pool.created_at.replace(minute=0, second=0, microsecond=0)
    price_hours(now=first + timedelta(hours=3))
    newer = set_hardware_price(pool.hardware, Decimal("2.5"))
    scope = Scope(first, first + timedelta(hours=2))
    plan = repricing.preview(scope, newer)
    assert plan.newly_priced == Volume(hardware_hours=Decimal(2))
    actions.confirm(scope, newer, plan.digest, by=None, via="command")
    price_hours(now=first + timedelta(hours=3))
    rows = PoolQuarter.objects.filter(book=newer)
    assert [one.after for one in plan.changes] == [sum(row.allocated for row in rows)]


def test_more_rows_than_one_waits_for_are_refused_with_the_way_out(source, book):
    price(source, span(1), span(2, model="o3"))
    with pytest.raises(repricing.TooMuch, match=r"manage\.py reprice"):
        repricing.preview(DAY, book, most_rows=1)
    assert repricing.preview(DAY, book, most_rows=None).hours == 1


def test_hour_that_is_still_filling_is_left_out():
    now = TWELVE + timedelta(hours=1, minutes=40)
    scope = Scope.until_now(TWELVE, TWELVE + timedelta(days=1), [3, 1], now)
    assert (scope.end, scope.project_ids) == (TWELVE + timedelta(hours=1), (1, 3))
