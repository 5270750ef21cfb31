from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.price_book import set_hardware_price
from finops.actions.pricing import price_hours, reprice
from finops.models import PoolQuarter, PricedHour
from ingest import store
from ingest.models import Pool
from ingest.rollup import roll_up
from tests.ingest.make import metric

pytestmark = pytest.mark.django_db

HOUR = datetime(2026, 11, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BUSY = "nv_inference_compute_infer_duration_us"
ANSWERED = "nv_inference_request_success"


@pytest.fixture
def h100(pool, book):
    """Two GPUs at 3.60 an hour: a tenth of a cent per GPU-second."""
    set_hardware_price("H100", Decimal("3.60"))
    Pool.objects.update(created_at=HOUR)
    return pool


def observe(source, minutes, busy_share=0.5, model="bert"):
    """One reading a minute of a model that is busy for this share of one GPU."""
    records = [
        record
        for n in minutes
        for record in (
            metric(BUSY, n * 60e6 * busy_share, HOUR + n * MINUTE, model=model, version="1"),
            metric(ANSWERED, n * 10, HOUR + n * MINUTE, model=model, version="1"),
        )
    ]
    store.metrics(source, records)
    roll_up()


def rows(at=HOUR):
    return {row.model: row for row in PoolQuarter.objects.filter(at=at)}


def test_quarter_is_split_into_used_and_idle(pool_source, h100):
    observe(pool_source, range(-1, 61))
    assert price_hours(now=HOUR + 60 * MINUTE) > 0
    quarter = rows(HOUR + 15 * MINUTE)
    assert (quarter["bert"].busy_s, quarter["bert"].requests) == (450, 150)
    assert quarter["bert"].used == quarter["bert"].allocated == Decimal("0.45")
    assert quarter[""].allocated == Decimal("1.35")
    assert (quarter[""].used, quarter[""].covered_s, quarter[""].currency) == (0, 900, "USD")


def test_unobserved_hour_is_paid_all_the_same(pool_source, h100):
    observe(pool_source, range(16))
    price_hours(now=HOUR + 180 * MINUTE)
    later = rows(HOUR + 60 * MINUTE)
    assert (later[""].allocated, later[""].used, later[""].busy_s) == (Decimal("1.8"), None, None)
    assert PoolQuarter.objects.values("at").distinct().count() == 12


def test_running_quarter_counts_only_what_was_observed_so_far(pool_source, h100):
    observe(pool_source, range(6))
    price_hours(now=HOUR + 6 * MINUTE)
    assert sum(row.allocated for row in PoolQuarter.objects.all()) == Decimal("0.6")
    assert price_hours(now=HOUR + 7 * MINUTE) == 0


def test_quarter_is_completed_once_it_is_over(pool_source, h100):
    observe(pool_source, range(6))
    price_hours(now=HOUR + 6 * MINUTE)
    assert price_hours(now=HOUR + 16 * MINUTE) == 1
    assert sum(row.allocated for row in rows().values()) == Decimal("1.8")
    assert rows()[""].covered_s == 300
    assert price_hours(now=HOUR + 17 * MINUTE) == 0


def test_new_samples_are_priced_anew(pool_source, h100):
    observe(pool_source, range(6))
    price_hours(now=HOUR + 6 * MINUTE)
    observe(pool_source, range(6, 10))
    assert price_hours(now=HOUR + 10 * MINUTE) == 1
    assert rows()["bert"].used == Decimal("0.27")


def test_unknown_hardware_price_is_unknown_money(pool_source, pool, book):
    Pool.objects.update(created_at=HOUR)
    observe(pool_source, range(16))
    price_hours(now=HOUR + 15 * MINUTE)
    assert {row.allocated for row in PoolQuarter.objects.all()} == {None}
    assert {row.currency for row in PoolQuarter.objects.all()} == {""}


def test_hardware_price_entered_later_reaches_earlier_hours_only_by_repricing(
    pool_source, pool, book
):
    Pool.objects.update(created_at=HOUR)
    observe(pool_source, range(16))
    now = HOUR + 60 * MINUTE
    price_hours(now=now)
    newer = set_hardware_price("h100", Decimal("3.60"))
    assert price_hours(now=now) == 0
    assert reprice("pool", [pool.pk], HOUR, HOUR + 60 * MINUTE) == 1
    assert price_hours(now=now) == 1
    assert sum(row.allocated for row in rows().values()) == Decimal("1.8")
    assert PricedHour.objects.get(hour=HOUR).book == newer


def test_hardware_price_change_holds_from_its_start(pool_source, h100):
    set_hardware_price("H100", Decimal("1.80"), valid_from=HOUR + 30 * MINUTE)
    price_hours(now=HOUR + 60 * MINUTE)
    assert [row.allocated for row in PoolQuarter.objects.order_by("at")][:4] == [
        Decimal("1.8"),
        Decimal("1.8"),
        Decimal("0.9"),
        Decimal("0.9"),
    ]
