"""How fast a billing file becomes committed bill lines: a million rows of FOCUS, CSV and Parquet.

The limit, measured in the same run on the same machine: the same lines, already in memory, by
binary COPY into staging and from there into the partitioned table with its indexes.

Processor seconds are those of the loader with its children, and of PostgreSQL, while a file loads:
they say what a load costs whatever else the machine is doing. Both work at once on two cores.

`--data FILE` loads a bill of your own instead of the generated ones.
"""

from __future__ import annotations

import csv
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.bench.common import (
    ROOT,
    arguments,
    peak_rss_mb,
    postgresql_cpu_s,
    report,
    setup_django,
)

ROWS = 1_000_000
LIMIT_ROWS = 50_000
ROUNDS = 3
MONTH = datetime(2026, 5, 1, tzinfo=UTC)
HOURS = 31 * 24

FIXED = {
    "BillingAccountId": "100000000002",
    "BillingAccountName": "ExampleCorp Secondary Payer",
    "BillingAccountType": "Payer Account",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-05-01T00:00:00Z",
    "BillingPeriodEnd": "2026-06-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargeFrequency": "Usage-Based",
    "CommitmentDiscountId": "",
    "CommitmentDiscountStatus": "",
    "ConsumedUnit": "Hours",
    "InvoiceId": "INV-2026-05-0002",
    "InvoiceIssuerName": "AWS",
    "PricingCategory": "Standard",
    "PricingCurrency": "USD",
    "PricingUnit": "Hours",
    "ProviderName": "AWS",
    "PublisherName": "AWS",
    "RegionId": "eu-central-1",
    "RegionName": "Europe (Frankfurt)",
    "ResourceType": "EC2 Instance",
    "ServiceCategory": "Compute",
    "ServiceName": "AmazonEC2",
    "ServiceSubcategory": "Virtual Machines",
    "SubAccountType": "Linked Account",
}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    setup_django()
    with tempfile.TemporaryDirectory(prefix="breakeven-bench-") as folder:
        files = {"given": options.data} if options.data else _generated(Path(folder), options.rows)
        loads = {kind: _load(file) for kind, file in files.items()}
        limit = _staged_copy(next(iter(files.values())))
    first = next(iter(loads.values()))
    per_million = 1_000_000 / first["rows"]
    result: dict[str, Any] = {
        "rows_per_s": round(first["rows_per_s"]),
        "seconds_1m": round(first["seconds"] * per_million, 1),
        "cpu_seconds_1m": round((first["loader_cpu_s"] + first["pg_cpu_s"]) * per_million, 1),
        "loader_cpu_seconds_1m": round(first["loader_cpu_s"] * per_million, 1),
        "postgresql_cpu_seconds_1m": round(first["pg_cpu_s"] * per_million, 1),
        "peak_rss_mb": round(max(load["peak_rss_mb"] for load in loads.values())),
        "ratio_to_staged_copy": round(first["rows_per_s"] / limit, 3),
        "rows": first["rows"],
    }
    if "parquet" in loads:
        rate = loads["parquet"]["rows_per_s"]
        result["parquet_seconds_1m"] = round(1_000_000 / rate, 1)
        result["parquet_ratio_to_staged_copy"] = round(rate / limit, 3)
    rows = [
        [f"manage.py load, {kind}", f"{load['rows_per_s']:,.0f}", f"{load['seconds']:.1f}",
         f"{load['loader_cpu_s']:.1f}", f"{load['pg_cpu_s']:.1f}", f"{load['peak_rss_mb']:.0f}",
         f"{load['rows_per_s'] / limit:.2f}"]
        for kind, load in loads.items()
    ]  # fmt: skip
    rows.append(["limit: staged binary COPY, same table", f"{limit:,.0f}", *[""] * 4, "1.00"])
    header = ["path", "rows/s", "seconds", "loader CPU s", "PostgreSQL CPU s", "peak MB",
              "ratio to limit"]  # fmt: skip
    report("Bills", header, rows, result, options.out)


def _generated(folder: Path, rows: int) -> dict[str, Path]:
    import duckdb

    plain, columnar = folder / "focus.csv", folder / "focus.parquet"
    header = [*FIXED, *_row(0)]
    with plain.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(header)
        fixed = list(FIXED.values())
        writer.writerows([*fixed, *_row(n).values()] for n in range(rows))
    duckdb.sql(
        f"COPY (SELECT * REPLACE (BilledCost::DECIMAL(38, 18) AS BilledCost,"
        f" EffectiveCost::DECIMAL(38, 18) AS EffectiveCost,"
        f" ChargePeriodStart::TIMESTAMPTZ AS ChargePeriodStart,"
        f" ChargePeriodEnd::TIMESTAMPTZ AS ChargePeriodEnd)"
        f" FROM read_csv('{plain}', all_varchar=true, header=true))"
        f" TO '{columnar}' (FORMAT parquet)"
    )
    return {"csv": plain, "parquet": columnar}


def _row(n: int) -> dict[str, str]:
    """What differs from row to row, as it does in a real bill: hours, resources, costs, tags."""
    start = MONTH + timedelta(hours=n % HOURS)
    cost = f"{n % 9973 * 0.000137:.12f}"
    return {
        "ChargeDescription": f"${0.01 * (n % 40):.2f} per On Demand Linux hour",
        "ChargePeriodStart": start.isoformat(),
        "ChargePeriodEnd": (start + timedelta(hours=1)).isoformat(),
        "BilledCost": cost,
        "EffectiveCost": cost,
        "ListCost": f"{n % 9973 * 0.000171:.12f}",
        "ContractedCost": cost,
        "ConsumedQuantity": f"{n % 977 / 7:.6f}",
        "PricingQuantity": f"{n % 977 / 7:.6f}",
        "ResourceId": f"arn:aws:ec2:eu-central-1:200000000011:instance/i-{n * 7919 % 20_000:017x}",
        "ResourceName": f"worker-{n * 7919 % 20_000}",
        "SkuId": f"SKU-{n % 200:024x}",
        "SkuPriceId": f"SPRICE-{n % 400:024x}",
        "SkuPriceDetails": f'{{"CoreCount":{n % 64},"MemorySize":{n % 256}}}',
        "SubAccountId": f"2000000{n % 20:05d}",
        "SubAccountName": f"prod-{n % 20}",
        "Tags": f'{{"Environment":"prod","CostCenter":"cc-{n % 90}","Owner":"team-{n % 30}"}}',
    }


def _load(file: Path) -> dict[str, float]:
    """The command a person would type, in a process of its own."""
    from ingest.models import BillLine, Source

    name = f"bench {file.name}"
    command = [sys.executable, "manage.py", "load", "bill_file", str(file), "--source", name]
    postgresql, before = postgresql_cpu_s(), resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    loader = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    peak = 0.0
    while loader.poll() is None:
        peak = max(peak, _peak(loader))
        time.sleep(0.25)
    seconds = time.perf_counter() - started
    assert loader.returncode == 0, f"loading {file.name} ended with {loader.returncode}"
    lines = BillLine.objects.filter(source_id=Source.objects.get(name=name).pk).count()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "rows": lines,
        "seconds": seconds,
        "rows_per_s": lines / seconds,
        "peak_rss_mb": peak,
        "loader_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "pg_cpu_s": postgresql_cpu_s() - postgresql,
    }


def _peak(loader: subprocess.Popen) -> float:
    import psutil

    try:
        return peak_rss_mb(loader)
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return 0.0  # it, or its child, ended while being asked


def _staged_copy(file: Path) -> float:
    """Rows per second that PostgreSQL takes by staged binary COPY into the same table."""
    from itertools import islice

    from django.db import connection, transaction

    from ingest import partitions
    from ingest.records import BillRecord
    from ingest.sources import bills
    from ingest.store import bills as kept
    from ingest.store.counting import copy_rows, make_staging

    found = islice(bills.read(file, bills.Options()), LIMIT_ROWS)
    rows = [kept._copied(row) for row in found if isinstance(row, BillRecord)]
    partitions.ensure(partitions.BILL_LINE, {date(2026, 5, 1), *(row[0] for row in rows)})
    columns = ", ".join(kept.STAGED)
    rates = []
    with connection.cursor() as cursor:
        for _ in range(ROUNDS):
            started = time.perf_counter()
            with transaction.atomic():
                make_staging(cursor, "bill_in", kept.STAGED)
                copy_rows(cursor, "bill_in", kept.COPIED, rows)
                cursor.execute(
                    f"INSERT INTO ingest_bill_line (source_id, delivery_id, period_id, {columns})"
                    f" SELECT -1, -1, -1, {columns} FROM bill_in"
                )
            rates.append(len(rows) / (time.perf_counter() - started))
            cursor.execute("DELETE FROM ingest_bill_line WHERE source_id = -1")
    return statistics.median(rates)


if __name__ == "__main__":
    main()
