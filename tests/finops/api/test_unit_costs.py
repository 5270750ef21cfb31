"""What the API says of unit costs is what the queries say, in strings with every digit."""

import pytest
from django.http import QueryDict

from finops.models import User
from finops.money import plain
from finops.queries import spend, unit_costs
from finops.queries.filters import Filters

pytestmark = pytest.mark.usefixtures("estate")

ASKED = unit_costs.Asked()


def filters(query=""):
    return Filters.parse(QueryDict(query), User.objects.get(username="asha"))[0]


def test_figures_are_the_querys_to_the_last_digit(by_token):
    answer = by_token("asha").get("/api/v1/unit-costs", range="30d", group_by="model").json()
    found = unit_costs.unit_costs(filters("range=30d&group_by=model"), ASKED)
    assert answer["spend"] == plain(spend.spend_total(filters("range=30d")).cost)
    assert [row["keys"] for row in answer["data"]] == [list(row.keys) for row in found.rows]
    for unit in answer["total"]["units"]:
        one = found.total.units[unit["unit"]]
        assert unit["value"] == (None if one.value is None else plain(one.value))
        assert unit["count"] == (None if one.count is None else plain(one.count))
        assert bool(unit["reason"]) == (one.value is None)
    assert answer["provisional"] is True


def test_series_has_a_value_for_each_day_and_the_period_before(by_token):
    answer = by_token("asha").get(
        "/api/v1/unit-costs/series", range="7d", unit="tokens", compare="previous"
    )
    body = answer.json()
    assert len(body["points"]) == len(body["values"]) == len(body["before"]) == 7
    assert {one["unit"] for one in body["values"]} == {"tokens"}


def test_what_if_prices_the_same_requests_on_both_sides(by_token):
    body = by_token("asha").get(
        "/api/v1/unit-costs/what-if", range="30d", to1="openai:gpt-4o-mini"
    ).json()  # fmt: skip
    [one] = body["data"]
    assert (one["provider"], one["model"]) == ("openai", "gpt-4o-mini")
    assert (one["cost_now"], one["left_out"]) == (body["cost_now"], 0)
    assert one["requests"] == body["requests"] > 0
    assert body["price_only"].endswith("tokens and quality will differ.")


def test_comparison_has_a_row_for_each_kind_size_and_model(by_token):
    body = by_token("asha").get("/api/v1/unit-costs/comparison", range="30d").json()
    found = unit_costs.comparison(filters("range=30d"), ASKED)
    keys = [(row["kind"], row["input_band"], row["model"]) for row in body["data"]]
    assert keys == [(row.kind, row.input_band, row.model) for row in found.rows]
    assert len(set(keys)) == len(keys)
    for told, row in zip(body["data"], found.rows, strict=True):
        for basis in ("used", "allocated") if row.hardware else ():
            one = getattr(row.hardware, basis)
            assert told["hardware"][basis]["value"] == (one.value and plain(one.value))
            assert bool(told["hardware"][basis]["reason"]) == (one.value is None)
        assert (told["hardware"] is None) == (row.hardware is None)
    assert any(row.hardware and row.hardware.used.value for row in found.rows)
    assert any(row.hardware is None for row in found.rows)


def test_reader_of_one_project_is_told_no_cost_of_hardware(by_token):
    body = by_token("cleo").get("/api/v1/unit-costs/comparison", range="30d").json()
    told = [row["hardware"][basis] for row in body["data"] if row["hardware"]
            for basis in ("used", "allocated")]  # fmt: skip
    assert {(one["cost"], one["count"], one["value"]) for one in told} <= {(None, None, None)}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [("", {"at_least": "much"}, "at_least"), ("/series", {"unit": "joy"}, "unit"),
     ("/what-if", {"to1": "gpt-4o"}, "to1"), ("", {"nonsense": "1"}, "nonsense")],
)  # fmt: skip
def test_bad_parameter_is_refused_by_name(by_token, path, query, field):
    answer = by_token("asha").get(f"/api/v1/unit-costs{path}", **query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
