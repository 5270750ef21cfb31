import pytest

from gpu_probe.host import Host, HostFigures

STAT = """cpu  20 0 20 140 20 0 0 0 0 0
cpu0 10 0 10 70 10 0 0 0 0 0
cpu1 10 0 10 70 10 0 0 0 0 0
intr 12345
"""
LATER = """cpu  120 0 20 240 20 0 0 0 0 0
cpu0 110 0 10 70 10 0 0 0 0 0
cpu1 10 0 10 170 10 0 0 0 0 0
"""


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "meminfo").write_text("MemTotal:  16000 kB\nMemAvailable: 4000 kB\nHugePages: 3\n")
    (tmp_path / "loadavg").write_text("0.50 1.25 2.00 3/456 789\n")
    return tmp_path


def test_the_host_is_read_in_seconds_bytes_and_shares(proc):
    host = Host(proc)
    first = host.look()
    assert first.cpu_seconds["1"] == {
        "user": 0.1, "nice": 0.0, "system": 0.1, "idle": 0.7, "iowait": 0.1, "irq": 0.0,
        "softirq": 0.0, "steal": 0.0,
    }  # fmt: skip
    assert (first.memory_total_bytes, first.memory_available_bytes) == (16_384_000, 4_096_000)
    assert (first.load_1m, first.load_5m, first.load_15m) == (0.5, 1.25, 2.0)
    assert first.cpu_utilization is None  # a share needs two looks
    (proc / "stat").write_text(LATER)
    assert host.look().cpu_utilization == pytest.approx(0.5)


def test_what_proc_does_not_say_is_unknown(tmp_path):
    assert Host(tmp_path).look() == HostFigures()


def test_counters_that_stand_still_are_no_share(proc):
    host = Host(proc)
    host.look()
    assert host.look().cpu_utilization is None


def test_this_machine_has_processors_and_memory():
    figures = Host().look()
    assert figures.cpu_seconds["0"]["idle"] > 0
    assert figures.memory_total_bytes > figures.memory_available_bytes > 0
