"""Buckets and Cost Explorer against a real server that speaks AWS's API over HTTP."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import boto3
import pytest
from django.utils import timezone

from ingest import pull, source_secrets
from ingest.models import BillLine, Delivery, DeliveryPeriod, Source
from ingest.sources import REGISTRY
from ingest.sources.base import FetchError
from tests.ingest import moto

from .conftest import rows_of, text_of

pytestmark = pytest.mark.django_db

KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "s3cr3t-canary"}
AUGUST = "billing/nise/aws_cur_2026_August_USD_{}.csv.gz"


@pytest.fixture(scope="session")
def server():
    with moto.server() as url:
        yield url


@pytest.fixture
def aws(server, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    moto.reset(server)
    return server


@pytest.fixture
def bucket(aws):
    s3 = boto3.client(
        "s3", endpoint_url=aws, region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="y",
    )  # fmt: skip
    s3.create_bucket(Bucket="acme-billing")
    return lambda key, body: s3.put_object(Bucket="acme-billing", Key=key, Body=body)


def connected(kind, **config):
    adapter = REGISTRY[kind]
    plain, secrets = source_secrets.split(adapter, adapter.check_config({**KEYS, **config}))
    return Source.objects.create(
        kind=kind, name=kind, config=plain, secrets=secrets, interval_s=21_600
    )


def s3_source(aws, **config):
    return connected("s3_bills", bucket="acme-billing", endpoint_url=aws, **config)


ROWS = 100


def some_of(path):
    """A report of a few rows, so that every test is quick."""
    return "".join(text_of(path).splitlines(keepends=True)[: ROWS + 1])


def put_report(bucket, body, assembly, whole=True):
    """A report of two files, as AWS delivers one: files first, its manifest last."""
    folder = "cur/daily/20260801-20260901"
    header, *lines = body.splitlines(keepends=True)
    half = len(lines) // 2
    parts = {f"{folder}/{assembly}/daily-1.csv": header + "".join(lines[:half]),
             f"{folder}/{assembly}/daily-2.csv": header + "".join(lines[half:])}  # fmt: skip
    for n, (key, text) in enumerate(parts.items()):
        if whole or n == 0:
            bucket(key, text.encode())
    manifest = {"assemblyId": assembly, "reportKeys": list(parts), "bucket": "acme-billing"}
    bucket(f"{folder}/daily-Manifest.json", json.dumps(manifest).encode())
    return list(parts)


def test_report_is_pulled_once_and_whole(aws, bucket, shared):
    path = shared(AUGUST.format("notfinal"))
    put_report(bucket, some_of(path), "one")
    source = s3_source(aws, prefix="cur/")

    pull.now(source)
    pull.now(Source.objects.get())

    delivery = Delivery.objects.get()
    assert (delivery.complete, delivery.rows_in, delivery.inserted) == (True, ROWS, ROWS)
    assert sum(BillLine.objects.values_list("billed_cost", flat=True)) == sum(
        Decimal(row["lineItem/UnblendedCost"]) for row in rows_of(path)[:ROWS]
    )
    assert BillLine.objects.values("line").distinct().count() == ROWS


def test_final_report_supersedes_and_both_stay_readable(aws, bucket, shared):
    source = s3_source(aws)
    put_report(bucket, some_of(shared(AUGUST.format("notfinal"))), "one")
    pull.now(source)
    put_report(bucket, some_of(shared(AUGUST.format("finalized"))), "two")
    pull.now(Source.objects.get())

    old, new = DeliveryPeriod.objects.order_by("pk")
    assert (old.known_to, new.known_to) == (new.known_from, None)
    invoices = BillLine.objects.values_list("period_id", "invoice_id").distinct()
    assert set(invoices) == {(old.pk, ""), (new.pk, "477988983")}


def test_report_with_a_file_missing_is_kept_and_supersedes_nothing(aws, bucket, shared):
    body = some_of(shared(AUGUST.format("notfinal")))
    source = s3_source(aws)
    put_report(bucket, body, "one")
    pull.now(source)
    put_report(bucket, body, "two", whole=False)
    pull.now(Source.objects.get())

    part = Delivery.objects.get(complete=False)
    assert part.note.startswith("1 of the 2 files its manifest names are not there")
    assert part.rows_in == ROWS // 2
    assert DeliveryPeriod.objects.get(known_to=None).delivery.complete

    put_report(bucket, body, "two")
    pull.now(Source.objects.get())
    assert DeliveryPeriod.objects.get(known_to=None).delivery_id == Delivery.objects.latest("pk").pk
    assert Delivery.objects.filter(complete=True).count() == 2


def test_unreadable_file_is_told_and_stops_no_other(aws, bucket, shared):
    bucket("a/broken.parquet", b"PAR1 and no more")
    bucket("b/focus.csv.gz", shared("billing/focus_1_0_sample_1000.csv.gz").read_bytes())
    source = s3_source(aws, alone_is_whole="yes")

    for _ in range(2):
        with pytest.raises(FetchError, match=r"^broken\.parquet is no whole Parquet file"):
            pull.now(Source.objects.get())

    assert Delivery.objects.get().name == "b/focus.csv.gz"
    source.refresh_from_db()
    assert source.last_error.startswith("broken.parquet is no whole Parquet file")
    assert "EffectiveCost of AWS is rounded" in Delivery.objects.get().warnings[0]


def test_secret_is_nowhere_to_be_read(aws):
    source = s3_source(aws)

    source.refresh_from_db()
    assert "secret_access_key" not in source.config
    assert b"s3cr3t-canary" not in bytes(source.secrets)


def test_test_of_the_connection_says_what_lies_there(aws, bucket, shared):
    source = s3_source(aws)
    config = source_secrets.opened(source)
    assert REGISTRY["s3_bills"].check(config) == (
        "It answers, and there is no bill under this prefix yet."
    )

    put_report(bucket, some_of(shared(AUGUST.format("notfinal"))), "one")

    assert REGISTRY["s3_bills"].check(config) == "It answers: 1 complete delivery."


def test_missing_bucket_is_one_sentence(aws):
    with pytest.raises(FetchError, match=r"^acme-billing: there is no such bucket"):
        pull.now(s3_source(aws))


def test_guard_holds_for_the_client_too(aws, bucket, settings):
    source = s3_source(aws)
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(FetchError, match=r"127\.0\.0\.1 is not a public address"):
        pull.now(source)


# ---- Cost Explorer


def answer(first, groups, estimated=False):
    return {
        "ResultsByTime": [
            {
                "TimePeriod": {"Start": first, "End": first},
                "Estimated": estimated,
                "Total": {},
                "Groups": [
                    {
                        "Keys": [service, kind],
                        "Metrics": {
                            "UnblendedCost": {"Amount": billed, "Unit": "USD"},
                            "AmortizedCost": {"Amount": amortised, "Unit": "USD"},
                            "UsageQuantity": {"Amount": "3", "Unit": "N/A"},
                        },
                    }
                    for service, kind, billed, amortised in groups
                ],
            }
        ],
        "DimensionValueAttributes": [],
    }


@pytest.fixture
def explorer(aws):
    source = connected(
        "aws_cost_explorer", billing_account="999999999999", months=1, endpoint_url=aws
    )

    def ask(*answers):
        moto.reset(aws)  # it remembers its answer to the same question
        moto.queue_costs(aws, list(answers))
        pull.now(Source.objects.get(pk=source.pk))

    return ask


def test_cost_explorer_keeps_usage_credits_and_taxes_apart(explorer):
    today = timezone.now().date().replace(day=1).isoformat()
    explorer(answer(today, [
        ("Amazon EC2", "Usage", "12.0000000001", "10"),
        ("Amazon EC2", "Credit", "-2", "-2"),
        ("Tax", "Tax", "1.9", "1.9"),
        ("Amazon EC2", "Refund", "-1", "-1"),
        ("AWS Savings", "SavingsPlanRecurringFee", "5", "0"),
    ], estimated=True))  # fmt: skip

    lines = BillLine.objects.order_by("line")
    assert list(lines.values_list("charge_category", "charge_class", "billed_cost")) == [
        ("Usage", "", Decimal("12.0000000001")),
        ("Credit", "", Decimal(-2)),
        ("Tax", "", Decimal("1.9")),
        ("Adjustment", "Correction", Decimal(-1)),
        ("Purchase", "", Decimal(5)),
    ]
    assert {line.extra["Estimated"] for line in lines} == {"true"}
    assert Delivery.objects.get().warnings == [
        "AWS calls 5 of 5 rows estimates; they change until the month is closed."
    ]


def test_cost_explorer_supersedes_a_month_only_when_it_changed(explorer):
    today = timezone.now().date().replace(day=1).isoformat()
    first = answer(today, [("Amazon EC2", "Usage", "12", "12")])
    explorer(first)
    explorer(first)
    assert Delivery.objects.count() == 1

    explorer(answer(today, [("Amazon EC2", "Usage", "15", "15")]))

    assert Delivery.objects.count() == 2
    current = DeliveryPeriod.objects.get(known_to=None)
    assert BillLine.objects.get(period_id=current.pk).billed_cost == 15
    assert current.billing_month == datetime.now(UTC).date().replace(day=1)
