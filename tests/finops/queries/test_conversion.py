"""Spend of several currencies in one: each day's at its rate, and nothing lost beside it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext

from finops.actions import exchange, user_sums
from finops.costing.exchange import Missing, Part
from finops.money import CONTEXT
from finops.queries import book, dearest
from finops.queries.conversion import MONEY
from finops.queries.cost_lines import cost_lines
from finops.queries.filters import FilterError, Filters
from finops.queries.spend import Answers, spend_by, spend_page, spend_series, spend_total
from tests.factories.finops import billed, paid, spent

RATES = b"""Date,USD,JPY,
2025-10-03,1.25,160,
2025-10-02,1.6,N/A,
2025-09-30,2,125,
"""
DAYS = "from=2025-10-01&to=2025-10-05"


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2025, 10, day, hour, tzinfo=UTC)


@pytest.fixture
def rates(db):
    return exchange.import_file(RATES, by=None, via="command")


@pytest.fixture
def traffic(rates, chat, search):
    """Dollars on four days, euros on one, and credits that nothing converts."""
    spent(chat, at(1), "8")  # at 2, of 30 September
    spent(chat, at(2), "8")  # at 1.6
    spent(search, at(3), "10")  # at 1.25
    spent(search, at(4), "10")  # at 1.25, of the day before
    spent(search, at(4), "3", currency="EUR", model="mistral", spans=5)
    spent(search, at(4), "7", currency="Credits", model="flux", spans=2)
    spent(chat, at(4), None, model="unheard", spans=4)


def by(table):
    return {row.keys: row.cost for row in table.rows}


def test_each_day_is_converted_at_its_rate(ask, traffic):
    total = spend_total(ask(f"{DAYS}&convert=EUR"))

    assert (total.currency, total.cost) == ("EUR", Decimal(4 + 5 + 8 + 8 + 3))
    assert total.others == (("Credits", Decimal(7)),)
    assert (total.requests, total.unpriced_spans) == (10 * 4 + 5 + 4, 4)
    assert total.per_thousand_requests == CONTEXT.divide(Decimal(28_000), Decimal(45))
    assert total.conversion.parts == (Part("USD", 4, 2, Decimal("0.5"), Decimal("0.8"), ("ECB",)),)
    assert total.conversion.missing == (
        Missing("Credits", 1, date(2025, 10, 4), date(2025, 10, 4)),
    )


def test_currencies_cross_through_the_euro(ask, rates, chat):
    spent(chat, at(3), "3200", currency="JPY")
    spent(chat, at(1), "250", currency="JPY")
    spent(chat, at(2), "1")

    total = spend_total(ask(f"{DAYS}&convert=USD"))

    # 160 yen and 1.25 dollars are a euro; on the first of October it is 125 yen and 2 dollars.
    assert total.cost == Decimal("25") + Decimal("4") + Decimal(1)


def test_conversion_costs_one_query_and_without_it_none(ask, traffic):
    filters = ask(DAYS)
    with CaptureQueriesContext(connection) as before:
        total = spend_total(filters)
    with CaptureQueriesContext(connection) as after:
        spend_total(replace(filters, convert="EUR"))

    assert (total.currency, total.cost, total.conversion) == ("USD", Decimal(36), None)
    assert total.others == (("Credits", Decimal(7)), ("EUR", Decimal(3)))
    assert len(after) == len(before) + 1
    assert not any("exchangerate" in query["sql"] for query in before)


@pytest.mark.parametrize("group", ["project", "team", "provider", "model", "kind", "origin"])
def test_rows_days_and_total_are_one_number(ask, traffic, group):
    filters = ask(f"{DAYS}&convert=EUR&group_by={group}")
    total, table, series = spend_page(filters, "day", 8)
    every = Answers(filters, [book.Split((group,), by_time=True)]).series((group,), 1)

    assert spend_page(filters, "day", 1)[2] == every
    assert sum(by(table).values()) == table.total.cost == total.cost == Decimal(28)
    assert sum(value for line in series.lines for value in line.values) == Decimal(28)
    assert table.conversion == series.conversion == total.conversion
    assert series.currency == table.currency == "EUR"


def test_lines_are_those_of_the_total_and_name_what_is_beside_it(ask, traffic):
    filters = ask(f"{DAYS}&convert=EUR")
    found = cost_lines(filters)

    assert (found.total, found.others) == (Decimal(28), (("Credits", Decimal(7)),))
    assert sum(line.cost for line in found.rows if line.cost is not None) == Decimal(28)
    assert cost_lines(filters, {"kind": "embedding"}).others == ()
    assert dict(cost_lines(ask(DAYS)).others) == {"Credits": 7, "EUR": 3}


def test_series_has_each_day_in_the_new_currency(ask, traffic):
    series = spend_series(ask(f"{DAYS}&convert=EUR"))

    assert series.lines[0].values == tuple(map(Decimal, (4, 5, 8, 11)))


def test_hours_take_the_rate_of_their_day(ask, rates, chat, settings):
    settings.ACCOUNTING_TIME_ZONE = "Asia/Tokyo"
    spent(chat, at(2, 14), "8")  # 2 October in Tokyo
    spent(chat, at(2, 16), "10")  # 3 October there

    filters = ask("from=2025-10-02&to=2025-10-04&basis=usage&convert=EUR")

    hourly = {
        point: value
        for line in spend_series(filters, "hour").lines
        for point, value in zip(spend_series(filters, "hour").points, line.values, strict=True)
        if value
    }
    assert hourly == {at(2, 14): Decimal(5), at(2, 16): Decimal(8)}
    assert spend_page(filters, "hour", 8)[0].cost == Decimal(13)


def test_users_are_ordered_and_add_up_across_currencies(ask, traffic, chat, monkeypatch):
    from finops.models import UserCostDay

    dear = {"day": date(2025, 10, 3), "service": "api", "kind": "llm", "provider": "openai",
            "model": "gpt-4o", "tier": "standard", "input_band": 0, "spans": 1, "tokens": 1,
            "project_id": chat.pk, "priced_spans": 1}  # fmt: skip
    UserCostDay.objects.create(**dear, user_id="yen", currency="JPY", cost=Decimal(160))
    UserCostDay.objects.create(**dear, user_id="dollar", currency="USD", cost=Decimal(5))
    UserCostDay.objects.create(**dear, user_id="credit", currency="Credits", cost=Decimal(900))
    with connection.cursor() as cursor:
        user_sums.write(cursor, chat.pk, dear["day"])
    monkeypatch.setattr(dearest, "MOST_NAMED", 1)

    filters = ask(f"{DAYS}&convert=EUR&group_by=user")
    table = spend_by(filters)

    assert by(table) == {("dollar",): Decimal(4), ("(everybody else)",): Decimal(24)}
    assert spend_page(filters, "day", 8)[1:] == (table, spend_series(filters))


def test_bills_and_hardware_are_converted_as_well(ask, rates, bills, pool):
    billed(bills, date(2025, 10, 1), range(3, 5), "5")
    paid(pool, at(2), idle="3.2", **{"llama": "1.6"})

    total, table, _ = spend_page(ask(f"{DAYS}&convert=EUR&group_by=origin"), "day", 8)

    assert (total.cost, total.reconciled) == (Decimal(11), Decimal(8))
    assert by(table) == {("bill",): Decimal(8), ("hardware",): Decimal(3)}


def test_period_before_is_converted_at_its_own_rates(ask, traffic, chat):
    table = spend_by(ask("from=2025-10-03&to=2025-10-05&convert=EUR&compare=previous"))

    assert (table.total.cost, table.total.previous) == (Decimal(19), Decimal(9))


def test_currency_without_any_rate_is_refused_with_the_fix(asha, rates):
    def errors(query: str) -> list[FilterError]:
        return Filters.parse(QueryDict(query), asha)[1]

    assert errors("convert=EUR") == errors("convert=JPY") == []
    assert [one.field for one in errors("convert=XTS")] == ["convert"]
    assert [one.field for one in errors("convert=%E2%82%AC")] == ["convert"]


def test_filters_keep_the_conversion_in_every_link(ask, rates):
    filters = ask(f"{DAYS}&convert=EUR")

    assert ask(filters.to_query()) == filters
    assert ask(filters.to_query(convert="")).convert == ""
    assert (filters.previous().convert, filters.drill("model", "x").convert) == ("EUR", "EUR")


def test_every_measure_of_the_book_is_an_amount_or_a_count():
    counts = {
        "requests", "tokens", "priced_requests", "priced_tokens", "pool_requests", "pool_tokens",
        "unpriced_spans", "unpriced_tokens", "unknown_spans", "unknown_lines", "unpriced_gpu_s",
        "answered",
    }  # fmt: skip
    assert set(book.MEASURES) == counts | set(MONEY)
