"""Health of GPUs and who uses them: stored as told, unknown as NULL, summed per quarter hour."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from gpu_probe.wire import Batch, GpuProcess, GpuReading, MigInstance
from ingest import store
from ingest.models import Gpu, GpuDay, GpuQuarter, GpuSample, Source
from ingest.models import GpuProcess as Process
from ingest.rollup import roll_up
from tests.factories.ingest import PoolFactory

NOON = datetime(2025, 10, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture
def source():
    return Source.objects.create(kind="gpu", name="GPUs", pool=PoolFactory(name="h100"))


def at(n, **told):
    """The n-th reading, ten seconds apart."""
    moment = (NOON + timedelta(seconds=10 * n)).timestamp()
    return GpuReading(uuid="GPU-1", index=0, name="H100", at=moment, **told)


def push(source, *readings):
    batch = Batch(
        host="h1", pool="h100", probe_version="1", driver_version=None, boot_id="b", sequence=1,
        simulated=False, readings=readings,
    )  # fmt: skip
    return store.gpus(source, batch)


def quarter():
    roll_up()
    return GpuQuarter.objects.get()


def test_every_field_is_stored_and_the_unknown_is_null(source):
    told = {
        "memory_reserved_bytes": 600, "ecc_corrected_errors": 4, "remapped_rows_corrected": 1,
        "remapped_rows_uncorrected": 2, "remapped_rows_pending": True,
        "remapped_rows_failed": False, "xid_errors": 3, "last_xid": 79, "process_count": 5,
        "mig_mode": False,
    }  # fmt: skip
    columns = (
        "memory_reserved_bytes", "ecc_corrected", "remapped_corrected", "remapped_uncorrected",
        "remap_pending", "remap_failed", "xid_errors", "last_xid", "process_count", "is_mig",
    )  # fmt: skip
    assert push(source, at(0, **told), at(1)).inserted == 2
    stored = GpuSample.objects.order_by("at").values_list(*columns, "is_lost")
    assert list(stored) == [
        (600, 4, 1, 2, True, False, 3, 79, 5, False, False),
        (None,) * 10 + (False,),
    ]
    assert push(source, at(0, **told), at(1)).unchanged == 2


def test_a_quarter_knows_how_long_and_why_the_clock_was_held_back(source):
    reasons = [0, 0x4, 0x20, 0x48, 0x80, None, 0x1]
    push(source, *(at(n, clock_event_reasons=mask) for n, mask in enumerate(reasons)))
    row = quarter()
    assert (row.covered_s, row.reasons_s, row.throttled_s) == (60, 50, 30)
    assert (row.power_cap_s, row.thermal_s, row.power_brake_s) == (10, 20, 10)


def test_reasons_that_were_never_told_are_unknown_and_not_none(source):
    push(source, at(0), at(1))
    row = quarter()
    assert (row.reasons_s, row.throttled_s, row.thermal_s, row.power_cap_s) == (None,) * 4


def test_a_lost_gpu_is_not_observed(source):
    push(source, at(0, power_w=100.0), at(1, power_w=100.0), at(2, lost=True), at(3, lost=True))
    row = quarter()
    assert (row.covered_s, row.lost_s, row.power_w) == (10, 20, 100)


@pytest.mark.parametrize(
    ("told", "came"),
    [
        ([5, 5, 7], 2),
        ([5, 1, 2], 2),  # the driver was loaded anew
        ([5, None, 8], 3),  # another reader, which does not know it, in between
        ([None, None], None),
        ([3], 0),  # when those three came, nobody knows
    ],
)
def test_errors_of_a_quarter_are_those_that_came_in_it(source, told, came):
    push(source, *(at(n, ecc_uncorrected_errors=count) for n, count in enumerate(told)))
    assert quarter().ecc_uncorrected == came


def test_xid_errors_are_summed_and_the_newest_code_is_kept(source):
    xids = [(0, None), (2, 31), (0, 31), (1, 79), (0, 79)]
    push(source, *(at(n, xid_errors=new, last_xid=last) for n, (new, last) in enumerate(xids)))
    row = quarter()
    assert (row.xid_errors, row.last_xid) == (3, 79)


def test_remapped_rows_are_all_there_are(source):
    push(source, at(0, remapped_rows_corrected=1, remapped_rows_uncorrected=2),
         at(1, remapped_rows_corrected=2, remapped_rows_uncorrected=2,
            remapped_rows_pending=True))  # fmt: skip
    row = quarter()
    assert (row.remapped_rows, row.remap_pending, row.remap_failed) == (4, True, None)


def used(n, *pids, **more):
    processes = tuple(GpuProcess(pid=pid, memory_used_bytes=pid, name="python") for pid in pids)
    return at(n, process_count=len(pids), processes=processes, mig_mode=False, **more)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_who_uses_a_gpu_is_what_its_newest_reading_says_in_any_order(source, order):
    readings = [used(0, 1, 2), used(1, 2, 3), used(2, 4), at(3, power_w=1.0)]
    for n in (*order, *order):
        push(source, readings[n])
    assert list(Process.objects.values_list("pid", "name")) == [(4, "python")]
    gpu = Gpu.objects.get()
    assert (gpu.told_at, gpu.process_count) == (NOON + timedelta(seconds=20), 1)


def test_nobody_and_unknown_are_told_apart(source):
    push(source, used(0, 1), used(1))
    assert (Process.objects.count(), Gpu.objects.get().process_count) == (0, 0)
    push(source, at(2, mig_mode=False))
    assert Gpu.objects.get().process_count is None


def test_slices_are_kept_with_their_memory(source):
    part = MigInstance(
        uuid="MIG-1", profile="3g.40gb", gpu_instance_id=2, compute_instance_id=0,
        memory_used_bytes=7,
    )  # fmt: skip
    on_it = GpuProcess(pid=9, mig_uuid="MIG-1")
    push(source, at(0, mig_mode=True, mig_instances=(part,), processes=(on_it,), process_count=1))
    gpu = Gpu.objects.get()
    assert gpu.is_mig is True
    assert list(gpu.mig_instances.values_list("uuid", "profile", "memory_used_bytes")) == [
        ("MIG-1", "3g.40gb", 7)
    ]
    assert list(gpu.processes.values_list("pid", "mig_uuid", "memory_used_bytes")) == [
        (9, "MIG-1", None)
    ]


def test_a_lost_gpu_is_marked_until_it_answers(source):
    push(source, used(0, 1), at(1, lost=True))
    assert Gpu.objects.get().is_lost is True
    assert Process.objects.count() == 0
    push(source, used(2, 1))
    assert Gpu.objects.get().is_lost is False


def test_day_is_its_quarter_hours_added_up_and_of_a_state_the_last_one_told(source):
    busy = {"utilization_pct": 40.0, "power_w": 300.0, "power_limit_w": 700.0, "energy_mj": 1000}
    push(
        source,
        at(0, **busy), at(1, **busy | {"energy_mj": 4000}, clock_event_reasons=0x20),
        at(90, remapped_rows_pending=True, xid_errors=2, last_xid=31, ecc_corrected_errors=1),
        at(91, utilization_pct=90.0, memory_used_bytes=7, ecc_corrected_errors=4),
        at(180, remapped_rows_pending=False, xid_errors=0, last_xid=79),
    )  # fmt: skip
    roll_up()
    push(source, at(181, power_w=100.0, clock_event_reasons=0), at(8640, utilization_pct=1.0))
    roll_up()
    of_day = GpuQuarter.objects.filter(at__date=NOON.date())
    assert of_day.count() == 3

    def sum_of(name):
        told = [value for value in of_day.values_list(name, flat=True) if value is not None]
        return sum(told) if told else None

    first, second = GpuDay.objects.order_by("day")
    summed = (
        "covered_s", "energy_j", "throttled_samples", "reasons_s", "throttled_s", "thermal_s",
        "power_cap_s", "power_brake_s", "lost_s", "ecc_corrected", "ecc_uncorrected", "xid_errors",
    )  # fmt: skip
    assert {name: getattr(first, name) for name in summed} == {n: sum_of(n) for n in summed}
    assert (first.utilization_s, first.utilization_known_s) == (40 * 10 + 90 * 10, 20)
    assert (first.power_ws, first.power_known_s) == (300 * 10 + 100 * 10, 20)
    assert (first.first_at, first.day, second.day) == (
        NOON, NOON.date(), NOON.date() + timedelta(days=1)
    )  # fmt: skip
    assert (first.remap_pending, first.last_xid, first.memory_used_bytes_max) == (False, 31, 7)
    assert (first.power_limit_w, first.ecc_corrected, second.xid_errors) == (700, 3, None)
