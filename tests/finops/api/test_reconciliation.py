"""Reconciliation through the API: exact strings, the same as the page, and refusals with a fix."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from finops.costing.reconciling import CLASSES
from finops.models import BillMatch
from finops.queries.reconciliation import recent_months

pytestmark = pytest.mark.usefixtures("estate")
PATH = "/api/v1/reconciliation"
ANTHROPIC = {"usage_provider": "anthropic", "bill_provider": "Azure",
             "bill_service": "Azure OpenAI"}  # fmt: skip


def month() -> str:
    """The one that the estate has a bill of."""
    return f"{recent_months(2)[1]:%Y-%m}"


def test_classes_and_the_unexplained_are_the_gap_in_every_row_and_item(by_token):
    answer = by_token("asha").get(PATH, month=month()).json()
    assert (answer["months"], answer["metric"]) == ([f"{month()}-01"], "effective")
    [row] = answer["data"]
    assert (row["bill_service"], row["currency"]) == ("Azure OpenAI", "USD")
    assert set(row["classes"]) == set(CLASSES)
    for one in (row, *row["items"]):
        parts = [Decimal(amount) for amount in one["classes"].values()]
        assert sum(parts) + Decimal(one["unexplained"]) == Decimal(one["gap"])
        assert Decimal(one["gap"]) == Decimal(one["bill"]) - Decimal(one["usage"])
    assert sum(Decimal(one["bill"]) for one in row["items"]) == Decimal(row["bill"]) > 0
    assert sum(Decimal(one["usage"]) for one in row["days"]) == Decimal(row["usage"])


def test_month_without_a_bill_is_null_and_provisional(by_token):
    this = f"{datetime.now(UTC):%Y-%m}"
    [row] = by_token("asha").get(PATH, month=this).json()["data"]
    assert (row["bill"], row["gap"], row["unexplained"], row["state"]) == (
        None, None, None, "no_bill",
    )  # fmt: skip
    assert set(row["classes"].values()) == {None}
    assert row["provisional"] is True
    assert Decimal(row["usage"]) == Decimal(row["not_covered"]) > 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"month": "2026-13"}, "month"),
        ({"month": "May"}, "month"),
        ({"month": [f"2026-{n:02}" for n in range(1, 13)] + ["2025-01", "2025-02"]}, "month"),
        ({"metric": "guess"}, "metric"),
        ({"range": "30d"}, "range"),
        ({"provider": "x" * 301}, "provider"),
    ],
)
def test_bad_parameter_is_refused_by_name(by_token, query, field):
    answer = by_token("asha").get(PATH, **query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_match_is_added_read_and_taken_back(by_token):
    asha = by_token("asha", "write")
    before = asha.get("/api/v1/bill-matches").json()
    assert "anthropic" in before["unmatched_providers"]
    answer = asha.post("/api/v1/bill-matches", json.dumps(ANTHROPIC))
    assert answer.status_code == 201
    made = answer.json()
    after = asha.get("/api/v1/bill-matches").json()
    assert made in after["data"]
    assert "anthropic" not in after["unmatched_providers"]
    assert asha.post("/api/v1/bill-matches", json.dumps(ANTHROPIC)).status_code == 409
    path = f"/api/v1/bill-matches/{made['id']}"
    assert [asha.delete(path).status_code for _ in range(2)] == [204, 404]
    assert asha.get("/api/v1/bill-matches").json() == before


def test_match_of_unknown_names_is_refused_with_the_fix(by_token):
    body = json.dumps({**ANTHROPIC, "bill_service": "Nothing"})
    answer = by_token("asha", "write").post("/api/v1/bill-matches", body)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["field"] == "bill_service"
    assert "bring the bill in first" in error["message"]


def test_token_that_may_only_read_matches_nothing(by_token):
    answer = by_token("asha").post("/api/v1/bill-matches", json.dumps(ANTHROPIC))
    assert answer.status_code == 403
    assert not BillMatch.objects.filter(usage_provider="anthropic").exists()


def test_source_costs_answer_for_a_project_too(by_token):
    answer = by_token("cleo").get("/api/v1/source-costs").json()
    assert answer["currency"] == "USD"
    assert answer["months"] == [one.isoformat() for one in recent_months()]
