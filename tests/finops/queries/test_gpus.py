from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.actions.exchange import import_file
from finops.queries.gpus import pools, utilization_series
from ingest.models import Gpu, GpuQuarter
from tests.factories.finops import paid
from tests.factories.ingest import PoolFactory, gpus_by_day

DAY = "from=2025-10-01&to=2025-10-02"
START = datetime(2025, 10, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def gpu(pool):
    return Gpu.objects.create(
        pool=pool, uuid="GPU-1", host="node-1", index=0, name="H100", last_seen_at=START
    )


def seen(gpu, n, percent, covered_s=900.0, **more):
    GpuQuarter.objects.create(
        pool_id=gpu.pool_id, gpu_id=gpu.pk, at=START + n * QUARTER, samples=90,
        covered_s=covered_s, utilization_pct=percent, **more,
    )  # fmt: skip
    gpus_by_day()


def test_what_was_paid_is_used_idle_or_unobserved(ask, pool):
    paid(pool, START, idle="6", bert="2", gpt="1")
    paid(pool, START + QUARTER, idle="8", covered_s=450, bert="1")
    paid(pool, START + 2 * QUARTER, idle="9", covered_s=0)
    [row] = pools(ask(DAY)).pools
    assert (row.allocated, row.used, row.unobserved) == (27, 4, Decimal("13.5"))
    assert row.idle == Decimal("9.5")
    assert row.utilization == pytest.approx(4 / 13.5)
    assert row.coverage == 0.5
    assert [(model.model, model.used, model.busy_s) for model in row.models] == [
        ("bert", 3, 180),
        ("gpt", 1, 90),
    ]


def test_pool_without_a_price_or_telemetry_is_unknown_not_idle(ask, pool):
    [row] = pools(ask(DAY)).pools
    assert (row.allocated, row.used, row.idle, row.utilization) == (None, None, None, None)
    paid(pool, START, idle=None)
    [row] = pools(ask(DAY)).pools
    assert (row.allocated, row.idle, row.unpriced_hours) == (None, None, 0.5)


def test_gpu_is_weighed_by_what_was_observed(ask, gpu, pool):
    for n in range(4):
        paid(pool, START + n * QUARTER, idle="1")
    seen(gpu, 0, 80, memory_used_bytes_max=5, power_w=300, energy_j=1000)
    seen(gpu, 1, 20, covered_s=300, memory_used_bytes_max=7)
    [row] = pools(ask(DAY)).pools[0].gpus
    assert row.utilization_pct == pytest.approx((80 * 900 + 20 * 300) / 1200)
    assert (row.memory_used_bytes_max, row.power_w, row.energy_j) == (7, 300, 1000)
    assert row.coverage == pytest.approx(1200 / 86400)


def test_gpu_that_never_reported_a_figure_has_none(ask, gpu):
    [row] = pools(ask(DAY)).pools[0].gpus
    assert (row.utilization_pct, row.power_w, row.coverage) == (None, None, 0)


def test_simulated_gpus_mark_their_pool(ask, gpu):
    assert not pools(ask(DAY)).pools[0].simulated
    Gpu.objects.update(simulated=True)
    assert pools(ask(DAY)).pools[0].simulated


def test_line_has_a_gap_where_nothing_was_observed(ask, gpu):
    seen(gpu, 0, 80)
    seen(gpu, 2, 40)
    series = utilization_series(ask(DAY))
    assert (series.step, series.points[1], len(series.points)) == (
        "15 minutes",
        START + QUARTER,
        96,
    )
    assert series.lines[0].values[:4] == (80, None, 40, None)
    hours = utilization_series(ask("from=2025-10-01&to=2025-10-04"))
    assert (hours.step, hours.lines[0].values[0], len(hours.points)) == ("hour", 60, 72)
    days = utilization_series(ask("from=2025-09-01&to=2025-10-04"))
    assert (days.step, days.points[30], len(days.points)) == ("day", START, 33)
    assert days.lines[0].values[29:32] == (None, 60, None)


def test_shared_hardware_is_for_members_of_the_organisation(ask, cleo, gpu):
    seen(gpu, 0, 80)
    assert pools(ask(DAY, cleo)).pools == ()
    assert utilization_series(ask(DAY, cleo)).lines == ()


def test_queries_do_not_grow_with_the_pools(ask, gpu, django_assert_num_queries):
    filters = ask(DAY)
    with django_assert_num_queries(9):
        pools(filters)
    for _ in range(2):
        paid(PoolFactory(), START, idle="1", bert="1")
    with django_assert_num_queries(9):
        assert len(pools(filters).pools) == 3


def test_pool_is_converted_by_day_or_not_at_all(ask, pool):
    text = "Date,USD,\n2025-10-01,2,\n2025-10-02,1.25,\n2025-09-20,2,\n"
    import_file(text.encode(), by=None, via="command")
    early = PoolFactory(name="early", provider="vllm")
    for place, at in ((pool, START), (pool, START + timedelta(days=1)), (early, START)):
        paid(place, at, idle="4", bert="1")
    paid(early, START - timedelta(days=3), idle="4")  # no rate holds on that day
    month = "from=2025-09-15&to=2025-10-05"

    table = pools(ask(f"{month}&convert=EUR"))
    found = {row.name: row for row in table.pools}

    euros = found["h100"]
    assert (euros.currency, euros.allocated, euros.used, euros.idle) == (
        "EUR", Decimal("2.5") + 4, Decimal("0.5") + Decimal("0.8"), Decimal(2) + Decimal("3.2")
    )  # fmt: skip
    assert [model.used for model in euros.models] == [Decimal("1.3")]
    assert (found["early"].currency, found["early"].allocated) == ("USD", 9)
    assert [(part.currency, part.days) for part in table.conversion.parts] == [("USD", 2)]
    assert [one.days for one in table.conversion.missing] == [1]
    as_paid = {row.name: row for row in pools(ask(month)).pools}
    assert (as_paid["h100"].allocated, as_paid["h100"].currency) == (10, "USD")
