import ast
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ingest.sources.base import BadFile

from .conftest import read, rows_of, total

ROW = {
    "billing_account_id": "0A-1B",
    "service": {"id": "6F81", "description": "Compute Engine"},
    "sku": {"id": "CF4E", "description": "A100 in Frankfurt"},
    "usage_start_time": "2026-08-31 23:00:00 UTC",
    "usage_end_time": "2026-09-01 00:00:00 UTC",
    "project": {"id": "search", "name": "Search"},
    "labels": [{"key": "team", "value": "ml"}],
    "location": {"region": "europe-west3"},
    "cost": 12.340000000000000001,
    "currency": "EUR",
    "usage": {"amount": 3600, "unit": "seconds"},
    "credits": [],
    "invoice": {"month": "202608"},
    "cost_type": "regular",
}


@pytest.fixture
def lines_file(tmp_path):
    def make(*rows, **changes):
        path = tmp_path / "export.json"
        text = "\n".join(json.dumps({**ROW, **row, **changes}) for row in rows or ({},))
        path.write_text(text.replace("12.34,", "12.340000000000000001,") + "\n")
        return path

    return make


@pytest.mark.parametrize(("month", "count"), [("08", 3720), ("09", 3600)])
def test_usage_and_credits_stay_apart_and_make_the_invoice(shared, month, count):
    path = shared(f"billing/nise/gcp_export_EUR_2026{month}.csv.gz")
    told = rows_of(path)
    credits = [one for row in told for one in ast.literal_eval(row["credits"])]

    lines, rejects, warnings = read(path)

    usage = [line for line in lines if line.charge_category == "Usage"]
    given = [line for line in lines if line.charge_category == "Credit"]
    assert (rejects, warnings) == ([], [])
    assert (len(usage), len(given)) == (len(told), len(credits)) == (count, count // 5)
    assert sum(line.billed_cost for line in usage) == total(path, "cost")
    assert sum(line.billed_cost for line in given) == sum(
        Decimal(str(one["amount"])) for one in credits
    )
    assert all(line.billed_cost < 0 for line in given)
    assert {line.billing_currency for line in lines} == {"EUR"}
    assert len({line.line for line in lines}) == len(lines)


def test_export_cut_by_usage_does_not_pass_for_its_neighbours_invoices(shared):
    path = shared("billing/nise/gcp_export_EUR_202608.csv.gz")
    assert {row["invoice.month"] for row in rows_of(path)} == {"202607", "202608", "202609"}

    lines, _, _ = read(path)

    assert {line.billing_month.isoformat() for line in lines} == {"2026-08-01"}
    assert {line.extra["invoice.month"] for line in lines if line.charge_category == "Usage"} == {
        "202607", "202608", "202609",
    }  # fmt: skip


def test_export_cut_by_invoice_keeps_its_month(lines_file):
    path = lines_file({}, {"usage_start_time": "2026-07-31 23:00:00 UTC"})

    lines, _, _ = read(path)

    assert {line.billing_month.isoformat() for line in lines} == {"2026-08-01"}


def test_json_lines_keep_every_digit(lines_file):
    [line], rejects, _ = read(lines_file())

    assert rejects == []
    assert line.billed_cost == Decimal("12.340000000000000001")
    assert (line.service_name, line.sku_id) == ("Compute Engine", "CF4E")
    assert (line.sub_account_id, line.tags) == ("search", {"team": "ml"})
    assert line.charge_period_end == datetime(2026, 9, 1, tzinfo=UTC)
    assert (line.consumed_quantity, line.region_id) == (Decimal(3600), "europe-west3")


def test_each_credit_is_a_line_of_its_own(lines_file):
    credits = [
        {"name": "CUD", "full_name": "Committed use", "amount": -2.5,
         "type": "COMMITTED_USAGE_DISCOUNT", "id": "c1"},
        {"name": "Free", "amount": -1e-07, "type": "FREE_TIER"},
    ]  # fmt: skip

    usage, first, second = read(lines_file(credits=credits))[0]

    assert (usage.line, first.line, second.line) == (1, 1_000_000_001, 2_000_000_001)
    assert (first.billed_cost, second.billed_cost) == (Decimal("-2.5"), Decimal("-1e-07"))
    assert (first.charge_description, first.extra["credit_type"]) == (
        "Committed use", "COMMITTED_USAGE_DISCOUNT",
    )  # fmt: skip
    assert len({usage.content_hash, first.content_hash, second.content_hash}) == 3


@pytest.mark.parametrize(
    ("changes", "category", "charge_class"),
    [
        ({"cost_type": "tax"}, "Tax", ""),
        ({"cost_type": "adjustment"}, "Adjustment", "Correction"),
        ({"cost_type": "rounding_error"}, "Adjustment", ""),
        ({"sku": {"id": "1", "description": "Commitment v1: Cpu"}}, "Purchase", ""),
    ],
)
def test_kinds_of_charge(lines_file, changes, category, charge_class):
    [line], _, _ = read(lines_file(**changes))

    assert (line.charge_category, line.charge_class) == (category, charge_class)


def test_row_that_is_no_object_costs_itself(lines_file):
    path = lines_file()
    path.write_text(path.read_text() + "{broken\n" + path.read_text())

    lines, [reject], _ = read(path)

    assert len(lines) == 2
    assert (reject.line, reject.detail) == (2, "Line 2 is no JSON object; export it again.")


def test_credits_that_cannot_be_read_cost_their_row(lines_file):
    _, [reject], _ = read(lines_file(credits="soon"))

    assert (reject.reason, reject.field) == ("bad_credit", "credits")


def test_one_json_list_is_refused_with_the_fix(tmp_path):
    path = tmp_path / "export.json"
    path.write_text(json.dumps([ROW]))

    with pytest.raises(BadFile, match="is one JSON list; export it as newline-delimited JSON"):
        read(path)
