"""Generated FOCUS bills of three versions: what is stored adds up to their invoices.

The sums are DuckDB's, which shares no code with us: of the version that has invoice details, those
of the details; of earlier ones, those of the file's own rows.
"""

from decimal import Decimal

import duckdb
import pytest
from django.core.management import call_command
from django.db.models import Sum

from finops.costing.lines import ZERO
from ingest.models import BillDay, BillLine

pytestmark = pytest.mark.django_db

FOLDER = "billing/focus_synthetic/focus_"
SETS = {
    f"{version} {cloud}": (f"{version}_cost_and_usage_{cloud}",) * 2
    for version in ("1_2", "1_3")
    for cloud in ("aws", "azure")
} | {
    f"1_4 {cloud}": tuple(
        f"1_4_{cloud}_synthetic_focus_1_4_{part}" for part in ("cost_and_usage", "invoice_detail")
    )
    for cloud in ("aws", "azure")
}


def invoices(path) -> dict[tuple[str, str], Decimal]:
    rows = duckdb.sql(
        "SELECT coalesce(InvoiceId, ''), ChargeCategory, sum(BilledCost::decimal(38, 20))"
        f" FROM read_csv('{path}', all_varchar = true) GROUP BY 1, 2"
    ).fetchall()
    return {(invoice, category): billed for invoice, category, billed in rows}


@pytest.mark.parametrize("name", SETS)
def test_bill_adds_up_to_its_invoices_to_the_last_digit(shared, name):
    bill, details = (shared(f"{FOLDER}{part}.csv.gz") for part in SETS[name])
    call_command("load", "focus_csv", str(bill), "--source", name)
    expected = invoices(details)
    stored = BillLine.objects.values_list("invoice_id", "charge_category").annotate(
        billed=Sum("billed_cost")
    )
    assert {(invoice, category): billed for invoice, category, billed in stored} == expected
    assert len({invoice for invoice, _ in expected}) >= 2
    total = sum(expected.values(), ZERO)
    assert BillDay.objects.aggregate(billed=Sum("billed_cost"))["billed"] == total > 0
