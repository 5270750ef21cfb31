"""The exact source on the real Triton: batched work is counted once, Prometheus counts it often."""

import json
import threading
import time
from datetime import UTC, datetime

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from finops.actions.pool_costs import BUSY_US
from ingest.sources import REGISTRY
from optimiser.demo.endpoints import ADMIN_HEADER

from .conftest import ask

CALLERS = 16
SECONDS = 2.0


def load(server, model, config):
    httpx.post(
        f"{server.endpoints.http}/v2/repository/models/{model}/load",
        json={"parameters": {"config": json.dumps(config)}},
        headers={ADMIN_HEADER: server.endpoints.admin_key},
        timeout=60,
    ).raise_for_status()


@pytest.fixture
def batching(server):
    """`fixedcost` with dynamic batching, as long as the test lasts."""
    url = f"{server.endpoints.http}/v2/models/fixedcost/config"
    before = httpx.get(url).json()
    load(
        server,
        "fixedcost",
        {**before, "dynamic_batching": {"max_queue_delay_microseconds": 2000}},
    )
    yield server
    load(server, "fixedcost", before)


def exact(server):
    """Our own source's readings of the model."""
    config = {"url": server.endpoints.http}
    [page] = REGISTRY["triton_statistics"].fetch(config, {}, datetime.now(UTC))
    return {
        record.series.name: record.value
        for record in page.records
        if ("model", "fixedcost") in record.series.labels
    }


def prometheus_seconds(server):
    text = httpx.get(server.endpoints.metrics).text
    return sum(
        sample.value / 1e6
        for family in text_string_to_metric_families(text)
        if family.name in BUSY_US
        for sample in family.samples
        if sample.labels.get("model") == "fixedcost"
    )


@pytest.mark.triton
def test_batched_model_is_never_busier_than_its_one_instance_can_be(batching, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    before, told_before = exact(batching), prometheus_seconds(batching)
    began, ending = time.monotonic(), threading.Event()

    def call():
        while not ending.is_set():
            ask(batching, "fixedcost", "INPUT", np.zeros((1, 16)))

    callers = [threading.Thread(target=call) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    ending.wait(SECONDS)
    ending.set()
    for caller in callers:
        caller.join()
    after, told_after = exact(batching), prometheus_seconds(batching)
    passed_s = time.monotonic() - began
    grown = {name: after[name] - before[name] for name in after}
    requests, executions = grown["triton_model_requests_ok"], grown["triton_model_executions"]
    busy_s = grown["triton_model_execution_seconds"]
    assert requests >= 2 * executions
    assert 0.5 * passed_s < busy_s <= passed_s
    # About as often as there were requests in a batch.
    assert told_after - told_before > 2 * busy_s


@pytest.mark.triton
def test_statistics_begin_again_at_a_reload_and_prometheus_counters_do_not(batching, settings):
    settings.PRIVATE_ADDRESSES = ["127.0.0.1/32"]
    ask(batching, "fixedcost", "INPUT", np.zeros((1, 16)))
    told = prometheus_seconds(batching)
    assert exact(batching)["triton_model_requests_ok"] > 0
    config = httpx.get(f"{batching.endpoints.http}/v2/models/fixedcost/config").json()
    load(
        batching,
        "fixedcost",
        {**config, "dynamic_batching": {"max_queue_delay_microseconds": 3000}},
    )
    assert set(exact(batching).values()) == {0.0}
    assert prometheus_seconds(batching) >= told
