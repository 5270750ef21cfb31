"""Who uses a GPU: processes and MIG instances, against NVML's calling convention."""

from gpu_probe.wire import GpuProcess, MigInstance, decode
from tests.gpu_probe.conftest import H100, SECOND

SLICED = {
    **H100,
    "mig": 1,
    "utilization": "!3",
    "mig_places": 7,
    "mig0.uuid": "MIG-aaaa",
    "mig0.name": "NVIDIA H100 80GB HBM3 MIG 3g.40gb",
    "mig0.gi": 2,
    "mig0.ci": 0,
    "mig0.memory_total": 42_412_802_048,
    "mig0.memory_used": 30_000_000_000,
    "mig0.memory_reserved": 0,
    "mig4.uuid": "MIG-bbbb",
    "mig4.name": "NVIDIA H100 80GB HBM3",
    "mig4.attributes": "3 1 40448",
    "mig4.gi": 9,
    "mig4.ci": 1,
    "processes": 2,
    "process0": "4242 1073741824 2 0",
    "process1": "4343 29000000000 2 0",
}


def read(host, *arguments, era="today"):
    done = host.probe("--once", "--print", *arguments, era=era)
    assert done.returncode == 0, done.stderr
    return decode(done.stdout.encode()).readings, done.stderr


def test_mig_instances_have_their_own_memory_and_no_utilisation(host):
    host.has(SLICED, SECOND)
    (sliced, whole), said = read(host)
    assert (sliced.mig_mode, sliced.utilization_pct) == (True, None)
    assert sliced.mig_instances == (
        MigInstance(
            uuid="MIG-aaaa",
            profile="3g.40gb",
            gpu_instance_id=2,
            compute_instance_id=0,
            memory_used_bytes=30_000_000_000,
            memory_total_bytes=42_412_802_048,
            memory_reserved_bytes=0,
        ),
        # An older driver's name has no profile: it is made from the sizes. Memory was not told.
        MigInstance(
            uuid="MIG-bbbb", profile="1c.3g.40gb", gpu_instance_id=9, compute_instance_id=1
        ),
    )
    assert (whole.mig_mode, whole.mig_instances, said) == (False, None, "")


def test_a_process_on_a_slice_is_told_with_the_slice(host):
    host.has(SLICED)
    ((reading,), _) = read(host)
    assert reading.processes == (
        GpuProcess(pid=4343, memory_used_bytes=29_000_000_000, mig_uuid="MIG-aaaa"),
        GpuProcess(pid=4242, memory_used_bytes=1_073_741_824, mig_uuid="MIG-aaaa"),
    )


def test_a_sliced_gpu_without_slices_has_none(host):
    host.has({**H100, "mig": 1, "mig_places": 7})
    ((reading,), _) = read(host)
    assert reading.mig_instances == ()


def test_slices_that_cannot_be_listed_are_unknown(host):
    host.has({**H100, "mig": 1, "mig_places": "!4"})
    (reading,), said = read(host)
    assert reading.mig_instances is None
    assert "mig_instances is unknown: Insufficient Permissions" in said


def test_one_slice_that_cannot_be_read_costs_only_itself(host):
    host.has({**SLICED, "mig0.uuid": "!999"})
    (reading,), said = read(host)
    assert [one.uuid for one in reading.mig_instances] == ["MIG-bbbb"]
    assert "mig_instances is unknown: Unknown Error" in said


def test_the_largest_processes_are_named_and_all_are_counted(host):
    host.has(
        {
            **H100,
            "processes": 3,
            "process0": "7 100",
            "process1": f"8 {2**64 - 1}",  # NVML's "not available"
            "process2": "9 300",
        }
    )
    ((reading,), _) = read(host, "--processes", "2")
    assert reading.process_count == 3
    assert reading.processes == (
        GpuProcess(pid=9, memory_used_bytes=300),
        GpuProcess(pid=7, memory_used_bytes=100),
    )
    ((reading,), _) = read(host)
    assert reading.processes[-1] == GpuProcess(pid=8, memory_used_bytes=None)
    ((reading,), _) = read(host, "--processes", "0")
    assert (reading.process_count, reading.processes) == (3, ())


def test_names_are_told_only_when_allowed_and_never_with_arguments(host):
    names = {
        "name.1000": "/opt/venv/bin/python3 -m vllm --api-key=secret",
        "name.1001": "tritonserver",
        "name.1002": "!6",  # it has ended meanwhile
    }
    host.has(H100, **names)
    ((reading,), _) = read(host)
    assert [one.name for one in reading.processes] == [None] * 3
    (reading,), said = read(host, "--process-names")
    assert [one.name for one in reading.processes] == ["python3", "tritonserver", None]
    assert "secret" not in said


def test_processes_that_may_not_be_seen_are_unknown(host):
    host.has({**H100, "processes": "!4"})
    (reading,), said = read(host)
    assert (reading.process_count, reading.processes) == (None, None)
    assert "processes is unknown: Insufficient Permissions" in said
