"""The probe against NVML's calling convention: real nvidia-ml-py, a library of our own."""

import json
import signal

import pytest

from gpu_probe.wire import GpuProcess, GpuReading, decode
from tests.gpu_probe.conftest import H100, SECOND


def without(gpu, *keys):
    return {key: value for key, value in gpu.items() if key not in keys}


def test_a_reading_has_the_units_its_names_say(host):
    host.has(H100)
    batch, said = host.look()
    (reading,) = batch.readings
    assert reading == GpuReading(
        uuid=H100["uuid"],
        index=0,
        name="NVIDIA H100 80GB HBM3",
        at=reading.at,
        utilization_pct=87.0,
        memory_used_bytes=64_000_000_000,
        memory_total_bytes=85_520_809_984,
        memory_reserved_bytes=600_000_000,
        power_w=412.345,
        power_limit_w=700.0,
        energy_mj=987_654_321_012,
        sm_clock_mhz=1755,
        temperature_c=61,
        clock_event_reasons=4,
        ecc_uncorrected_errors=2,
        mig_mode=False,
        process_count=3,
        ecc_corrected_errors=40,
        remapped_rows_corrected=1,
        remapped_rows_uncorrected=2,
        remapped_rows_pending=False,
        remapped_rows_failed=False,
        xid_errors=0,
        processes=tuple(GpuProcess(pid=1000 + n, memory_used_bytes=2**20) for n in range(3)),
    )
    assert (batch.driver_version, batch.simulated, said) == ("570.124.06", False, "")


def test_zero_is_told_apart_from_unknown(host):
    idle = {**H100, "utilization": 0, "power_mw": 0, "energy_mj": 0, "processes": 0}
    host.has(idle, without(SECOND, "utilization", "power_mw", "energy_mj", "processes"))
    batch, said = host.look()
    measured = [
        (r.utilization_pct, r.power_w, r.energy_mj, r.process_count) for r in batch.readings
    ]
    assert measured == [(0.0, 0.0, 0, 0), (None, None, None, None)]
    assert said == ""  # not supported is no fault


def test_a_gpu_that_supports_nothing_still_says_that_it_is_there(host):
    host.has({"uuid": "GPU-x", "name": "Old card"})
    (reading,) = host.look()[0].readings
    assert reading == GpuReading(uuid="GPU-x", index=0, name="Old card", at=reading.at)


def test_an_older_driver_is_asked_by_the_older_names(host):
    host.has(H100)
    (reading,) = host.look(era="old")[0].readings
    # Its memory call counts the driver's own share as used and cannot tell it apart.
    assert reading.memory_used_bytes == 64_600_000_000
    assert reading.memory_reserved_bytes is None
    assert (reading.temperature_c, reading.clock_event_reasons, reading.process_count) == (61, 4, 3)
    # It has neither rows to remap nor events to wait for.
    assert (reading.remapped_rows_corrected, reading.xid_errors) == (None, None)


def test_mig_mode_is_seen_and_utilisation_is_then_unknown(host):
    host.has({**H100, "mig": 1, "utilization": "!3"})
    (reading,) = host.look()[0].readings
    assert (reading.mig_mode, reading.utilization_pct) == (True, None)


def test_a_gpu_that_was_lost_before_is_left_out_and_the_other_goes_on(host):
    host.has({**H100, "handle": "!15"}, SECOND)
    batch, said = host.look()
    assert [(r.index, r.uuid) for r in batch.readings] == [(1, SECOND["uuid"])]
    assert "GPU 0 gives no figures until it answers again: GPU is lost" in said


@pytest.mark.parametrize("where", ["utilization", "processes", "remapped"])
def test_a_gpu_that_is_lost_meanwhile_is_told_as_lost_and_nothing_else_of_it(host, where):
    host.has({**H100, where: "!15"}, SECOND)
    batch, _ = host.look()
    lost, other = batch.readings
    assert lost == GpuReading(
        uuid=H100["uuid"], index=0, name=H100["name"], at=lost.at, lost=True, xid_errors=0
    )
    assert (other.lost, other.utilization_pct) == (False, 87.0)


def test_an_unexpected_error_makes_one_value_unknown_and_is_said(host):
    host.has({**H100, "power_mw": "!999"})
    batch, said = host.look()
    assert (batch.readings[0].power_w, batch.readings[0].utilization_pct) == (None, 87.0)
    assert f"{H100['uuid']}: power_w is unknown: Unknown Error" in said


def test_an_impossible_value_is_unknown_and_the_rest_is_kept(host):
    host.has({**H100, "utilization": 0xFFFFFFFF, "memory_used": 90_000_000_000})
    batch, said = host.look()
    (reading,) = batch.readings
    assert (reading.utilization_pct, reading.memory_used_bytes) == (None, None)
    assert (reading.memory_total_bytes, reading.energy_mj) == (85_520_809_984, 987_654_321_012)
    assert "utilization_pct is unknown: must be from 0 to 100" in said


def test_without_a_library_the_probe_says_so_and_ends_with_code_3(host):
    done = host.probe("--once", "--print", era=None)
    assert (done.returncode, done.stdout, done.stderr) == (
        3,
        "",
        "No GPU telemetry: libnvidia-ml.so.1 was not found; install the NVIDIA driver,"
        " or start the container with the GPUs ('--gpus all').\n",
    )


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        ({"init": "!9"}, "the NVIDIA kernel driver is not loaded; run 'nvidia-smi'"),
        ({"init": "!18"}, "different versions; reboot after a driver update."),
        ({"init": "!4"}, "this user may not open the GPUs; give it access to /dev/nvidia*."),
        ({"init": "!999"}, "NVML answers 'Unknown Error'; run 'nvidia-smi'"),
    ],
)
def test_a_host_without_a_working_driver_gets_one_sentence_and_code_3(host, hardware, said):
    host.has(**hardware)
    done = host.probe("--once", "--print")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.startswith("No GPU telemetry: ")
    assert said in done.stderr


def test_a_host_without_a_gpu_gets_one_sentence_and_a_code_of_its_own(host):
    host.has()
    done = host.probe("--once", "--print")
    assert (done.returncode, done.stdout, done.stderr) == (
        6,
        "",
        "No GPU telemetry: the NVIDIA driver sees no GPU on this host;"
        " check 'nvidia-smi -L', and in a container that it was given the GPUs.\n",
    )


def test_when_every_gpu_is_lost_nothing_is_printed_and_the_code_is_1(host):
    host.has({**H100, "handle": "!15"})
    done = host.probe("--once", "--print")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("ERROR no GPU answers; nothing is sent for this moment\n")


def test_the_hardware_may_change_while_the_probe_looks(host):
    """Energy counts, a GPU is lost and comes back with its counter at nought."""
    host.has({**H100, "energy_mj": 5_000})
    probe = host.start("--print", "--interval", "0.2")

    def next_reading():
        (reading,) = decode(probe.stdout.readline().encode()).readings
        return reading

    assert next_reading().energy_mj == 5_000
    host.has({**H100, "energy_mj": 417_000})
    assert 417_000 in (next_reading().energy_mj, next_reading().energy_mj)
    host.has({**H100, "handle": "!15"})
    while not (lost := next_reading()).lost:
        pass
    assert (lost.uuid, lost.energy_mj) == (H100["uuid"], None)
    host.has({**H100, "energy_mj": 12})
    while (back := next_reading()).lost:
        pass
    assert back.energy_mj == 12


def test_a_driver_that_is_loaded_anew_is_opened_again(host):
    host.has({**H100, "energy_mj": 5_000})
    probe = host.start("--print", "--interval", "0.2")

    def next_reading():
        return decode(probe.stdout.readline().encode()).readings[0]

    assert next_reading().energy_mj == 5_000
    host.has({**H100, "energy_mj": 7}, epoch=1, init="!9")
    while "Readings go on when the driver is back." not in probe.stderr.readline():
        pass
    host.has({**H100, "energy_mj": 7}, epoch=1, driver="575.1")
    while (batch := decode(probe.stdout.readline().encode())).readings[0].energy_mj != 7:
        pass
    assert batch.driver_version == "575.1"
    while "NVML answers again" not in probe.stderr.readline():
        pass
    probe.send_signal(signal.SIGTERM)
    assert probe.wait(timeout=10) == 0


def test_a_driver_of_another_version_ends_the_probe_because_only_a_restart_helps(host):
    probe = host.start("--print", "--interval", "0.2")
    probe.stdout.readline()
    host.has({**H100, "handle": "!18"})
    assert probe.wait(timeout=10) == 3
    assert "different versions; reboot after a driver update." in probe.stderr.read()


def test_what_is_printed_is_one_compact_json_a_line(host):
    line = host.probe("--once", "--print").stdout
    assert line == json.dumps(json.loads(line), separators=(",", ":"), ensure_ascii=False) + "\n"
