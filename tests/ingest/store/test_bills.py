from decimal import Decimal
from importlib import import_module

import pytest
from django.db import connection
from django.db.models import Sum

from ingest import store
from ingest.models import BillDay, BillLine, BillSkuDay, Delivery, DeliveryPeriod, Reject, Source
from ingest.records import Reject as RejectRecord
from ingest.sources.base import BadFile, Reading
from ingest.store import Counts
from tests.ingest.make import bill_line

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(db):
    return Source.objects.create(kind="focus_csv", name="AWS bill")


def deliver(source, rows, name="october.csv", complete=True, sha=None):
    return store.bill(source, name=name, sha256=sha or name.encode(), complete=complete, rows=rows)


def test_lines_are_kept_to_the_last_decimal(source):
    exact = Decimal("0.0000008123456789012")
    deliver(source, [bill_line(1, billed_cost=exact), bill_line(2)])
    assert BillLine.objects.get(line=1).billed_cost == exact
    assert BillDay.objects.aggregate(Sum("billed_cost"))["billed_cost__sum"] == exact + Decimal(
        "12.5"
    )


def test_tags_other_columns_and_repairs_are_kept_as_json(source):
    told = {"tags": {"owner": 'Zoë \\ "core"'}, "extra": {"x_Note": "1\n2"}}
    deliver(source, [bill_line(1, **told, repairs=("charge_class: case",)), bill_line(2)])
    kept = BillLine.objects.order_by("line").values_list("tags", "extra", "repairs")
    assert list(kept) == [(told["tags"], told["extra"], ["charge_class: case"]), ({}, {}, [])]


def test_same_file_again_changes_nothing(source):
    deliver(source, [bill_line(1), bill_line(2)])
    again = deliver(source, [bill_line(1), bill_line(2)])
    assert again.repeated
    assert again.counts == Counts(unchanged=2)
    assert BillLine.objects.count() == 2


def test_restated_file_supersedes_and_the_old_one_stays_readable(source):
    deliver(source, [bill_line(1), bill_line(2)], "first")
    result = deliver(source, [bill_line(1), bill_line(2, content_hash=b"mended")], "second")
    assert result.counts == Counts(inserted=1, unchanged=1)
    old, new = DeliveryPeriod.objects.order_by("pk")
    assert old.known_to == new.known_from
    assert new.known_to is None
    assert BillLine.objects.filter(period_id=old.pk).count() == 2


def test_incomplete_file_supersedes_nothing(source):
    deliver(source, [bill_line(1)], "whole")
    deliver(source, [bill_line(1)], "half", complete=False)
    current = DeliveryPeriod.objects.get(known_to=None)
    assert current.delivery.name == "whole"


def test_incomplete_file_that_is_completed_later_becomes_current(source):
    deliver(source, [bill_line(1)], complete=False)
    deliver(source, [bill_line(1)], complete=True)
    assert DeliveryPeriod.objects.get(known_to=None).delivery.complete
    assert BillLine.objects.count() == 1


def test_unreadable_row_is_quarantined_with_its_line(source):
    bad = RejectRecord("not_a_number", "BilledCost", "Use a decimal.", line=3)
    result = deliver(source, [bill_line(1), bad])
    assert result.counts == Counts(inserted=1, rejected=1)
    reject = Reject.objects.get()
    assert (reject.delivery, reject.line) == (result.delivery, 3)


def test_missing_cost_is_unknown_not_zero(source):
    deliver(source, [bill_line(1, list_cost=None)])
    assert BillDay.objects.get().list_cost is None


def test_skus_are_the_days_without_what_else_tells_lines_apart(source):
    used, credited = {"sku_id": "gpt-4o"}, {"sku_id": "promotion", "charge_category": "Credit"}
    deliver(
        source,
        [
            bill_line(1, **used, region_id="east"),
            bill_line(2, **used, region_id="west", list_cost=None),
            bill_line(3, **used, region_id="west", list_cost=None),
            bill_line(4, **used, charge_category="Credit", billed_cost=Decimal("-0.25")),
            bill_line(5, **credited),
        ],
    )
    whole = BillLine.objects.filter(sku_id="gpt-4o").aggregate(
        billed=Sum("billed_cost"), effective=Sum("effective_cost"), list=Sum("list_cost")
    )
    one, other = BillSkuDay.objects.order_by("sku")
    assert BillDay.objects.filter(sku="gpt-4o").count() == 3
    assert (one.billed_cost, one.effective_cost, one.list_cost) == tuple(whole.values())
    assert (one.is_used, one.unknown_list, one.unknown_billed) == (True, 2, 0)
    assert (other.sku, other.is_used, other.unknown_list) == ("promotion", False, 0)


def test_migration_fills_in_skus_as_deliveries_do(source):
    told = {"sku_id": "gpt-4o", "list_cost": None}
    deliver(source, [bill_line(1, **told), bill_line(2), bill_line(3, charge_category="Tax")], "a")
    deliver(source, [bill_line(1, **told, charge_category="Credit")], "b")
    columns = [field.attname for field in BillSkuDay._meta.fields if field.name != "id"]
    before = set(BillSkuDay.objects.values_list(*columns))
    BillSkuDay.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(import_module("ingest.migrations.0005_bill_sku_day").FILL)
    assert set(BillSkuDay.objects.values_list(*columns)) == before
    assert len(before) == 3


def test_delivery_keeps_what_is_doubtful_about_it(source):
    reading = Reading([bill_line(1)], ["Rounded."])
    assert deliver(source, reading).delivery.warnings == ["Rounded."]


def test_incomplete_delivery_keeps_why(source):
    result = store.bill(
        source, name="part", sha256=b"p", complete=False, rows=[bill_line(1)], note="One of two."
    )
    assert Delivery.objects.get(pk=result.delivery.pk).note == "One of two."


def test_complete_delivery_does_not_become_a_part_again(source):
    deliver(source, [bill_line(1)], complete=True)
    again = deliver(source, [bill_line(1)], complete=False)
    assert again.repeated
    assert DeliveryPeriod.objects.get(known_to=None).delivery.complete


def test_two_sources_of_one_account_and_month_are_told(source):
    other = Source.objects.create(kind="focus_csv", name="Azure actual")
    deliver(source, [bill_line(1)])
    told = deliver(other, [bill_line(1)]).delivery.warnings
    assert told == [
        "The source AWS bill also has bills of account account-1 from 2026-10 on; totals count"
        " both, so keep one of the two."
    ]


def test_cursor_moves_with_the_rows_or_not_at_all(source):
    def broken():
        yield bill_line(1)
        raise BadFile("cut off")

    with pytest.raises(BadFile):
        store.bill(
            source, name="x", sha256=b"x", complete=True, rows=broken(), position={"taken": ["x"]}
        )
    source.refresh_from_db()
    assert (source.cursor, BillLine.objects.count(), Delivery.objects.count()) == ({}, 0, 0)
