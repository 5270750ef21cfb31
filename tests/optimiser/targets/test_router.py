from datetime import UTC, datetime, timedelta

import pytest

from optimiser.targets import router

NOW = datetime(2026, 11, 21, 9, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=60)


def config(base="a", canary="", weight="0", lease="0", **more):
    said = {"base": base, "canary": canary, "weight": weight, "lease_expires_at": lease, **more}
    parameters = {name: {"string_value": value} for name, value in said.items()}
    return {"name": "public", "max_batch_size": 32, "parameters": parameters}


def test_split_says_who_is_tried_for_how_much_and_how_long():
    split = router.split(config(canary_timeout_ms="300"), "b", 0.1, LATER)
    assert router.arms(split) == router.Arms("a", "b", 0.1, LATER)
    assert split["parameters"]["canary_timeout_ms"] == {"string_value": "300"}
    assert split["max_batch_size"] == 32


def test_split_again_renews_the_lease_and_nothing_else():
    first = router.split(config(), "b", 0.1, NOW)
    again = router.split(first, "b", 0.1, LATER)
    assert again == router.split(config(), "b", 0.1, LATER)


def test_promoted_is_the_canary_as_base_without_a_split():
    promoted = router.promoted(router.split(config(), "b", 0.1, LATER), "b")
    assert promoted == config(base="b")


def test_settled_is_the_config_before_the_split():
    assert router.settled(router.split(config(), "b", 0.1, LATER)) == config()


def test_a_split_ends_with_its_lease():
    arms = router.arms(router.split(config(), "b", 0.1, LATER))
    assert arms.is_splitting(NOW)
    assert not arms.is_splitting(LATER)
    assert not router.arms(config()).is_splitting(NOW)


@pytest.mark.parametrize(
    ("canary", "weight", "reason"),
    [
        ("a", 0.1, "a cannot be base and canary at once."),
        ("public", 0.1, "The router public cannot send requests to itself."),
        ("b", 1.1, "The weight is 1.1: use a share from 0 to 1."),
        ("b", float("nan"), "The weight is nan: use a share from 0 to 1."),
        ("", 0.1, "A weight above 0 needs a canary to go to."),
    ],
)
def test_a_split_that_cannot_be_is_refused(canary, weight, reason):
    with pytest.raises(router.NoRouter) as caught:
        router.split(config(), canary, weight, LATER)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"name": "chat", "parameters": {}}, "chat is no router"),
        (config(base=""), "A router needs a base"),
        (config(weight="half"), "weight is 'half': use a number."),
        (config(lease="inf"), "lease_expires_at is 'inf': use a number."),
        (config(lease="1e30"), "lease_expires_at is 1e+30: use seconds since 1970."),
        ({**config(), "parameters": {**config()["parameters"], "base": "a"}}, "A parameter is"),
    ],
)
def test_a_config_that_is_no_routers_says_why(wrong, reason):
    with pytest.raises(router.NoRouter) as caught:
        router.arms(wrong)
    assert str(caught.value).startswith(reason)
