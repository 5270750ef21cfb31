"""Bills beside priced usage on hand-made estates, to the last digit."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from finops.models import BillMatch
from finops.queries import bill_matches
from finops.queries.reconciliation import recent_months, reconciliation, source_costs
from finops.queries.spend import spend_total
from ingest.models import SpanDay
from tests.factories.finops import billed, paid, spent
from tests.factories.ingest import SourceFactory

MONTH = date(2025, 10, 1)
OCTOBER = "from=2025-10-01&to=2025-11-01"


def at(day: int, hour: int = 12, month: int = 10) -> datetime:
    return datetime(2025, month, day, hour, tzinfo=UTC)


@pytest.fixture
def match(db):
    return BillMatch.objects.create(
        usage_provider="openai", bill_provider="OpenAI", bill_service="API"
    )


@pytest.fixture
def reconciled(ask):
    def asked(provider="", months=(MONTH,), query=""):
        return reconciliation(ask(query), months, provider).rows

    return asked


def amounts(row):
    names = ("unpriced", "late", "credits", "other_charges", "rounding", "untracked", "price")
    return {name: row.amount(name) for name in names if row.amount(name)}


def account(name):
    return {"billing_account_id": name, "name": f"{name}.csv"}


def test_every_class_of_a_whole_month_to_the_last_digit(chat, bills, match, reconciled):
    """Nine parts, each made by hand; the bill is 25.3456789012345678901 and our usage 17.9005."""
    spent(chat, at(1), "10", model="gpt-4o", tokens=1000)
    spent(chat, at(2), "3", model="gpt-4o-mini", tokens=600)
    spent(chat, at(2), "2.9005", model="o3", tokens=50)
    spent(chat, at(3), None, model="gpt-4.1", tokens=400)
    spent(chat, at(20), "2", model="gpt-4o", tokens=200)
    per_token = {"consumed_unit": "Tokens"}
    billed(bills, MONTH, range(1, 2), "11.0000000000000000001", sku_id="gpt-4o input",
           consumed_quantity=Decimal(1000), **per_token, **account("price"))  # fmt: skip
    billed(bills, MONTH, range(2, 3), "6", sku_id="gpt-4o-mini", pricing_unit="1K tokens",
           pricing_quantity=Decimal("1.2"), **account("untracked"))  # fmt: skip
    billed(bills, MONTH, range(2, 3), "2.90", sku_id="o3", **account("rounding"))
    billed(bills, MONTH, range(3, 4), "4", sku_id="gpt-4.1", **account("unpriced"))
    billed(bills, MONTH, range(3, 4), "1.5", sku_id="whisper", **account("never seen"))
    billed(bills, MONTH, range(4, 5), "-1", charge_category="Credit", **account("credit"))
    billed(bills, MONTH, range(4, 5), "-0.5", charge_class="Correction", **account("refund"))
    billed(bills, MONTH, range(4, 5), "1.44567890123456789", charge_category="Tax",
           **account("tax"))  # fmt: skip
    [row] = reconciled()
    assert (row.bill, row.usage) == (Decimal("25.3456789012345678901"), Decimal("17.9005"))
    assert amounts(row) == {
        "price": Decimal("1.0000000000000000001"),
        "untracked": Decimal("4.5"),  # half of gpt-4o-mini, and whisper
        "rounding": Decimal("-0.0005"),
        "unpriced": Decimal(4),
        "credits": Decimal("-1.5"),
        "other_charges": Decimal("1.44567890123456789"),
        "late": Decimal(-2),
    }
    assert row.unexplained == 0
    assert row.explained == row.gap == Decimal("7.4451789012345678901")
    assert (row.unpriced_requests, row.unpriced_tokens, row.state) == (10, 400, "provisional")
    assert {item.name: (item.kind, item.gap) for item in row.items} == {
        "gpt-4.1": ("model", 4),
        "gpt-4o-mini": ("model", 3),
        "whisper": ("sku", Decimal("1.5")),
        "Tax": ("other_charges", Decimal("1.44567890123456789")),
        "gpt-4o": ("model", Decimal("-0.9999999999999999999")),
        "Credit": ("credits", -1),
        "Usage, correction": ("credits", Decimal("-0.5")),
        "o3": ("model", Decimal("-0.0005")),
    }
    assert sum(item.bill for item in row.items) == row.bill
    assert sum(item.usage for item in row.items) == row.usage


def test_days_of_a_row_add_up_to_it(chat, bills, match, reconciled):
    spent(chat, at(1), "1")
    spent(chat, at(2), "2")
    spent(chat, at(9), "4")
    billed(bills, MONTH, range(1, 4), "1.5", sku_id="gpt-4o")
    [row] = reconciled()
    assert [(one.day.day, one.bill, one.usage, one.gap) for one in row.days] == [
        (1, Decimal("1.5"), 1, Decimal("0.5")),
        (2, Decimal("1.5"), 2, Decimal("-0.5")),
        (3, Decimal("1.5"), 0, Decimal("1.5")),
        (9, None, 4, None),
    ]
    assert sum(one.bill or 0 for one in row.days) == row.bill
    assert sum(one.usage for one in row.days) == row.usage


@pytest.mark.parametrize("until_hour", [0, 6])
def test_badge_is_the_badge_of_the_spend_built_on_it(
    ask, chat, bills, match, reconciled, until_hour
):
    """Also where the bill ends inside a day, which is cut to the quarter hour."""
    for hour in (5, 6, 18):
        spent(chat, at(3, hour), "1.25")
    spent(chat, at(2), "8")
    ends = {"charge_period_end": at(3 if until_hour else 4, until_hour)}
    billed(bills, MONTH, range(3, 4), "5", charge_period_start=at(3, 0), **ends)
    [row], total = reconciled(), spend_total(ask(f"{OCTOBER}&f.provider=openai"))
    assert row.not_covered == (Decimal("2.5") if until_hour else 0)
    assert (row.bill, row.bill + row.not_covered) == (total.reconciled, total.cost)
    assert (row.provisional, row.provisional_share) == (total.provisional, total.provisional_share)
    assert row.usage == total.usage_cost
    assert row.amount("late") == -row.not_covered


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "UTC", "Asia/Kolkata", "Asia/Tokyo"])
def test_whole_month_of_a_bill_is_covered_in_every_zone(
    ask, chat, bills, match, reconciled, settings, zone
):
    settings.ACCOUNTING_TIME_ZONE = zone
    for hour in (0, 9, 23):
        spent(chat, datetime(2025, 10, 31, hour, 45, tzinfo=UTC), "7")
    billed(bills, MONTH, range(1, 32), "5")
    [row] = reconciled()
    assert (row.bill, row.usage, row.not_covered) == (155, 21, 0)
    total = spend_total(ask("from=2025-09-01&to=2025-12-01&f.provider=openai"))
    assert (total.cost, total.reconciled) == (155, 155)


def test_billing_month_begins_at_midnight_utc_in_every_zone(
    chat, bills, match, reconciled, settings
):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Kolkata"
    spent(chat, datetime(2025, 9, 30, 18, 45, tzinfo=UTC), "3")  # 1 October there, still September
    spent(chat, datetime(2025, 10, 1, 3, tzinfo=UTC), "40")
    spent(chat, datetime(2025, 10, 31, 23, 45, tzinfo=UTC), "500")  # 1 November there
    billed(bills, MONTH, range(1, 32), "20")
    [row] = reconciled()
    assert row.usage == Decimal(540)
    assert sum(one.usage for one in row.days) == row.usage
    [row] = reconciled(months=(date(2025, 9, 1),))
    assert (row.bill, row.usage, row.gap) == (None, Decimal(3), None)


def test_month_without_a_bill_is_unknown_and_not_a_gap(ask, chat, bills, match, reconciled):
    spent(chat, at(1), "3")
    billed(bills, MONTH, range(1, 2), "5", complete=False)
    [row] = reconciled()
    assert (row.bill, row.gap, row.unexplained, row.amount("late")) == (None, None, None, None)
    assert (row.usage, row.state, row.items, row.provisional) == (3, "no_bill", (), True)


def test_bill_without_any_usage_is_untracked(bills, match, reconciled):
    billed(bills, MONTH, range(1, 3), "5", sku_id="gpt-4o")
    [row] = reconciled()
    assert (row.gap, amounts(row), row.unexplained) == (10, {"untracked": 10}, 0)
    assert row.state == "reconciled"


def test_currencies_are_rows_of_their_own_and_never_added(chat, bills, match, reconciled):
    spent(chat, at(1), "3")
    billed(bills, MONTH, range(1, 3), "5", billing_currency="EUR", sku_id="gpt-4o")
    euro, dollar = reconciled()
    assert (euro.currency, euro.bill, euro.usage, amounts(euro)) == ("EUR", 10, 0, {})
    assert euro.unexplained == 10  # not untracked: it was seen, and priced in dollars
    assert (dollar.currency, dollar.bill, dollar.usage, dollar.gap) == ("USD", None, 3, None)


def test_line_without_the_chosen_cost_is_counted_and_in_no_amount(bills, match, reconciled):
    billed(bills, MONTH, range(1, 4), "5", list_cost=None)
    [row] = reconciled(query="metric=list")
    assert (row.bill, row.unknown_bill_lines) == (None, 3)
    [row] = reconciled(query="metric=billed")
    assert (row.bill, row.unknown_bill_lines) == (18, 0)


def test_bill_is_taken_as_known_on_the_day_asked_for(bills, match, reconciled, monkeypatch):
    for day, amount in ((2, "5"), (9, "6")):
        told = datetime(2025, 11, day, 12, tzinfo=UTC)
        monkeypatch.setattr("ingest.store.bills.timezone.now", lambda told=told: told)
        billed(bills, MONTH, range(1, 3), amount)
    assert [row.bill for row in reconciled()] == [12]
    assert [row.bill for row in reconciled(query="known_on=2025-11-05")] == [10]
    assert reconciled(query="known_on=2025-11-01") == ()


def test_hardware_is_compared_with_its_bill(pool, bills, reconciled):
    BillMatch.objects.create(
        usage_provider="triton", bill_provider="Cloud", bill_service="Instances"
    )
    paid(pool, at(1), idle="3", bert="1")
    paid(pool, at(2), idle=None)
    billed(bills, MONTH, range(1, 3), "2.25", provider="Cloud", service="Instances")
    [row] = reconciled()
    assert (row.bill, row.usage, row.unexplained) == (Decimal("4.5"), 4, Decimal("0.5"))
    assert row.unpriced_gpu_hours == 0.5


def test_providers_that_share_a_service_are_compared_with_it_together(
    chat, bills, match, reconciled
):
    BillMatch.objects.create(usage_provider="openai-eu", bill_provider="OpenAI", bill_service="API")
    spent(chat, at(1), "1")
    spent(chat, at(1), "2", provider="openai-eu")
    billed(bills, MONTH, range(1, 2), "3", sku_id="gpt-4o")
    [row] = reconciled()
    assert (row.providers, row.usage, row.gap) == (("openai", "openai-eu"), 3, 0)
    assert reconciled("openai-eu") == reconciled("openai") == (row,)
    assert reconciled("anthropic") == ()


def test_who_sees_only_a_project_sees_no_bill(ask, cleo, chat, bills, match):
    spent(chat, at(1), "1")
    billed(bills, MONTH, range(1, 2), "3")
    found = reconciliation(ask("", cleo), (MONTH,))
    assert (found.rows, found.sources) == ((), ())


def test_newest_month_comes_first_and_the_default_is_the_last_three(ask, bills, match):
    for month in (9, 10):
        billed(bills, date(2025, month, 1), range(1, 2), "5")
    found = reconciliation(ask(""), (date(2025, 9, 1), MONTH))
    assert [row.month.month for row in found.rows] == [10, 9]
    assert reconciliation(ask("")).months == recent_months(3)
    assert [month.day for month in recent_months(13)] == [1] * 13
    assert len(set(recent_months(13))) == 13


def test_number_of_queries_does_not_grow_with_the_rows(
    ask, chat, bills, match, django_assert_num_queries
):
    filters = ask("")
    spent(chat, at(1), "1")
    billed(bills, MONTH, range(1, 2), "3")
    with django_assert_num_queries(7):
        reconciliation(filters, (MONTH,))
    BillMatch.objects.create(
        usage_provider="anthropic", bill_provider="Anthropic", bill_service="API"
    )
    spent(chat, at(1), "1", provider="anthropic", model="claude")
    billed(bills, MONTH, range(1, 20), "3", provider="Anthropic", **account("other"))
    with django_assert_num_queries(7):
        assert len(reconciliation(filters, (MONTH,)).rows) == 2


# The source's own cost


def told(project, day, cost, spans=10, priced=None, **changes):
    """A day's sum in which `priced` spans carry the source's own cost."""
    row = {
        "service": "api", "kind": "llm", "provider": "openai", "model": "gpt-4o",
        "tier": "standard", "input_band": 0,
    }  # fmt: skip
    SpanDay.objects.create(
        project_id=project.pk, day=date(2025, 10, day), **{**row, **changes}, spans=spans,
        errors=0, usage_unknown=0, source_cost_usd=Decimal(cost),
        source_cost_spans=spans if priced is None else priced,
        latency_keys=[], latency_counts=[], ttft_keys=[], ttft_counts=[],
    )  # fmt: skip


def test_sources_own_cost_stands_beside_ours_with_the_difference(ask, chat):
    spent(chat, at(1), "1.25")
    told(chat, 1, "1.00000000000000000001")
    spent(chat, at(2), "9")
    told(chat, 2, "5", priced=7)  # three say nothing: not compared
    spent(chat, at(3), None)
    told(chat, 3, "4")  # we have no price: not compared
    [row] = source_costs(ask(""), (MONTH,)).rows
    assert (row.requests, row.told, row.source_cost) == (30, 27, Decimal("10.00000000000000000001"))
    assert (row.compared, row.compared_cost) == (10, Decimal("1.25"))
    assert row.difference == Decimal("0.24999999999999999999")


def test_source_cost_that_cannot_be_compared_has_no_difference(ask, chat):
    told(chat, 1, "2")
    [row] = source_costs(ask(""), (MONTH,)).rows
    assert (row.source_cost, row.compared, row.difference) == (2, 0, None)


def test_source_costs_are_those_of_the_readers_projects_and_the_provider(ask, cleo, chat, search):
    told(chat, 1, "2")
    told(search, 1, "40")
    told(search, 1, "800", provider="anthropic", model="claude")
    assert sum(row.source_cost for row in source_costs(ask(""), (MONTH,)).rows) == 842
    assert [row.source_cost for row in source_costs(ask("", cleo), (MONTH,)).rows] == [2]
    found = source_costs(ask(""), (MONTH,), "anthropic").rows
    assert [(row.model, row.source_cost) for row in found] == [("claude", 800)]
    assert source_costs(ask(""), (date(2025, 9, 1),)).rows == ()


# What can be matched


def test_choices_are_what_was_seen_and_is_not_matched_yet(chat, pool, bills, match):
    assert bill_matches.choices().has_bills is False
    now = datetime.now(UTC)
    spent(chat, now, "1")
    spent(chat, now, "1", provider="anthropic", model="claude")
    billed(bills, MONTH, range(1, 2), "3")
    billed(bills, MONTH, range(1, 2), "3", provider="Cloud", service="Instances", **account("2"))
    billed(SourceFactory(kind="focus_csv", project=None), MONTH, range(1, 2), "3",
           service="Draft", complete=False, **account("3"))  # fmt: skip
    found = bill_matches.choices()
    assert found.providers == ("anthropic", "triton")
    assert found.services == (("Cloud", "Instances"), ("OpenAI", "API"))
    assert found.unmatched_services == (("Cloud", "Instances"),)
    assert found.has_bills


def test_lines_of_a_period_are_read_once_and_a_restated_one_anew(chat, bills, match, reconciled):
    def read():
        with CaptureQueriesContext(connection) as asked:
            found = reconciled()
        return found, sum("ingest_bill_line" in query["sql"] for query in asked)

    spent(chat, at(1), "10", model="gpt-4o", tokens=1000)
    billed(bills, MONTH, range(1, 3), "6", sku_id="gpt-4o", **account("kept"))
    first, lines = read()
    assert (lines, read()) == (1, (first, 0))
    billed(bills, MONTH, range(1, 3), "7", sku_id="gpt-4o", **account("kept"))
    restated, lines = read()
    assert ([row.bill for row in (*first, *restated)], lines) == ([Decimal(12), Decimal(14)], 1)
    # The account is the same: another cost, or another bill, has sums of its own.
    [listed] = reconciled(query="metric=list")
    assert listed.bill != restated[0].bill
