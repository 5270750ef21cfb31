"""What one customer costs: those that have the label, each once, and never a made-up number."""

import csv
import io
from datetime import date
from decimal import Decimal

import pytest
from django.http import QueryDict

from finops.queries import unit_costs
from finops.queries.filters import Filters
from finops.queries.spend import spend_by
from finops.queries.unit_costs import OF_LABEL, parse
from ingest import labels
from tests.finops.queries.unit_costs.conftest import request
from tests.finops.reading import Page

OCTOBER = "from=2025-10-01&to=2025-11-01"
EACH = Decimal("0.004")


def of(number, customer="", **changes):
    said = {"customer": customer} if customer else {"region": "eu"}
    return request(number, attributes=said, **changes)


def asked(query="label=customer"):
    found, errors = parse(QueryDict(query), ["customer"])
    assert errors == []
    return found


def numbers(unit):
    return unit.cost, unit.count, unit.value


@pytest.fixture
def kept(db):
    return labels.keep(None, "customer", ["customer"], date(2025, 1, 1), "asha")


def test_customer_costs_what_those_with_the_label_cost(ask, told, kept):
    told([of(1, "acme"), of(2, "beta", day=2), of(3, "acme", day=2), of(4)])
    found = unit_costs.unit_costs(ask(f"{OCTOBER}&group_by=model"), asked())
    unit = found.total.units[OF_LABEL]
    assert numbers(unit) == (3 * EACH, 2, Decimal("0.006"))
    assert unit.label == "Per customer"
    assert unit.coverage == "3 of 4 priced requests have the label; the cost is theirs alone."
    assert numbers(found.rows[0].units[OF_LABEL]) == numbers(unit)
    series = unit_costs.unit_series(ask(OCTOBER), asked("unit=label&label=customer"))
    assert [numbers(one) for one in series.values[:2]] == [
        (EACH, 1, EACH), (2 * EACH, 2, EACH),
    ]  # fmt: skip


def test_customer_of_two_projects_is_one_in_their_team_and_in_total(ask, told, kept, chat, search):
    search.team = chat.team
    search.save()
    told([of(1, "acme")])
    told([of(2, "acme"), of(3, "beta")], project=search)
    found = unit_costs.unit_costs(ask(f"{OCTOBER}&group_by=team"), asked())
    assert numbers(found.total.units[OF_LABEL]) == (3 * EACH, 2, Decimal("0.006"))
    assert numbers(found.rows[0].units[OF_LABEL]) == (3 * EACH, 2, Decimal("0.006"))


def test_number_of_values_is_unknown_where_a_day_had_more_than_are_kept(
    ask, told, kept, monkeypatch
):
    monkeypatch.setattr("ingest.rollup.users.MOST_VALUES", 1)
    told([of(1, "acme"), of(2, "beta"), of(3, "gamma")])
    unit = unit_costs.unit_costs(ask(OCTOBER), asked()).total.units[OF_LABEL]
    assert (unit.value, unit.count, unit.cost) == (None, None, 3 * EACH)
    assert unit.reason.startswith("On some days it had more values than are kept apart")


def test_unit_is_there_only_for_who_asks_and_a_label_that_is_not_kept_is_refused(ask, told, kept):
    told([of(1, "acme")])
    assert OF_LABEL not in unit_costs.unit_costs(ask(OCTOBER), asked("")).total.units
    without = unit_costs.unit_series(ask(OCTOBER), asked("unit=label")).values[0]
    assert (without.value, without.reason) == (None, "Choose the label, such as customer.")
    bills = unit_costs.unit_costs(ask(f"{OCTOBER}&basis=bill"), asked()).total.units[OF_LABEL]
    assert bills.reason.startswith("Bills know no requests")
    _, errors = parse(QueryDict("label=secret"), ["customer"])
    assert [(one.field, one.message) for one in errors] == [
        ("label", "Use a label that is kept: customer.")
    ]


def test_page_csv_and_api_tell_the_same_as_the_page_of_costs(
    ask, told, kept, asha, cleo, search, client
):
    told([of(1, "acme"), of(2, "acme"), of(3, "beta"), of(4)])
    told([of(5, "zoe")], project=search)
    query = f"{OCTOBER}&label=customer"
    client.force_login(asha)
    page = Page(client.get(f"/unit-costs?{query}").content.decode())
    file = client.get(f"/unit-costs.csv?{query}&table=labels").content.decode()
    costs = spend_by(ask(f"{OCTOBER}&group_by=label:customer"))
    shown = page.tables["label-values"]
    assert [row[0] for row in shown[1:]] == [
        "acme", "No customer", "beta", "zoe", "Total",
    ]  # fmt: skip
    assert [Decimal(row[1]) for row in shown[1:]] == [
        *(row.cost for row in costs.rows), costs.total.cost,
    ]  # fmt: skip
    assert [row[:2] for row in csv.reader(io.StringIO(file))] == [row[:2] for row in shown]
    assert "Per customer" in page.tables["unit-costs"][0]
    api = client.get(f"/api/v1/unit-costs?{query}").json()["total"]["units"]
    [unit] = [one for one in api if one["unit"] == "label"]
    assert (unit["named"], Decimal(unit["count"])) == ("customer", 3)
    client.force_login(cleo)
    assert "zoe" not in client.get(f"/unit-costs?{query}").content.decode()
    narrowed = client.get(f"/api/v1/unit-costs?{query}").json()["total"]["units"]
    [own] = [one for one in narrowed if one["unit"] == "label"]
    assert Decimal(own["count"]) == 2
    filters, _ = Filters.parse(QueryDict(f"{OCTOBER}&group_by=label:customer"), cleo)
    assert spend_by(filters).total.cost == 4 * EACH
