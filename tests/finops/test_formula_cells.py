"""A CSV of ours opened in a spreadsheet runs nothing, and its numbers are still numbers."""

from decimal import Decimal

import pytest

from finops.views.tables import Cell, Column, Row, Table, csv_rows, money_cell, words_cell


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_cell_that_begins_like_a_formula_is_told_as_text(start):
    text = f'{start}HYPERLINK("https://evil.example","x")'
    table = Table("t", "T", (Column("Name"),), (Row((words_cell(text),)),))
    assert csv_rows(table)[1] == [f"'{text}"]


def test_numbers_stay_numbers():
    cells = (money_cell(Decimal("-1.50"), "USD"), Cell("−3", "-3", -3), Cell("+0.5", "0.5", 0.5))
    table = Table("t", "T", tuple(Column(name) for name in "abc"), (Row(cells),), total=cells)
    assert csv_rows(table)[1] == csv_rows(table)[2]
    assert [float(text) for text in csv_rows(table)[1]] == [-1.5, -3.0, 0.5]
