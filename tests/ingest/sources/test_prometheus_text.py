import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ingest.records import MetricRecord, SeriesKey
from ingest.sources import REGISTRY, prometheus_text
from ingest.sources.base import FetchError
from ingest.sources.prometheus_text import PREFIXES, parse

NOW = datetime(2026, 11, 10, 12, 7, tzinfo=UTC)
TRITON = """
# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="digits",version="1"} 161
# TYPE nv_gpu_power_usage gauge
nv_gpu_power_usage{gpu_uuid="GPU-1"} 61.25
# TYPE nv_inference_queue_summary_us summary
nv_inference_queue_summary_us_count{model="digits"} 161
nv_inference_queue_summary_us_sum{model="digits"} 11110
nv_inference_queue_summary_us{model="digits",quantile="0.5"} 55
nv_inference_queue_summary_us{model="digits",quantile="0.99"} Nan
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{le="0.1"} 3
vllm:time_to_first_token_seconds_bucket{le="+Inf"} 4
vllm:time_to_first_token_seconds_count 4
vllm:time_to_first_token_seconds_sum 0.5
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total 148.0
# TYPE python_gc_objects_collected_total counter
python_gc_objects_collected_total 9
"""


def readings(text, prefixes=PREFIXES):
    found = parse(text.encode(), NOW, prefixes)
    return found.records, found.rejects


def by_name(text):
    records, _ = readings(text)
    return {
        (record.series.name, *(value for _, value in record.series.labels)): (
            record.series.kind,
            record.value,
        )
        for record in records
    }


def test_every_type_is_read_under_its_own_name():
    assert by_name(TRITON) == {
        ("nv_inference_request_success", "digits", "1"): ("counter", 161.0),
        ("nv_gpu_power_usage", "GPU-1"): ("gauge", 61.25),
        ("nv_inference_queue_summary_us_count", "digits"): ("counter", 161.0),
        ("nv_inference_queue_summary_us_sum", "digits"): ("counter", 11110.0),
        ("nv_inference_queue_summary_us", "digits", "0.5"): ("summary", 55.0),
        ("vllm:time_to_first_token_seconds_bucket", "0.1"): ("counter", 3.0),
        ("vllm:time_to_first_token_seconds_bucket", "+Inf"): ("counter", 4.0),
        ("vllm:time_to_first_token_seconds_count",): ("counter", 4.0),
        ("vllm:time_to_first_token_seconds_sum",): ("counter", 0.5),
        ("vllm:prompt_tokens_total",): ("counter", 148.0),
    }


def test_reading_has_sorted_labels_and_the_time_of_the_scrape():
    records, _ = readings('nv_x{b="2",a="1"} 5 1395066363000\n')

    key = SeriesKey("nv_x", "untyped", "", (("a", "1"), ("b", "2")))
    assert records == [MetricRecord(key, NOW, 5.0)]


def test_quantile_of_nothing_is_a_gap_and_no_reject():
    records, rejects = readings('# TYPE nv_s summary\nnv_s{quantile="0.5"} NaN\n')

    assert (records, rejects) == ([], [])


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
def test_reading_that_is_no_number_is_rejected_and_counted(value):
    records, [reject] = readings(f"# TYPE nv_g gauge\nnv_g {value}\n")

    assert records == []
    assert (reject.reason, reject.external_id) == ("not_finite", "nv_g")


def test_repeated_series_counts_once():
    records, [reject] = readings('nv_x{a="1"} 5\nnv_x{a="1"} 6\n')

    assert [record.value for record in records] == [5.0]
    assert reject.reason == "repeated_series"


def test_dcgm_says_not_supported_with_a_number(shared):
    text = shared("formats/prom_dcgm_exporter_readme.txt").read_text()

    found = parse(text.encode(), NOW, PREFIXES)

    # Once without a pod's labels and once with empty ones: the exporter tells of two series.
    assert [(record.series.name, record.value) for record in found.records] == [
        ("gpu_memory_clock_mhz", 405.0)
    ] * 2
    [batch] = found.gpus
    [gpu] = batch.readings
    assert (gpu.uuid, gpu.index, gpu.sm_clock_mhz) == (
        "GPU-604ac76c-d9cf-fef3-62e9-d92044ab6e52", 0, 139
    )  # fmt: skip
    assert (gpu.utilization_pct, gpu.power_w, gpu.memory_used_bytes) == (None, None, None)
    rejects = found.rejects
    assert {reject.reason for reject in rejects} == {"not_supported", "repeated_series"}
    assert {reject.external_id for reject in rejects if reject.reason == "not_supported"} == {
        "DCGM_FI_DEV_MEMORY_TEMP"
    }


def test_vllm_exposition_is_read(shared):
    read = by_name(shared("formats/prom_vllm_0.7_aibrix_docs.txt").read_text())

    model = "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    assert read["vllm:generation_tokens_total", model] == ("counter", 955.0)
    assert read["vllm:request_success_total", "stop", model] == ("counter", 4.0)
    assert read["vllm:iteration_tokens_total_bucket", "1.0", model] == ("counter", 994.0)
    assert read["serving_requests_running", model] == ("gauge", 0.0)
    assert read["serving_requests_waiting", model] == ("gauge", 0.0)
    # Its older name: gpu_cache_usage_perc.
    assert read["serving_kv_cache_used_ratio", model] == ("gauge", 0.0)


def test_triton_exposition_is_read(shared):
    read = by_name(shared("formats/prom_triton_docs_snippets.txt").read_text())

    assert read["nv_inference_request_success", "my_model", "1"] == ("counter", 161.0)
    assert read["nv_inference_queue_duration_us", "my_model", "1"] == ("counter", 11110.0)
    assert read["nv_inference_queue_summary_us", "my_model", "0.99", "1"] == ("summary", 101.0)


@pytest.mark.parametrize("text", ["<html>hello", "nv_x{", "nv_x five", "{}", "\xff"])
def test_what_is_no_exposition_is_one_sentence(text):
    with pytest.raises(FetchError, match=r"Prometheus' text format|UTF-8"):
        parse(text.encode("latin-1"), NOW, PREFIXES)


@pytest.fixture
def endpoint(settings):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = TRITON.encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(url, **config):
    [page] = REGISTRY["prometheus_text"].fetch({"url": url, **config}, {}, NOW)
    return page


def test_fetch_brings_one_page(endpoint):
    page = fetch(endpoint, prefixes=["nv_gpu"], sets=[])

    assert [record.value for record in page.records] == [61.25]
    assert page.cursor == {"at": "2026-11-10T12:07:00+00:00"}


def test_series_say_which_address_they_are_of(endpoint):
    page = fetch(endpoint, prefixes=["nv_gpu"], sets=["triton"])

    instance = endpoint.removeprefix("http://").removesuffix("/metrics")
    assert {record.series.name: record.series.labels for record in page.records} == {
        "nv_inference_request_success": (
            ("instance", instance), ("model", "digits"), ("version", "1")
        ),
        "nv_gpu_power_usage": (("gpu_uuid", "GPU-1"), ("instance", instance)),
    }  # fmt: skip


def test_exporters_own_instance_steps_aside():
    found = parse(b'nv_x{instance="mine"} 1\n', NOW, PREFIXES, instance="triton:8002")

    [record] = found.records
    assert record.series.labels == (("exported_instance", "mine"), ("instance", "triton:8002"))


@pytest.mark.parametrize(
    ("url", "instance"),
    [
        ("http://triton:8002/metrics", "triton:8002"),
        ("http://triton/metrics", "triton:80"),
        ("https://triton/metrics", "triton:443"),
        ("http://[fd00::1]:9400/metrics", "[fd00::1]:9400"),
    ],
)
def test_instance_is_host_and_port(url, instance):
    assert prometheus_text.instance_of(url) == instance


def test_flood_of_one_metric_costs_that_metric(endpoint):
    """The histogram has the most series, and goes whole: some of its buckets say nothing."""
    page = fetch(endpoint, max_series=8)

    names = {record.series.name for record in page.records}
    assert "vllm:time_to_first_token_seconds_bucket" not in names
    assert len(page.records) == 8
    assert [(reject.reason, reject.external_id) for reject in page.rejects] == [
        ("too_many_series", "vllm:time_to_first_token_seconds_bucket")
    ]


def test_check_says_what_is_there(endpoint):
    assert REGISTRY["prometheus_text"].check({"url": endpoint}) == (
        "The address answers with 10 series; 1 of 17 of the Triton set are there;"
        " 3 of 17 of the vLLM set are there."
    )


def test_other_answers_are_named_by_status_alone(endpoint):
    with pytest.raises(FetchError, match=r"answered 404; check the URL\.$"):
        fetch(endpoint + "/no")


def test_private_address_is_refused(endpoint, settings):
    settings.PRIVATE_ADDRESSES = []

    with pytest.raises(FetchError, match="not a public address"):
        fetch(endpoint)


def test_large_answer_is_refused(endpoint, monkeypatch):
    monkeypatch.setattr(prometheus_text, "MAX_BODY_BYTES", 100)

    with pytest.raises(FetchError, match="over 100 bytes"):
        fetch(endpoint)


def test_bad_config_is_a_failed_pull():
    with pytest.raises(FetchError, match="url"):
        fetch("")
