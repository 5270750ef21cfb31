"""The terms of an experiment: limits, and what people may ask for."""

import pytest

from optimiser.policy import BadPolicy, Policy, check_for_people

BAD = [
    ({"experiment": "coin toss"}, "experiment"),
    ({"blocks": 15}, "blocks"),
    ({"blocks": 2}, "blocks"),
    ({"blocks": True}, "blocks"),
    ({"block_s": 0}, "block_s"),
    ({"washout_s": -1}, "washout_s"),
    ({"looks": 9, "blocks": 16}, "looks"),
    ({"weight": 1.0}, "weight"),
    ({"approvals": 0}, "approvals"),
    ({"deadline_s": 60}, "deadline_s"),
    ({"colour": "red"}, "colour"),
]


@pytest.mark.parametrize(("said", "field"), BAD)
def test_policy_names_the_term_that_cannot_work(said, field):
    with pytest.raises(BadPolicy) as bad:
        Policy.from_json(said)

    assert bad.value.field == field


def test_policy_survives_json():
    policy = Policy(blocks=8, judge={"alpha": 0.01})

    assert Policy.from_json(policy.to_json()) == policy


def test_duration_counts_the_washout_of_a_switchback_only():
    terms = {"blocks": 10, "block_s": 30.0, "washout_s": 5.0, "settle_s": 8.0}

    assert Policy(**terms).duration_s == 358
    assert Policy(**terms, experiment="split").duration_s == 308


def test_defaults_are_fit_for_people():
    assert check_for_people(Policy()) == Policy()


@pytest.mark.parametrize(
    "short", [{"block_s": 2.0}, {"washout_s": 0.0}, {"book_least_minutes": 1.0}, {"settle_s": 1.0}]
)
def test_people_may_not_ask_for_an_experiment_too_short_to_mean_anything(short):
    with pytest.raises(BadPolicy) as bad:
        check_for_people(Policy(**short))

    assert [bad.value.field] == list(short)


def test_sample_data_allows_shorter_experiments():
    short = Policy(blocks=8, block_s=3.0, washout_s=1.0, looks=2, settle_s=3.0)

    assert check_for_people(short, is_sample=True) == short
    with pytest.raises(BadPolicy, match="block_s: must be at least 3"):
        check_for_people(Policy(block_s=2.0), is_sample=True)
