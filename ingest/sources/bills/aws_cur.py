"""AWS Cost and Usage Reports, 1.0 (`lineItem/UnblendedCost`) and 2.0 (`line_item_unblended_cost`).

Knows AWS's line item types and where each keeps its amortised cost. Refuses to drop a line: a
savings plan's negation stays beside what it negates, so that a month still adds up to its invoice.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import ClassVar

from ingest.records import BillRecord
from ingest.sources.base import BadFile
from ingest.sources.textfile import Record

from .layout import Cells, Columns, Options, checked_names, fields_by_column, unused
from .line import in_order, make, rest_of
from .values import BadCell, json_text, number, tags_of

DIRECT: dict[str, tuple[str, ...]] = {
    "billing_account_id": ("billpayeraccountid",),
    "billing_account_name": ("billpayeraccountname",),
    "billing_period_start": ("billbillingperiodstartdate",),
    "billing_period_end": ("billbillingperiodenddate",),
    "charge_period_start": ("lineitemusagestartdate",),
    "charge_period_end": ("lineitemusageenddate",),
    "billing_currency": ("lineitemcurrencycode",),
    "billed_cost": ("lineitemunblendedcost",),
    "list_cost": ("pricingpublicondemandcost",),
    "charge_description": ("lineitemlineitemdescription",),
    "consumed_quantity": ("lineitemusageamount",),
    "consumed_unit": ("pricingunit",),
    "pricing_unit": ("pricingunit",),
    "publisher_name": ("billbillingentity",),
    "invoice_issuer_name": ("lineitemlegalentity",),
    "invoice_id": ("billinvoiceid",),
    "region_id": ("productregioncode", "productregion"),
    "resource_id": ("lineitemresourceid",),
    "service_name": ("productproductname", "lineitemproductcode"),
    "sku_id": ("productsku",),
    "sku_price_id": ("pricingratecode", "pricingrateid"),
    "sub_account_id": ("lineitemusageaccountid",),
    "sub_account_name": ("lineitemusageaccountname",),
}
MANDATORY = (
    "lineitemunblendedcost", "lineitemlineitemtype", "lineitemcurrencycode", "billpayeraccountid",
    "billbillingperiodstartdate", "billbillingperiodenddate", "lineitemusagestartdate",
    "lineitemusageenddate",
)  # fmt: skip

TYPE = "lineitemlineitemtype"
CATEGORIES = {
    "Usage": "Usage",
    "DiscountedUsage": "Usage",
    "SavingsPlanCoveredUsage": "Usage",
    "SavingsPlanNegation": "Adjustment",
    "SavingsPlanRecurringFee": "Purchase",
    "SavingsPlanUpfrontFee": "Purchase",
    "RIFee": "Purchase",
    "Fee": "Purchase",
    "Tax": "Tax",
    "Credit": "Credit",
    "Refund": "Adjustment",
    "BundledDiscount": "Adjustment",
    "EdpDiscount": "Adjustment",
    "PrivateRateDiscount": "Adjustment",
    "RiVolumeDiscount": "Adjustment",
    "DistributorDiscount": "Adjustment",
}
EFFECTIVE = {
    "DiscountedUsage": "reservationeffectivecost",
    "SavingsPlanCoveredUsage": "savingsplansavingsplaneffectivecost",
}
"""Usage that a commitment paid for: what it costs stands in another column."""
UNUSED_RESERVATION = (
    "reservationunusedamortizedupfrontfeeforbillingperiod",
    "reservationunusedrecurringfee",
)
COMMITMENTS = ("reservationreservationarn", "savingsplansavingsplanarn")


class AwsCur:
    key: ClassVar[str] = "aws_cur"
    notes: tuple[str, ...] = ()

    def __init__(self, names: list[str], file: str, options: Options) -> None:
        self.names = checked_names(names, file)
        self._columns = Columns(self.names)
        missing = [name for name in MANDATORY if name not in self._columns.at]
        if missing:
            raise BadFile(
                f"{file} is an AWS Cost and Usage Report without {', '.join(missing)}; export it"
                " with all its columns."
            )
        # lineItem/LineItemType stays: it says what FOCUS's fewer categories cannot.
        self._rest = tuple(
            (index, name)
            for index, name in unused(self._columns, fields_by_column(DIRECT))
            if not self._is_tag(name)
        )
        self._tags = [
            (index, name.partition("/")[2])
            for index, name in enumerate(self.names)
            if self._is_tag(name) and "/" in name
        ]
        self._tag_map = self._columns.first("resourcetags")

    @staticmethod
    def _is_tag(name: str) -> bool:
        return name.startswith(("resourceTags/", "resource_tags"))

    def column(self, field: str) -> str:
        if field == "tags" and self._tag_map is not None:
            return self.names[self._tag_map]
        return self._columns.name(*DIRECT.get(field, (field,)))

    def lines(self, record: Record, cells: list[str], repairs: list[str]) -> Sequence[BillRecord]:
        row = Cells(self._columns, cells)
        told = {field: row.any(*names) for field, names in DIRECT.items()}
        kind = row[TYPE]
        category = CATEGORIES.get(kind)
        if category is None:
            category = "Adjustment"
            repairs.append(f"charge_category: the line item type {kind[:40] or 'is empty'}")
        commitment = row.any(*COMMITMENTS)
        told |= {
            "provider_name": "AWS",
            "charge_category": category,
            "charge_class": "Correction" if kind == "Refund" else "",
            "charge_frequency": _frequency(kind),
            "commitment_discount_id": commitment,
            "commitment_discount_status": "Used" if kind in EFFECTIVE else "",
            "pricing_category": "Committed" if kind in EFFECTIVE else "Standard",
            "effective_cost": _effective(kind, row, told["billed_cost"], bool(commitment)),
        }
        if not told["charge_period_end"]:
            told["charge_period_end"] = told["charge_period_start"]
            repairs.append("charge_period_end: from the start")
        line = make(
            record.line,
            in_order(told),
            content=record.content,
            extra=rest_of(cells, self._rest),
            repairs=repairs,
            column=self.column,
            tags=self._tags_of(row, cells),
        )
        return (line,)

    def _tags_of(self, row: Cells, cells: Sequence[str]) -> dict[str, str]:
        tags = {name: json_text(told) for index, name in self._tags if (told := cells[index])}
        return {**(tags_of(row["resourcetags"]) or {}), **tags}


def _frequency(kind: str) -> str:
    if kind in ("RIFee", "SavingsPlanRecurringFee"):
        return "Recurring"
    return "One-Time" if kind in ("Fee", "SavingsPlanUpfrontFee") else "Usage-Based"


def _effective(kind: str, row: Cells, billed: str, has_commitment: bool) -> str:
    """What a line costs once commitments are spread over their use; empty is unknown.

    A fee is spread over the usage it covers, so that of it which nobody used remains. A report
    without the columns of commitments cannot tell.
    """
    if kind in EFFECTIVE:
        return row[EFFECTIVE[kind]]
    if kind == "SavingsPlanNegation" or kind == "SavingsPlanUpfrontFee":
        return "0"
    if kind == "Fee" and has_commitment:
        return "0"
    if kind == "RIFee":
        return _total([row[name] for name in UNUSED_RESERVATION])
    if kind == "SavingsPlanRecurringFee":
        bought = row["savingsplantotalcommitmenttodate"]
        used = row["savingsplanusedcommitment"]
        return _total([bought, f"-{used}" if used else ""]) if bought and used else ""
    return billed


def _total(amounts: list[str]) -> str:
    told = [amount for amount in amounts if amount]
    if not told:
        return ""
    try:
        return str(sum((number(text, 20, 12)[0] for text in told), Decimal(0)))
    except ValueError as error:
        reason, detail = error.args
        raise BadCell(reason, "effective_cost", detail) from None
