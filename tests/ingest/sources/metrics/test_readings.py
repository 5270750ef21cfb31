"""What exporters said, in old words and new ones, as one series."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.sources.metrics.readings import DCGM_BLANKS, Said, labels_of, read
from ingest.sources.metrics.sets import MEANINGS, SETS

NOW = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
ALL = tuple(SETS)
GPU = {"gpu": "3", "UUID": "GPU-1", "modelName": "NVIDIA H100", "Hostname": "node-7"}


def said(name, value, at=NOW, kind="untyped", **labels):
    return Said(name, labels_of(labels), [(at, value)], kind)


def values(found):
    return {(record.series.name, record.series.labels): record.value for record in found.records}


def test_names_are_told_once_over_all_sets():
    said_names = [name for metrics in SETS.values() for m in metrics for name in m.said]

    assert len(said_names) == len(set(said_names)) == len(MEANINGS)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc", "serving_kv_cache_used_ratio"),
        (
            "vllm:time_per_output_token_seconds_sum", "vllm:inter_token_latency_seconds_sum",
            "vllm:inter_token_latency_seconds_sum",
        ),
        ("node_memory_MemTotal", "node_memory_MemTotal_bytes", "host_memory_total_bytes"),
        ("dcgm_dram_active", "DCGM_FI_PROF_DRAM_ACTIVE", "gpu_dram_active_ratio"),
    ],
)  # fmt: skip
def test_renamed_series_goes_on_as_the_same(old, new, name):
    before = read([said(old, 0.25, model_name="m")], ALL)
    after = read([said(new, 0.25, model_name="m")], ALL)
    both = read([said(old, 0.25, model_name="m"), said(new, 0.5, model_name="m")], ALL)

    assert before.records == after.records
    assert [(r.series.name, r.value) for r in both.records] == [(name, 0.5)]
    assert both.rejects == []


def test_kind_and_unit_are_those_of_the_set():
    [record] = read([said("nv_inference_queue_duration_us", 5)], ALL).records

    assert (record.series.kind, record.series.unit) == ("counter", "us")


def test_set_that_is_not_wanted_is_left_where_it_is():
    assert read([said("nv_inference_count", 5)], ["vllm"]).records == []


def test_dcgm_readings_are_readings_of_the_gpu():
    found = read(
        [
            said("DCGM_FI_DEV_GPU_UTIL", 87, **GPU),
            said("DCGM_FI_DEV_FB_USED", 1024, **GPU),
            said("DCGM_FI_DEV_FB_FREE", 79000, **GPU),
            said("DCGM_FI_DEV_POWER_USAGE", 412.5, **GPU),
            said("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", 123456789, **GPU),
            said("DCGM_FI_DEV_CLOCK_THROTTLE_REASONS", 4, **GPU),
        ],
        ALL,
    )

    [batch] = found.gpus
    [gpu] = batch.readings
    assert (batch.host, batch.simulated) == ("node-7", False)
    assert (gpu.uuid, gpu.index, gpu.name) == ("GPU-1", 3, "NVIDIA H100")
    assert gpu.at == NOW.timestamp()
    assert (gpu.utilization_pct, gpu.power_w, gpu.energy_mj) == (87.0, 412.5, 123456789)
    assert (gpu.memory_used_bytes, gpu.memory_total_bytes) == (1024 * 2**20, 80024 * 2**20)
    assert gpu.clock_event_reasons == 4
    assert gpu.temperature_c is None
    assert found.records == []


def test_old_exporters_words_give_the_same_gpu():
    labels = {"gpu": "3", "uuid": "GPU-1", "modelName": "NVIDIA H100", "hostname": "node-7"}
    old = [said("dcgm_gpu_utilization", 87, **labels), said("dcgm_fb_used", 1024, **labels)]
    new = [said("DCGM_FI_DEV_GPU_UTIL", 87, **GPU), said("DCGM_FI_DEV_FB_USED", 1024, **GPU)]

    assert read(old, ALL).gpus == read(new, ALL).gpus


@pytest.mark.parametrize("blank", sorted(DCGM_BLANKS))
def test_what_dcgm_cannot_measure_is_unknown(blank):
    found = read(
        [said("DCGM_FI_DEV_GPU_UTIL", 5, **GPU), said("DCGM_FI_DEV_POWER_USAGE", blank, **GPU)], ALL
    )

    assert found.gpus[0].readings[0].power_w is None
    assert [(r.reason, r.external_id) for r in found.rejects] == [
        ("not_supported", "DCGM_FI_DEV_POWER_USAGE")
    ]


def test_impossible_value_costs_itself_and_not_the_gpu():
    found = read(
        [said("DCGM_FI_DEV_GPU_UTIL", 5, **GPU), said("DCGM_FI_DEV_POWER_USAGE", 4e6, **GPU)], ALL
    )

    assert found.gpus[0].readings[0].utilization_pct == 5
    assert found.gpus[0].readings[0].power_w is None
    assert [(r.reason, r.field) for r in found.rejects] == [("impossible_value", "power_w")]


def test_engine_activity_stands_in_where_utilisation_is_not_told():
    found = read([said("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5, **GPU)], ALL)

    assert found.gpus[0].readings[0].utilization_pct == 50
    assert [record.series.name for record in found.records] == ["gpu_engine_active_ratio"]


def test_slice_of_a_gpu_is_a_series_and_not_the_gpu():
    found = read([said("DCGM_FI_DEV_FB_USED", 2, **GPU, GPU_I_ID="7", GPU_I_PROFILE="1g")], ALL)

    assert found.gpus == []
    assert [(r.series.name, r.value) for r in found.records] == [("gpu_memory_used_bytes", 2**21)]


def test_gpu_shared_by_pods_is_read_once():
    found = read([said("DCGM_FI_DEV_GPU_UTIL", 5, **GPU, pod=pod) for pod in ("one", "two")], ALL)

    assert [gpu.utilization_pct for gpu in found.gpus[0].readings] == [5]
    assert found.rejects == []


def test_memory_activity_has_two_measures_that_are_not_mixed():
    found = read(
        [said("DCGM_FI_PROF_DRAM_ACTIVE", 0.3, UUID="u"), said("DCGM_FI_DEV_MEM_COPY_UTIL", 60,
                                                               UUID="u")],
        ALL,
    )  # fmt: skip

    assert {record.series.name: record.value for record in found.records} == {
        "gpu_dram_active_ratio": 0.3,
        "gpu_memory_busy_ratio": 0.6,
    }


def test_cpus_of_a_host_are_summed():
    modes = {"idle": 100.0, "iowait": 5.0, "user": 30.0, "system": 10.0}
    found = read(
        [
            said("node_cpu_seconds_total", seconds, cpu=str(cpu), mode=mode, instance="n:9100")
            for cpu in range(2)
            for mode, seconds in modes.items()
        ],
        ALL,
    )

    labels = (("instance", "n:9100"),)
    assert values(found) == {
        ("host_cpu_seconds", labels): 290.0,
        ("host_cpu_busy_seconds", labels): 80.0,
        ("host_cpus", labels): 2.0,
    }


def test_sum_with_a_part_missing_is_unknown():
    """It would look as if the counter had fallen."""
    found = read(
        [
            said("node_cpu", 5, cpu="0", mode="user"),
            said("node_cpu", float("nan"), cpu="1", mode="user"),
        ],
        ALL,
    )

    assert found.records == []
    assert [reject.reason for reject in found.rejects] == ["not_finite"]


def test_reject_of_what_was_read_before_is_not_told_again():
    bad = [
        said("nv_inference_count", float("nan"), at=NOW + timedelta(minutes=minute))
        for minute in (0, 1)
    ]

    assert len(read(bad, ALL, read_until=NOW).rejects) == 1
