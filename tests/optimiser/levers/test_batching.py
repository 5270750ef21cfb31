"""The batching lever on loads whose right answer is known."""

import json

import numpy as np
import pytest

from optimiser.levers import REGISTRY, Batching
from optimiser.levers.batching import P95_MAY_BE_WORSE, grid
from optimiser.simulate import Open
from optimiser.targets import model_config
from tests.optimiser.simulate import made

LIVE = {
    "name": "chat",
    "backend": "python",
    "max_batch_size": 32,
    "input": [{"name": "INPUT", "data_type": "TYPE_FP32", "dims": [16]}],
    "output": [{"name": "OUTPUT", "data_type": "TYPE_FP32", "dims": [1]}],
    "instance_group": [{"name": "chat_0", "kind": "KIND_CPU", "count": 1}],
    "parameters": {"fixed_ms": {"string_value": "20"}},
}
CALIBRATED = made.calibrated(np.random.default_rng(7))


def callers(count, think_ms=150.0, config=None, window_s=120.0):
    dice = np.random.default_rng(count)
    think = dice.uniform(0.8 * think_ms, 1.2 * think_ms, 2000)
    load = made.closed(count, think, window_s)
    return made.recorded(load, config or made.batcher(), CALIBRATED, names_callers=True)


def arriving(rate_rps, window_s=120.0):
    arrivals = made.poisson(np.random.default_rng(3), window_s, rate_rps)
    return made.recorded(Open(arrivals, window_s), made.batcher(), CALIBRATED)


def ask(traffic, curve=CALIBRATED, seed=11, **changes):
    return Batching().propose(traffic, {**LIVE, **changes}, curve, seed)


@pytest.fixture(scope="module")
def sixteen():
    return callers(16), ask(callers(16))


def test_sixteen_callers_get_batching(sixteen):
    _, found = sixteen
    assert found.outcome == "recommended"
    metrics = found.effect.metrics
    assert metrics["gpu_seconds_per_request"].low > 0.4
    assert metrics["p95_ms"].low > 0.5
    assert metrics["throughput_rps"].low > 0.5
    assert found.effect.capacity.low > 0
    assert "P95 goes from" in found.reason
    assert "one caller" in found.risk
    assert "stored full config" in found.rollback


def test_candidate_is_the_whole_config_and_nothing_but_batching_differs(sixteen):
    _, found = sixteen
    assert model_config.problems("chat", found.candidate_config, LIVE) == []
    kept = {**found.candidate_config, "max_batch_size": 32}
    batching = kept.pop("dynamic_batching")
    assert kept == LIVE
    assert batching["max_queue_delay_microseconds"] >= 0


def test_evidence_can_be_drawn_and_done_again(sixteen):
    traffic, found = sixteen
    said = json.loads(json.dumps(found.evidence, allow_nan=False))
    assert said["load"]["kind"] == "closed"
    assert said["load"]["clients"] == 16
    assert said["traffic"]["requests"] == traffic.requests
    assert said["versions"] == {"lever": "1", "simulator": "1"}
    assert len(said["input_hash"]) == 64
    assert [point["batch_size"] for point in said["service_curve"]] == list(made.SIZES)
    assert len(said["grid"]) == said["settings_tried"] >= 40
    wanted = {
        "p95_ms",
        "gpu_seconds_per_request",
        "mean_batch",
        "max_queue_delay_us",
        "within_limit",
    }
    assert all(wanted <= set(point) for point in said["grid"])
    assert said["effect"] == found.effect.to_json()
    assert said["cash"] is None
    assert set(said["candidate"]["percentiles_ms"]) == set(said["current"]["percentiles_ms"])
    again = ask(traffic)
    assert (again.candidate_config, again.evidence) == (found.candidate_config, found.evidence)


def test_hash_follows_every_input(sixteen):
    traffic, found = sixteen
    other_curve = made.calibrated(np.random.default_rng(8))
    hashes = {
        found.evidence["input_hash"],
        ask(traffic, seed=12).evidence["input_hash"],
        ask(traffic, curve=other_curve).evidence["input_hash"],
        ask(traffic, version_policy={"latest": {}}).evidence["input_hash"],
        ask(callers(15), curve=None).evidence["input_hash"],
    }
    assert len(hashes) == 5


def test_chosen_setting_keeps_the_latency_limit_and_frees_about_the_most(sixteen):
    _, found = sixteen
    said = found.evidence
    assert said["candidate"]["p95_ms"] <= (1 + P95_MAY_BE_WORSE) * said["current"]["p95_ms"]
    least = min(one["gpu_seconds_per_request"] for one in said["grid"] if one["within_limit"])
    assert said["candidate"]["gpu_seconds_per_request"] <= 1.03 * least


def test_one_caller_is_refused_with_the_figures_even_without_calibration():
    for curve in (CALIBRATED, None):
        found = ask(callers(1, think_ms=10.0), curve=curve)
        assert (found.outcome, found.candidate_config) == ("refused", None)
        assert "nothing to put together" in found.reason
        assert found.evidence["traffic"]["met_others"] == 0.0


def test_sparse_arrivals_are_refused_with_the_grid_that_shows_why():
    found = ask(arriving(2.5))
    assert found.outcome == "refused"
    assert "requests to a batch" in found.reason
    assert found.evidence["effect"]["gpu_seconds_per_request"]["change"] < 0.05
    assert found.evidence["candidate"]["mean_batch"] < 1.1
    assert len(found.evidence["grid"]) >= 40


def test_batching_in_place_leaves_little_to_gain(sixteen):
    _, first = sixteen
    place = first.candidate_config["dynamic_batching"]
    most = first.candidate_config["max_batch_size"]
    config = made.batcher(
        place["max_queue_delay_microseconds"], place["preferred_batch_size"], most
    )
    found = ask(callers(16, config=config), dynamic_batching=place, max_batch_size=most)
    assert found.outcome == "refused"
    assert found.evidence["current"]["dynamic"] is True


def test_without_calibration_it_needs_an_experiment():
    found = ask(callers(4), curve=None)
    assert (found.outcome, found.candidate_config, found.effect) == ("needs_experiment", None, None)
    assert "run a calibration" in found.reason
    assert found.evidence["load"]["clients"] == 4


def test_few_requests_are_not_enough():
    found = ask(callers(4, window_s=5.0))
    assert found.outcome == "not_enough_data"
    assert "200 are needed" in found.reason


def test_curve_of_another_machine_is_noticed():
    found = ask(callers(8), curve=made.curve(fixed_ms=80.0))
    assert found.outcome == "needs_experiment"
    assert "calibrate again" in found.reason


def test_waiting_callers_without_names_are_not_taken_for_arrivals():
    named = callers(16)
    nameless = type(named)(named.started_s, named.latency_s, named.window_from, named.window_to)
    found = ask(nameless)
    assert found.outcome == "needs_experiment"
    assert "user.id" in found.reason


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"max_batch_size": 0}, "takes no batches"),
        ({"response_cache": {"enable": True}}, "cache"),
        ({"sequence_batching": {}}, "sequences"),
        (
            {
                "parameters": {
                    name: {"string_value": value}
                    for name, value in
                    (("base", "a"), ("canary", ""), ("weight", "0"), ("lease_expires_at", "0"))
                }
            },
            "router",
        ),
    ],
)  # fmt: skip
def test_models_that_cannot_be_batched_are_refused(changes, word):
    found = ask(callers(4), **changes)
    assert found.outcome == "refused"
    assert word in found.reason


def test_grid_stays_within_the_model_the_calibration_and_the_instances():
    found = grid(made.batcher(0, most=64, instances=2), largest=32)
    assert {one.max_batch_size for one in found} == {8, 16, 32}
    assert {one.instances for one in found} == {2}
    assert all(one.dynamic for one in found)
    assert len(found) == len(set(found))


def test_grid_leaves_out_what_is_live():
    live = made.batcher(2000, (8,), most=16)
    assert live not in grid(live, largest=32)
    assert made.batcher(5000, (8,), most=16) in grid(live, largest=32)


def test_registry_knows_each_lever_by_its_key():
    assert {key: lever.key for key, lever in REGISTRY.items()} == {
        "batching": "batching",
        "variant": "variant",
    }
