"""Any file people may hand in: Parquet, archives, damaged and hostile files, the wrong dataset."""

import gzip
import resource
import zipfile
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from ingest.sources import bills
from ingest.sources.base import BadFile
from ingest.sources.bills import Options, parquet_as_csv, tables

from .conftest import read, rows_of

SYNTHETIC = "billing/focus_synthetic/focus_"
FOCUS = [
    "billing/focus_1_0_sample_1000.csv.gz",
    *(f"{SYNTHETIC}{name}.csv.gz" for name in (
        "1_2_cost_and_usage_aws", "1_2_cost_and_usage_azure", "1_3_cost_and_usage_aws",
        "1_3_cost_and_usage_azure", "1_4_aws_synthetic_focus_1_4_cost_and_usage",
        "1_4_azure_synthetic_focus_1_4_cost_and_usage",
    )),
]  # fmt: skip
COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")


def as_parquet(source, path, replaced=""):
    """The CSV as Parquet by DuckDB itself; `replaced` gives columns other types."""
    duckdb.sql(
        f"COPY (SELECT * {f'REPLACE ({replaced})' if replaced else ''}"
        f" FROM read_csv('{source}', all_varchar=true, header=true))"
        f" TO '{path}' (FORMAT parquet)"
    )
    return path


def decimals():
    return ", ".join(f"nullif({name}, '')::DECIMAL(38, 19) AS {name}" for name in COSTS)


# ---- FOCUS


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_focus_equals_its_invoice_details_to_the_cent(shared, cloud):
    start = f"{SYNTHETIC}1_4_{cloud}_synthetic_focus_1_4_"
    lines, rejects, warnings = read(shared(f"{start}cost_and_usage.csv.gz"))
    told = {
        row["InvoiceDetailId"]: Decimal(row["BilledCost"])
        for row in rows_of(shared(f"{start}invoice_detail.csv.gz"))
    }

    billed = dict.fromkeys(told, Decimal(0))
    for line in lines:
        billed[line.extra["InvoiceDetailId"]] += line.billed_cost

    assert (rejects, warnings) == ([], [])
    assert {key: round(cost, 2) for key, cost in billed.items()} == {
        key: round(cost, 2) for key, cost in told.items()
    }
    assert len(told) > 2


@pytest.mark.parametrize(
    ("name", "dataset"),
    [
        ("1_3_contract_commitment_aws", "Contract Commitment"),
        ("1_3_contract_commitment_azure", "Contract Commitment"),
        ("1_4_aws_synthetic_focus_1_4_billing_period", "Billing Period"),
        ("1_4_azure_synthetic_focus_1_4_billing_period", "Billing Period"),
        ("1_4_aws_synthetic_focus_1_4_invoice_detail", "Invoice Detail"),
        ("1_4_azure_synthetic_focus_1_4_invoice_detail", "Invoice Detail"),
    ],
)
def test_other_datasets_of_focus_are_named(shared, name, dataset):
    with pytest.raises(BadFile, match=f"is a FOCUS {dataset} file, which has no charges; load"):
        read(shared(f"{SYNTHETIC}{name}.csv.gz"))


# ---- which layout


def test_file_with_the_columns_of_two_layouts_is_refused(write):
    both = {
        "BilledCost": "1", "ChargePeriodStart": "", "lineItem/UnblendedCost": "1",
        "lineItem/LineItemType": "Usage",
    }  # fmt: skip
    with pytest.raises(BadFile, match="could be FOCUS or AWS Cost and Usage Report; it has the"):
        read(write([both]))


def test_settings_decide_what_the_columns_do_not(write):
    with pytest.raises(BadFile, match=r"has no column BilledCost, .* export it as FOCUS"):
        read(write([{"a": "1"}]), Options("focus"))


# ---- Parquet


@pytest.mark.parametrize("name", FOCUS)
def test_parquet_reads_as_the_csv_it_was_made_of(shared, tmp_path, name):
    path = as_parquet(shared(name), tmp_path / "bill.parquet", decimals())

    lines, rejects, _ = read(path)

    expected, _, _ = read(shared(name))
    assert rejects == []
    assert len(lines) == len(expected) == 1000
    for field in ("billed_cost", "effective_cost", "list_cost", "contracted_cost", "tags"):
        assert [getattr(a, field) for a in lines] == [getattr(b, field) for b in expected], field
    assert [a.charge_period_start for a in lines] == [b.charge_period_start for b in expected]


def test_parquets_own_types_become_text_and_back(tmp_path):
    path = tmp_path / "typed.parquet"
    duckdb.sql(f"""COPY (SELECT 0.0000000000000000001::DECIMAL(38, 19) AS BilledCost,
        8e-07::DOUBLE AS EffectiveCost, NULL::DECIMAL(38, 19) AS ListCost,
        TIMESTAMPTZ '2026-05-01 00:00:00+02' AS ChargePeriodStart,
        TIMESTAMP '2026-05-01 01:00:00' AS ChargePeriodEnd,
        DATE '2026-05-01' AS BillingPeriodStart, '2026-06-01' AS BillingPeriodEnd,
        1234 AS BillingAccountId, 'USD' AS BillingCurrency, 'Usage' AS ChargeCategory,
        'S3' AS ServiceName, 'AWS' AS ProviderName, E'two\\nlines' AS ChargeDescription,
        MAP {{'team': 'search'}} AS Tags, [1, 2] AS x_List) TO '{path}' (FORMAT parquet)""")

    [line], rejects, warnings = read(path)

    assert rejects == []
    assert (line.billed_cost, line.effective_cost, line.list_cost) == (
        Decimal("1e-19"), Decimal("8e-07"), None,
    )  # fmt: skip
    assert line.charge_period_start.isoformat() == "2026-04-30T22:00:00+00:00"
    assert line.charge_description == "two\nlines"
    assert (line.tags, line.extra) == ({"team": "search"}, {"x_List": "[1,2]"})
    assert warnings == [
        "The file keeps EffectiveCost as binary floating point, which is exact to 15 digits; ask"
        " for decimals if your exporter can write them."
    ]


def test_parquet_with_wrong_types_costs_its_rows(shared, tmp_path):
    wrong = "true AS BilledCost, [1.5] AS EffectiveCost"
    path = as_parquet(shared(FOCUS[1]), tmp_path / "wrong.parquet", wrong)

    lines, rejects, _ = read(path)

    assert (lines, len(rejects)) == ([], 1000)
    assert {(reject.reason, reject.field) for reject in rejects} == {("bad_number", "BilledCost")}


def test_parquet_number_too_large_to_be_true_costs_its_row(shared, tmp_path):
    huge = (
        f"CASE WHEN SkuId = '' THEN BilledCost ELSE '{'9' * 38}' END::DECIMAL(38, 0) AS BilledCost"
    )
    path = as_parquet(shared(FOCUS[1]), tmp_path / "huge.parquet", huge)

    lines, rejects, _ = read(path)

    assert len(lines) + len(rejects) == 1000
    assert {reject.reason for reject in rejects} == {"impossible_number"}


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_truncated_parquet_is_one_clear_error(shared, tmp_path, keep):
    whole = as_parquet(shared(FOCUS[1]), tmp_path / "whole.parquet").read_bytes()
    path = tmp_path / "cut.parquet"
    path.write_bytes(whole[: int(len(whole) * keep)])

    with pytest.raises(BadFile, match=r"^cut.parquet is no whole Parquet file; it is damaged"):
        read(path)


def test_parquet_damaged_inside_is_one_clear_error(shared, tmp_path):
    whole = bytearray(as_parquet(shared(FOCUS[1]), tmp_path / "whole.parquet").read_bytes())
    whole[200:4000] = b"\xff" * 3800
    path = tmp_path / "damaged.parquet"
    path.write_bytes(whole)

    with pytest.raises(BadFile, match=r"^damaged\.parquet"):
        read(path)


def test_dictionary_bomb_takes_down_its_reader_alone(shared, tmp_path, monkeypatch):
    """One long value in every row: a file of some kB that unpacks to 600 MB."""
    one = rows_of(shared(FOCUS[1]))[0]
    columns = ", ".join(
        f"repeat('x', 60000) AS {name}" if name == "ChargeDescription" else f"'{cell}' AS {name}"
        for name, cell in one.items()
    )
    path = tmp_path / "bomb.parquet"
    duckdb.sql(f"COPY (SELECT {columns} FROM range(10000)) TO '{path}' (FORMAT parquet)")
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr("ingest.sources.textfile.MAX_BYTES", 100_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(BadFile, match=r"^bomb.parquet (unpacks to|needs more memory)"):
        for _ in bills.read(path, Options()):
            pass

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_reader_of_parquet_has_limits(shared, tmp_path, monkeypatch):
    """The child lowers its own limits; one that is too low for anything ends it, not us."""
    path = as_parquet(shared(FOCUS[1]), tmp_path / "bill.parquet")
    starved = tmp_path / "starved.py"
    source = Path(parquet_as_csv.__file__).read_text()
    for before, after in (
        ("MEMORY_BYTES = 2 * 1024**3", "MEMORY_BYTES = 100 * 1024**2"),
        # In so little memory DuckDB fails, or waits for ever: either way it ends.
        ("BEGIN_SECONDS = 60", "BEGIN_SECONDS = 5"),
    ):
        assert before in source
        source = source.replace(before, after)
    starved.write_text(source)
    monkeypatch.setattr(tables.parquet_as_csv, "__file__", str(starved))

    with pytest.raises(BadFile, match=r"^bill\.parquet"):
        read(path)


def test_reader_of_parquet_that_hangs_is_ended(shared, tmp_path, monkeypatch):
    path = as_parquet(shared(FOCUS[1]), tmp_path / "bill.parquet")
    hanging = tmp_path / "hanging.py"
    source = Path(parquet_as_csv.__file__).read_text()
    source = source.replace("BEGIN_SECONDS = 60", "BEGIN_SECONDS = 1")
    hanging.write_text(source.replace("    import duckdb\n", "    import time; time.sleep(600)\n"))
    monkeypatch.setattr(tables.parquet_as_csv, "__file__", str(hanging))

    with pytest.raises(BadFile, match="needs more memory or time to unpack"):
        read(path)


# ---- other bad files


def test_gzipped_parquet_is_told_to_be_unpacked(shared, tmp_path):
    path = tmp_path / "bill.parquet.gz"
    path.write_bytes(
        gzip.compress(as_parquet(shared(FOCUS[1]), tmp_path / "b.parquet").read_bytes())
    )

    with pytest.raises(BadFile, match="is a gzipped Parquet file; unpack it first"):
        read(path)


def test_zip_is_refused(tmp_path):
    path = tmp_path / "bill.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../bill.csv", "BilledCost\n1\n")

    with pytest.raises(BadFile, match="is a zip archive; unpack it and load the file inside"):
        read(path)


def test_truncated_gzip_is_one_clear_error(shared, tmp_path):
    path = tmp_path / "bill.csv.gz"
    path.write_bytes(shared(FOCUS[1]).read_bytes()[:-2000])

    with pytest.raises(BadFile, match="its gzip data is damaged or cut off; fetch it again"):
        read(path)


def test_utf_16_is_refused_with_the_fix(tmp_path):
    path = tmp_path / "bill.csv"
    path.write_text("BilledCost,ChargePeriodStart\n1,2\n", encoding="utf-16")

    with pytest.raises(BadFile, match="is UTF-16; save it as UTF-8"):
        read(path)


def test_decimal_commas_name_line_and_column(shared, tmp_path):
    told = rows_of(shared(FOCUS[1]))[:3]
    path = tmp_path / "german.csv"
    header = list(told[0])
    text = [";".join(header)]
    for row in told:
        kept = {name: "" if '"' in cell else cell for name, cell in row.items()}
        text.append(";".join({**kept, "BilledCost": "1,5"}.values()))
    path.write_text("\n".join(text) + "\n")

    lines, rejects, _ = read(path)

    assert lines == []
    assert [(reject.line, reject.field) for reject in rejects] == [
        (2, "BilledCost"), (3, "BilledCost"), (4, "BilledCost"),
    ]  # fmt: skip
    assert "is no number such as 1234.56" in rejects[0].detail


def test_ten_megabyte_cell_costs_its_row(shared, tmp_path):
    [told] = rows_of(shared(FOCUS[1]))[:1]
    path = tmp_path / "long.csv"
    row = {name: "" if '"' in cell else cell for name, cell in told.items()}
    good = ",".join(row.values())
    long = ",".join({**row, "ChargeDescription": "x" * 10_000_000}.values())
    path.write_text("\n".join([",".join(row), good, long, good]) + "\n")

    lines, [reject], _ = read(path)

    assert len(lines) == 2
    assert reject.reason == "unreadable_row"


def test_quoted_line_break_and_ragged_rows(shared, tmp_path):
    told = rows_of(shared(FOCUS[1]))[0]
    row = {name: "" if '"' in cell else cell for name, cell in told.items()}
    row["ChargeDescription"] = '"two\nlines"'
    good = ",".join(row.values())
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join([",".join(row), good, good + ",more", good.rsplit(",", 1)[0]]) + "\n")

    lines, [reject], _ = read(path)

    assert [line.charge_description for line in lines] == ["two\nlines", "two\nlines"]
    assert "cells under" in reject.detail
    assert lines[1].repairs == ("row: 1 cells missing at its end",)


def test_several_files_are_one_delivery_with_lines_that_count_on(shared):
    names = [shared(FOCUS[1]), shared(FOCUS[3])]
    reading = bills.read_all([bills.File(path, path.name) for path in names], Options())

    lines = list(reading)

    assert len({line.line for line in lines}) == len(lines) == 2000
    assert lines[1000].line == lines[999].line + 2
