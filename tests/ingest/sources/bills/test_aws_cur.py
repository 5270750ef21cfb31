from decimal import Decimal

import pytest

from ingest.sources.base import BadFile
from ingest.sources.bills import Options

from .conftest import read, rows_of, text_of, total

MONTHS = [("August", 2976), ("September", 2880)]
ROW = {
    "bill/BillType": "Anniversary",
    "bill/BillingEntity": "AWS",
    "bill/BillingPeriodStartDate": "2026-08-01T00:00:00Z",
    "bill/BillingPeriodEndDate": "2026-09-01T00:00:00Z",
    "bill/InvoiceId": "477988983",
    "bill/PayerAccountId": "999999999999",
    "lineItem/CurrencyCode": "USD",
    "lineItem/LegalEntity": "Amazon Web Services, Inc.",
    "lineItem/LineItemType": "Usage",
    "lineItem/ProductCode": "AmazonEC2",
    "lineItem/UnblendedCost": "1.5",
    "lineItem/UsageAccountId": "111111111111",
    "lineItem/UsageStartDate": "2026-08-05T04:00:00Z",
    "lineItem/UsageEndDate": "2026-08-05T05:00:00Z",
    "pricing/publicOnDemandCost": "2",
    "product/ProductName": "Amazon Elastic Compute Cloud",
    "reservation/EffectiveCost": "",
    "reservation/ReservationARN": "",
    "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "",
    "reservation/UnusedRecurringFee": "",
    "resourceTags/user:team": "search",
    "savingsPlan/SavingsPlanARN": "",
    "savingsPlan/SavingsPlanEffectiveCost": "",
    "savingsPlan/TotalCommitmentToDate": "",
    "savingsPlan/UsedCommitment": "",
}


def one(write, **changes):
    lines, rejects, _ = read(write([{**ROW, **changes}]))
    assert rejects == []
    return lines[0]


@pytest.mark.parametrize(("month", "count"), MONTHS)
@pytest.mark.parametrize("state", ["notfinal", "finalized"])
def test_totals_match_an_independent_reader(shared, month, count, state):
    path = shared(f"billing/nise/aws_cur_2026_{month}_USD_{state}.csv.gz")

    lines, rejects, warnings = read(path)

    assert (len(lines), rejects, warnings) == (count, [], [])
    assert sum(line.billed_cost for line in lines) == total(path, "lineItem/UnblendedCost")
    assert sum(line.list_cost for line in lines) == total(path, "pricing/publicOnDemandCost")
    assert {line.billing_account_id for line in lines} == {"9999999999999"}
    assert {bool(line.invoice_id) for line in lines} == {state == "finalized"}


def test_final_copy_differs_only_in_its_invoice(shared):
    first, _, _ = read(shared("billing/nise/aws_cur_2026_August_USD_notfinal.csv.gz"))
    final, _, _ = read(shared("billing/nise/aws_cur_2026_August_USD_finalized.csv.gz"))

    assert [line.billed_cost for line in first] == [line.billed_cost for line in final]
    assert all(a.content_hash != b.content_hash for a, b in zip(first, final, strict=True))


def test_row_with_a_field_fewer_than_the_header_is_taken_and_flagged(shared, tmp_path):
    whole = text_of(shared("billing/nise/aws_cur_2026_August_USD_finalized.csv.gz")).splitlines()
    short = tmp_path / "cur.csv"
    # Each row ends with empty cells: one comma fewer is one field fewer.
    assert all(line.endswith(",") for line in whole[1:20])
    short.write_text("\n".join([whole[0], *(line[:-1] for line in whole[1:20])]) + "\n")

    lines, rejects, warnings = read(short)

    assert (len(lines), rejects, warnings) == (19, [], [])
    assert {line.repairs for line in lines} == {("row: 1 cells missing at its end",)}
    assert sum(line.billed_cost for line in lines) == sum(
        Decimal(row["lineItem/UnblendedCost"]) for row in rows_of(short)
    )


def test_words_become_focus(write):
    line = one(write)

    assert (line.provider_name, line.service_name) == ("AWS", "Amazon Elastic Compute Cloud")
    assert (line.billed_cost, line.effective_cost, line.list_cost) == (
        Decimal("1.5"), Decimal("1.5"), Decimal(2),
    )  # fmt: skip
    assert (line.billing_account_id, line.sub_account_id) == ("999999999999", "111111111111")
    assert line.tags == {"user:team": "search"}
    assert line.extra["lineItem/LineItemType"] == "Usage"
    assert line.contracted_cost is None


ARN = "arn:aws:ec2:eu-central-1:1:reserved-instances/a"
PLAN = "arn:aws:savingsplans::1:savingsplan/b"


@pytest.mark.parametrize(
    ("changes", "category", "effective", "commitment"),
    [
        ({"lineItem/LineItemType": "DiscountedUsage", "lineItem/UnblendedCost": "0",
          "reservation/EffectiveCost": "0.7", "reservation/ReservationARN": ARN},
         "Usage", "0.7", (ARN, "Used")),
        ({"lineItem/LineItemType": "SavingsPlanCoveredUsage", "savingsPlan/SavingsPlanARN": PLAN,
          "savingsPlan/SavingsPlanEffectiveCost": "0.9"}, "Usage", "0.9", (PLAN, "Used")),
        ({"lineItem/LineItemType": "SavingsPlanNegation", "lineItem/UnblendedCost": "-1.5",
          "savingsPlan/SavingsPlanARN": PLAN}, "Adjustment", "0", (PLAN, "")),
        ({"lineItem/LineItemType": "SavingsPlanRecurringFee", "savingsPlan/SavingsPlanARN": PLAN,
          "savingsPlan/TotalCommitmentToDate": "1.5", "savingsPlan/UsedCommitment": "0.9"},
         "Purchase", "0.6", (PLAN, "")),
        ({"lineItem/LineItemType": "SavingsPlanUpfrontFee", "savingsPlan/SavingsPlanARN": PLAN},
         "Purchase", "0", (PLAN, "")),
        ({"lineItem/LineItemType": "RIFee", "reservation/ReservationARN": ARN,
          "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod": "0.2",
          "reservation/UnusedRecurringFee": "0.1"}, "Purchase", "0.3", (ARN, "")),
        ({"lineItem/LineItemType": "Fee", "reservation/ReservationARN": ARN},
         "Purchase", "0", (ARN, "")),
        ({"lineItem/LineItemType": "Fee"}, "Purchase", "1.5", ("", "")),
        ({"lineItem/LineItemType": "Tax"}, "Tax", "1.5", ("", "")),
        ({"lineItem/LineItemType": "Credit", "lineItem/UnblendedCost": "-4"},
         "Credit", "-4", ("", "")),
    ],
)  # fmt: skip
def test_each_kind_of_line_has_its_category_and_effective_cost(
    write, changes, category, effective, commitment
):
    line = one(write, **changes)

    assert (line.charge_category, line.effective_cost) == (category, Decimal(effective))
    assert (line.commitment_discount_id, line.commitment_discount_status) == commitment


def test_month_adds_up_to_its_invoice_and_to_what_was_used(write):
    covered = {"savingsPlan/SavingsPlanARN": PLAN}
    path = write([
        {**ROW, **covered, "lineItem/LineItemType": "SavingsPlanCoveredUsage",
         "savingsPlan/SavingsPlanEffectiveCost": "0.9"},
        {**ROW, **covered, "lineItem/LineItemType": "SavingsPlanNegation",
         "lineItem/UnblendedCost": "-1.5"},
        {**ROW, **covered, "lineItem/LineItemType": "SavingsPlanRecurringFee",
         "lineItem/UnblendedCost": "1", "savingsPlan/TotalCommitmentToDate": "1",
         "savingsPlan/UsedCommitment": "0.9"},
    ])  # fmt: skip

    lines, _, _ = read(path)

    assert sum(line.billed_cost for line in lines) == 1
    assert sum(line.effective_cost for line in lines) == 1


def test_refund_is_a_correction(write):
    line = one(write, **{"lineItem/LineItemType": "Refund", "lineItem/UnblendedCost": "-1"})

    assert (line.charge_category, line.charge_class) == ("Adjustment", "Correction")


def test_recurring_fee_without_its_columns_has_an_unknown_effective_cost(write):
    line = one(write, **{"lineItem/LineItemType": "SavingsPlanRecurringFee"})

    assert line.effective_cost is None


def test_kind_nobody_knows_is_taken_and_flagged(write):
    line = one(write, **{"lineItem/LineItemType": "SolarDiscount"})

    assert (line.charge_category, line.billed_cost) == ("Adjustment", Decimal("1.5"))
    assert line.repairs == ("charge_category: the line item type SolarDiscount",)


def test_second_generation_reads_alike(write):
    renamed = {
        name.replace("/", "_")
        .replace("lineItem", "line_item")
        .replace("LineItemType", "line_item_type"): cell
        for name, cell in ROW.items()
        if not name.startswith("resourceTags/")
    }
    old = one(write)
    renamed["resource_tags"] = '{"user_team": "search"}'
    [line], rejects, _ = read(write([renamed], "cur2.csv"))

    assert rejects == []
    assert (line.billed_cost, line.service_name) == (old.billed_cost, old.service_name)
    assert line.tags == {"user_team": "search"}


def test_report_without_a_needed_column_is_named(write):
    row = {name: cell for name, cell in ROW.items() if name != "lineItem/CurrencyCode"}

    with pytest.raises(BadFile, match="without lineitemcurrencycode; export it with all"):
        read(write([row]))


def test_currencies_stay_apart(write):
    lines, _, _ = read(write([ROW, {**ROW, "lineItem/CurrencyCode": "CNY"}]))

    assert [line.billing_currency for line in lines] == ["USD", "CNY"]


def test_bad_cost_names_line_and_column(write):
    path = write([ROW, {**ROW, "lineItem/UnblendedCost": "1,5"}])

    lines, [reject], warnings = read(path, Options("aws_cur"))

    assert len(lines) == 1
    assert (reject.line, reject.field) == (3, "lineItem/UnblendedCost")
    assert warnings == [
        "1 of 2 rows were refused; what they cost is missing from the totals until they are mended."
    ]
