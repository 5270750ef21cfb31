"""`/metrics`, parsed by Prometheus' own client: names, types, values, and what is not there."""

import math
import re
import socket
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpu_probe.exposition import CLOCK_REASONS, Snapshot, SpoolFigures, render
from gpu_probe.host import MODES, HostFigures
from gpu_probe.serve import AddressError, MetricsServer, parse_address
from gpu_probe.wire import GpuReading
from ingest.sources.prometheus_text import parse
from tests.gpu_probe.conftest import H100, SECOND, make_batch
from tests.gpu_probe.test_users import SLICED


def samples(text):
    """(name, labels but uuid) → value, of everything that is told."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset((k, v) for k, v in sample.labels.items() if k != "uuid")
            assert (sample.name, labels, sample.labels.get("uuid")) not in found
            found[sample.name, labels, sample.labels.get("uuid")] = sample.value
    return {(name, *sorted(labels)): value for (name, labels, _), value in found.items()}


def a_snapshot(batch, **more):
    values = {
        "batch": batch,
        "silent_gpus": 0,
        "host": HostFigures(),
        "spool": None,
        "version": "0.1.0",
    }
    return Snapshot(**{**values, **more})


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def scrape(port, path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return response.read().decode()


@pytest.fixture
def scraped(host):
    """What a probe on this hardware serves, as soon as it has read."""

    def scraped(*gpus, **more):
        host.has(*gpus, **more)
        port = free_port()
        probe = host.start("--metrics-address", f"127.0.0.1:{port}", "--interval", "0.2")
        for _ in range(200):
            try:
                return samples(scrape(port))
            except (urllib.error.URLError, ConnectionError):
                assert probe.poll() is None, probe.stderr.read()
                time.sleep(0.05)
        raise AssertionError("nothing was served")

    return scraped


def test_a_running_probe_serves_the_units_that_prometheus_wants(scraped):
    found = scraped(H100)
    gpu = ("gpu", "0")
    assert {
        name: found["breakeven_gpu_" + name, gpu]
        for name in (
            "up", "utilization_ratio", "memory_used_bytes", "memory_reserved_bytes",
            "memory_total_bytes", "power_watts", "power_limit_watts", "energy_joules_total",
            "sm_clock_hertz", "temperature_celsius", "xid_errors_total", "remapped_rows_failed",
            "processes", "mig_enabled",
        )
    } == {
        "up": 1, "utilization_ratio": 0.87, "memory_used_bytes": 64_000_000_000,
        "memory_reserved_bytes": 600_000_000, "memory_total_bytes": 85_520_809_984,
        "power_watts": 412.345, "power_limit_watts": 700.0,
        "energy_joules_total": 987_654_321.012, "sm_clock_hertz": 1_755_000_000,
        "temperature_celsius": 61, "xid_errors_total": 0, "remapped_rows_failed": 0,
        "processes": 3, "mig_enabled": 0,
    }  # fmt: skip
    assert found["breakeven_gpu_ecc_errors_total", gpu, ("kind", "corrected")] == 40
    assert found["breakeven_gpu_ecc_errors_total", gpu, ("kind", "uncorrected")] == 2
    held = {
        labels[1][1]: value
        for (name, *labels), value in found.items()
        if name == "breakeven_gpu_clock_event_reason"
    }
    assert held == {reason: float(reason == "sw_power_cap") for reason in CLOCK_REASONS.values()}
    assert found[("breakeven_gpu_probe_up",)] == 1
    assert found[("breakeven_host_memory_total_bytes",)] > 0
    assert found[("breakeven_host_load1",)] >= 0


def test_a_sliced_gpu_shows_its_slices_and_no_utilisation(scraped):
    found = scraped(SLICED)
    where = (("gpu", "0"), ("mig_uuid", "MIG-aaaa"), ("profile", "3g.40gb"))
    assert found["breakeven_gpu_mig_memory_used_bytes", *where] == 30_000_000_000
    assert not [key for key in found if key[0] == "breakeven_gpu_utilization_ratio"]


def test_two_gpus_are_told_apart(scraped):
    assert {key[1] for key in scraped(H100, SECOND) if key[0] == "breakeven_gpu_power_watts"} == {
        ("gpu", "0"),
        ("gpu", "1"),
    }


def test_what_is_unknown_has_no_line():
    reading = GpuReading(uuid="GPU-1", index=0, name="H100", at=1.75e9)
    found = samples(render(a_snapshot(make_batch(readings=(reading,)))))
    assert {key[0] for key in found} == {
        "breakeven_gpu_probe_info",
        "breakeven_gpu_probe_up",
        "breakeven_gpu_probe_silent_gpus",
        "breakeven_gpu_info",
        "breakeven_gpu_up",
        "breakeven_gpu_sample_timestamp_seconds",
    }


def test_while_the_driver_is_away_only_the_probe_and_the_host_speak():
    found = samples(render(a_snapshot(None, silent_gpus=2, host=HostFigures(load_1m=1.5))))
    assert found == {
        ("breakeven_gpu_probe_info", ("version", "0.1.0")): 1,
        ("breakeven_gpu_probe_up",): 0,
        ("breakeven_gpu_probe_silent_gpus",): 2,
        ("breakeven_host_load1",): 1.5,
    }


def test_xid_errors_are_a_counter_since_the_start_and_the_spool_shows_its_losses():
    reading = GpuReading(
        uuid="GPU-1", index=0, name="H100", at=1.75e9, xid_errors=1, last_xid=79, lost=True
    )
    found = samples(
        render(
            a_snapshot(
                make_batch(readings=(reading,)),
                xid_totals=Counter({"GPU-1": 5}),
                spool=SpoolFigures(waiting=3, waiting_bytes=900, rejected=1, dropped=7),
            )
        )
    )
    gpu = ("gpu", "0")
    assert (found["breakeven_gpu_up", gpu], found["breakeven_gpu_last_xid", gpu]) == (0, 79)
    assert found["breakeven_gpu_xid_errors_total", gpu] == 5
    assert found[("breakeven_gpu_probe_dropped_batches_total",)] == 7
    assert found[("breakeven_gpu_probe_spool_batches",)] == 3


def test_a_name_with_quotes_and_lines_is_escaped():
    name = 'A "good\\bad" GPU'
    reading = GpuReading(uuid="GPU-1", index=0, name=name, at=1.75e9)
    found = samples(render(a_snapshot(make_batch(readings=(reading,)))))
    (labels,) = [dict(key[1:]) for key in found if key[0] == "breakeven_gpu_info"]
    assert labels["model"] == name


def test_every_name_follows_the_conventions(scraped):
    for key, value in scraped(SLICED, SECOND).items():
        assert re.fullmatch(r"breakeven_(gpu|host)_[a-z0-9_]+", key[0])
        assert math.isfinite(value)
    families = list(
        text_string_to_metric_families(
            render(a_snapshot(make_batch(), host=HostFigures(cpu_seconds={"0": {"idle": 1.0}})))
        )
    )
    assert all(family.documentation for family in families)
    assert {f.name for f in families if f.type == "counter"} == {"breakeven_host_cpu_seconds"}


def test_our_own_source_of_prometheus_metrics_reads_the_host_from_it():
    """So that a host without a node exporter is on the page *Hosts & servers* all the same."""
    figures = HostFigures(
        cpu_seconds={"0": dict.fromkeys(MODES, 1.0), "1": dict.fromkeys(MODES, 2.0)},
        memory_total_bytes=16,
        memory_available_bytes=4,
        load_1m=0.5,
    )
    page = render(a_snapshot(make_batch(), host=figures))
    found = parse(page.encode(), datetime(2025, 10, 1, tzinfo=UTC), (), instance="gpu-7:9835")
    values = {record.series.name: record.value for record in found.records}
    assert values == {
        "host_cpu_seconds": 24.0,
        "host_cpu_busy_seconds": 18.0,
        "host_cpus": 2.0,
        "host_memory_total_bytes": 16.0,
        "host_memory_available_bytes": 4.0,
        "host_load_1m": 0.5,
    }
    assert (found.gpus, found.rejects) == ([], [])


def test_only_metrics_is_served():
    server = MetricsServer("127.0.0.1", 0)
    try:
        for path, status in (("/", 404), ("/metrics/x", 404), ("/metrics", 503)):
            with pytest.raises(urllib.error.HTTPError) as caught:
                scrape(server.port, path)
            with caught.value as answer:
                assert answer.code == status
        server.show(a_snapshot(make_batch()))
        assert "breakeven_gpu_up" in scrape(server.port, "/metrics?x=1")
    finally:
        server.close()


def test_an_address_in_use_is_told_with_the_fix():
    server = MetricsServer("127.0.0.1", 0)
    try:
        with pytest.raises(AddressError, match="give --metrics-address another address, or 'off'"):
            MetricsServer("127.0.0.1", server.port)
    finally:
        server.close()


def test_a_chosen_address_in_use_is_a_wrong_command_line(host):
    server = MetricsServer("127.0.0.1", 0)
    try:
        done = host.probe("--metrics-address", f"127.0.0.1:{server.port}")
    finally:
        server.close()
    assert done.returncode == 2
    assert "cannot be served" in done.stderr


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9835", ("127.0.0.1", 9835)),
        ("[::1]:9835", ("::1", 9835)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
    ],
)
def test_an_address_is_a_host_and_a_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["9835", ":9835", "::1:9835", "localhost:", "h:70000", "h:x"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r"is no (address|port)"):
        parse_address(text)
