"""Azure cost exports: enterprise, customer agreement and pay-as-you-go, in any language of header.

Knows the names Azure has used for a column over the years, dates as month/day/year, and its two
views of a bill: *actual* shows a reservation when it is bought, *amortised* when it is used.
Refuses to take one for the other: a cost that a view does not tell is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import ClassVar

from ingest.records import BillRecord
from ingest.sources.base import BadFile
from ingest.sources.textfile import Record

from .layout import Cells, Columns, Options, checked_names, fields_by_column, unused
from .line import in_order, make, rest_of
from .values import BadCell

ACTUAL, AMORTIZED = "azure_actual", "azure_amortized"

COST = ("costinbillingcurrency", "cost", "pretaxcost")
DAY = ("date", "usagedatetime", "usagedate")
CURRENCY = ("billingcurrency", "billingcurrencycode", "currency")
SUBSCRIPTION = ("subscriptionid", "subscriptionguid")
KIND, MODEL = "chargetype", "pricingmodel"
COMMITMENT = ("benefitid", "reservationid")

DIRECT: dict[str, tuple[str, ...]] = {
    "billing_account_id": ("billingaccountid",),
    "billing_account_name": ("billingaccountname",),
    "billing_currency": CURRENCY,
    "list_cost": ("paygcostinbillingcurrency",),
    "charge_description": ("productname", "product", "metername"),
    "consumed_quantity": ("quantity", "usagequantity"),
    "consumed_unit": ("unitofmeasure",),
    "pricing_quantity": ("quantity", "usagequantity"),
    "pricing_unit": ("unitofmeasure",),
    "publisher_name": ("publishername",),
    "invoice_id": ("invoiceid",),
    "region_id": ("resourcelocation", "resourcelocationnormalized", "location"),
    "resource_id": ("resourceid", "instanceid"),
    "resource_name": ("resourcename",),
    "resource_type": ("resourcetype",),
    "service_category": ("servicefamily",),
    "service_name": ("metercategory", "servicename", "consumedservice"),
    "sku_id": ("meterid",),
    "sku_price_id": ("partnumber",),
    "sub_account_id": SUBSCRIPTION,
    "sub_account_name": ("subscriptionname",),
    "tags": ("tags",),
    "commitment_discount_id": COMMITMENT,
}
PERIOD = (("billingperiodstartdate", "billingperiodstart"), ("billingperiodenddate",))

CATEGORIES = {
    "": "Usage",
    "usage": "Usage",
    "unusedreservation": "Usage",
    "unusedsavingsplan": "Usage",
    "purchase": "Purchase",
    "tax": "Tax",
    "credit": "Credit",
    "refund": "Adjustment",
    "adjustment": "Adjustment",
    "roundingadjustment": "Adjustment",
}
FREQUENCIES = {"onetime": "One-Time", "recurring": "Recurring", "usagebased": "Usage-Based"}
MODELS = {
    "ondemand": "Standard", "reservation": "Committed", "savingsplan": "Committed",
    "spot": "Dynamic",
}  # fmt: skip
BY_COMMITMENT = ("reservation", "savingsplan")

_AMERICAN = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?: 00:00(?::00)?)?", re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)


class Azure:
    key: ClassVar[str] = "azure"

    def __init__(
        self, names: list[str], file: str, options: Options, notes: tuple[str, ...] = ()
    ) -> None:
        self.notes = notes
        self.names = checked_names(names, file)
        self._columns = Columns(self.names)
        for what, wanted in (("cost", COST), ("date", DAY)):
            if self._columns.first(*wanted) is None:
                raise BadFile(f"{file} is an Azure export without a {what}; export it again.")
        self._currency = options.currency
        if self._columns.first(*CURRENCY) is None and not self._currency:
            raise BadFile(
                f"{file} names no currency; set Currency of the source, such as EUR, or export it"
                " with its currency."
            )
        self._is_amortized = options.format == AMORTIZED
        used = fields_by_column(DIRECT) | {*COST, *DAY, *PERIOD[0], *PERIOD[1], MODEL}
        self._rest = unused(self._columns, used)

    def column(self, field: str) -> str:
        own = {
            "billed_cost": COST,
            "effective_cost": COST,
            "charge_period_start": DAY,
            "charge_period_end": DAY,
            "billing_period_start": PERIOD[0],
            "billing_period_end": PERIOD[1],
            "billing_account_id": ("billingaccountid", *SUBSCRIPTION),
        }
        return self._columns.name(*own.get(field, DIRECT.get(field, (field,))))

    def lines(self, record: Record, cells: list[str], repairs: list[str]) -> Sequence[BillRecord]:
        row = Cells(self._columns, cells)
        told = {field: row.any(*names) for field, names in DIRECT.items()}
        if not told["billing_account_id"]:
            # Pay-as-you-go has no account above the subscription.
            told["billing_account_id"] = told["sub_account_id"]
            if told["sub_account_id"]:
                repairs.append("billing_account_id: from the subscription")
        if not told["billing_currency"] and self._currency:
            told["billing_currency"] = self._currency
            repairs.append("billing_currency: from the source's settings")
        told |= _periods(row, repairs)
        told |= self._charge(row, repairs)
        line = make(
            record.line,
            in_order(told),
            content=record.content,
            extra=rest_of(cells, self._rest),
            repairs=repairs,
            column=self.column,
        )
        return (line,)

    def _charge(self, row: Cells, repairs: list[str]) -> dict[str, str]:
        kind, model = row[KIND].casefold(), row[MODEL].casefold()
        category = CATEGORIES.get(kind)
        if category is None:
            category = "Adjustment"
            repairs.append(f"charge_category: the charge type {kind[:40]}")
        cost = row.any(*COST)
        committed = is_committed(row)
        status = ""
        if committed and category == "Usage":
            status = "Unused" if kind.startswith("unused") else "Used"
        return {
            "provider_name": "Microsoft",
            "invoice_issuer_name": "Microsoft",
            "charge_category": category,
            "charge_class": "Correction" if kind == "refund" else "",
            "charge_frequency": FREQUENCIES.get(row["frequency"].casefold(), row["frequency"]),
            "pricing_category": MODELS.get(model, row[MODEL]),
            "commitment_discount_status": status,
            # Without a commitment both views say the same.
            "billed_cost": "" if committed and self._is_amortized else cost,
            "effective_cost": "" if committed and not self._is_amortized else cost,
        }


def is_committed(row: Cells) -> bool:
    """Whether a reservation or savings plan makes the two views of this row differ."""
    return bool(
        row.any(*COMMITMENT)
        or row[MODEL].casefold() in BY_COMMITMENT
        or row[KIND].casefold().startswith("unused")
    )


def _periods(row: Cells, repairs: list[str]) -> dict[str, str]:
    told = row.any(*DAY)
    day = _day(told)
    if day is None:
        shown = f"{told[:40]!r} is no day" if told else "is empty; send a day"
        raise BadCell("bad_time", "charge_period_start", f"{shown} such as 2026-05-31")
    first, last = (_day(row.any(*names)) for names in PERIOD)
    if first is None or last is None:
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        repairs.append("billing_period_start: the month of the charge")
    return {
        "charge_period_start": day.isoformat(),
        "charge_period_end": (day + timedelta(days=1)).isoformat(),
        "billing_period_start": first.isoformat(),
        # Azure names the last day, FOCUS the moment after it.
        "billing_period_end": (last + timedelta(days=1)).isoformat(),
    }


@lru_cache(maxsize=10_000)
def _day(text: str) -> date | None:
    """ISO, or month/day/year, which is what Azure writes whatever the language."""
    try:
        if found := _AMERICAN.fullmatch(text):
            return date(int(found[3]), int(found[1]), int(found[2]))
        if found := _COMPACT.fullmatch(text):
            return date(int(found[1]), int(found[2]), int(found[3]))
        return date.fromisoformat(text[:10]) if text else None
    except (ValueError, OverflowError):
        return None
