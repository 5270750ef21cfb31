"""Models of our own hardware beside others: what it was used for and paid for ÷ what they answered.

A quarter hour of `paid` has five answered requests of each model that is named.
"""

from datetime import timedelta
from decimal import Decimal

import pytest

from finops.actions.exchange import import_file
from finops.models import PoolQuarter
from finops.queries import unit_costs
from finops.views.unit_costs_compared import comparison_table
from tests.factories.finops import hardware_by_day, paid
from tests.factories.ingest import PoolFactory
from tests.finops.queries.unit_costs.conftest import START, request
from tests.finops.queries.unit_costs.test_figures import OCTOBER, asked

NOON = START.replace(minute=0, second=0)


@pytest.fixture
def pool(db):
    return PoolFactory(name="h100", provider="Triton", gpu_count=1)


@pytest.fixture
def served(told, pool):
    told([request(1), request(2, provider="triton", model="llama")])


def compared(filters):
    return {row.model: row for row in unit_costs.comparison(filters, asked()).rows}


def numbers(unit):
    return unit.cost, unit.count, unit.value


def unknowns(filters):
    found = compared(filters)["llama"].hardware
    assert found.used.value is found.allocated.value is None
    assert found.used.reason == found.allocated.reason
    return found.used.reason


def test_hardware_is_told_as_used_and_as_paid_for(ask, served, pool):
    paid(pool, NOON, idle="6", llama="1", bert="3")
    paid(pool, NOON + timedelta(minutes=15), idle="8", llama="2")
    rows = compared(ask(OCTOBER))

    hardware = rows["llama"].hardware
    assert numbers(hardware.used) == (3, 10, 300)
    # Of the 20 that were paid, by the half of the 6 used that it used.
    assert numbers(hardware.allocated) == (10, 10, 1000)
    assert rows["llama"].price.value is None
    assert (rows["gpt-4o"].hardware, rows["gpt-4o"].price.value) == (None, 4)


def test_time_that_nobody_observed_is_in_no_price_and_said(ask, served, pool):
    paid(pool, NOON, idle="3", llama="1")
    paid(pool, NOON + timedelta(minutes=15), idle="4", covered_s=0)
    hardware = compared(ask(OCTOBER))["llama"].hardware

    assert (hardware.used.cost, hardware.allocated.cost) == (1, 4)
    assert hardware.used.coverage == "Its pools were observed 50% of the time."


def test_what_is_not_known_has_no_price_but_a_reason(ask, served, pool):
    assert unknowns(ask(OCTOBER)) == "No telemetry of our pools says what this model used."
    paid(pool, NOON, idle=None, llama="1")
    PoolQuarter.objects.update(used=None, allocated=None, currency="")
    hardware_by_day()
    assert unknowns(ask(OCTOBER)) == "Its hardware has no price; enter one on the page Prices."
    PoolQuarter.objects.all().delete()
    paid(pool, NOON, idle="1", llama="1")
    PoolQuarter.objects.update(requests=None)
    hardware_by_day()
    assert unknowns(ask(OCTOBER)) == "Its server did not say how many requests it answered."
    assert unknowns(ask(f"{OCTOBER}&currency=EUR")) == "Its hardware is paid for in USD."


def test_hour_without_a_count_is_in_neither_number(ask, served, pool):
    paid(pool, NOON, idle="1", llama="1")
    paid(pool, NOON + timedelta(minutes=15), idle="1", llama="3")
    last = PoolQuarter.objects.filter(model="llama", at=NOON + timedelta(minutes=15))
    last.update(requests=None)
    hardware_by_day()
    used = compared(ask(OCTOBER))["llama"].hardware.used

    assert (used.cost, used.count) == (1, 5)
    assert used.coverage == "Hours in which its requests were not counted are in neither number."


def test_hardware_is_converted_at_the_rate_of_each_day(ask, served, pool):
    import_file(b"Date,USD,\n2025-10-02,1.25,\n2025-10-01,2,\n", by=None, via="command")
    for day in (0, 1):
        paid(pool, NOON + timedelta(days=day), idle="1", llama="1")
    filters = ask(f"{OCTOBER}&convert=EUR&f.provider=triton")
    found = unit_costs.comparison(filters, asked())

    [row] = found.rows
    assert (row.hardware.used.cost, row.hardware.allocated.cost) == (Decimal("1.3"), Decimal("2.6"))
    assert [(part.currency, part.days) for part in found.conversion.parts] == [("USD", 2)]


def test_reader_of_one_project_sees_no_cost_of_what_all_share(ask, served, pool, cleo):
    paid(pool, NOON, idle="6", llama="1", bert="3")
    assert unknowns(ask(OCTOBER, cleo)).startswith("GPUs are shared:")


def test_table_names_both_and_has_no_such_columns_without_own_hardware(ask, served, pool):
    paid(pool, NOON, idle="6", llama="1", bert="3")
    table = comparison_table(unit_costs.comparison(ask(OCTOBER), asked()), asked())
    heads = [column.label for column in table.columns]
    at = heads.index("Per 1,000 requests, USD")
    assert heads[at + 1 : at + 4] == [
        "Hardware used per 1,000 requests, USD",
        "Hardware allocated per 1,000 requests, USD",
        "Hardware: requests answered",
    ]
    told = {row.cells[1].value: row.cells[at : at + 4] for row in table.rows}
    assert [cell.value for cell in told["llama"]] == ["", "200", "500", "5"]
    assert [cell.text for cell in told["gpt-4o"][1:]] == ["–", "–", "–"]
    assert told["llama"][0].text == "by the hour"

    others = unit_costs.comparison(ask(f"{OCTOBER}&f.provider=openai"), asked())
    assert len(comparison_table(others, asked()).columns) == len(heads) - 4
