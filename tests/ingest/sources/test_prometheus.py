"""Pulls from a real Prometheus: resets, gaps, NaN, renames, a burst, and both doors alike."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ingest import rollup, store
from ingest.models import (
    GpuQuarter,
    GpuSample,
    MetricSample,
    Reject,
    Series,
    SeriesQuarter,
    Source,
)
from ingest.sources import REGISTRY
from ingest.sources.base import FetchError
from tests.ingest.sources.real_prometheus import Exporter, prometheus, wait_for

NOW = datetime.now(UTC).replace(second=0, microsecond=0)
BEGAN = (NOW - timedelta(hours=6)).replace(minute=0)
MINUTE = timedelta(minutes=1)
SCRAPE_S = 15
GPU = 'gpu="0",UUID="GPU-1",modelName="NVIDIA H100",Hostname="node-7"'
INSTANCE = 'instance="triton:8002",job="triton"'
GAP = range(15, 23)
"""Minutes in which nothing was scraped."""


def past():
    """Half an hour: a counter reset at 10:07, a gap, a rename at 12, NaN at 3, a cap at 5."""
    lines = {}
    for place in range(0, 30 * 60 // SCRAPE_S + 1):
        second = place * SCRAPE_S
        minute = second / 60
        at = int(BEGAN.timestamp()) + second
        if int(minute) in GAP:
            continue

        def tell(name, labels, value, at=at):
            lines.setdefault(name, []).append(f"{name}{{{labels}}} {value} {at}")

        tell(
            "nv_inference_request_success",
            f'model="digits",version="1",{INSTANCE}',
            # It begins again in the middle of a step, and is past its old value at the next.
            4 * place if second < 607 else 1 + 100 * (place - 41),
        )
        tell("nv_cache_util", INSTANCE, "NaN" if second == 180 else 0.5)
        kv = "vllm:gpu_cache_usage_perc" if minute < 12 else "vllm:kv_cache_usage_perc"
        tell(kv, f'model_name="m",{INSTANCE}', 0.25)
        for cpu in (0, 1):
            for mode, share in (("idle", 0.75), ("user", 0.25)):
                tell("node_cpu_seconds_total", f'cpu="{cpu}",mode="{mode}",{INSTANCE}',
                     1000 + share * second)  # fmt: skip
        tell("DCGM_FI_DEV_GPU_UTIL", f"{GPU},{INSTANCE}", 40)
        tell("DCGM_FI_DEV_POWER_USAGE", f"{GPU},{INSTANCE}", 9223372036854775794)
        tell("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", f"{GPU},{INSTANCE}", 400_000 * second)
        tell("app_queue_depth", f'shard="{place % 2}",{INSTANCE}', place)
    return "\n".join(line for group in lines.values() for line in group) + "\n# EOF\n"


@pytest.fixture(scope="module")
def exporter():
    exporter = Exporter()
    yield exporter
    exporter.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory, exporter):
    with prometheus(tmp_path_factory.mktemp("prometheus"), past(), exporter) as url:
        yield url


@pytest.fixture(autouse=True)
def loopback_allowed(settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]


@pytest.fixture
def pulled(server, pool):
    """Stores what a pull of a source of this configuration brings, as the worker does."""

    def pull(now=BEGAN + 30 * MINUTE, since=BEGAN, **config):
        source = Source.objects.get_or_create(
            name="Prometheus", defaults={"kind": "prometheus", "pool": pool}
        )[0]
        pages = REGISTRY["prometheus"].fetch(
            {"url": server, **config}, source.cursor or {"to": since.isoformat()}, now
        )
        counts = []
        for page in pages:
            counts.append(
                store.metrics(
                    source, page.records, page.rejects, gpus=page.gpus, position=page.cursor
                )
            )
        source.refresh_from_db()
        return source, sum(counts[1:], counts[0]) if counts else None

    return pull


def quarters(name):
    found = SeriesQuarter.objects.filter(series_id=Series.objects.get(name=name).pk)
    return {(row.at - BEGAN) // MINUTE: row for row in found}


@pytest.mark.django_db
class TestHistory:
    def test_past_is_read_with_its_reset_gap_and_rename(self, pulled):
        source, counts = pulled()
        rollup.roll_up(1000)

        assert source.cursor == {"to": (BEGAN + 30 * MINUTE).isoformat()}
        assert counts.rows_in == counts.inserted + counts.unchanged + counts.rejected
        [series] = Series.objects.filter(name="nv_inference_request_success")
        assert series.labels == {"instance": "triton:8002", "model": "digits", "version": "1"}
        assert series.kind == "counter"
        # 40 steps of 4, the value after the reset, then 18 steps of 100 until the gap.
        first = quarters("nv_inference_request_success")[0]
        assert (first.resets, first.increase) == (1, 160 + 1 + 1800)
        # Nothing was scraped from 15:00 to 22:59: unknown, and no part of what is covered.
        second = quarters("nv_inference_request_success")[15]
        assert (second.covered_s, second.increase) == (6 * 60, 24 * 100)
        assert not MetricSample.objects.filter(
            at__gt=BEGAN + 15 * MINUTE, at__lt=BEGAN + 23 * MINUTE
        ).exists()
        # Two names, one series.
        [cache] = Series.objects.filter(name="serving_kv_cache_used_ratio")
        # At 0:00, 1:00 … 14:00, 14:45, 23:00 … 30:00.
        assert MetricSample.objects.filter(series_id=cache.pk).count() == 1 + 14 + 1 + 8

    def test_same_pull_again_changes_nothing(self, pulled):
        source, _ = pulled()
        before = set(MetricSample.objects.values_list("series_id", "at", "value"))
        Source.objects.filter(pk=source.pk).update(cursor={"to": BEGAN.isoformat()})

        _, counts = pulled()

        assert (counts.inserted, counts.updated) == (0, 0)
        assert set(MetricSample.objects.values_list("series_id", "at", "value")) == before

    def test_two_pulls_bring_what_one_brings(self, pulled):
        pulled(now=BEGAN + 10 * MINUTE + timedelta(seconds=31))
        source, _ = pulled()
        in_two = set(MetricSample.objects.values_list("series_id", "at", "value"))
        rejected = Reject.objects.count()

        MetricSample.objects.all().delete()
        Reject.objects.all().delete()
        Source.objects.filter(pk=source.pk).update(cursor={"to": BEGAN.isoformat()})
        pulled()

        assert in_two == set(MetricSample.objects.values_list("series_id", "at", "value"))
        assert rejected == Reject.objects.count()

    def test_nan_is_left_out_and_counted(self, pulled):
        pulled(sets=["triton"])

        [reject] = Reject.objects.all()
        assert (reject.reason, reject.external_id) == ("not_finite", "nv_cache_util")

    def test_dcgm_fills_the_gpu_pages(self, pulled, pool):
        pulled(sets=["dcgm"])
        rollup.roll_up(1000)

        sample = GpuSample.objects.order_by("at").first()
        assert (sample.utilization_pct, sample.power_w) == (40.0, None)
        first = GpuQuarter.objects.order_by("at").first()
        # 400 J a second, from the first reading of a step to the last.
        assert first.energy_j == pytest.approx(400 * first.covered_s)
        assert pool.gpus.get().host == "node-7"
        assert Series.objects.count() == 0

    def test_host_is_summed_over_its_cpus(self, pulled):
        pulled(sets=["node"])
        rollup.roll_up(1000)

        busy, every = (quarters(f"host_cpu_{name}seconds")[0] for name in ("busy_", ""))
        assert busy.increase / every.increase == pytest.approx(0.25)
        assert quarters("host_cpus")[0].mean == 2

    def test_persons_query_is_a_series_of_its_name(self, pulled):
        query = {"name": "queue_depth", "query": "sum(app_queue_depth)", "unit": "requests"}
        pulled(sets=[], queries=[query])

        [series] = Series.objects.all()
        assert (series.name, series.unit, series.kind) == ("queue_depth", "requests", "gauge")
        assert series.labels == {}
        samples = dict(MetricSample.objects.values_list("at", "value"))
        # The two last ones at that time, of one shard each.
        assert samples[BEGAN + 5 * MINUTE] == 19 + 20

    def test_query_that_is_no_promql_is_named(self, pulled):
        with pytest.raises(FetchError, match=r"refuses the query depth \(400\); check its PromQL"):
            pulled(queries=[{"name": "depth", "query": "sum(("}])

    def test_labels_pick_the_series_and_cannot_become_promql(self, pulled):
        for instance in ("other", 'x"} or {job="triton', "triton:8002\\", "\n"):
            Source.objects.update(cursor={})
            assert pulled(match={"instance": instance})[1].rows_in == 0
        Source.objects.update(cursor={})
        assert pulled(match={"instance": "triton:8002"})[1].inserted > 100

    def test_pull_stops_when_it_has_asked_enough_and_the_next_goes_on(self, pulled):
        source, _ = pulled(max_requests=2)
        assert source.cursor == {"to": (BEGAN + 15 * MINUTE).isoformat()}

        source, _ = pulled(max_requests=2)
        assert source.cursor == {"to": (BEGAN + 30 * MINUTE).isoformat()}

    def test_step_thins_and_keeps_the_increase(self, pulled):
        _, coarse = pulled(sets=["triton"], step_s=120)
        rollup.roll_up(1000)

        first = quarters("nv_inference_request_success")[0]
        assert (first.resets, first.increase) == (1, 160 + 1 + 1800)
        # Two series at 0:00, 2:00 … 14:00, 14:45, 24:00 … 30:00, and one right after the reset.
        assert coarse.inserted == 2 * (8 + 1 + 4) + 1

    def test_check_says_what_is_there(self, server, exporter):
        exporter.text = LIVE
        wait_for(server, "count(node_load1)", lambda found: found == 1)
        ours = {"sets": ["triton", "dcgm"], "queries": [{"name": "five", "query": "vector(5)"}]}

        said = REGISTRY["prometheus"].check({"url": server + "/graph", **ours})

        assert re.sub(r"\d+\.\d+\.\d+\S*", "2.x", said) == (
            "Prometheus 2.x answers; 1 of 17 series of the Triton set are there; missing:"
            " nv_inference_request_failure, nv_inference_count, nv_inference_exec_count,"
            " nv_inference_request_duration_us, nv_inference_queue_duration_us,"
            " nv_inference_compute_input_duration_us, nv_inference_compute_infer_duration_us,"
            " nv_inference_compute_output_duration_us and 8 more;"
            " 3 of 21 series of the DCGM set are there; missing: DCGM_FI_DEV_FB_USED,"
            " DCGM_FI_DEV_FB_FREE, DCGM_FI_DEV_FB_RESERVED, DCGM_FI_DEV_FB_TOTAL,"
            " DCGM_FI_DEV_POWER_USAGE, DCGM_FI_DEV_ENFORCED_POWER_LIMIT,"
            " DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION, DCGM_FI_DEV_SM_CLOCK and 10 more;"
            " the query five gives 1 series."
        )


LIVE = """
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="digits",version="1"} 161
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name="m",engine="0"} 3
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 4
vllm:time_to_first_token_seconds_count 4
vllm:time_to_first_token_seconds_sum 0.5
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="idle"} 75
node_cpu_seconds_total{cpu="0",mode="user"} 25
# TYPE node_load1 gauge
node_load1 0.5
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",modelName="NVIDIA H100",Hostname="node-7"} 40
# TYPE DCGM_FI_PROF_DRAM_ACTIVE gauge
DCGM_FI_PROF_DRAM_ACTIVE{gpu="0",UUID="GPU-1",modelName="NVIDIA H100",Hostname="node-7"} 0.3
# TYPE DCGM_FI_DEV_MEM_COPY_UTIL gauge
DCGM_FI_DEV_MEM_COPY_UTIL{gpu="0",UUID="GPU-1",modelName="NVIDIA H100",Hostname="node-7"} NaN
"""


def now_pulled(url, **config):
    now = datetime.now(UTC)
    since = {"to": (now - MINUTE).isoformat()}
    pages = list(REGISTRY["prometheus"].fetch({"url": url, "step_s": 5, **config}, since, now))
    return (
        [record for page in pages for record in page.records],
        [batch for page in pages for batch in page.gpus],
        [reject for page in pages for reject in page.rejects],
    )


def test_both_doors_give_the_same_series_and_gpus(server, exporter):
    exporter.text = LIVE
    wait_for(server, "count_over_time(node_load1[1m])", lambda found: found >= 6)

    records, gpus, rejects = now_pulled(server)
    [page] = REGISTRY["prometheus_text"].fetch(
        {"url": f"http://{exporter.address}/metrics", "prefixes": []}, {}, datetime.now(UTC)
    )

    assert {(r.series, r.value) for r in records} == {(r.series, r.value) for r in page.records}
    assert len({record.series for record in records}) == 10
    [[scraped]] = [batch.readings for batch in page.gpus]
    assert {replace(one, at=0.0) for batch in gpus for one in batch.readings} == {
        replace(scraped, at=0.0)
    }
    assert {r.external_id for r in rejects} == {r.external_id for r in page.rejects}


def test_target_that_is_down_leaves_a_gap(server, exporter):
    exporter.text = LIVE
    wait_for(server, "up", lambda found: found == 1)
    exporter.text = None
    wait_for(server, "up == bool 0", lambda found: found == 1)
    went_down = datetime.now(UTC)
    wait_for(server, f"vector(time() - {went_down.timestamp()})", lambda passed: passed >= 6)

    records, _, _ = now_pulled(server, sets=["node"])

    assert records
    assert max(record.at for record in records) < went_down


def test_burst_costs_the_bursting_metric_alone(server, exporter):
    flood = "\n".join(f'nv_inference_count{{model="m{n}"}} 1' for n in range(300))
    exporter.text = f"{LIVE}{flood}\n"
    wait_for(server, "count(nv_inference_count offset 5s)", lambda found: found == 300)

    records, _, rejects = now_pulled(server, sets=["triton"], max_series=100)

    assert {record.series.name for record in records} == {"nv_inference_request_success"}
    [reject] = {(r.reason, r.external_id, r.field) for r in rejects}
    assert reject == ("too_many_series", "nv_inference_count", "max_series")
