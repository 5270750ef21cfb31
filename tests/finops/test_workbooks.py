"""A table as XLSX: every digit of its CSV, nothing that runs, and a sheet that says what it is."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from finops.page_urls import urlpatterns
from finops.views.tables import (
    NONE,
    Cell,
    Column,
    Row,
    Table,
    change_cell,
    count_cell,
    csv_rows,
    day_cell,
    money_cell,
    share_cell,
    time_cell,
    unknown_cell,
    words_cell,
)
from finops.views.workbooks import CUT, MOST_SIGNS, workbook
from tests.finops.reading import same_numbers, workbook_rows

COLUMNS = (Column("Name"), Column("Cost, USD", number=True), Column("Share", number=True))


def table_of(*rows: tuple[Cell, ...], columns=COLUMNS, total: tuple[Cell, ...] = ()) -> Table:
    return Table("t", "Costs", columns, tuple(Row(cells) for cells in rows), total)


def sheet_of(table: Table):
    return load_workbook(io.BytesIO(workbook(table, [("As of", "now")])))["Table"]


amounts = st.decimals(allow_nan=False, allow_infinity=False, places=20, min_value=-(10**17),
                      max_value=10**17)  # fmt: skip
texts = st.text(st.characters(codec="utf-8"), max_size=40)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, amounts, st.floats(-2, 2)), max_size=4))
def test_sheet_holds_every_digit_of_the_csv(rows):
    made = table_of(
        *(
            (words_cell(name), money_cell(amount, "USD"), share_cell(share))
            for name, amount, share in rows
        ),
        total=(words_cell("Total"), money_cell(sum((row[1] for row in rows), Decimal(0)), "USD"),
               NONE),
    )  # fmt: skip
    assert same_numbers(workbook_rows(workbook(made, []))) == same_numbers(csv_rows(made))


def test_number_of_many_digits_is_a_number_and_beside_it_text():
    long = Decimal("123.4567890123456789")
    sheet = sheet_of(
        table_of((words_cell("a"), money_cell(long, "USD"), share_cell(0.25)),
                 (words_cell("b"), money_cell(Decimal("0.5"), "USD"), share_cell(0.75)))
    )  # fmt: skip
    assert [[cell.value for cell in row] for row in sheet.rows] == [
        ["Name", "Cost, USD", "Cost, USD, every digit", "Share"],
        ["a", pytest.approx(float(long), rel=1e-15), "123.4567890123456789", 0.25],
        ["b", 0.5, "0.5", 0.75],
    ]


def test_columns_that_a_spreadsheet_holds_exactly_stand_alone():
    sheet = sheet_of(table_of((words_cell("a"), money_cell(Decimal("8e-7"), "USD"), NONE)))
    assert [cell.value for cell in sheet[1]] == ["Name", "Cost, USD", "Share"]
    assert sheet["B2"].value == 8e-7


def test_sheet_knows_numbers_days_and_what_is_unknown():
    columns = tuple(Column(name) for name in "abcdefg")
    at = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    cells = (count_cell(1234567), change_cell(-0.5, Decimal(4)), day_cell(date(2026, 2, 3)),
             time_cell(at), unknown_cell(), Cell("3 of 5", "3 of 5", 3),
             money_cell(Decimal("1234.5"), "USD"))  # fmt: skip
    sheet = sheet_of(table_of(cells, columns=columns))
    assert [cell.value for cell in sheet[2]] == [
        1234567, -0.5, datetime(2026, 2, 3), "2026-02-03T04:05:00+00:00", None, "3 of 5", 1234.5,
    ]  # fmt: skip
    assert [cell.number_format for cell in sheet[2]][:3] == ["#,##0", "0.0%", "yyyy-mm-dd"]
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:G2"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_begins_like_a_formula_is_text(start):
    sheet = sheet_of(table_of((words_cell(f"{start}1+1"), NONE, NONE)))
    assert sheet["A2"].data_type == "s"
    assert sheet["A2"].value.startswith("'")


def test_text_too_long_for_a_cell_says_that_it_was_cut():
    sheet = sheet_of(table_of((words_cell("x" * 40_000), NONE, NONE)))
    assert len(sheet["A2"].value) == MOST_SIGNS
    assert sheet["A2"].value.endswith(CUT)


def test_each_csv_has_a_twin():
    names = {one.name for one in urlpatterns if one.name}
    files = {name.removesuffix("-csv") for name in names if name.endswith("-csv")}
    assert files == {name.removesuffix("-xlsx") for name in names if name.endswith("-xlsx")}
    assert len(files) >= 20


@pytest.mark.usefixtures("estate")
def test_file_says_what_it_is(sign_in, settings):
    settings.PUBLIC_URL = "https://finops.example"
    asked = "/costs.xlsx?range=7d&group_by=model&f.team=Search&sort=-cost&compare=previous"
    response = sign_in("asha").get(asked)
    assert response["Content-Type"].endswith("spreadsheetml.sheet")
    assert response["Content-Disposition"].endswith('.xlsx"')
    book = load_workbook(io.BytesIO(response.content))
    assert book.sheetnames == ["Table", "About"]
    said = dict(book["About"].values)
    assert said["Table"] == "Cost by model"
    assert said["Team"] == "Search"
    assert said["Grouped by"] == "model"
    assert said["Basis"] == "book"
    assert said["Currency"] == "USD"
    assert said["Compared with"] == "previous"
    assert said["sort"] == "-cost"
    assert said["From"] == f"https://finops.example{asked}"
    assert said["State"].startswith("Provisional")
    assert {"Period", "As of", "Sources", "Time zone", "Made at"} <= set(said)


@pytest.mark.usefixtures("estate")
def test_sheet_is_for_those_who_may_see_its_page(sign_in, client):
    assert sign_in("cleo").get("/gpus.xlsx").status_code == 403
    assert client.get("/costs.xlsx").status_code == 302
