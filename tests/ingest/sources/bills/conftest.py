import csv
import gzip
import io
from pathlib import Path

import duckdb
import pytest

from ingest.records import BillRecord, Reject
from ingest.sources import bills
from ingest.sources.bills import Options


def read(path: Path, options: Options | None = None, name: str = ""):
    """(lines, rejects, warnings) of a whole file."""
    reading = bills.read(path, options or Options(), name=name)
    rows = list(reading)
    lines = [row for row in rows if isinstance(row, BillRecord)]
    rejects = [row for row in rows if isinstance(row, Reject)]
    assert len(lines) + len(rejects) == len(rows)
    return lines, rejects, reading.warnings


def text_of(path: Path) -> str:
    raw = path.read_bytes()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return raw.decode("utf-8-sig")


def rows_of(path: Path) -> list[dict[str, str]]:
    """The file as Python's csv sees it, for figures the reader under test has no part in."""
    return list(csv.DictReader(io.StringIO(text_of(path))))


def total(path: Path, column: str):
    """An exact sum by DuckDB."""
    table = f"read_csv('{path}', all_varchar=true, header=true)"
    sql = f"SELECT sum(nullif(\"{column}\", '')::DECIMAL(38, 25)) FROM {table}"
    return duckdb.sql(sql).fetchall()[0][0]


@pytest.fixture
def write(tmp_path):
    """A CSV file of these rows; a row may leave columns out."""

    def make(rows, name="bill.csv"):
        header = list(dict.fromkeys(column for row in rows for column in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
        path = tmp_path / name
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    return make
