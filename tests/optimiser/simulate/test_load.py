"""Open and closed loads told apart from starts, latencies and, where known, callers."""

from datetime import timedelta

import numpy as np
import pytest

from optimiser.simulate import Closed, Open, Traffic, recognise

from . import made


def traffic(started, latency, callers=None, window_s=100.0):
    return Traffic(
        np.array(started, dtype=float), np.array(latency, dtype=float), made.NOON,
        made.NOON + timedelta(seconds=window_s), None if callers is None else np.array(callers),
    )  # fmt: skip


@pytest.mark.parametrize("callers", [1, 4, 16])
@pytest.mark.parametrize("delay_us", [None, 0, 5000])
def test_callers_who_pause_are_recognised_by_name(callers, delay_us):
    dice = np.random.default_rng(3)
    load = made.closed(callers, dice.uniform(120, 180, 3000), 60.0)
    seen = made.recorded(load, made.batcher(delay_us), made.curve(), names_callers=True)
    found = recognise(seen)
    assert isinstance(found, Closed)
    assert (found.clients, found.told_by) == (callers, "callers")
    assert np.mean(found.think_s) == pytest.approx(0.150, rel=0.03)


@pytest.mark.parametrize("callers", [2, 4, 16])
@pytest.mark.parametrize("delay_us", [None, 0, 5000])
def test_callers_who_do_not_pause_are_recognised_without_names(callers, delay_us):
    seen = made.recorded(made.closed(callers, 0.0), made.batcher(delay_us), made.curve())
    found = recognise(seen)
    assert isinstance(found, Closed)
    assert (found.clients, found.told_by) == (callers, "rhythm")
    assert np.mean(found.think_s) < 0.002


@pytest.mark.parametrize("rate_rps", [2, 20, 45])
@pytest.mark.parametrize("delay_us", [None, 5000])
def test_arrivals_by_chance_are_open(rate_rps, delay_us):
    arrivals = made.poisson(np.random.default_rng(rate_rps), 120.0, rate_rps)
    seen = made.recorded(Open(arrivals, 120.0), made.batcher(delay_us), made.curve())
    found = recognise(seen)
    assert isinstance(found, Open)
    assert found.arrivals_s.tolist() == seen.started_s.tolist()


def test_services_that_ask_again_before_the_answer_are_open():
    started = made.poisson(np.random.default_rng(1), 60.0, 20.0)
    found = recognise(traffic(started, np.full(len(started), 0.2), np.zeros(len(started), int)))
    assert isinstance(found, Open)


def test_people_who_hardly_wait_are_open():
    dice = np.random.default_rng(1)
    started = np.sort(dice.random(1000)) * 99
    who = np.arange(1000) % 100
    assert isinstance(recognise(traffic(started, np.full(1000, 0.02), who)), Open)


def test_callers_who_come_late_count_for_the_time_they_are_there():
    rounds = np.arange(0, 98, 0.5)
    late = rounds[rounds >= 49]
    started = np.r_[rounds, late]
    order = np.argsort(started, kind="stable")
    who = np.r_[np.zeros(len(rounds), int), np.ones(len(late), int)]
    found = recognise(traffic(started[order], np.full(len(order), 0.2), who[order]))
    assert isinstance(found, Closed)
    assert found.clients == 2  # one and a half, rounded to whole callers
    assert np.allclose(found.think_s, 0.3)


def test_too_few_requests_are_open_whatever_they_look_like():
    assert isinstance(recognise(traffic(np.arange(20), np.full(20, 1.0))), Open)


def test_loads_say_what_they_are_as_json():
    assert made.closed(4, 150.0).to_json() == {
        "kind": "closed", "clients": 4, "think_ms": 150.0, "told_by": "callers",
    }  # fmt: skip
    assert Open(np.arange(10.0), 20.0).to_json() == {"kind": "open", "rate_rps": 0.5}


@pytest.mark.parametrize(
    "wrong",
    [
        {"started": [2, 1], "latency": [1, 1]},
        {"started": [1], "latency": [1, 1]},
        {"started": [1], "latency": [-1]},
        {"started": [1], "latency": [float("nan")]},
        {"started": [101], "latency": [1]},
        {"started": [1], "latency": [1], "callers": [0, 1]},
        {"started": [1], "latency": [1], "window_s": 0},
    ],
)
def test_impossible_traffic_cannot_be_made(wrong):
    with pytest.raises(ValueError, match=r"\."):
        traffic(**wrong)
