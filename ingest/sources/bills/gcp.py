"""Google Cloud's BigQuery billing export, as CSV or as JSON lines.

Knows its nested columns. A credit hangs on the row it lowers: each becomes a line of its own, of
the category Credit, so that usage and credits stay apart and together still make the invoice.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from ingest.records import BillRecord
from ingest.sources.base import BadFile
from ingest.sources.textfile import Record

from .layout import Cells, Columns, Options, checked_names, fields_by_column, unused
from .line import in_order, make, rest_of
from .values import BadCell, json_text, json_value

INVOICE_MONTH, USAGE_START = "invoicemonth", "usagestarttime"
CREDITS = "credits"
LABELS = ("labels", "projectlabels", "systemlabels")

DIRECT: dict[str, tuple[str, ...]] = {
    "billing_account_id": ("billingaccountid",),
    "charge_period_start": (USAGE_START,),
    "charge_period_end": ("usageendtime",),
    "billing_currency": ("currency",),
    "billed_cost": ("cost",),
    "effective_cost": ("cost",),
    "list_cost": ("costatlist",),
    "charge_description": ("skudescription",),
    "consumed_quantity": ("usageamount",),
    "consumed_unit": ("usageunit",),
    "pricing_quantity": ("usageamountinpricingunits",),
    "pricing_unit": ("usagepricingunit",),
    "region_id": ("locationregion", "locationlocation"),
    "resource_id": ("resourceglobalname", "resourcename"),
    "resource_name": ("resourcename",),
    "service_name": ("servicedescription",),
    "publisher_name": ("sellername",),
    "sku_id": ("skuid",),
    "sub_account_id": ("projectid",),
    "sub_account_name": ("projectname",),
}
MANDATORY = (
    "billingaccountid", "servicedescription", "cost", "currency", USAGE_START, "usageendtime",
    INVOICE_MONTH,
)  # fmt: skip
CATEGORIES = {
    "": "Usage",
    "regular": "Usage",
    "tax": "Tax",
    "adjustment": "Adjustment",
    "rounding_error": "Adjustment",
}
CREDIT_LINES = 1_000_000_000
"""The n-th credit of a row has the row's line plus n times this."""
MAX_CELL = 100_000

_MONTH = re.compile(r"(20\d\d)-?(0[1-9]|1[0-2])", re.ASCII)


class Gcp:
    key: ClassVar[str] = "gcp"
    notes: tuple[str, ...] = ()

    def __init__(
        self, names: list[str], file: str, options: Options, *, by_usage: bool = False
    ) -> None:
        """`by_usage`: the billing period is the month of the usage, not that of the invoice.

        An export cut by usage holds a few rows of neighbouring invoices, which must not pass for
        the whole of those months.
        """
        self.names = checked_names(names, file)
        self._columns = Columns(self.names)
        missing = [name for name in MANDATORY if name not in self._columns.at]
        if missing:
            raise BadFile(
                f"{file} is a Google Cloud export without {', '.join(missing)}; export the table"
                " with all its columns."
            )
        self._by_usage = by_usage
        self._rest = unused(
            self._columns, fields_by_column(DIRECT) - {"resourcename"} | {CREDITS, "labels"}
        )

    def column(self, field: str) -> str:
        own = {"billing_period_start": (INVOICE_MONTH,), "billing_period_end": (INVOICE_MONTH,)}
        return self._columns.name(*own.get(field, DIRECT.get(field, (field,))))

    def lines(self, record: Record, cells: list[str], repairs: list[str]) -> Sequence[BillRecord]:
        row = Cells(self._columns, cells)
        told = {field: row.any(*names) for field, names in DIRECT.items()}
        for name in ("charge_period_start", "charge_period_end"):
            told[name] = told[name].removesuffix(" UTC")
        told |= _period(row, self._by_usage)
        kind = row["costtype"].casefold()
        category = CATEGORIES.get(kind)
        if category is None:
            category = "Adjustment"
            repairs.append(f"charge_category: the cost type {kind[:40]}")
        if category == "Usage" and told["charge_description"].startswith("Commitment"):
            category = "Purchase"
        told |= {
            "provider_name": "Google Cloud",
            "invoice_issuer_name": "Google Cloud",
            "charge_category": category,
            "charge_class": "Correction" if kind == "adjustment" else "",
        }
        tags, extra = _labels(row), rest_of(cells, self._rest)
        credits = _credits(row[CREDITS], repairs)
        usage = make(
            record.line,
            in_order(told),
            content=record.content,
            extra=extra,
            repairs=repairs,
            column=self.column,
            tags=tags,
        )
        return (
            usage,
            *(self._credit(n, one, told, record, tags) for n, one in enumerate(credits, 1)),
        )

    def _credit(
        self, n: int, one: dict[str, Any], told: dict[str, str], record: Record,
        tags: dict[str, str],
    ) -> BillRecord:  # fmt: skip
        amount = _text(one.get("amount"))
        if not amount:
            raise BadCell("bad_credit", CREDITS, "has a credit without an amount; export it again")
        what = _text(one.get("full_name")) or _text(one.get("name")) or _text(one.get("id"))
        credit = {
            **told,
            "charge_category": "Credit",
            "charge_class": "",
            "charge_description": what,
            "billed_cost": amount,
            "effective_cost": amount,
            "list_cost": "",
            "consumed_quantity": "",
            "consumed_unit": "",
            "pricing_quantity": "",
            "pricing_unit": "",
        }
        extra = {
            f"credit_{name}": text for name in ("type", "id") if (text := _text(one.get(name)))
        }
        return make(
            record.line + n * CREDIT_LINES,
            in_order(credit),
            content=record.content + b"\x1e" + str(n).encode(),
            extra=extra,
            repairs=[],
            column=self.column,
            tags=tags,
        )


def invoice_month(row: Cells) -> str:
    found = _MONTH.fullmatch(row[INVOICE_MONTH].removesuffix(".0"))
    return f"{found[1]}-{found[2]}" if found else ""


def usage_month(row: Cells) -> str:
    return row[USAGE_START][:7]


def _period(row: Cells, by_usage: bool) -> dict[str, str]:
    month = usage_month(row) if by_usage else invoice_month(row)
    if not _MONTH.fullmatch(month):
        shown = row[INVOICE_MONTH][:40]
        raise BadCell("bad_time", "billing_period_start", f"{shown!r} is no month such as 202605")
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12}-{number % 12 + 1:02d}"
    return {"billing_period_start": f"{month}-01", "billing_period_end": f"{following}-01"}


def _labels(row: Cells) -> dict[str, str]:
    """Own labels; those of the project and the system stay in their columns."""
    found = json_value(row["labels"])
    if not isinstance(found, list):
        return {}
    return {
        json_text(str(label["key"])): json_text(_text(label.get("value")))
        for label in found
        if isinstance(label, dict) and "key" in label
    }


def _credits(told: str, repairs: list[str]) -> list[dict[str, Any]]:
    if not told or told == "[]":
        return []
    found = json_value(told)
    if found is None:
        found = _python_list(told)
        repairs.append("credits: not JSON")
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadCell("bad_credit", CREDITS, "is no list of credits; export it again")
    return found


def _python_list(told: str) -> Any:
    """Some tools write lists as Python shows them, in single quotes."""
    if len(told) > MAX_CELL:
        return None
    try:
        return ast.literal_eval(told)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _text(value: Any) -> str:
    return "" if value is None else json_text(str(value))
