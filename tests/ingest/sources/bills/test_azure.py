from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ingest.sources import bills
from ingest.sources.base import BadFile
from ingest.sources.bills import Options

from .conftest import read, rows_of, text_of

ROW = {
    "BillingAccountId": "8611537",
    "BillingPeriodStartDate": "09/01/2023",
    "BillingPeriodEndDate": "09/30/2023",
    "SubscriptionId": "1caaa5a3",
    "Date": "09/21/2023",
    "MeterCategory": "Virtual Machines",
    "Cost": "3.25",
    "BillingCurrency": "USD",
    "ChargeType": "Usage",
    "PricingModel": "OnDemand",
    "ReservationId": "",
}
RESERVED = {**ROW, "PricingModel": "Reservation", "ReservationId": "r-1"}


def cost(path, column):
    return sum(round(Decimal(row[column]), 20) for row in rows_of(path))


def test_actual_tells_what_was_billed_and_leaves_a_purchases_spread_unknown(shared):
    path = shared("billing/azure_ea/EA_ActualCost_Small.csv")

    lines, rejects, warnings = read(path)

    assert (len(lines), rejects) == (11, [])
    assert sum(line.billed_cost for line in lines) == cost(path, "Cost")
    [purchase] = [line for line in lines if line.charge_category == "Purchase"]
    assert (purchase.billed_cost, purchase.effective_cost) == (Decimal("3.25"), None)
    assert warnings == [
        bills.BY_NAME,
        "1 of 11 rows tell no effective cost; it is unknown there, not zero.",
    ]


def test_amortised_tells_what_was_used_and_not_what_was_billed(shared):
    path = shared("billing/azure_ea/EA_AmortizedCost_Small.csv")

    lines, rejects, _ = read(path)

    assert (len(lines), rejects) == (28, [])
    assert sum(line.effective_cost for line in lines) == cost(path, "Cost")
    committed = [line for line in lines if line.billed_cost is None]
    assert sorted(line.pricing_category for line in committed) == ["Committed", "Committed"]
    assert {line.commitment_discount_status for line in committed} == {"Used"}


def test_tags_without_braces_are_mended_and_flagged(shared):
    lines, _, _ = read(shared("billing/azure_ea/EA_ActualCost_Small.csv"))

    assert lines[1].tags["CostCenter"] == "1234"
    assert "tags: braces added" in lines[1].repairs


def test_header_without_rows_is_an_empty_bill(shared):
    assert read(shared("billing/azure_ea/EA_NoRows.csv")) == ([], [], [])


@pytest.mark.parametrize(
    ("number", "month"),
    [(1, datetime(2026, 8, 1, tzinfo=UTC)), (2, datetime(2026, 10, 1, tzinfo=UTC))],
)
def test_customer_agreement_in_euros(shared, number, month):
    path = shared(f"billing/nise/azure_export_EUR_{number}.csv.gz")

    lines, rejects, warnings = read(path)

    assert (len(lines), rejects, warnings) == (155, [], [])
    assert {line.billing_currency for line in lines} == {"EUR"}
    assert {line.billing_period_start for line in lines} == {month}
    assert sum(line.billed_cost for line in lines) == cost(path, "CostInBillingCurrency")


@pytest.mark.parametrize("name", ["German", "PayAsYouGo"])
def test_translated_header_reads_as_the_english_one(shared, name):
    [line], rejects, _ = read(shared(f"billing/azure_headers/{name}.csv"))

    assert rejects == []
    assert (line.billed_cost, line.effective_cost) == (Decimal("0.075"), Decimal("0.075"))
    assert (line.service_name, line.region_id) == ("Load Balancer", "US East")
    assert line.sub_account_id == "11111111-12ab-34dc-56ef-123456abcdef"
    assert line.billing_period_end == datetime(2021, 3, 1, tzinfo=UTC)
    assert line.repairs == (
        "billing_account_id: from the subscription",
        "billing_period_start: the month of the charge",
    )


def test_byte_order_mark_is_no_part_of_the_first_column(shared):
    lines, [reject], _ = read(shared("billing/azure_headers/BOM.csv"))

    assert lines == []
    assert reject.detail.startswith("Line 2, column SubscriptionGuid: is empty; every charge")


def test_enterprise_header_needs_to_be_told_which_view_it_is(shared):
    path = shared("billing/azure_headers/Enterprise.csv")
    with pytest.raises(BadFile, match="set Format of the source to azure_actual or azure_amor"):
        read(path)

    [line], _, _ = read(path, Options("azure_actual"))

    assert (line.billing_currency, line.billed_cost) == ("CAD", Decimal(0))
    assert line.tags["orchestrator"] == "Kubernetes:1.19.9"


@pytest.mark.parametrize(("name", "count"), [("Template", 87), ("VirtualMachine", 1)])
def test_camel_case_export_without_a_currency_takes_the_sources(shared, name, count):
    path = shared(f"billing/azure_headers/{name}.csv")
    with pytest.raises(BadFile, match="names no currency; set Currency of the source"):
        read(path)

    lines, rejects, _ = read(path, Options(currency="USD"))

    assert len(lines) + len(rejects) == len(rows_of(path)) == count
    assert rejects == []
    assert sum(line.billed_cost for line in lines) == cost(path, "costinbillingcurrency")
    assert sum(line.list_cost for line in lines) == cost(path, "paygcostinbillingcurrency")
    assert all("billing_currency: from the source's settings" in line.repairs for line in lines)


def test_export_without_commitments_needs_no_view(write):
    [line], _, _ = read(write([ROW]))

    assert (line.billed_cost, line.effective_cost) == (Decimal("3.25"), Decimal("3.25"))


@pytest.mark.parametrize(
    ("name", "billed", "effective"),
    [("ActualCost.csv", "3.25", None), ("my_amortized_2023.csv", None, "3.25")],
)
def test_name_of_the_file_tells_the_view(write, name, billed, effective):
    [line], _, _ = read(write([RESERVED], name))

    assert line.billed_cost == (billed and Decimal(billed))
    assert line.effective_cost == (effective and Decimal(effective))


def test_settings_go_before_the_name(write):
    [line], _, _ = read(write([RESERVED], "ActualCost.csv"), Options("azure_amortized"))

    assert line.billed_cost is None


@pytest.mark.parametrize(
    ("kind", "category", "charge_class", "status"),
    [
        ("UnusedReservation", "Usage", "", "Unused"),
        ("Refund", "Adjustment", "Correction", ""),
        ("RoundingAdjustment", "Adjustment", "", ""),
        ("Tax", "Tax", "", ""),
    ],
)
def test_kinds_of_charge(write, kind, category, charge_class, status):
    path = write([{**RESERVED, "ChargeType": kind}], "amortized.csv")

    [line], _, _ = read(path)

    assert (line.charge_category, line.charge_class) == (category, charge_class)
    assert line.commitment_discount_status == status


def test_dates_are_month_day_year(write):
    [line], _, _ = read(write([ROW]))
    assert line.charge_period_start == datetime(2023, 9, 21, tzinfo=UTC)
    assert line.billing_period_end == datetime(2023, 10, 1, tzinfo=UTC)

    _, [reject], _ = read(write([{**ROW, "Date": "21/09/2023"}], "german_day.csv"))
    assert (reject.reason, reject.field) == ("bad_time", "Date")


def test_files_beside_the_bills_are_no_bills(shared):
    for name in ("PricingUnits", "Regions", "Services"):
        path = shared(f"billing/azure_ea/ref_{name}.csv")
        assert text_of(path)
        with pytest.raises(BadFile, match=f"^ref_{name}.csv is no bill known here: FOCUS has"):
            read(path)
