"""What is read from a Triton config, and what is refused because it is not modelled."""

import pytest

from optimiser.simulate import BatcherConfig, Unsupported

PLAIN = {"max_batch_size": 32, "instance_group": [{"count": 1, "kind": "KIND_CPU"}]}


def test_config_without_dynamic_batching_forms_no_batches():
    assert BatcherConfig.of(PLAIN) == BatcherConfig(max_batch_size=32, instances=1, dynamic=False)


def test_maximum_is_preferred_where_nothing_is_as_triton_fills_in():
    found = BatcherConfig.of({**PLAIN, "dynamic_batching": {}})
    assert found == BatcherConfig(32, 1, True, preferred_sizes=(32,), max_queue_delay_us=0)


def test_sizes_are_sorted_and_numbers_may_be_text():
    batching = {"preferred_batch_size": [16, 8, 8], "max_queue_delay_microseconds": "5000"}
    found = BatcherConfig.of({**PLAIN, "dynamic_batching": batching})
    assert (found.preferred_sizes, found.max_queue_delay_us) == ((8, 16), 5000)
    assert found.max_queue_delay_s == 0.005
    assert found.summary == "batches of up to 32, preferred 8 and 16, waiting up to 5 ms"


@pytest.mark.parametrize(
    ("groups", "instances"),
    [
        ([{"count": 3}], 3),
        ([{"count": 2}, {"count": 1}], 3),
        ([{"count": 2, "gpus": [0, 1]}], 4),
        ([{}], 1),
        ([], 1),
    ],
)
def test_instances_are_counted_over_groups_and_gpus(groups, instances):
    assert BatcherConfig.of({**PLAIN, "instance_group": groups}).instances == instances


def test_model_without_batches_runs_one_request_at_a_time():
    assert BatcherConfig.of({**PLAIN, "max_batch_size": 0}).summary == "one request at a time"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({"sequence_batching": {}}, "sequences"),
        ({"ensemble_scheduling": {}}, "ensemble"),
        ({"model_transaction_policy": {"decoupled": True}}, "more than once"),
        ({"response_cache": {"enable": True}}, "cache"),
        ({"instance_group": [{"rate_limiter": {"resources": [{"name": "R"}]}}]}, "resources"),
        ({"dynamic_batching": {"priority_levels": 2}}, "priorities"),
        (
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 8}}},
            "limited in length",
        ),
        (
            {
                "dynamic_batching": {"preserve_ordering": True},
                "instance_group": [{"count": 2}],
            },
            "wait for each other",
        ),
        ({"dynamic_batching": {"preferred_batch_size": [64]}}, "outside 1 to max_batch_size"),
    ],
)
def test_what_is_not_modelled_is_refused_with_its_reason(said, word):
    with pytest.raises(Unsupported) as refused:
        BatcherConfig.of({**PLAIN, **said})
    assert word in refused.value.reason


@pytest.mark.parametrize(
    "values",
    [
        {"max_batch_size": 0},
        {"instances": 0},
        {"max_queue_delay_us": -1},
        {"preferred_sizes": ()},
        {"preferred_sizes": (8, 4)},
        {"preferred_sizes": (64,)},
    ],
)
def test_impossible_batcher_cannot_be_made(values):
    usual = {"max_batch_size": 32, "instances": 1, "dynamic": True, "preferred_sizes": (8,)}
    with pytest.raises(ValueError, match=r"\."):
        BatcherConfig(**{**usual, **values})
