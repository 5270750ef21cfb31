from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from finops.queries.gpus import pools
from ingest.models import Gpu, GpuProcess, GpuQuarter, MigInstance
from tests.factories.finops import paid
from tests.factories.ingest import gpus_by_day

DAY = "from=2025-10-01&to=2025-10-02"
START = datetime(2025, 10, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def gpu(pool):
    return Gpu.objects.create(
        pool=pool, uuid="GPU-1", host="node-1", index=0, name="H100", last_seen_at=START
    )


def told(gpu, n, **figures):
    GpuQuarter.objects.create(
        pool_id=gpu.pool_id, gpu_id=gpu.pk, at=START + n * QUARTER, samples=90, covered_s=900.0,
        **figures,
    )  # fmt: skip
    gpus_by_day()


def only_gpu(ask):
    [row] = pools(ask(DAY)).pools[0].gpus
    return row


def test_shares_are_of_the_time_in_which_reasons_were_told(ask, gpu):
    told(gpu, 0, reasons_s=900.0, throttled_s=300.0, thermal_s=300.0, power_cap_s=450.0)
    told(gpu, 1)  # by an older probe: it said nothing of reasons
    told(gpu, 2, reasons_s=300.0, throttled_s=0.0, thermal_s=0.0, power_cap_s=0.0)
    health = only_gpu(ask).health
    assert (health.throttled_share, health.thermal_share) == (0.25, 0.25)
    assert (health.power_cap_share, health.power_brake_share) == (0.375, None)


def test_errors_are_summed_and_the_newest_state_counts(ask, gpu):
    told(gpu, 0, ecc_uncorrected=1, xid_errors=2, last_xid=31, remapped_rows=1, remap_pending=True)
    told(gpu, 1, ecc_uncorrected=2, xid_errors=1, last_xid=79, remapped_rows=3, remap_pending=False)
    told(gpu, 2, xid_errors=0)
    health = only_gpu(ask).health
    assert (health.ecc_uncorrected, health.ecc_corrected, health.remapped_rows) == (3, None, 3)
    assert (health.remap_pending, health.remap_failed) == (False, None)
    assert (health.xid_errors, health.last_xid) == (3, 79)


def test_a_gpu_that_told_nothing_has_unknown_health(ask, gpu):
    health = only_gpu(ask).health
    assert (health.throttled_share, health.ecc_uncorrected, health.xid_errors) == (None,) * 3


def test_what_was_paid_while_held_back_is_a_share_of_what_was_observed(ask, gpu, pool):
    paid(pool, START, idle="6", bert="2")
    paid(pool, START + QUARTER, idle="8", covered_s=0)  # not observed at all
    told(gpu, 0, reasons_s=900.0, throttled_s=225.0)
    [row] = pools(ask(DAY)).pools
    assert (row.held_back_share, row.held_back) == (0.25, Decimal(2))


def test_without_reasons_it_is_unknown_what_was_held_back(ask, gpu, pool):
    paid(pool, START, idle="6")
    told(gpu, 0)
    [row] = pools(ask(DAY)).pools
    assert (row.held_back_share, row.held_back) == (None, None)


def test_energy_is_told_in_kilowatt_hours_too(ask, gpu):
    told(gpu, 0, energy_j=7_200_000.0, power_limit_w=700.0, memory_reserved_bytes_max=5)
    row = only_gpu(ask)
    assert (row.energy_kwh, row.power_limit_w, row.memory_reserved_bytes) == (2.0, 700.0, 5)


def test_users_are_those_of_now_with_the_most_memory_first(ask, gpu):
    Gpu.objects.update(told_at=START, process_count=3, is_mig=True)
    MigInstance.objects.create(gpu=gpu, uuid="MIG-1", profile="3g.40gb", memory_used_bytes=9)
    for pid, memory in ((1, 5), (2, None), (3, 7)):
        GpuProcess.objects.create(gpu=gpu, pid=pid, memory_used_bytes=memory)
    use = only_gpu(ask).use
    assert [process.pid for process in use.processes] == [3, 1, 2]
    assert [part.profile for part in use.mig_instances] == ["3g.40gb"]
    assert (use.told_at, use.process_count, use.is_mig) == (START, 3, True)
