import csv
import gzip
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from ingest.records import BillRecord, Reject
from ingest.sources import REGISTRY
from ingest.sources.base import BadFile

ADAPTER = REGISTRY["focus_csv"]
OFFICIAL = "billing/focus_1_0_sample_1000.csv.gz"
SYNTHETIC = [
    f"billing/focus_synthetic/focus_{name}.csv.gz"
    for name in (
        "1_2_cost_and_usage_aws", "1_2_cost_and_usage_azure",
        "1_3_cost_and_usage_aws", "1_3_cost_and_usage_azure",
        "1_4_aws_synthetic_focus_1_4_cost_and_usage",
        "1_4_azure_synthetic_focus_1_4_cost_and_usage",
    )
]  # fmt: skip

ROW = {
    "BilledCost": "8e-07",
    "EffectiveCost": "8e-07",
    "ListCost": "1.0000000000000000001",
    "ContractedCost": "",
    "BillingAccountId": "1234",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2024-09-01 00:00:00",
    "BillingPeriodEnd": "2024-10-01T00:00:00Z",
    "ChargePeriodStart": "2024-09-18T22:00:00+02:00",
    "ChargePeriodEnd": "2024-09-18 23:00:00",
    "ChargeCategory": "Usage",
    "ServiceName": "Amazon SQS",
    "ProviderName": "AWS",
}


def file_of(path, *rows, delimiter=",", name="bill.csv"):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, extrasaction="raise")
    writer.writeheader()
    writer.writerows(rows)
    file = path / name
    file.write_text(text.getvalue())
    return file


def read(path, *rows, **options):
    return list(ADAPTER.read(file_of(path, *rows, **options), {}))


def one(path, **changes):
    [row] = read(path, {**ROW, **changes})
    assert isinstance(row, BillRecord), row
    return row


def rejected(path, **changes):
    [row] = read(path, {**ROW, **changes})
    assert isinstance(row, Reject), row
    return row


# ---- whole files


@pytest.mark.parametrize("name", [OFFICIAL, *SYNTHETIC])
def test_totals_match_an_independent_reader(shared, name):
    path = shared(name)
    costs = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")
    sums = ", ".join(f"sum(nullif({cost}, '')::DECIMAL(38, 19))" for cost in costs)
    [(rows, *totals, first, last)] = duckdb.sql(
        f"SELECT count(*), {sums}, min(ChargePeriodStart), max(ChargePeriodEnd)"
        f" FROM read_csv('{path}', all_varchar=true, header=true)"
    ).fetchall()

    lines = list(ADAPTER.read(path, {}))

    assert [line for line in lines if isinstance(line, Reject)] == []
    assert len(lines) == rows == 1000
    for field, total in zip(
        ("billed_cost", "effective_cost", "list_cost", "contracted_cost"), totals, strict=True
    ):
        assert sum(getattr(line, field) or 0 for line in lines) == total
    assert min(line.charge_period_start for line in lines) == _utc(first)
    assert max(line.charge_period_end for line in lines) == _utc(last)
    assert all(line.provider_name and line.service_name for line in lines)
    assert [line.line for line in lines] == sorted({line.line for line in lines})


def _utc(text):
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def test_official_sample_keeps_what_it_is_known_for(shared):
    reading = ADAPTER.read(shared(OFFICIAL), {})
    lines = list(reading)

    negative = [line for line in lines if line.billed_cost < 0]
    assert len(negative) == 13
    repaired = [line for line in lines if "charge_frequency: case" in line.repairs]
    assert len(repaired) == 7
    assert {line.charge_frequency for line in lines} == {"Usage-Based", "One-Time"}
    assert lines[0].billed_cost == Decimal("8e-07")
    assert lines[0].extra["Id"] == "11472"
    assert lines[0].extra["ListUnitPrice"] == "4e-07"
    assert any({"org", " org"} <= line.tags.keys() for line in lines)
    assert sum(not line.tags for line in lines) == 289
    assert reading.warnings == [
        "EffectiveCost of AWS is rounded to whole units of currency on 613 of 613 usage rows"
        " whose BilledCost is exact; compare by billed cost until the export is mended."
    ]


@pytest.mark.parametrize("name", SYNTHETIC)
def test_sound_files_raise_no_warning_and_need_no_repair(shared, name):
    reading = ADAPTER.read(shared(name), {})

    assert {line.repairs for line in reading} == {()}
    assert reading.warnings == []


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("billing/focus_synthetic/focus_1_3_contract_commitment_aws.csv.gz", "BilledCost"),
        ("billing/azure_ea/EA_ActualCost_Small.csv", "BilledCost"),
        ("billing/azure_headers/German.csv", "BillingAccountId"),
    ],
)
def test_file_of_another_kind_is_one_clear_error(shared, name, missing):
    with pytest.raises(BadFile, match=f"has no column .*{missing}.*; export it as FOCUS"):
        list(ADAPTER.read(shared(name), {}))


@pytest.mark.parametrize("column", [name for name in ROW if name not in
                                    ("ListCost", "ContractedCost")])  # fmt: skip
def test_missing_mandatory_column_is_named(tmp_path, column):
    row = {name: cell for name, cell in ROW.items() if name != column}

    with pytest.raises(BadFile, match=f"has no column {column};"):
        read(tmp_path, row)


def test_header_without_rows_is_an_empty_bill(tmp_path):
    file = tmp_path / "bill.csv"
    file.write_text(",".join(ROW) + "\n")

    assert list(ADAPTER.read(file, {})) == []


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found(tmp_path, delimiter):
    [row] = read(tmp_path, ROW, delimiter=delimiter)

    assert row.billed_cost == Decimal("8e-07")


def test_gzip_is_found_by_content(tmp_path):
    plain = file_of(tmp_path, ROW)
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(plain.read_bytes()))

    assert list(ADAPTER.read(packed, {})) == list(ADAPTER.read(plain, {}))


# ---- one row


def test_costs_are_exact(tmp_path):
    row = one(tmp_path, ConsumedQuantity="0.00200749", PricingQuantity="12345678901234567890.5")

    assert row.billed_cost == Decimal("0.0000008")
    assert row.list_cost == Decimal("1.0000000000000000001")
    assert row.contracted_cost is None
    assert row.consumed_quantity == Decimal("0.00200749")
    assert row.pricing_quantity == Decimal("12345678901234567890.5")


def test_times_are_utc_with_or_without_a_zone(tmp_path):
    row = one(tmp_path)

    assert row.billing_period_start == datetime(2024, 9, 1, tzinfo=UTC)
    assert row.billing_period_end == datetime(2024, 10, 1, tzinfo=UTC)
    assert row.charge_period_start == datetime(2024, 9, 18, 20, tzinfo=UTC)
    assert row.charge_period_end == datetime(2024, 9, 18, 23, tzinfo=UTC)


def test_provider_under_its_newer_name(tmp_path):
    row = {name: cell for name, cell in ROW.items() if name != "ProviderName"}

    [line] = read(tmp_path, {**row, "ServiceProviderName": "Nebius", "HostProviderName": "Equinix"})

    assert (line.provider_name, line.publisher_name) == ("Nebius", "Equinix")
    assert line.repairs == ()
    assert line.extra == {}


def test_older_provider_name_wins_and_the_newer_one_fills_a_gap(tmp_path):
    both = one(tmp_path, ServiceProviderName="Other")
    gap = one(tmp_path, ProviderName="", ServiceProviderName="Other")

    assert (both.provider_name, both.repairs) == ("AWS", ())
    assert gap.provider_name == "Other"
    assert gap.repairs == ("provider_name: from ServiceProviderName",)


def test_null_as_a_word_is_empty_and_flagged(tmp_path):
    row = one(tmp_path, ListCost="NULL", RegionId="NULL", ResourceId="", x_Own="NULL")

    assert row.list_cost is None
    assert (row.region_id, row.resource_id) == ("", "")
    assert sorted(row.repairs) == ["list_cost: the word NULL", "region_id: the word NULL"]
    assert row.extra == {}


def test_columns_without_a_field_are_kept_as_text(tmp_path):
    row = one(tmp_path, SkuPriceDetails='{"CoreCount":2}', x_Team="search", Id="7")

    assert row.extra == {"SkuPriceDetails": '{"CoreCount":2}', "x_Team": "search", "Id": "7"}


def test_column_names_in_another_style_are_recognised(tmp_path):
    row = {"billing_account_id" if k == "BillingAccountId" else k: v for k, v in ROW.items()}

    assert read(tmp_path, row)[0].billing_account_id == "1234"


@pytest.mark.parametrize(
    ("cell", "tags", "repairs", "extra"),
    [
        ('{"a": "b", "n": 5, "x": {"y": 1}}', {"a": "b", "n": "5", "x": '{"y": 1}'}, (), {}),
        ('"a": "b","c": "d"', {"a": "b", "c": "d"}, ("tags: braces added",), {}),
        ("a=b", {}, ("tags: not JSON, kept as text",), {"Tags": "a=b"}),
        ("[1]", {}, ("tags: not JSON, kept as text",), {"Tags": "[1]"}),
        ("", {}, (), {}),
        (r'{"a": "\u0000"}', {"a": "\ufffd"}, (), {}),
        (r'{"a": "\ud83d"}', {"a": "?"}, (), {}),
    ],
)
def test_tags(tmp_path, cell, tags, repairs, extra):
    row = one(tmp_path, Tags=cell)

    assert (row.tags, row.repairs, row.extra) == (tags, repairs, extra)


def test_case_is_mended_and_other_words_are_kept(tmp_path):
    row = one(
        tmp_path, ChargeCategory="usage", ChargeFrequency="Usage-based", PricingCategory="Spot",
        BillingCurrency="usd",
    )  # fmt: skip

    assert (row.charge_category, row.charge_frequency) == ("Usage", "Usage-Based")
    assert (row.pricing_category, row.billing_currency) == ("Spot", "USD")
    assert sorted(row.repairs) == [
        "billing_currency: case", "charge_category: case", "charge_frequency: case",
    ]  # fmt: skip


def test_more_decimals_than_can_be_stored_are_rounded_and_flagged(tmp_path):
    row = one(tmp_path, ListCost="0.123456789012345678905", BilledCost="1.000000000000000000000")

    assert row.list_cost == Decimal("0.12345678901234567890")
    assert row.repairs == ("list_cost: rounded to 20 decimals",)


def test_equal_rows_have_equal_hashes_and_a_changed_cell_another(tmp_path):
    one_row, same, changed = read(tmp_path, ROW, ROW, {**ROW, "ListCost": "2"})

    assert one_row.content_hash == same.content_hash != changed.content_hash
    assert len(one_row.content_hash) == 16


def test_short_row_is_padded_and_flagged(tmp_path):
    file = file_of(tmp_path, {**ROW, "RegionId": "r", "SkuId": "s"})
    file.write_text(file.read_text().rstrip().removesuffix(",s") + "\n")

    [row] = ADAPTER.read(file, {})

    assert row.sku_id == ""
    assert row.repairs == ("row: 1 cells missing at its end",)


# ---- rows that cannot be taken


@pytest.mark.parametrize(
    ("changes", "reason", "column"),
    [
        ({"BilledCost": "NaN"}, "not_finite", "BilledCost"),
        ({"EffectiveCost": "-Infinity"}, "not_finite", "EffectiveCost"),
        ({"BilledCost": "1,5"}, "bad_number", "BilledCost"),
        ({"BilledCost": "1_000"}, "bad_number", "BilledCost"),
        ({"BilledCost": "١٢"}, "bad_number", "BilledCost"),
        ({"BilledCost": "$5"}, "bad_number", "BilledCost"),
        ({"BilledCost": "1e12"}, "impossible_number", "BilledCost"),
        ({"BilledCost": "1e999999999"}, "impossible_number", "BilledCost"),
        ({"BillingCurrency": ""}, "bad_currency", "BillingCurrency"),
        ({"BillingCurrency": "Dollar"}, "bad_currency", "BillingCurrency"),
        ({"BillingPeriodStart": "01.09.2024"}, "bad_time", "BillingPeriodStart"),
        ({"ChargePeriodEnd": ""}, "bad_time", "ChargePeriodEnd"),
        ({"ChargePeriodEnd": "0001-01-01"}, "bad_time", "ChargePeriodEnd"),
        ({"ChargePeriodEnd": "2024-09-17"}, "ends_before_start", "ChargePeriodEnd"),
        ({"BillingAccountId": ""}, "missing_account", "BillingAccountId"),
    ],
)
def test_bad_cell_names_line_and_column(tmp_path, changes, reason, column):
    reject = rejected(tmp_path, **changes)

    assert (reject.reason, reject.field, reject.line) == (reason, column, 2)
    assert reject.detail.startswith(f"Line 2, column {column}: ")
    assert json.loads(reject.payload)["ServiceName"] == "Amazon SQS"


def test_rows_in_are_rows_out_plus_rejects(tmp_path):
    file = file_of(tmp_path, *[ROW] * 3)
    lines = file.read_text().splitlines()
    lines[2] += ",one too many"
    lines.append(lines[1].replace("Amazon SQS", '"Amazon SQS'))
    file.write_text("\n".join(lines) + "\n")

    rows = list(ADAPTER.read(file, {}))

    assert [type(row) for row in rows] == [BillRecord, Reject, BillRecord, Reject]
    assert [row.line for row in rows] == [2, 3, 4, 5]


def test_quoted_line_breaks_count_as_lines_of_the_file(tmp_path):
    first, second = read(tmp_path, {**ROW, "ChargeDescription": "two\nlines"}, ROW)

    assert (first.line, second.line) == (2, 4)
    assert first.charge_description == "two\nlines"


def test_effective_cost_left_at_zero_is_warned_of(tmp_path):
    rows = [{**ROW, "BilledCost": "0.5", "EffectiveCost": "0"}] * 5
    reading = ADAPTER.read(file_of(tmp_path, *rows), {})
    list(reading)

    assert reading.warnings[0].startswith("EffectiveCost of AWS is 0 on 5 of 5 usage rows")


def test_purchases_are_rightly_effective_later(tmp_path):
    rows = [{**ROW, "BilledCost": "0.5", "EffectiveCost": "0", "ChargeCategory": "Purchase"}] * 20
    reading = ADAPTER.read(file_of(tmp_path, *rows), {})
    list(reading)

    assert reading.warnings == []
