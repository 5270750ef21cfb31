from datetime import UTC, datetime, timedelta

import pytest

from finops.queries.loads import loads
from ingest import store
from ingest.models import Source
from ingest.rollup import roll_up
from ingest.sources.prometheus_text import parse

DAY = "from=2025-10-01&to=2025-10-02"
START = datetime(2025, 10, 1, 12, tzinfo=UTC)

SAID = """
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="llama",engine="0"}} {running}
vllm:num_requests_running{{model_name="llama",engine="1"}} 1
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{model_name="llama",engine="0"}} {waiting}
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{{model_name="llama",engine="0"}} 0.5
vllm:gpu_cache_usage_perc{{model_name="llama",engine="1"}} 0.7
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{{model="digits",version="1"}} 4
# TYPE DCGM_FI_PROF_DRAM_ACTIVE gauge
DCGM_FI_PROF_DRAM_ACTIVE{{gpu="0",UUID="GPU-1"}} 0.25
# TYPE DCGM_FI_DEV_MEM_COPY_UTIL gauge
DCGM_FI_DEV_MEM_COPY_UTIL{{gpu="0",UUID="GPU-1"}} 60
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{{cpu="0",mode="idle"}} {idle}
node_cpu_seconds_total{{cpu="0",mode="user"}} {user}
# TYPE node_memory_MemTotal_bytes gauge
node_memory_MemTotal_bytes 1000
# TYPE node_memory_MemAvailable_bytes gauge
node_memory_MemAvailable_bytes 400
# TYPE node_procs_running gauge
node_procs_running 3
"""


@pytest.fixture
def scraped(pool):
    source = Source.objects.create(kind="prometheus_text", name="All", pool=pool)
    for n, (running, waiting) in enumerate([(2, 0), (4, 6), (6, 0)]):
        text = SAID.format(running=running, waiting=waiting, idle=75 * n, user=25 * n)
        at = START + timedelta(seconds=100 * n)
        found = parse(text.encode(), at, (), instance="h:9")
        store.metrics(source, found.records, found.rejects, gpus=found.gpus)
    roll_up()
    return source


def test_host_says_how_busy_its_cpus_and_memory_were(ask, pool, scraped):
    [row] = loads(ask(DAY)).hosts

    assert (row.pool, row.host) == (pool.name, "h:9")
    assert (row.cpus, row.cpu_busy) == (1, pytest.approx(0.25))
    assert (row.memory_total_bytes, row.memory_used) == (1000, pytest.approx(0.6))
    assert (row.runnable, row.blocked, row.load_1m) == (3, None, None)


def test_servers_say_concurrency_queue_and_cache_in_one_vocabulary(ask, scraped):
    triton, vllm = loads(ask(DAY)).servers

    assert (vllm.model, vllm.server) == ("llama", "h:9")
    # Engines add up, shares of theirs do not.
    assert (vllm.running, vllm.running_most) == (pytest.approx(5), 7)
    assert (vllm.waiting, vllm.waiting_most) == (pytest.approx(2), 6)
    assert vllm.kv_cache_used == pytest.approx(0.6)
    assert (triton.model, triton.waiting, triton.running) == ("digits", 4, None)


def test_memory_bandwidth_and_time_with_memory_in_use_are_two_measures(ask, scraped):
    [row] = loads(ask(DAY)).memory

    assert (row.gpu, row.dram_active, row.memory_busy) == ("GPU-1", 0.25, pytest.approx(0.6))


def test_nothing_observed_is_nothing_said(ask, pool):
    found = loads(ask(DAY))

    assert (found.hosts, found.servers, found.memory) == ((), (), ())
