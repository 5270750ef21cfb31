"""Bandwidth of self-hosted models: measured first, else computed, else unknown with what to do."""

from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.http import QueryDict

from finops.queries.filters import Filters
from finops.queries.model_servers import model_servers
from ingest import gpu_bandwidth, store
from ingest.models import Pool, Project, ServedModel, Source
from ingest.rollup import roll_up
from tests.factories.finops import person
from tests.ingest.make import metric, span

pytestmark = pytest.mark.django_db

NOON = datetime(2025, 10, 2, 12, tzinfo=UTC)
WEEK = "from=2025-10-01&to=2025-10-08"


@pytest.fixture
def pool(db):
    return Pool.objects.create(name="gpus", provider="vllm", gpu_count=1, hardware="H100 SXM")


def readings(pool, name, values, kind="counter", **labels):
    source, _ = Source.objects.get_or_create(kind="prometheus_text", name="vLLM", pool=pool)
    store.metrics(
        source,
        [
            metric(name, value, NOON + timedelta(seconds=15 * n), kind, **labels)
            for n, value in enumerate(values)
        ],
    )
    roll_up()


def tokens_take(pool, milliseconds, model="llama"):
    """As vLLM tells it: 1,000 further tokens."""
    for part, end in (("sum", milliseconds), ("count", 1000)):
        readings(pool, f"vllm:inter_token_latency_seconds_{part}", (0, end), model_name=model)


def only():
    filters, _ = Filters.parse(QueryDict(WEEK), person("asha", "analyst"))
    [one] = model_servers(filters).models
    return one


def test_bandwidth_is_bytes_a_token_over_time_and_peak(pool):
    tokens_take(pool, 10)
    ServedModel.objects.create(pool=pool, model="llama", parameter_bytes=16_000_000_000)
    one = only()
    # 16 GB every 10 ms are 1.6 TB/s, of 3.35.
    assert one.bandwidth_used == pytest.approx(1.6 / 3.35)
    assert (one.bandwidth_from, one.tpot_from, one.tpot_ms) == ("computed", "server", 10)
    assert "at least" in one.note


def test_bandwidth_holds_the_kv_cache_in_use_and_every_gpu_of_a_copy(pool):
    tokens_take(pool, 10)
    readings(
        pool, "serving_kv_cache_used_ratio", (0.25, 0.25, 0.25), kind="gauge", model_name="llama"
    )
    ServedModel.objects.create(
        pool=pool, model="llama", parameter_bytes=16 * 10**9, kv_cache_bytes=40 * 10**9, gpus=2
    )
    one = only()
    assert one.kv_cache_bytes == pytest.approx(10e9)
    assert one.bandwidth_used == pytest.approx(2.6 / (2 * 3.35))


def test_measured_bandwidth_goes_before_a_computed_one(pool):
    tokens_take(pool, 10)
    ServedModel.objects.create(pool=pool, model="llama", parameter_bytes=16_000_000_000)
    readings(pool, "gpu_dram_active_ratio", (0.4, 0.6, 0.5), kind="gauge", UUID="GPU-1")
    one = only()
    assert (one.bandwidth_used, one.bandwidth_from) == (pytest.approx(0.5), "measured")
    assert "DCGM" in one.note


def test_time_per_token_comes_from_requests_where_the_server_tells_none(pool):
    project = Project.objects.create(slug="chat", name="Chat")
    source = Source.objects.create(kind="otlp", name="chat", project=project)
    record = span(
        1, started_at=NOON, ended_at=NOON + timedelta(seconds=1), ttft_ms=500.0,
        output_tokens=26, provider="vllm", model="llama",
    )  # fmt: skip
    store.spans(source, [record])
    roll_up()
    ServedModel.objects.create(pool=pool, model="llama", parameter_bytes=16_000_000_000)
    one = only()
    assert (one.tpot_ms, one.tpot_from) == (20, "requests")
    assert one.bandwidth_used == pytest.approx(0.8 / 3.35)


@pytest.mark.parametrize(
    ("hardware", "size", "milliseconds", "said"),
    [
        ("H100 SXM", None, 10, "--parameter-bytes"),
        ("H100 SXM", 16 * 10**9, None, "Time per output token is unknown"),
        ("", 16 * 10**9, 10, "Name the pool's hardware"),
        # An H100 is one of three.
        ("H100", 16 * 10**9, 10, "name one GPU exactly"),
        ("H100 SXM", 16 * 10**9, 1, "which cannot be"),
    ],
)
def test_bandwidth_is_unknown_with_what_to_do(pool, hardware, size, milliseconds, said):
    pool.hardware = hardware
    pool.save()
    if milliseconds is None:
        readings(pool, "vllm:request_success_total", (0, 1), model_name="llama")
    else:
        tokens_take(pool, milliseconds)
    if size:
        ServedModel.objects.create(pool=pool, model="llama", parameter_bytes=size)
    one = only()
    assert (one.bandwidth_used, one.bandwidth_from) == (None, "")
    assert said in one.note


def test_vllm_tells_who_gave_up(pool):
    for reason, end in (("stop", 60), ("length", 30), ("abort", 10)):
        readings(
            pool, "vllm:request_success_total", (0, end), model_name="llama",
            finished_reason=reason,
        )  # fmt: skip
    one = only()
    assert (one.ended, one.abandoned, one.abandonment_rate) == (100, 10, 0.1)


def test_triton_tells_who_gave_up(pool):
    readings(pool, "nv_inference_request_success", (0, 75), model="resnet", version="1")
    for reason, end in (("CANCELED", 20), ("BACKEND", 5)):
        readings(
            pool, "nv_inference_request_failure", (0, end), model="resnet", version="1",
            reason=reason,
        )  # fmt: skip
    one = only()
    assert (one.ended, one.abandoned, one.abandonment_rate) == (100, 20, 0.2)


def test_server_that_tells_no_reasons_leaves_it_unknown(pool):
    readings(pool, "nv_inference_request_success", (0, 75), model="resnet")
    readings(pool, "nv_inference_request_failure", (0, 25), model="resnet")
    one = only()
    assert (one.ended, one.abandoned, one.abandonment_rate) == (100, None, None)


def test_who_may_not_see_shared_hardware_sees_no_servers(pool):
    tokens_take(pool, 10)
    project = Project.objects.create(slug="chat", name="Chat")
    filters, _ = Filters.parse(QueryDict(WEEK), person("cleo", "viewer", project=project))
    assert model_servers(filters).models == ()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA A100-SXM4-80GB", "A100 80 GB SXM"),
        ("Tesla T4", "T4"),
        ("NVIDIA L4", "L4"),
        ("h200", "H200"),
        ("H100", None),
        ("Radeon", None),
    ],
)
def test_gpu_is_known_by_the_name_its_driver_gives_it(name, label):
    found = gpu_bandwidth.of(name)
    assert (found and found.label) == label


def test_names_of_gpus_are_plain_and_each_is_of_one():
    names = [name for one in gpu_bandwidth.PUBLISHED for name in one.names]
    assert [gpu_bandwidth.plain(name) for name in names] == names
    assert len(set(names)) == len(names)
    assert all(one.source.startswith("https://") for one in gpu_bandwidth.PUBLISHED)


def say(*arguments):
    out = StringIO()
    call_command("served_model", *arguments, stdout=out)
    return out.getvalue()


def test_command_keeps_changes_lists_and_forgets_a_size(pool):
    say("gpus", "llama", "--parameter-bytes", "16e9", "--kv-cache-bytes", "4e10", "--gpus", "2")
    assert ServedModel.objects.values_list(
        "model", "parameter_bytes", "kv_cache_bytes", "gpus"
    ).get() == ("llama", 16 * 10**9, 4 * 10**10, 2)
    say("gpus", "llama", "--parameter-bytes", "8000000000")
    assert "llama: 8,000,000,000 bytes of parameters; unknown bytes of KV cache" in say("gpus")
    say("gpus", "llama", "--remove")
    assert not ServedModel.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("none", "llama", "--parameter-bytes", "16e9"),
        ("gpus", "llama"),
        ("gpus", "llama", "--parameter-bytes", "0"),
        ("gpus", "llama", "--parameter-bytes", "1.5"),
        ("gpus", "llama", "--parameter-bytes", "NaN"),
        ("gpus", "llama", "--parameter-bytes", "1e99"),
        ("gpus", "llama", "--parameter-bytes", "16e9", "--gpus", "0"),
        ("gpus", "llama", "--remove"),
    ],
)
def test_command_refuses_what_cannot_be(pool, arguments):
    with pytest.raises(CommandError):
        say(*arguments)
    assert not ServedModel.objects.exists()
