"""AWS Cost Explorer: each month's costs by day, service and kind of charge, pulled over its API.

Knows `GetCostAndUsage` and its record types. Refuses to ask often, for every request is charged by
AWS, and to call an estimate final: such a line says so. For accounts without a report in a bucket;
a report tells resources and tags, this does not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ingest.records import BillRecord, Reject
from ingest.sources.base import (
    BadConfig,
    BillPage,
    BillPullSource,
    FetchError,
    Reading,
    Setting,
)
from ingest.sources.bills import aws
from ingest.sources.bills.line import in_order, make
from ingest.sources.bills.values import BadCell

METRICS = ("UnblendedCost", "AmortizedCost", "UsageQuantity")
GROUPS = ("SERVICE", "RECORD_TYPE")
MAX_PAGES = 500
MOST_MONTHS = 14
"""As far back as Cost Explorer keeps days."""

CATEGORIES = {
    "Usage": "Usage",
    "DiscountedUsage": "Usage",
    "SavingsPlanCoveredUsage": "Usage",
    "SavingsPlanNegation": "Adjustment",
    "SavingsPlanRecurringFee": "Purchase",
    "SavingsPlanUpfrontFee": "Purchase",
    "RIFee": "Purchase",
    "Fee": "Purchase",
    "Recurring": "Purchase",
    "Upfront": "Purchase",
    "Support": "Purchase",
    "Tax": "Tax",
    "Credit": "Credit",
    "Refund": "Adjustment",
}

_ACCOUNT = re.compile(r"\d{12}")
_SPACES = re.compile(r"[\s_-]")
_BY_PLAIN = {name.casefold(): name for name in CATEGORIES}


class AwsCostExplorer(BillPullSource):
    kind = "aws_cost_explorer"
    label = "AWS Cost Explorer"
    help = (
        "Asks Cost Explorer for each month's costs by day and service. AWS charges a cent per"
        " request; a report in a bucket is free and tells more."
    )
    owner = "organisation"
    least_interval_s = 3_600
    settings = (
        Setting("billing_account", "Account", "The 12 digits of the paying account.", "", True),
        Setting("months", "Months", "How many to ask for, the current one included.", 2),
        *aws.SETTINGS,
    )

    def check_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        checked = super().check_config(config)
        if not _ACCOUNT.fullmatch(str(checked["billing_account"])):
            raise BadConfig("billing_account", "must be the 12 digits of an AWS account.")
        months = checked["months"]
        if type(months) is not int or not 1 <= months <= MOST_MONTHS:
            raise BadConfig("months", f"must be a whole number from 1 to {MOST_MONTHS}.")
        aws.check_settings(checked)
        return checked

    def fetch_bills(self, config: Mapping[str, Any], now: datetime) -> Iterator[BillPage]:
        checked = self.check_config(config)
        explorer = aws.client("ce", checked)
        for first, end in _months(now.astimezone(UTC).date(), checked["months"]):
            days = _asked(explorer, first, end)
            said = hashlib.sha256(json.dumps([first.isoformat(), days], sort_keys=True).encode())
            yield BillPage(
                name=f"Cost Explorer {first:%Y-%m}",
                mark=f"{first:%Y-%m} {said.hexdigest()[:24]}",
                # The day as well: a month that goes back to an earlier state is news.
                sha256=hashlib.sha256(said.digest() + now.date().isoformat().encode()).digest(),
                complete=True,
                open=_Opener(days, first, checked["billing_account"]),
            )

    def check(self, config: Mapping[str, Any]) -> str:
        checked = self.check_config(config)
        today = datetime.now(UTC).date()
        first, end = _months(today, 1)[0]
        days = _asked(aws.client("ce", checked), first, end)
        return f"It answers for {len(days)} days of {first:%B %Y}."


class _Opener:
    """Opens what was asked already."""

    def __init__(self, days: list[Any], first: date, account: str) -> None:
        self.days, self.first, self.account = days, first, account

    def __call__(self) -> AbstractContextManager[Reading]:
        return nullcontext(read(self.days, self.first, self.account))


def _months(today: date, count: int) -> list[tuple[date, date]]:
    """(first day, day after the last one that can be asked for), oldest first."""
    found: list[tuple[date, date]] = []
    first = today.replace(day=1)
    end = today + timedelta(days=1)
    for _ in range(count):
        found.append((first, end))
        end, first = first, (first - timedelta(days=1)).replace(day=1)
    return found[::-1]


def _asked(explorer: Any, first: date, end: date) -> list[Any]:
    """Every day's groups, in AWS's own words."""
    days: list[Any] = []
    more: dict[str, str] = {}
    with aws.told_plainly("Cost Explorer"):
        for _ in range(MAX_PAGES):
            answer = explorer.get_cost_and_usage(
                TimePeriod={"Start": first.isoformat(), "End": end.isoformat()},
                Granularity="DAILY",
                Metrics=list(METRICS),
                GroupBy=[{"Type": "DIMENSION", "Key": key} for key in GROUPS],
                **more,
            )
            days += answer.get("ResultsByTime", ())
            token = answer.get("NextPageToken")
            if not token:
                return days
            more = {"NextPageToken": token}
    raise FetchError(f"Cost Explorer has over {MAX_PAGES} pages of {first:%B %Y}; use a report.")


def read(days: Sequence[Mapping[str, Any]], first: date, account: str) -> Reading:
    reading = Reading(())
    reading.rows = list(_rows(days, first, account, reading.warnings))
    return reading


def _rows(
    days: Sequence[Mapping[str, Any]], first: date, account: str, warnings: list[str]
) -> Iterator[BillRecord | Reject]:
    line = estimated = 0
    for day in days:
        for group in day.get("Groups", ()):
            line += 1
            estimated += bool(day.get("Estimated"))
            try:
                yield _line(line, day, group, first, account)
            except BadCell as bad:
                detail = f"Group {line}, {bad.field}: {bad.detail}."
                yield Reject(bad.reason, bad.field, detail, line=line)
            except (KeyError, TypeError, ValueError):
                detail = f"Group {line} lacks its keys or amounts; the next pull asks again."
                yield Reject("unreadable_row", "", detail, line=line)
    if estimated:
        warnings.append(
            f"AWS calls {estimated:,} of {line:,} rows estimates; they change until the month is"
            " closed."
        )


def _line(
    line: int, day: Mapping[str, Any], group: Mapping[str, Any], first: date, account: str
) -> BillRecord:
    service, kind = (str(key) for key in group["Keys"])
    metrics = group["Metrics"]
    billed, amortised = metrics["UnblendedCost"], metrics["AmortizedCost"]
    quantity = metrics.get("UsageQuantity", {})
    repairs: list[str] = []
    known = _BY_PLAIN.get(_SPACES.sub("", kind).casefold())
    if known is None:
        repairs.append(f"charge_category: the record type {kind[:40]}")
    start = date.fromisoformat(day["TimePeriod"]["Start"][:10])
    told = {
        "billing_account_id": account,
        "billing_currency": str(billed["Unit"]),
        "billing_period_start": first.isoformat(),
        "billing_period_end": (first + timedelta(days=31)).replace(day=1).isoformat(),
        "charge_period_start": start.isoformat(),
        "charge_period_end": (start + timedelta(days=1)).isoformat(),
        "billed_cost": str(billed["Amount"]),
        "effective_cost": str(amortised["Amount"]),
        "charge_category": CATEGORIES.get(known or "", "Adjustment"),
        "charge_class": "Correction" if known == "Refund" else "",
        "provider_name": "AWS",
        "publisher_name": "AWS",
        "invoice_issuer_name": "AWS",
        "service_name": service,
        "charge_description": kind,
        "consumed_quantity": str(quantity.get("Amount", "")),
        # AWS says N/A where a service's units differ, which makes their sum mean nothing.
        "consumed_unit": "" if quantity.get("Unit") == "N/A" else str(quantity.get("Unit", "")),
    }
    if not told["consumed_unit"]:
        told["consumed_quantity"] = ""
    if amortised["Unit"] != billed["Unit"]:
        raise BadCell("bad_currency", "AmortizedCost", "is in another currency than the other cost")
    content = json.dumps([day["TimePeriod"], group, day.get("Estimated")], sort_keys=True)
    return make(
        line,
        in_order(told),
        content=content.encode(),
        extra={"Estimated": "true"} if day.get("Estimated") else {},
        repairs=repairs,
        column=lambda field: field,
    )
