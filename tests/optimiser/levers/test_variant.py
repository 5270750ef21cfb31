"""The variant lever never pretends to know what another build would do."""

from datetime import timedelta

import numpy as np

from optimiser.levers import Variant
from optimiser.simulate import Traffic
from optimiser.targets import model_config, router
from tests.optimiser.simulate import made

TRAFFIC = Traffic(
    np.arange(300.0), np.full(300, 0.02), made.NOON, made.NOON + timedelta(seconds=300)
)


def gate(**parameters):
    said = {"base": "fp32", "canary": "", "weight": "0", "lease_expires_at": "0", **parameters}
    return {
        "name": "digits",
        "backend": "python",
        "max_batch_size": 32,
        "input": [{"name": "PIXELS", "data_type": "TYPE_FP32", "dims": [64]}],
        "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [10]}],
        "instance_group": [{"count": 1, "kind": "KIND_CPU"}],
        "parameters": {name: {"string_value": value} for name, value in said.items()},
    }


def ask(config, curve=None):
    return Variant().propose(TRAFFIC, config, curve, 1)


def test_listed_variant_needs_an_experiment_with_or_without_a_calibration():
    for curve in (None, made.curve()):
        found = ask(gate(variants="fp32, int8, int4"), curve)
        assert found.outcome == "needs_experiment"
        assert "cannot be simulated" in found.reason
        assert found.effect is None
        assert found.evidence["simulated"] is False
        assert found.evidence["also_listed"] == ["int4"]


def test_candidate_is_the_router_with_the_variant_as_its_base():
    live = gate(variants="int8")
    found = ask(live)
    assert router.arms(found.candidate_config).base == "int8"
    assert model_config.problems("digits", found.candidate_config, live) == []


def test_variant_that_answers_already_is_not_proposed_again():
    assert router.arms(ask(gate(base="int8", variants="int8,fp32")).candidate_config).base == "fp32"


def test_router_without_a_list_and_model_without_a_router_are_refused_with_the_fix():
    assert ask(gate()).outcome == "refused"
    assert "parameter variants" in ask(gate()).reason
    assert "no router" in ask({"name": "chat", "max_batch_size": 8}).reason
