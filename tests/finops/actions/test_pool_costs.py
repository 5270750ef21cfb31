from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.price_book import set_hardware_price
from finops.actions.pricing import price_hours, reprice
from finops.models import PoolQuarter, PricedHour
from ingest import store
from ingest.models import Pool
from ingest.rollup import roll_up
from ingest.sources.triton_statistics import EXECUTION_SECONDS, REQUESTS_OK
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


def test_batched_model_is_not_charged_once_for_each_request_of_a_batch(pool_source, h100):
    """In batches of eight the Prometheus counter grows eight times as fast as the clock says."""
    observe(pool_source, range(-1, 61), busy_share=4)
    counted_once = [
        metric(EXECUTION_SECONDS, n * 60 * 0.5, HOUR + n * MINUTE, model="bert", version="1")
        for n in range(-1, 61)
    ]
    store.metrics(pool_source, counted_once)
    roll_up()
    price_hours(now=HOUR + 60 * MINUTE)
    bert = rows(HOUR + 15 * MINUTE)["bert"]
    assert (bert.busy_s, bert.requests, bert.used) == (450, 150, Decimal("0.45"))


def test_reload_of_a_model_is_a_reset_and_no_negative_work(pool_source, h100):
    """Statistics begin again at a full reload; what came since then has come."""
    values = [*range(0, 180, 30), *range(0, 300, 30)]
    readings = [
        metric(EXECUTION_SECONDS, value, HOUR + n * MINUTE, model="bert", version="1")
        for n, value in enumerate(values)
    ]
    store.metrics(pool_source, readings)
    roll_up()
    price_hours(now=HOUR + 15 * MINUTE)
    assert rows()["bert"].busy_s == 150 + 270 - 30


def test_statistics_alone_are_enough(pool_source, h100):
    readings = [
        record
        for n in range(16)
        for record in (
            metric(EXECUTION_SECONDS, n * 30, HOUR + n * MINUTE, model="bert", version="1"),
            metric(REQUESTS_OK, n * 10, HOUR + n * MINUTE, model="bert", version="1"),
        )
    ]
    store.metrics(pool_source, readings)
    roll_up()
    price_hours(now=HOUR + 15 * MINUTE)
    # The reading at the quarter's end belongs to the next one.
    assert (rows()["bert"].busy_s, rows()["bert"].requests) == (420, 140)


def test_hardware_billed_by_use_costs_what_was_used(pool_source, pool, book):
    set_hardware_price("H100", Decimal("3.60"), billed_by="use")
    Pool.objects.update(created_at=HOUR, gpu_count=None)
    observe(pool_source, range(-1, 61))
    price_hours(now=HOUR + 180 * MINUTE)
    quarter = rows(HOUR + 15 * MINUTE)
    assert (quarter["bert"].allocated, quarter[""].allocated) == (Decimal("0.45"), 0)
    assert (quarter[""].used, quarter[""].currency) == (0, "USD")
    # Whether anything was used while nobody looked is unknown.
    assert rows(HOUR + 90 * MINUTE)[""].allocated is None


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
