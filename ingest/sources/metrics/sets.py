"""The ready-made sets of metrics: what each exporter calls a thing, and under what name we keep it.

Knows names, old and new, with their kinds and units. Pure data: no network, no database. One name
of ours for one thing, so that a reading is the same series through whichever door it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

MEBIBYTE = 2.0**20

RUNNING = "serving_requests_running"
WAITING = "serving_requests_waiting"
KV_CACHE_USED = "serving_kv_cache_used_ratio"
DRAM_ACTIVE = "gpu_dram_active_ratio"
MEMORY_BUSY = "gpu_memory_busy_ratio"
ENGINE_ACTIVE = "gpu_engine_active_ratio"
CPU_SECONDS = "host_cpu_seconds"
CPU_BUSY_SECONDS = "host_cpu_busy_seconds"
CPUS = "host_cpus"
MEMORY_TOTAL = "host_memory_total_bytes"
MEMORY_AVAILABLE = "host_memory_available_bytes"
LOAD = "host_load_1m"
PROCESSES_RUNNABLE = "host_processes_runnable"
PROCESSES_BLOCKED = "host_processes_blocked"

OURS = "breakeven_host"
"""What the GPU probe's own `/metrics` says of its host, for hosts without a node exporter."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured. `said` are the exporter's names for it, the newest first."""

    name: str
    """Ours where several servers have the thing, else the exporter's newest."""
    kind: str
    unit: str
    said: tuple[str, ...]
    factor: float = 1.0
    """Ours = theirs × factor."""
    gpu: str = ""
    """The field of a GPU reading that it fills: the GPU pages read those, not series."""
    per_cpu: bool = False
    """Told per CPU and mode; kept as sums of a host."""


def _counter(name: str, unit: str = "", *older: str) -> Metric:
    return Metric(name, "counter", unit, (name, *older))


def _mean(name: str, unit: str, *older: str) -> tuple[Metric, Metric]:
    """The two counters of a summary or histogram from which a mean comes."""
    sums, counts = (tuple(f"{said}_{part}" for said in (name, *older)) for part in ("sum", "count"))
    return (
        Metric(f"{name}_sum", "counter", unit, sums),
        Metric(f"{name}_count", "counter", "", counts),
    )


def _gauge(name: str, unit: str, *said: str, factor: float = 1.0) -> Metric:
    return Metric(name, "gauge", unit, said, factor)


def _gpu(field: str, unit: str, *said: str, factor: float = 1.0, kind: str = "gauge") -> Metric:
    return Metric(f"gpu_{field}", kind, unit, said, factor, gpu=field)


TRITON = (
    _counter("nv_inference_request_success"),
    _counter("nv_inference_request_failure"),
    _counter("nv_inference_count"),
    _counter("nv_inference_exec_count"),
    _counter("nv_inference_request_duration_us", "us"),
    _counter("nv_inference_queue_duration_us", "us"),
    _counter("nv_inference_compute_input_duration_us", "us"),
    _counter("nv_inference_compute_infer_duration_us", "us"),
    _counter("nv_inference_compute_output_duration_us", "us"),
    _gauge(WAITING, "", "nv_inference_pending_request_count"),
    _counter("nv_cache_num_hits_per_model"),
    _counter("nv_cache_num_misses_per_model"),
    # Told as gauges, and yet they only grow until the server restarts.
    _counter("nv_cache_num_hits"),
    _counter("nv_cache_num_misses"),
    _gauge("nv_cache_util", "ratio", "nv_cache_util"),
    _gauge("nv_cpu_utilization", "ratio", "nv_cpu_utilization"),
    _gauge("nv_cpu_memory_used_bytes", "bytes", "nv_cpu_memory_used_bytes"),
)
"""`nv_gpu_…` is left to DCGM and the probe: Triton's energy counter starts with Triton."""

VLLM = (
    _gauge(RUNNING, "", "vllm:num_requests_running"),
    _gauge(WAITING, "", "vllm:num_requests_waiting"),
    _gauge(KV_CACHE_USED, "ratio", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    _counter("vllm:num_preemptions_total"),
    _counter("vllm:prompt_tokens_total"),
    _counter("vllm:generation_tokens_total"),
    _counter("vllm:request_success_total"),
    _counter("vllm:prefix_cache_queries_total", "", "vllm:gpu_prefix_cache_queries_total"),
    _counter("vllm:prefix_cache_hits_total", "", "vllm:gpu_prefix_cache_hits_total"),
    *_mean("vllm:time_to_first_token_seconds", "s"),
    *_mean("vllm:inter_token_latency_seconds", "s", "vllm:time_per_output_token_seconds"),
    *_mean("vllm:e2e_request_latency_seconds", "s"),
    *_mean("vllm:request_queue_time_seconds", "s", "vllm:time_in_queue_requests"),
)

DCGM = (
    _gpu("utilization_pct", "%", "DCGM_FI_DEV_GPU_UTIL", "dcgm_gpu_utilization"),
    _gpu("memory_used_bytes", "bytes", "DCGM_FI_DEV_FB_USED", "dcgm_fb_used", factor=MEBIBYTE),
    _gpu("memory_free_bytes", "bytes", "DCGM_FI_DEV_FB_FREE", "dcgm_fb_free", factor=MEBIBYTE),
    _gpu(
        "memory_reserved_bytes", "bytes", "DCGM_FI_DEV_FB_RESERVED", "dcgm_fb_reserved",
        factor=MEBIBYTE,
    ),
    _gpu("memory_total_bytes", "bytes", "DCGM_FI_DEV_FB_TOTAL", "dcgm_fb_total", factor=MEBIBYTE),
    _gpu("power_w", "W", "DCGM_FI_DEV_POWER_USAGE", "dcgm_power_usage"),
    _gpu(
        "power_limit_w", "W",
        "DCGM_FI_DEV_ENFORCED_POWER_LIMIT", "DCGM_FI_DEV_POWER_MGMT_LIMIT",
    ),
    _gpu(
        "energy_mj", "mJ",
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "dcgm_total_energy_consumption", kind="counter",
    ),
    _gpu("sm_clock_mhz", "MHz", "DCGM_FI_DEV_SM_CLOCK", "dcgm_sm_clock"),
    _gpu("temperature_c", "°C", "DCGM_FI_DEV_GPU_TEMP", "dcgm_gpu_temp"),
    _gpu(
        "clock_event_reasons", "",
        "DCGM_FI_DEV_CLOCKS_EVENT_REASONS", "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS",
        "dcgm_clock_throttle_reasons",
    ),
    _gpu(
        "ecc_uncorrected_errors", "",
        "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL", "dcgm_ecc_dbe_volatile_total", kind="counter",
    ),
    _gauge(DRAM_ACTIVE, "ratio", "DCGM_FI_PROF_DRAM_ACTIVE", "dcgm_dram_active"),
    # The share of time in which memory was touched at all; not how much of its bandwidth was used.
    _gauge(
        MEMORY_BUSY, "ratio", "DCGM_FI_DEV_MEM_COPY_UTIL", "dcgm_mem_copy_utilization", factor=0.01
    ),
    _gauge(ENGINE_ACTIVE, "ratio", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "dcgm_gr_engine_active"),
    _gauge("gpu_sm_active_ratio", "ratio", "DCGM_FI_PROF_SM_ACTIVE", "dcgm_sm_active"),
    _gauge("gpu_sm_occupancy_ratio", "ratio", "DCGM_FI_PROF_SM_OCCUPANCY", "dcgm_sm_occupancy"),
    _gauge(
        "gpu_tensor_active_ratio", "ratio",
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "dcgm_tensor_active",
    ),
    _gauge("gpu_memory_clock_mhz", "MHz", "DCGM_FI_DEV_MEM_CLOCK", "dcgm_memory_clock"),
    _gauge("gpu_memory_temperature_c", "°C", "DCGM_FI_DEV_MEMORY_TEMP", "dcgm_memory_temp"),
    _gauge("gpu_last_xid_error", "", "DCGM_FI_DEV_XID_ERRORS", "dcgm_xid_errors"),
)  # fmt: skip

NODE = (
    Metric(
        CPU_SECONDS,
        "counter",
        "s",
        ("node_cpu_seconds_total", "node_cpu", f"{OURS}_cpu_seconds_total"),
        per_cpu=True,
    ),
    _gauge(
        MEMORY_TOTAL,
        "bytes",
        "node_memory_MemTotal_bytes",
        "node_memory_MemTotal",
        f"{OURS}_memory_total_bytes",
    ),
    _gauge(
        MEMORY_AVAILABLE,
        "bytes",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemAvailable",
        f"{OURS}_memory_available_bytes",
    ),
    _gauge(LOAD, "", "node_load1", f"{OURS}_load1"),
    _gauge(PROCESSES_RUNNABLE, "", "node_procs_running"),
    _gauge(PROCESSES_BLOCKED, "", "node_procs_blocked"),
)

SETS: MappingProxyType[str, tuple[Metric, ...]] = MappingProxyType(
    {"triton": TRITON, "vllm": VLLM, "dcgm": DCGM, "node": NODE}
)

LABELS = {"triton": "Triton", "vllm": "vLLM", "dcgm": "DCGM", "node": "node exporter"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one name of an exporter stands for."""

    set: str
    metric: Metric
    rank: int
    """0 is the newest name: it goes before an older one that is told beside it."""


MEANINGS: MappingProxyType[str, Meaning] = MappingProxyType(
    {
        said: Meaning(name, metric, rank)
        for name, metrics in SETS.items()
        for metric in metrics
        for rank, said in enumerate(metric.said)
    }
)
