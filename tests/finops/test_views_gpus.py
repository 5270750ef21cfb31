"""How GPUs are and who uses them: on the page, in its files and in the API."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest

from gpu_probe.wire import Batch, GpuProcess, GpuReading, MigInstance
from ingest import store
from ingest.models import Pool, Source
from ingest.rollup import roll_up
from tests.finops.reading import Page

pytestmark = pytest.mark.usefixtures("estate", "plain_static")

DAY = "from=2025-10-01&to=2025-10-02"
START = datetime(2025, 10, 1, 12, tzinfo=UTC)


@pytest.fixture
def pool(db):
    """Three GPUs: one in trouble, one sliced, one that tells nothing."""
    source = Source.objects.get(kind="gpu")
    at = [(START + timedelta(seconds=100 * n)).timestamp() for n in range(3)]
    readings = []
    for n, moment in enumerate(at):
        readings += [in_trouble(moment, n), sliced(moment, n), silent(moment)]
    batch = Batch(
        host="gpu-9", pool=source.pool.name, probe_version="1", driver_version=None, boot_id="b",
        sequence=1, simulated=False, readings=tuple(readings),
    )  # fmt: skip
    store.gpus(source, batch)
    roll_up()
    return Pool.objects.get(pk=source.pool_id)


def in_trouble(at, n):
    return GpuReading(
        uuid="GPU-hot", index=0, name="H100", at=at, clock_event_reasons=0x60 if n == 2 else 0x4,
        energy_mj=n * 3_600_000, power_w=690.0, power_limit_w=700.0, memory_used_bytes=2**30,
        memory_total_bytes=80 * 2**30, memory_reserved_bytes=2**29, ecc_corrected_errors=5 * n,
        ecc_uncorrected_errors=n, remapped_rows_corrected=0, remapped_rows_uncorrected=1,
        remapped_rows_pending=True, remapped_rows_failed=False, xid_errors=int(n == 1),
        last_xid=79, process_count=2, mig_mode=False,
        processes=(GpuProcess(pid=4242, memory_used_bytes=2**30, name="tritonserver"),),
    )  # fmt: skip


def sliced(at, n):
    part = MigInstance(
        uuid="MIG-1", profile="3g.40gb", gpu_instance_id=1, compute_instance_id=0,
        memory_used_bytes=2**30, memory_total_bytes=40 * 2**30,
    )  # fmt: skip
    return GpuReading(
        uuid="GPU-mig", index=1, name="H100", at=at, clock_event_reasons=0, mig_mode=True,
        ecc_corrected_errors=0, ecc_uncorrected_errors=0, remapped_rows_failed=False,
        xid_errors=0, process_count=1, mig_instances=(part,),
        processes=(GpuProcess(pid=77, mig_uuid="MIG-1"),),
    )  # fmt: skip


def silent(at):
    return GpuReading(uuid="GPU-old", index=2, name="Old card", at=at)


def test_health_is_told_by_name_and_the_unknown_is_unknown(sign_in, pool):
    page = Page(sign_in("asha").get(f"/gpus?{DAY}").text)
    rows = {row[0]: row[1:] for row in page.tables[f"health-{pool.pk}"][1:]}
    assert rows["gpu-9 #0"] == [
        "memory errors", "0.500000", "0.000000", "0.500000", "2", "10", "1", "1", "79",
    ]  # fmt: skip
    assert rows["gpu-9 #1"] == [
        "well", "0.000000", "0.000000", "0.000000", "0", "0", "", "0", "",
    ]  # fmt: skip
    assert rows["gpu-9 #2"] == ["", "", "", "", "", "", "", "", ""]
    assert "the GPU has fallen off the bus: restart the host, check power and heat" in page.words
    assert "a reset is due" in page.words


def test_the_gpus_row_tells_what_held_it_back_its_limit_and_kilowatt_hours(sign_in, pool):
    page = Page(sign_in("asha").get(f"/gpus?{DAY}").text)
    (row,) = [row for row in page.tables[f"gpus-{pool.pk}"] if row[0] == "gpu-9 #0"]
    assert (row[4], row[5], row[6]) == ("690.000", "0.002000", "0.500000")
    assert "thermal 50%, power cap 50%" in page.words
    assert "limit 700 W" in page.words
    assert "512 MiB kept by the driver" in page.words
    assert "Held back" in page.words


def test_who_uses_a_gpu_is_told_with_its_slice(sign_in, pool):
    page = Page(sign_in("asha").get(f"/gpus?{DAY}").text)
    rows = page.tables[f"users-{pool.pk}"][1:]
    assert [tuple(row[:5]) for row in rows if row[0].startswith("gpu-9")] == [
        ("gpu-9 #0", "tritonserver", "the whole GPU", "4242", "1073741824"),
        ("gpu-9 #0", "1 more process", "", "", ""),
        ("gpu-9 #1", "the whole slice", "MIG 3g.40gb", "", "1073741824"),
        ("gpu-9 #1", "a process", "MIG 3g.40gb", "77", ""),
    ]


@pytest.mark.parametrize("name", ["health", "users"])
def test_files_hold_the_same_as_the_page(sign_in, pool, name):
    client = sign_in("asha")
    page = Page(client.get(f"/gpus?{DAY}").text)
    (link,) = [href for href in page.hrefs if ".csv?" in href and f"of={name}-{pool.pk}" in href]
    written = list(csv.reader(io.StringIO(client.get(link).text)))
    assert written == page.tables[f"{name}-{pool.pk}"]


def test_the_api_says_the_same(sign_in, pool):
    answer = sign_in("asha").get(f"/api/v1/gpus?{DAY}").json()
    (told,) = [one for one in answer["data"] if one["id"] == pool.pk]
    hot, mig, old = [gpu for gpu in told["gpus"] if gpu["host"] == "gpu-9"]
    assert (hot["health"]["throttled_share"], hot["health"]["last_xid"]) == (0.5, 79)
    assert (hot["energy_kwh"], hot["power_limit_w"]) == (0.002, 700.0)
    assert hot["use"]["processes"] == [
        {"pid": 4242, "name": "tritonserver", "mig_uuid": "", "memory_used_bytes": 2**30}
    ]
    assert [part["profile"] for part in mig["use"]["mig_instances"]] == ["3g.40gb"]
    assert (old["health"]["xid_errors"], old["use"]["process_count"]) == (None, None)


def test_what_to_paste_names_the_pool_that_the_token_is_for(sign_in, pool):
    source = Source.objects.get(kind="gpu")
    page = Page(sign_in("ada").post(f"/sources/{source.pk}/tokens").text)
    assert f"export BREAKEVEN_PROBE_POOL={pool.name} python -m gpu_probe" in page.words
