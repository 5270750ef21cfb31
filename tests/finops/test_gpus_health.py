"""The word for how a GPU is: the worst that is known, and "well" only for one that told all."""

from datetime import UTC, datetime

import pytest

from finops.queries.gpu_health import GpuHealth, GpuUse, ProcessRow
from finops.queries.gpus import GpuRow
from finops.views.gpus_health import last_xid_cell, state_cell, user_lines

NOON = datetime(2025, 10, 1, 12, tzinfo=UTC)
WELL = {"ecc_uncorrected": 0, "remap_failed": False, "xid_errors": 0}


def a_gpu(use=None, **health):
    used = {"told_at": NOON, "is_lost": False, "is_mig": False, "process_count": None,
            "processes": (), "mig_instances": ()}  # fmt: skip
    return GpuRow(
        id=1, pool="h100", host="gpu-9", index=0, name="H100", simulated=False, last_seen_at=NOON,
        utilization_pct=None, memory_used_bytes_max=None, memory_total_bytes=None,
        memory_reserved_bytes=None, power_w=None, power_limit_w=None, energy_j=None,
        throttled_samples=0, coverage=1.0, health=GpuHealth(**health),
        use=GpuUse(**{**used, **(use or {})}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("health", "said", "tone"),
    [
        ({**WELL, "ecc_uncorrected": 1, "remap_failed": True}, "replace it", "bad"),
        ({**WELL, "ecc_uncorrected": 1, "xid_errors": 5}, "memory errors", "bad"),
        ({**WELL, "remap_pending": True}, "needs a reset", "warn"),
        ({**WELL, "lost_s": 20.0, "xid_errors": 1}, "was lost", "warn"),
        ({**WELL, "xid_errors": 1, "thermal_s": 5.0}, "XID errors", "warn"),
        ({**WELL, "thermal_s": 5.0}, "too hot at times", "warn"),
        ({**WELL, "power_brake_s": 5.0}, "power brake", "warn"),
        ({**WELL, "power_cap_s": 900.0, "ecc_corrected": 9}, "well", "good"),
        ({"ecc_uncorrected": 0}, "nothing reported", ""),
        ({}, "unknown", ""),
    ],
)
def test_the_worst_that_is_known_is_the_state(health, said, tone):
    cell = state_cell(a_gpu(**health))
    assert (cell.text, cell.tone) == (said, tone)


def test_a_lost_gpu_is_lost_whatever_else_it_said():
    assert state_cell(a_gpu({"is_lost": True}, **WELL)).text == "lost"


def test_an_xid_is_told_in_words_and_an_unknown_one_points_to_the_list():
    assert last_xid_cell(GpuHealth(xid_errors=1, last_xid=48)).note.startswith("double-bit")
    assert last_xid_cell(GpuHealth(xid_errors=1, last_xid=999)).note.startswith("see NVIDIA's")
    assert last_xid_cell(GpuHealth(xid_errors=0)).text == "–"
    assert last_xid_cell(GpuHealth()).unknown


def test_processes_that_were_not_named_are_counted():
    one = ProcessRow(pid=7, name="", mig_uuid="", memory_used_bytes=None)
    lines = user_lines(a_gpu({"process_count": 4, "processes": (one,)}))
    assert [line[1].text for line in lines] == ["a process", "3 more processes"]
    assert user_lines(a_gpu({"process_count": 0})) == []
