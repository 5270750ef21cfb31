"""What spend is: bills where complete, priced usage elsewhere, never both, nothing lost."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.allocation import landing
from finops.actions.allocation.rules import Draft
from finops.actions.allocation.rules import add as add_rule
from finops.costing.allocating import Condition
from finops.models import BillMatch
from finops.queries.book import NO_MODEL, NOT_ON_BILL
from finops.queries.spend import NoSuchSeries, daily_spend, spend_by, spend_series, spend_total
from ingest import store
from tests.factories.finops import billed, paid, spent
from tests.factories.ingest import SourceFactory
from tests.ingest.make import bill_line

OCTOBER = "from=2025-10-01&to=2025-11-01"
MONTH = date(2025, 10, 1)


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


@pytest.fixture
def match(db):
    return BillMatch.objects.create(
        usage_provider="openai", bill_provider="OpenAI", bill_service="API"
    )


def by(table):
    return {row.keys: row.cost for row in table.rows}


def test_usage_alone_is_the_provisional_book(ask, chat):
    spent(chat, at(1), "1.25")
    spent(chat, at(2), "2.5")
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.reconciled, total.provisional) == (Decimal("3.75"), 0, True)
    assert (total.requests, total.tokens) == (20, 2000)
    assert total.per_million_tokens == Decimal("1875")
    assert total.per_thousand_requests == Decimal("187.5")
    assert (total.tokens_counted, total.requests_counted) == (2000, 20)


def test_complete_bill_takes_the_place_of_the_usage_it_is_matched_with(ask, chat, bills, match):
    spent(chat, at(1), "1")
    spent(chat, at(2), "2")
    spent(chat, at(2), "40", provider="anthropic", model="claude")
    billed(bills, MONTH, range(1, 3), "5")
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.reconciled) == (Decimal(50), Decimal(10))
    assert total.usage_cost == Decimal(43)  # beside it, for reconciliation
    assert by(spend_by(ask(f"{OCTOBER}&group_by=provider"))) == {
        ("openai",): Decimal(10),
        ("anthropic",): Decimal(40),
    }


def test_usage_stands_in_from_the_end_of_what_the_bill_has_charged(ask, chat, bills, match):
    for day in range(1, 6):
        spent(chat, at(day), "1")
    billed(bills, MONTH, range(1, 4), "5")
    series = spend_series(ask("from=2025-10-01&to=2025-10-06"))
    assert series.lines[0].values == tuple(map(Decimal, (5, 5, 5, 1, 1)))
    assert series.reconciled == tuple(map(Decimal, (5, 5, 5, 0, 0)))


def test_day_that_a_bill_covers_in_part_is_filled_from_quarter_hours(ask, chat, bills, match):
    spent(chat, at(3, 5), "1")
    spent(chat, at(3, 6), "20")
    spent(chat, at(3, 18), "300")
    charged = {"charge_period_start": at(3, 0), "charge_period_end": at(3, 6)}
    billed(bills, MONTH, range(3, 4), "5", **charged)
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.usage_cost, total.requests) == (Decimal(325), Decimal(321), 30)


def test_bill_of_utc_months_meets_accounting_days_of_another_zone(
    ask, chat, bills, match, settings
):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    spent(chat, datetime(2025, 9, 30, 18, 45, tzinfo=UTC), "3")  # 1 October there, not billed
    spent(chat, datetime(2025, 10, 1, 3, tzinfo=UTC), "40")  # 1 October there, billed
    billed(bills, MONTH, range(1, 2), "5")
    total = spend_total(ask("from=2025-10-01&to=2025-10-02"))
    assert (total.cost, total.reconciled, total.usage_cost) == (8, 5, 43)


def test_charge_for_the_rest_of_the_month_in_advance_hides_no_usage(ask, chat, bills, match):
    spent(chat, at(2), "1")
    spent(chat, at(10), "2")
    spent(chat, at(20), "4")
    billed(bills, MONTH, range(1, 4), "5", name="usage")
    subscription = {
        "charge_period_end": at(1, 0, month=11),
        "charge_category": "Purchase",
        "billing_account_id": "account-2",
    }
    billed(bills, MONTH, range(15, 16), "100", name="subscription", **subscription)
    assert spend_total(ask(OCTOBER)).cost == Decimal(121)


def test_incomplete_bill_is_not_believed(ask, chat, bills, match):
    spent(chat, at(1), "1")
    billed(bills, MONTH, range(1, 3), "5", complete=False)
    assert spend_total(ask(OCTOBER)).cost == Decimal(1)


def test_restated_bill_counts_once_and_the_earlier_one_stays_readable(ask, bills, monkeypatch):
    for day, amount in ((2, "5"), (9, "6")):
        told = datetime(2025, 11, day, 12, tzinfo=UTC)
        monkeypatch.setattr("ingest.store.bills.timezone.now", lambda told=told: told)
        billed(bills, MONTH, range(1, 3), amount)
    assert spend_total(ask(OCTOBER)).cost == Decimal(12)
    assert spend_total(ask(f"{OCTOBER}&known_on=2025-11-05")).cost == Decimal(10)
    assert spend_total(ask(f"{OCTOBER}&known_on=2025-11-09")).cost == Decimal(12)
    assert spend_total(ask(f"{OCTOBER}&known_on=2025-11-01")).cost == 0


def test_basis_shows_usage_or_bills_alone(ask, chat, bills, match):
    spent(chat, at(1), "1")
    billed(bills, MONTH, range(1, 3), "5")
    assert spend_total(ask(f"{OCTOBER}&basis=usage")).cost == Decimal(1)
    assert spend_total(ask(f"{OCTOBER}&basis=bill")).cost == Decimal(10)
    assert spend_total(ask(f"{OCTOBER}&basis=bill&metric=billed")).cost == Decimal(12)


def test_bill_line_without_the_chosen_cost_is_counted_as_unknown(ask, bills):
    billed(bills, MONTH, range(1, 4), "5", list_cost=None)
    total = spend_total(ask(f"{OCTOBER}&basis=bill&metric=list"))
    assert (total.cost, total.unknown_bill_lines) == (0, 3)
    assert spend_total(ask(f"{OCTOBER}&basis=bill")).unknown_bill_lines == 0


def test_currencies_are_told_beside_each_other_and_never_added(ask, chat, bills):
    spent(chat, at(1), "1")
    spent(chat, at(1), "9", currency="EUR", model="mistral")
    billed(bills, MONTH, range(1, 2), "5", billing_currency="JPY")
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.others) == (1, (("EUR", Decimal(9)), ("JPY", Decimal(5))))
    assert spend_total(ask(f"{OCTOBER}&currency=EUR")).cost == Decimal(9)


def test_usage_without_a_price_is_unpriced_and_in_no_amount(ask, chat):
    spent(chat, at(1), "1")
    spent(chat, at(1), None, model="house-tuned", unknown_spans=2)
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.unpriced_spans, total.unpriced_tokens) == (1, 10, 1000)
    assert (total.unknown_spans, total.requests, total.tokens) == (2, 20, 2000)
    assert total.per_million_tokens == Decimal(1000)  # of what has a price
    assert total.others == ()


def test_hardware_is_spend_of_its_pools_provider_under_unallocated(ask, chat, pool):
    spent(chat, at(1), None, provider="triton", model="bert", kind="inference", unpriced_spans=0,
          unpriced_tokens=0, tokens=0)  # fmt: skip
    paid(pool, at(1), idle="3", bert="1")
    assert by(spend_by(ask(f"{OCTOBER}&group_by=project,model"))) == {
        ("chat", "bert"): 0,
        ("unallocated", "bert"): Decimal(1),
        ("unallocated", "(idle)"): Decimal(3),
    }
    total = spend_total(ask(f"{OCTOBER}&f.provider=triton"))
    assert (total.cost, total.unpriced_spans) == (Decimal(4), 0)
    assert total.per_thousand_requests == Decimal(400)  # what was paid, idle included
    assert (total.requests, total.requests_counted) == (10, 10)
    assert spend_total(ask(f"{OCTOBER}&f.model=(idle)")).cost == Decimal(3)


def test_hardware_without_a_price_is_unknown_hours(ask, pool):
    paid(pool, at(1), idle=None)
    total = spend_total(ask(OCTOBER))
    assert (total.cost, total.unpriced_gpu_hours) == (0, 0.5)


def test_bill_of_the_hardware_takes_the_place_of_its_hours(ask, pool, bills):
    BillMatch.objects.create(
        usage_provider="triton", bill_provider="Cloud", bill_service="Instances"
    )
    paid(pool, at(1), idle="3", bert="1")
    paid(pool, at(2), idle="30", bert="10")
    billed(bills, MONTH, range(1, 2), "5", provider="Cloud", service="Instances")
    assert spend_total(ask(OCTOBER)).cost == Decimal(45)


@pytest.mark.parametrize(
    "group_by",
    ["project", "team", "provider", "model", "service", "kind", "tier", "sku", "origin",
     "project,model", "team,project", "origin,provider"],
)  # fmt: skip
def test_rows_add_up_to_the_total_by_whatever_they_are_grouped(
    ask, chat, search, pool, bills, match, group_by
):
    spent(chat, at(1), "0.1234567890123456789")
    spent(search, at(2), "0.00000000000000000001")
    spent(search, at(9), "2", provider="anthropic", model="claude")
    spent(search, at(9), None, model="house")
    paid(pool, at(3), idle="3", bert="1")
    billed(bills, MONTH, range(1, 4), "5")
    filters = ask(f"{OCTOBER}&group_by={group_by}")
    table, total = spend_by(filters), spend_total(filters)
    assert table.total.cost == total.cost == sum(row.cost for row in table.rows) == Decimal(21)
    assert table.total.usage_cost == total.usage_cost
    assert table.total.usage_cost == sum(row.usage_cost for row in table.rows)
    assert table.total.tokens == sum(row.tokens or 0 for row in table.rows) == 4000
    assert table.total.tokens == total.tokens
    assert sum(row.share for row in table.rows) == pytest.approx(1)
    series = spend_series(filters)
    assert sum(sum(filter(None, line.values)) for line in series.lines) == total.cost


def test_teams_are_the_sums_of_their_projects(ask, chat, search):
    spent(chat, at(1), "1")
    spent(search, at(1), "2")
    table = spend_by(ask(f"{OCTOBER}&group_by=team"))
    assert {row.labels: row.cost for row in table.rows} == {("Search team",): 2, ("Support",): 1}


def test_comparison_keeps_groups_that_have_gone(ask, chat, search):
    spent(chat, at(2), "3")
    spent(chat, at(1, month=9), "2")
    spent(search, at(10, month=9), "4")
    table = spend_by(ask("from=2025-10-01&to=2025-11-01&compare=previous"))
    assert {row.keys: (row.cost, row.previous) for row in table.rows} == {
        ("chat",): (3, 2),
        ("search",): (0, 4),
    }
    assert (table.total.previous, table.rows[0].change) == (6, 0.5)


def test_day_without_anything_is_unknown_in_a_series_not_zero(ask, chat, search):
    spent(chat, at(1), "1")
    spent(search, at(3), "2")
    series = spend_series(ask("from=2025-10-01&to=2025-10-04&group_by=project"))
    assert {line.label: line.values for line in series.lines} == {
        "Chat": (1, None, 0),
        "Search": (0, None, 2),
    }


def test_series_gathers_what_is_not_among_the_dearest(ask, chat):
    for n in range(1, 5):
        spent(chat, at(1), str(n), model=f"model-{n}")
    series = spend_series(ask(f"{OCTOBER}&group_by=model"), top=2)
    assert [(line.label, line.values[0]) for line in series.lines] == [
        ("model-4", 4),
        ("model-3", 3),
        ("Other", 3),
    ]


def test_series_by_the_hour_is_of_usage(ask, chat):
    spent(chat, at(1, 5), "1")
    spent(chat, at(1, 6), "2")
    query = "from=2025-10-01&to=2025-10-02"
    series = spend_series(ask(f"{query}&basis=usage"), step="hour")
    assert series.points[5:7] == (at(1, 5), at(1, 6))
    assert series.lines[0].values[4:8] == (None, 1, 2, None)
    with pytest.raises(NoSuchSeries, match="basis=usage"):
        spend_series(ask(query), step="hour")


def test_no_series_has_points_in_the_future(ask, chat):
    series = spend_series(ask("range=7d"))
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert (len(series.points), series.points[-1] < tomorrow) == (7, True)


def test_viewer_sees_usage_of_the_project_and_nothing_that_is_shared(
    ask, cleo, chat, search, pool, bills, match
):
    spent(chat, at(1), "1")
    spent(search, at(1), "200")
    paid(pool, at(1), idle="3000")
    billed(bills, MONTH, range(1, 4), "50000")
    table = spend_by(ask(f"{OCTOBER}&group_by=project", cleo))
    assert by(table) == {("chat",): 1}
    assert (table.total.cost, table.others) == (1, ())
    for group in ("provider", "model", "sku", "origin", "team"):
        assert spend_by(ask(f"{OCTOBER}&group_by={group}", cleo)).total.cost == 1


@pytest.mark.parametrize(
    ("usage", "model"),
    [("openai", "gpu-80gb"), ("Triton", NOT_ON_BILL), ("", NOT_ON_BILL)],
)
def test_sku_is_a_model_only_where_the_bill_is_of_a_models_provider(
    ask, asha, chat, pool, bills, usage, model
):
    """A pool's bill names hardware; what a rule moves keeps its model on both sides."""
    if usage:
        BillMatch.objects.create(usage_provider=usage, bill_provider="OpenAI", bill_service="API")
    billed(bills, MONTH, range(1, 4), "4", sku_id="gpu-80gb")
    table = spend_by(ask(f"{OCTOBER}&group_by=model"))
    assert by(table) == {(model,): 12}
    named = spend_total(ask(f"{OCTOBER}&f.model=gpu-80gb")).cost
    assert named == (12 if model == "gpu-80gb" else 0)
    rule = Draft(
        name="To chat", origin="bill", conditions=(Condition("service", "is", ("api",)),),
        targets=(("chat", None),), valid_from=MONTH,
    )  # fmt: skip
    add_rule(rule, by=asha, via="page")
    while landing.land():
        pass
    costs = by(spend_by(ask(f"{OCTOBER}&group_by=project,model")))
    assert costs == {("chat", model): 12, ("unallocated", model): 0}


@pytest.mark.parametrize("usage", ["openai", ""])
def test_credit_or_tax_of_its_own_sku_is_no_model(ask, asha, chat, bills, usage):
    """On the bill, on both sides of what a rule moved, and as a filter; another lowers its SKU."""
    if usage:
        BillMatch.objects.create(usage_provider=usage, bill_provider="OpenAI", bill_service="API")
    model = "gpt" if usage else NOT_ON_BILL
    kinds = (("4", "gpt", "Usage"), ("-1", "gpt", "Credit"), ("-2", "promo", "Credit"),
             ("1", "vat", "Tax"), ("-0.5", "", "Adjustment"))  # fmt: skip
    lines = [
        bill_line(
            number, provider_name="OpenAI", service_name="API", sku_id=sku,
            charge_category=category, effective_cost=Decimal(amount), charge_period_start=at(2, 0),
            charge_period_end=at(3, 0), billing_period_start=at(1, 0),
            billing_period_end=at(1, 0, month=11), content_hash=category.encode() + sku.encode(),
        )
        for number, (amount, sku, category) in enumerate(kinds, 1)
    ]  # fmt: skip
    store.bill(bills, name="bill.csv", sha256=b"b" * 32, complete=True, rows=lines)
    table = by(spend_by(ask(f"{OCTOBER}&group_by=model")))
    assert table == {(model,): 3, (NO_MODEL,): Decimal("-1.5")}
    assert spend_total(ask(f"{OCTOBER}&f.model={NO_MODEL}")).cost == Decimal("-1.5")
    rule = Draft(
        name="To chat", origin="bill", conditions=(Condition("service", "is", ("api",)),),
        targets=(("chat", None),), valid_from=MONTH,
    )  # fmt: skip
    add_rule(rule, by=asha, via="page")
    while landing.land():
        pass
    assert by(spend_by(ask(f"{OCTOBER}&group_by=project,model"))) == {
        ("chat", model): 3, ("chat", NO_MODEL): Decimal("-1.5"),
        ("unallocated", model): 0, ("unallocated", NO_MODEL): 0,
    }  # fmt: skip


def test_group_that_bills_do_not_tell_is_named_once(ask, chat, bills):
    billed(bills, MONTH, range(1, 4), "4")
    spent(chat, at(5), "1", model="gpt")
    lines = spend_series(ask(f"{OCTOBER}&group_by=model,tier")).lines
    assert [line.label for line in lines] == ["Unknown to bills", "gpt · standard"]


def test_sources_behind_a_figure_are_those_in_scope(ask, cleo, chat, search, bills):
    mine = SourceFactory(project=chat, last_fact_at=at(5), is_sample=True)
    SourceFactory(project=search, last_fact_at=at(9))
    spent(chat, at(1), "1")
    found = spend_total(ask(OCTOBER, cleo))
    assert ([source.id for source in found.sources], found.as_of) == ([mine.pk], at(5))
    assert found.is_sample
    assert len(spend_total(ask(OCTOBER)).sources) == 3


def test_figure_is_as_of_the_newest_fact_but_not_beyond_its_own_end(ask, chat):
    SourceFactory(project=chat, last_fact_at=at(20, month=12))
    found = spend_total(ask(OCTOBER))
    assert found.as_of == at(1, 0, month=11)


def test_forecasts_read_the_book_and_a_projects_usage(chat, bills, match):
    spent(chat, at(1), "1")
    spent(chat, at(2), "2")
    billed(bills, MONTH, range(1, 2), "5")
    window = (date(2025, 10, 1), date(2025, 10, 4))
    assert daily_spend("all", "USD", *window) == [(date(2025, 10, 1), 5), (date(2025, 10, 2), 2)]
    assert daily_spend(f"project:{chat.pk}", "USD", *window) == [
        (date(2025, 10, 1), 1),
        (date(2025, 10, 2), 2),
    ]


@pytest.mark.parametrize("query", ["group_by=project", "group_by=model&compare=previous"])
def test_number_of_queries_does_not_grow_with_the_rows(
    ask, chat, search, django_assert_num_queries, query
):
    filters = ask(f"{OCTOBER}&{query}")
    spent(chat, at(1), "1")
    with django_assert_num_queries(5):
        spend_by(filters)
    for n in range(2):
        spent(search, at(2), "1", model=f"other-{n}")
    with django_assert_num_queries(5):
        spend_by(filters)


def test_bills_alone_know_of_no_requests(ask, chat, bills, match):
    spent(chat, at(1), "1")
    billed(bills, MONTH, range(1, 3), "5")
    billed_alone = spend_total(ask(f"{OCTOBER}&basis=bill"))
    unknown = ("requests", "tokens", "unpriced_spans", "unpriced_tokens", "unknown_spans")
    assert [getattr(billed_alone, name) for name in unknown] == [None] * 5
    assert (billed_alone.cost, billed_alone.per_thousand_requests) == (10, None)
    by_origin = spend_by(ask(f"{OCTOBER}&group_by=origin"))
    assert {row.keys[0]: row.requests for row in by_origin.rows} == {"bill": None, "usage": 10}
    assert by_origin.total.requests == 10


def test_no_requests_are_none_and_of_bills_alone_unknown(ask, chat):
    assert spend_total(ask(f"{OCTOBER}&basis=usage")).requests == 0
    assert spend_total(ask(f"{OCTOBER}&basis=bill")).requests is None


def test_period_of_which_nothing_is_known_is_no_zero_to_compare_with(ask, chat):
    spent(chat, at(5), "9")
    table = spend_by(ask(f"{OCTOBER}&compare=previous"))
    assert [(row.previous, row.change) for row in (*table.rows, table.total)] == [(None, None)] * 2


def test_group_that_had_no_price_before_has_no_cost_before(ask, chat, search):
    spent(chat, at(5, month=9), None)
    spent(chat, at(5), "9")
    spent(search, at(5), "3")
    table = spend_by(ask(f"{OCTOBER}&compare=previous"))
    assert {row.keys[0]: row.previous for row in table.rows} == {"chat": None, "search": 0}
    assert table.total.previous is None
