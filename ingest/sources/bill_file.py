"""Bills as files, of whatever layout: FOCUS, AWS reports, Azure and Google Cloud exports.

Knows its settings and how people are told what is recognised by what; `bills` reads. Refuses to
guess between layouts: an ambiguous file is turned away with the setting that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.sources import bills
from ingest.sources.base import BadConfig, BillFileSource, Reading, Setting
from ingest.sources.bills.values import is_currency

from .focus_csv import check_delimiter

FORMAT = Setting(
    "format",
    "Format",
    "Empty: told by the header's columns. Or focus, aws_cur, azure_actual, azure_amortized or gcp;"
    " Azure's two views have the same columns, so say which when reservations are in it.",
    "",
)
CURRENCY = Setting(
    "currency", "Currency", "Of files that name none, such as EUR; most name their own.", ""
)
DELIMITER = Setting(
    "delimiter", "Delimiter", "Between the columns; found by itself when empty.", ""
)


class BillFile(BillFileSource):
    kind = "bill_file"
    label = "Bill file"
    help = (
        "A bill from AWS, Azure or Google Cloud, or in FOCUS, as CSV, JSON lines or Parquet. Which"
        " it is, its columns tell: BilledCost is FOCUS, lineItem/UnblendedCost an AWS report,"
        " MeterCategory an Azure export, service.description a Google Cloud export."
    )
    owner = "organisation"
    settings = (FORMAT, CURRENCY, DELIMITER)

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        check_bill_settings(checked)
        return checked

    def read(self, path: Path, config: Mapping[str, Any], name: str = "") -> Reading:
        return bills.read(path, options_of(self.check_config(config)), name=name)


def check_bill_settings(checked: dict[str, Any]) -> None:
    """The settings that every kind which reads bills has."""
    if checked["format"] not in ("", *bills.FORMATS):
        names = ", ".join(bills.FORMATS)
        raise BadConfig("format", f"must be empty or one of {names}.")
    currency = checked["currency"]
    if not isinstance(currency, str) or (currency and not is_currency(currency)):
        raise BadConfig("currency", "must be an ISO 4217 code such as EUR, or empty.")
    check_delimiter(checked["delimiter"])


def options_of(checked: Mapping[str, Any], told: str = "") -> bills.Options:
    """`told` is the format a manifest names; the settings go before it."""
    format = checked["format"] or told
    return bills.Options(format, checked["delimiter"], checked["currency"])
