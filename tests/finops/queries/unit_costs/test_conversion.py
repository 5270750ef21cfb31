"""Unit costs in another currency: the same division of costs that were converted by day."""

from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict

from finops.actions.exchange import import_file
from finops.models import Price
from finops.money import CONTEXT
from finops.queries import unit_costs
from finops.queries.unit_costs import parse
from tests.factories.finops import paid
from tests.factories.ingest import PoolFactory
from tests.finops.queries.unit_costs.conftest import START, request

OCTOBER = "from=2025-10-01&to=2025-11-01"
RATES = b"""Date,USD,
2025-10-02,1.25,
2025-10-01,2,
"""


@pytest.fixture
def rates(db):
    import_file(RATES, by=None, via="command")


def asked(query=""):
    return parse(QueryDict(query))[0]


def numbers(unit):
    return unit.cost, unit.count, unit.value


@pytest.fixture
def traffic(rates, told):
    """Two requests of $0.004 on days of 2 and 1.25 dollars to the euro, and one in euros."""
    mistral = {"provider": "mistral", "model": "mistral-large"}
    told(
        [
            request(1, user_id="ann", session_id="a"),
            request(2, day=2, user_id="ann", session_id="b"),
            request(3, day=2, user_id="bob", session_id="b", cache_read_tokens=0, **mistral),
        ]
    )


def test_each_unit_divides_what_was_converted_by_day(ask, traffic):
    found = unit_costs.unit_costs(ask(f"{OCTOBER}&convert=EUR"), asked())

    total = found.total.units
    # In euros 0.002 + 0.0032 for the two, and 600 × 2 + 200 × 6 millionths for the third.
    assert (found.currency, found.total.cost) == ("EUR", Decimal("0.0076"))
    assert numbers(total["requests"]) == (Decimal("0.0076"), 3, CONTEXT.divide(Decimal("7.6"), 3))
    assert numbers(total["input"])[:2] == (
        Decimal("0.001") + Decimal("0.0016") + Decimal("0.0012"),
        2600,
    )
    assert numbers(total["output"])[:2] == (
        Decimal("0.001") + Decimal("0.0016") + Decimal("0.0012"),
        600,
    )
    assert total["input"].coverage == ""
    assert numbers(total["user"]) == (Decimal("0.0076"), 2, Decimal("0.0038"))
    assert numbers(total["conversation"]) == (Decimal("0.0076"), 2, Decimal("0.0038"))
    assert [part.currency for part in found.conversion.parts] == ["USD"]


def test_rows_add_up_and_series_has_each_day(ask, traffic):
    filters = ask(f"{OCTOBER}&convert=EUR&group_by=model")
    table = unit_costs.unit_costs(filters, asked())

    assert {row.keys[0]: row.cost for row in table.rows} == {
        "gpt-4o": Decimal("0.0052"), "mistral-large": Decimal("0.0024"),
    }  # fmt: skip
    series = unit_costs.unit_series(filters, asked("unit=user"))
    assert [numbers(one) for one in series.values[:2]] == [
        (Decimal("0.002"), 1, Decimal("0.002")),
        (Decimal("0.0056"), 2, Decimal("0.0028")),
    ]
    assert (series.currency, series.conversion) == ("EUR", table.conversion)


def test_what_has_no_rate_is_in_neither_number(ask, traffic):
    found = unit_costs.unit_costs(ask(f"{OCTOBER}&convert=USD&f.provider=mistral"), asked())
    assert found.total.cost == Decimal("0.003")

    early = ask("from=2025-09-01&to=2025-09-20&convert=EUR")
    assert unit_costs.unit_costs(early, asked()).rows == ()


def test_models_are_compared_in_one_currency(ask, traffic):
    found = unit_costs.comparison(ask(f"{OCTOBER}&convert=EUR"), asked())

    assert found.currency == "EUR"
    assert {row.model: numbers(row.price) for row in found.rows} == {
        "gpt-4o": (Decimal("0.0052"), 2, Decimal("2.6")),
        "mistral-large": (Decimal("0.0024"), 1, Decimal("2.4")),
    }


def test_hours_of_pools_are_converted_by_day(ask, rates):
    pool = PoolFactory(name="h100", provider="triton", gpu_count=1)
    for day in (0, 1):
        paid(pool, START + timedelta(days=day), idle="1", **{"llama": "1"})

    found = unit_costs.unit_costs(ask(f"{OCTOBER}&convert=EUR"), asked())
    as_paid = unit_costs.unit_costs(ask(OCTOBER), asked())

    assert as_paid.total.units["gpu-paid"].cost == 4
    assert found.total.units["gpu-paid"].cost == Decimal(1) + Decimal("1.6")
    assert [(pool.currency, pool.paid.cost) for pool in found.pools] == [("EUR", Decimal("2.6"))]
    daily = unit_costs.unit_series(ask(f"{OCTOBER}&convert=EUR"), asked("unit=gpu-paid"))
    assert [one.cost for one in daily.values[:2]] == [Decimal(1), Decimal("1.6")]


def test_same_traffic_elsewhere_is_converted_on_both_sides_at_each_day_s_rate(ask, traffic):
    found = unit_costs.what_if(ask(f"{OCTOBER}&convert=EUR"), asked(
        "to1=openai:gpt-4o-mini&to2=mistral:mistral-large&to3=openai:gpt-4o"))  # fmt: skip
    mini, large, same = found.outcomes

    # On it a request is 0.27 thousandths of a dollar, 0.21 where nothing is cached; a euro is 2
    # dollars on the first day and 1.25 on the second.
    each, uncached = Decimal("0.00027"), Decimal("0.00021")
    assert (found.currency, found.cost_now, found.requests) == ("EUR", Decimal("0.0076"), 3)
    assert (mini.cost_now, mini.requests) == (Decimal("0.0076"), 3)
    assert mini.cost_then == each / 2 + (each + uncached) / Decimal("1.25")
    assert same.cost_then == Decimal("0.0052") + Decimal("0.0035") / Decimal("1.25")
    assert (large.left_out, large.reason) == (0, "")
    assert found.prices_on.date() == date(2025, 10, 31)
    assert [part.currency for part in found.conversion.parts] == ["USD"]


def test_candidate_without_a_rate_is_not_compared(ask, told, rates):
    told([request(1, provider="mistral", model="mistral-large", cache_read_tokens=0)])
    Price.objects.filter(model="gpt-4o-mini").update(currency="XTS")
    [found] = unit_costs.what_if(
        ask(f"{OCTOBER}&convert=EUR"), asked("to1=openai:gpt-4o-mini")
    ).outcomes
    assert (found.cost_then, found.left_out) == (None, 1)
    assert found.reason == "Its prices are in XTS, which has no exchange rate on these days."


def test_prices_by_the_time_of_day_are_converted_as_well(ask, traffic, price_list):
    for unit in ("input", "output"):
        Price.objects.create(
            book=price_list, provider="deepseek", model="deepseek-chat", unit=unit,
            amount=Decimal("0.1"), time_from=time(16, 30), time_to=time(0, 30),
        )  # fmt: skip
    filters = ask(f"{OCTOBER}&convert=EUR&f.provider=openai")

    [by_clock] = unit_costs.what_if(filters, asked("to1=deepseek:deepseek-chat")).outcomes
    [by_day] = unit_costs.what_if(filters, asked("to1=openai:gpt-4o-mini")).outcomes

    assert (by_clock.cost_now, by_clock.requests) == (by_day.cost_now, 2)
    assert by_clock.cost_then == Decimal("0.00049") / 2 + Decimal("0.00049") / Decimal("1.25")


def test_comparison_says_what_was_converted(ask, traffic):
    found = unit_costs.comparison(ask(f"{OCTOBER}&convert=EUR"), asked())
    assert [(part.currency, part.days) for part in found.conversion.parts] == [("USD", 2)]
    assert unit_costs.comparison(ask(OCTOBER), asked()).conversion is None
