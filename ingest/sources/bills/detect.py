"""Which layout a header is. Knows the columns that only one vendor has. Refuses to guess."""

from __future__ import annotations

from collections.abc import Sequence

from ingest.sources.base import BadFile

from . import aws_cur, azure, focus, gcp
from .layout import plain

LABELS = {
    focus.Focus.key: "FOCUS",
    aws_cur.AwsCur.key: "AWS Cost and Usage Report",
    azure.Azure.key: "Azure export",
    gcp.Gcp.key: "Google Cloud export",
}

MARKS: dict[str, tuple[frozenset[str], ...]] = {
    focus.Focus.key: (frozenset({"billedcost", "chargeperiodstart"}),),
    aws_cur.AwsCur.key: (frozenset({"lineitemunblendedcost", "lineitemlineitemtype"}),),
    azure.Azure.key: tuple(
        frozenset({"metercategory", cost, day}) for cost in azure.COST for day in azure.DAY
    ),
    gcp.Gcp.key: (frozenset({"servicedescription", "skuid", "cost", "usagestarttime"}),),
}
"""A header is of a layout when it has all columns of one of its sets."""

NO_BILLS = {
    "invoicedetailid": "Invoice Detail",
    "contractcommitmentid": "Contract Commitment",
    "billingperiodstatus": "Billing Period",
}
"""FOCUS's other datasets, each by a column of its own."""


def layout_of(names: Sequence[str], file: str) -> str:
    """The one layout whose columns these are. Raises BadFile."""
    found = {plain(name) for name in names}
    fitting = [key for key, sets in MARKS.items() if any(mark <= found for mark in sets)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        could = " or ".join(LABELS[key] for key in fitting)
        raise BadFile(
            f"{file} could be {could}; it has the columns of both. Set Format of the source."
        )
    for mark, dataset in NO_BILLS.items():
        if mark in found:
            raise BadFile(
                f"{file} is a FOCUS {dataset} file, which has no charges; load the Cost and Usage"
                " file of the same export."
            )
    raise BadFile(
        f"{file} is no bill known here: FOCUS has BilledCost, an AWS report"
        " lineItem/UnblendedCost, an Azure export MeterCategory with a date and a cost, a Google"
        " Cloud export service.description with sku.id. Check the file, or set Format of the"
        " source."
    )
