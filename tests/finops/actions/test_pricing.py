from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.price_book import OwnPrice, set_own_price, set_own_prices
from finops.actions.pricing import is_priced, price_hours, reprice
from finops.actions.span_costs import span_costs
from finops.models import CostDay, CostQuarter, PricedHour
from finops.money import Money
from ingest import store
from ingest.models import Span
from ingest.rollup import roll_up
from tests.ingest.make import NOON, span
from tests.other_worker import at_work

pytestmark = pytest.mark.django_db

MINI = Decimal("0.15"), Decimal("0.60")
"""Dollars per million input and output tokens of gpt-4o-mini."""


def price(source, *records):
    store.spans(source, records)
    roll_up()
    return price_hours()


def cost(model=CostQuarter):
    return sum(row.cost for row in model.objects.all())


def test_hour_is_priced_to_the_last_digit(source, book):
    assert price(source, span(1), span(2)) == 1
    row = CostQuarter.objects.get()
    assert row.at == datetime(2026, 11, 10, 12, tzinfo=UTC)
    assert (row.input_cost, row.output_cost) == (Decimal("0.00003"), Decimal("0.000024"))
    assert (row.cost, row.currency, row.book) == (Decimal("0.000054"), "USD", book)
    assert (row.spans, row.priced_spans, row.tokens) == (2, 2, 240)
    assert cost(CostDay) == row.cost


def test_priced_hour_is_not_priced_again(source, book):
    price(source, span(1))
    assert price_hours() == 0


def test_changed_hour_is_computed_anew_not_added_to(source, book):
    price(source, span(1))
    assert price(source, span(1, version=2, input_tokens=300)) == 1
    assert CostQuarter.objects.get().input_cost == 300 * MINI[0] / 10**6
    assert cost(CostDay) == cost()


def test_span_that_moved_leaves_no_cost_behind(source, book):
    price(source, span(1))
    price(source, span(1, version=2, started_at=NOON + timedelta(hours=2)))
    assert CostQuarter.objects.get().at.hour == 14
    assert CostDay.objects.get().cost == cost()


def test_hour_keeps_its_book_until_it_is_repriced(source, book):
    price(source, span(1))
    newer = set_own_price(OwnPrice("openai", "gpt-4o-mini", "input", Decimal(1)))
    price(source, span(2), span(3, started_at=NOON + timedelta(hours=1)))
    assert {(row.at.hour, row.book) for row in CostQuarter.objects.all()} == {
        (12, book),
        (13, newer),
    }
    moved = reprice("project", [source.project_id], NOON - timedelta(hours=1), NOON)
    assert (moved, price_hours()) == (1, 1)
    assert {row.book for row in CostQuarter.objects.all()} == {newer}
    assert {hour.book for hour in PricedHour.objects.all()} == {newer}


def test_unknown_model_is_unpriced_and_never_zero(source, book):
    price(source, span(1, model="no-such-model"), span(2))
    unpriced = CostQuarter.objects.get(model="no-such-model")
    assert (unpriced.unpriced_spans, unpriced.unpriced_tokens) == (1, 120)
    assert (unpriced.priced_spans, unpriced.currency) == (0, "")


def test_tier_without_a_price_is_unpriced(source, book):
    price(source, span(1, model="gpt-4o", provider="azure", tier="batch"))
    row = CostQuarter.objects.get()
    assert (row.unpriced_spans, row.currency) == (1, "")


def test_usage_that_was_not_reported_is_unknown(source, book):
    price(source, span(1), span(2, input_tokens=None, output_tokens=None))
    row = CostQuarter.objects.get()
    assert (row.spans, row.priced_spans, row.unknown_spans) == (2, 1, 1)


def test_class_without_a_price_is_visible_beside_the_amount(source, book):
    set_own_price(OwnPrice("vllm", "ours", "input", Decimal(1)))
    price(source, span(1, provider="vllm", model="ours"))
    row = CostQuarter.objects.get()
    assert (row.cost, row.unpriced_tokens) == (Decimal("0.0001"), 20)


def test_tool_span_costs_nothing_and_lacks_nothing(source, book):
    price(
        source, span(1, kind="tool", input_tokens=None, output_tokens=None, model="", provider="")
    )
    row = CostQuarter.objects.get()
    assert (row.spans, row.priced_spans, row.unpriced_spans, row.unknown_spans) == (1, 0, 0, 0)


def test_span_served_by_a_pool_is_neither_charged_nor_unpriced(source, pool, book):
    price(source, span(1, provider="Triton", model="resnet", kind="inference"))
    row = CostQuarter.objects.get()
    assert (row.spans, row.priced_spans, row.unpriced_spans, row.unknown_spans) == (1, 0, 0, 0)
    assert row.currency == ""


def test_currencies_stand_in_rows_of_their_own(source, book):
    set_own_prices(
        [
            OwnPrice("openai", "gpt-4o", "input", Decimal(2), "EUR"),
            OwnPrice("openai", "gpt-4o", "output", Decimal(8), "EUR"),
        ]
    )
    price(source, span(1), span(2, model="gpt-4o"))
    assert {row.currency: row.cost for row in CostDay.objects.all()} == {
        "USD": Decimal("0.000027"),
        "EUR": Decimal("0.00036"),
    }


def test_fee_per_request_is_paid_by_requests_that_succeeded(source, book):
    set_own_price(OwnPrice("acme", "ocr", "request", Decimal(5)))
    usage = {"provider": "acme", "model": "ocr", "kind": "inference"}
    none = {"input_tokens": None, "output_tokens": None}
    price(
        source, span(1, **usage, **none), span(2, **usage, **none, status="error", error_type="503")
    )
    row = CostQuarter.objects.get()
    assert (row.other_cost, row.priced_spans) == (Decimal("0.005"), 2)


def test_day_follows_the_accounting_time_zone_to_the_quarter(source, book, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kathmandu"  # UTC+5:45
    before = datetime(2026, 11, 10, 18, 10, tzinfo=UTC)
    after = datetime(2026, 11, 10, 18, 20, tzinfo=UTC)
    price(source, span(1, started_at=before), span(2, started_at=after))
    assert {row.day: row.spans for row in CostDay.objects.all()} == {
        date(2026, 11, 10): 1,
        date(2026, 11, 11): 1,
    }


def test_limit_is_per_owner_and_newest_first(source, book):
    records = [span(n, started_at=NOON + timedelta(hours=n)) for n in range(3)]
    store.spans(source, records)
    roll_up()
    assert [price_hours(limit=2), price_hours(limit=2), price_hours(limit=2)] == [2, 1, 0]


def test_spans_of_a_row_add_up_to_it_exactly(source, book):
    records = [
        span(
            n,
            started_at=NOON + timedelta(minutes=7 * n),
            model=["gpt-4o", "gpt-4o-mini", "o3", "no-such-model"][n % 4],
            tier=["standard", "batch", "flex"][n % 3],
            input_tokens=[137, 300_001, None][n % 3],
            cache_read_tokens=n * 11,
            reasoning_tokens=n * 3,
            output_tokens=n or None,
        )
        for n in range(60)
    ]
    price(source, *records)
    costs = span_costs(list(Span.objects.all()))
    assert len(costs) == 60
    assert sum(one.money.amount for one in costs.values() if one.money) == cost() > 0


def test_span_without_money_says_why(source, pool, book):
    price(
        source,
        span(1),
        span(2, model="no-such-model"),
        span(3, input_tokens=None, output_tokens=None),
        span(4, provider="triton"),
        span(5, kind="tool", input_tokens=None, output_tokens=None),
        span(6, kind="agent", span_id="root"),
        span(6, span_id="leaf", parent_span_id="root"),
    )
    store.spans(source, [span(7, started_at=NOON + timedelta(hours=3))])
    costs = span_costs(list(Span.objects.order_by("trace_id", "span_id")))
    assert [(one.money, one.note) for one in costs.values()] == [
        (Money(Decimal("0.000027"), "USD"), ""),
        (None, "No price for this model and tier"),
        (None, "Its usage was not reported"),
        (None, "Paid by the hour"),
        (None, "Not charged by usage"),
        (Money(Decimal("0.000027"), "USD"), ""),
        (None, "Counted at the span below it"),
        (None, "Not priced yet"),
    ]


def test_cost_of_many_spans_takes_few_queries(source, book, django_assert_num_queries):
    price(source, *(span(n) for n in range(8)))
    spans = list(Span.objects.all())
    for some in (spans[:1], spans):
        with django_assert_num_queries(7):
            span_costs(some)


def test_owner_that_another_worker_prices_is_left_to_it(source, book):
    store.spans(source, [span(1)])
    roll_up()
    begin = NOON.replace(minute=0)
    with at_work(f"price:project:{source.project_id}"):
        assert price_hours() == 0
        assert is_priced(begin)
        assert not is_priced(begin + timedelta(hours=1))
    assert price_hours() == 1
    assert is_priced(begin + timedelta(hours=1))


def test_error_of_one_owner_does_not_keep_others_from_being_priced(source, book, monkeypatch):
    from finops.actions import pricing
    from ingest.models import Project, Source

    other = Project.objects.create(slug="chat", name="Chat")
    second = Source.objects.create(kind="otlp", name="Chat traffic", project=other)
    store.spans(source, [span(1)])
    store.spans(second, [span(1)])
    roll_up()
    real = pricing._write_days

    def fail_for_one(cursor, project, hours):
        if project == source.project_id:
            raise ArithmeticError("one bad owner")
        real(cursor, project, hours)

    monkeypatch.setattr(pricing, "_write_days", fail_for_one)
    with pytest.raises(ExceptionGroup) as failure:
        price_hours()
    assert [str(error) for error in failure.value.exceptions] == ["one bad owner"]
    assert CostQuarter.objects.get().project_id == other.pk
