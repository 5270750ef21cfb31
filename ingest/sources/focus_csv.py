"""FOCUS bills, and nothing else: a file of versions 1.0 to 1.4 as CSV or Parquet → bill lines.

Knows its settings; `bills` reads. Refuses other layouts: `bill_file` takes those. The name of the
kind is older than Parquet and stays, because it is stored.

Python's own CSV reader, on purpose: with null_padding, DuckDB 2.0 loses a last record whose quote
is never closed without a word, one row with a cell too many stops the whole file, and rows reach
Python more slowly. The tests use it as an independent reader to compare totals with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.sources import bills
from ingest.sources.base import BadConfig, BillFileSource, Reading, Setting


class FocusCsv(BillFileSource):
    kind = "focus_csv"
    label = "FOCUS bill"
    help = "A cost and usage file in FOCUS 1.0 to 1.4, as CSV or Parquet, plain or gzipped."
    owner = "organisation"
    settings = (
        Setting("delimiter", "Delimiter", "Between the columns; found by itself when empty.", ""),
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        check_delimiter(checked["delimiter"])
        return checked

    def read(self, path: Path, config: Mapping[str, Any], name: str = "") -> Reading:
        delimiter = self.check_config(config)["delimiter"]
        return bills.read(path, bills.Options("focus", delimiter), name=name)


def check_delimiter(delimiter: Any) -> None:
    if delimiter not in ("", *bills.DELIMITERS):
        raise BadConfig("delimiter", "must be a comma, semicolon, tab or bar, or empty.")
