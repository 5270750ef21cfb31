"""Configs without a server: their one spelling, what is wrong with them, what may differ."""

import copy

import pytest

from optimiser.targets import model_config

LIVE = {
    "name": "chat",
    "platform": "",
    "backend": "python",
    "version_policy": {"latest": {"num_versions": 1}},
    "max_batch_size": 32,
    "input": [{"name": "INPUT", "data_type": "TYPE_FP32", "format": "FORMAT_NONE", "dims": [16]}],
    "output": [{"name": "OUTPUT", "data_type": "TYPE_FP32", "dims": [1]}],
    "instance_group": [{"name": "chat_0", "kind": "KIND_CPU", "count": 1, "gpus": []}],
    "parameters": {"fixed_ms": {"string_value": "20"}},
    "response_cache": {"enable": False},
}
ROUTING = {
    "base": {"string_value": "a"},
    "canary": {"string_value": ""},
    "weight": {"string_value": "0"},
    "lease_expires_at": {"string_value": "0"},
}
MAY_SET = "dynamic_batching, max_batch_size, instance counts, response_cache"


def changed(**fields):
    return {**copy.deepcopy(LIVE), **fields}


def test_canonical_drops_defaults_and_sorts():
    plain = model_config.canonical(LIVE)
    assert list(plain) == sorted(plain)
    assert "platform" not in plain
    assert plain["input"] == [{"data_type": "TYPE_FP32", "dims": [16], "name": "INPUT"}]
    # An empty object is a switch that is there, not a default.
    assert plain["response_cache"] == {}


def test_canonical_is_the_same_for_both_spellings_of_a_64_bit_number():
    as_text = changed(dynamic_batching={"max_queue_delay_microseconds": "2000"})
    as_number = changed(dynamic_batching={"max_queue_delay_microseconds": 2000})
    assert model_config.canonical(as_text) == model_config.canonical(as_number)


def test_canonical_names_the_preferred_size_that_triton_fills_in():
    plain = model_config.canonical(changed(dynamic_batching={}))
    assert plain["dynamic_batching"] == {"preferred_batch_size": [32]}


def test_canonical_of_something_else_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="batching is no field of Triton's config"):
        model_config.canonical(changed(batching={}))


def test_live_config_has_no_problems_and_differs_in_nothing():
    assert model_config.problems("chat", LIVE, LIVE) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"dynamic_batching": {"max_queue_delay": 1}},
            "dynamic_batching.max_queue_delay is no field of Triton's config: did you mean "
            "max_queue_delay_microseconds?",
        ),
        ({"surprise": 1}, "surprise is no field of Triton's config."),
        ({"maxBatchSize": 8}, "maxBatchSize is no field of Triton's config: did you mean "),
        ({"max_batch_size": "many"}, "max_batch_size must be a whole number, not 'many'."),
        ({"max_batch_size": 2.5}, "max_batch_size must be a whole number, not 2.5."),
        ({"max_batch_size": True}, "max_batch_size must be a whole number, not true."),
        ({"max_batch_size": None}, "max_batch_size must be a whole number, not null."),
        ({"max_batch_size": -1}, "max_batch_size is -1: use 0 to 4096."),
        ({"max_batch_size": 2**40}, "Triton cannot read this config: "),
        ({"instance_group": {}}, "instance_group must be a list, not an object."),
        ({"response_cache": []}, "response_cache must be an object, not a list."),
        ({"response_cache": {"enable": 1}}, "response_cache.enable must be true or false, not 1."),
        ({"parameters": {"x": "y"}}, "parameters.x must be an object, not 'y'."),
        (
            {"instance_group": [{"kind": "KIND_TPU", "count": 1}]},
            "instance_group[0].kind is 'KIND_TPU': use one of KIND_AUTO, ",
        ),
        (
            {"instance_group": [{"kind": "KIND_CPU", "count": 900}]},
            "instance_group[0].count is 900: use 1 to 64.",
        ),
        ({"name": "other"}, "name is 'other': it must stay 'chat'."),
        (
            {"dynamic_batching": {"preferred_batch_size": [8, 64]}},
            "dynamic_batching.preferred_batch_size holds 64: use 1 to 32, the max_batch_size.",
        ),
        (
            {"max_batch_size": 0, "dynamic_batching": {}},
            "dynamic_batching needs a max_batch_size of at least 1.",
        ),
        ({"input": []}, "input is missing: send the full config as Triton reports it, since "),
    ],
)
def test_what_triton_would_refuse_is_named_in_one_sentence(fields, problem):
    (found,) = model_config.problems("chat", changed(**fields))
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "fields",
    [
        {"dynamic_batching": {"preferred_batch_size": [4, 8], "max_queue_delay_microseconds": 5}},
        {"dynamic_batching": {}},
        {"max_batch_size": 16},
        {"instance_group": [{"name": "chat_0", "kind": "KIND_CPU", "count": 2, "gpus": []}]},
        {"response_cache": {"enable": True}},
    ],
)
def test_a_change_may_touch_what_the_list_names(fields):
    assert model_config.problems("chat", changed(**fields), LIVE) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"backend": "onnxruntime"}, "backend"),
        ({"parameters": {"fixed_ms": {"string_value": "1"}}}, "parameters.fixed_ms.string_value"),
        ({"version_policy": {"latest": {"num_versions": 2}}},
         "version_policy.latest.num_versions"),
        ({"instance_group": [{"name": "chat_0", "kind": "KIND_GPU", "count": 1}]},
         "instance_group[0].kind"),
        ({"model_repository_agents": {"agents": [{"name": "checksum"}]}},
         "model_repository_agents.agents[0].name"),
        ({"parameters": {**LIVE["parameters"], "base": {"string_value": "x"}}},
         "parameters.base.string_value"),
    ],
)  # fmt: skip
def test_a_change_may_touch_nothing_else(fields, path):
    assert model_config.problems("chat", changed(**fields), LIVE) == [
        f"{path} would change, which a change may not: it may set {MAY_SET}."
    ]


def test_a_patch_is_refused_because_it_would_replace_the_whole():
    found = model_config.problems("chat", {"name": "chat", "max_batch_size": 8})
    assert [one.partition(" ")[0] for one in found] == ["input", "output", "instance_group"]


def test_the_cache_changes_alone_or_not_at_all():
    both = changed(response_cache={"enable": True}, max_batch_size=16)
    (found,) = model_config.problems("chat", both, LIVE)
    assert found.startswith("response_cache cannot change together with anything else")


def test_a_router_may_change_its_routing_and_never_cache():
    live = changed(parameters=ROUTING)
    moved = changed(parameters={**ROUTING, "weight": {"string_value": "0.5"},
                                "canary": {"string_value": "b"}})  # fmt: skip
    assert model_config.problems("chat", moved, live) == []
    cached = changed(parameters=ROUTING, response_cache={"enable": True})
    (found,) = model_config.problems("chat", cached, live)
    assert found.startswith("response_cache cannot be on for a router")


def test_a_router_that_cannot_route_is_a_problem():
    wrong = changed(parameters={**ROUTING, "weight": {"string_value": "2"},
                                "canary": {"string_value": "b"}})  # fmt: skip
    assert model_config.problems("chat", wrong) == ["The weight is 2: use a share from 0 to 1."]
