"""The effect of a change and how sure it is: checked against worlds whose truth is known."""

import numpy as np
import pytest

from optimiser.simulate import Open, compare, replay
from optimiser.simulate.bootstrap import METRICS, _figures, resampled

from . import made

NOW, CANDIDATE = made.batcher(), made.batcher(5000)
RATE_RPS, WINDOW_S = 20.0, 60.0


def seen(seed, rate_rps=RATE_RPS, window_s=WINDOW_S):
    arrivals = made.poisson(np.random.default_rng(seed), window_s, rate_rps)
    return made.recorded(Open(arrivals, window_s), NOW, made.curve())


def test_interval_holds_the_truth_about_as_often_as_it_says():
    truth_of = made.calibrated(np.random.default_rng(0), 4000, 4000)
    forever = Open(made.poisson(np.random.default_rng(1), 20_000.0, RATE_RPS), 20_000.0)
    before, after = (_figures(replay(forever, one, truth_of, 1)) for one in (NOW, CANDIDATE))
    truth = dict(zip(METRICS, (before - after) / before, strict=True))
    runs, held = 20, dict.fromkeys(("p95_ms", "gpu_seconds_per_request"), 0)
    for seed in range(runs):
        measured = made.calibrated(np.random.default_rng(100 + seed))
        effect = compare(seen(seed), NOW, CANDIDATE, measured, seed, repetitions=50)
        for name in held:
            interval = effect.metrics[name]
            held[name] += interval.low <= truth[name] <= interval.high
    # Of 20 intervals at 95 % fewer than 16 hold the truth three times in a thousand.
    assert min(held.values()) >= 16, held


def test_interval_is_not_so_wide_that_it_says_nothing():
    measured = made.calibrated(np.random.default_rng(1))
    found = compare(seen(1), NOW, CANDIDATE, measured, 1, repetitions=60).metrics
    gpu = found["gpu_seconds_per_request"]
    assert 0 < gpu.low < gpu.change < gpu.high
    assert gpu.high - gpu.low < 0.06


def test_better_is_positive_for_each_metric():
    load = made.closed(16, np.linspace(120, 180, 300), 30.0)
    traffic = made.recorded(load, NOW, made.curve(), names_callers=True)
    found = compare(traffic, NOW, CANDIDATE, made.curve(), 1, repetitions=20).metrics
    assert list(found) == list(METRICS)
    assert all(interval.low > 0.3 for interval in found.values())
    throughput, gpu = found["throughput_rps"], found["gpu_seconds_per_request"]
    assert throughput.change == pytest.approx(throughput.after / throughput.before - 1)
    assert gpu.change == pytest.approx(1 - gpu.after / gpu.before)


def test_same_config_changes_nothing():
    found = compare(seen(2), NOW, NOW, made.curve(), 1, repetitions=10).metrics
    assert {(one.change, one.low, one.high) for one in found.values()} == {(0.0, 0.0, 0.0)}


def test_capacity_is_freed_at_the_recorded_rate():
    traffic = seen(3)
    effect = compare(traffic, NOW, CANDIDATE, made.curve(), 1, repetitions=20)
    gpu = effect.metrics["gpu_seconds_per_request"]
    hours = traffic.requests / WINDOW_S * 30 * 86400 * (gpu.before - gpu.after) / 3600
    assert effect.capacity.gpu_hours_per_30_days == pytest.approx(hours)
    assert effect.capacity.low < hours < effect.capacity.high


def test_seed_decides_the_interval():
    traffic, measured = seen(4), made.calibrated(np.random.default_rng(1))
    one, same, other = (
        compare(traffic, NOW, CANDIDATE, measured, seed, repetitions=10) for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_traffic_drawn_anew_is_made_of_its_own_blocks():
    load = Open(np.sort(np.random.default_rng(1).random(600)) * 60, 60.0)
    again = resampled(load, 6.0, 10_000, np.random.default_rng(2))
    assert (np.diff(again.arrivals_s) >= 0).all()
    assert 0 <= again.arrivals_s[0] <= again.arrivals_s[-1] < 60
    # Within a block the gaps are the recorded ones.
    recorded_gaps = {f"{gap:.9f}" for gap in np.diff(load.arrivals_s)}
    strange = [f"{gap:.9f}" for gap in np.diff(again.arrivals_s)]
    assert sum(gap not in recorded_gaps for gap in strange) <= 10


def test_long_windows_are_drawn_from_in_full_and_replayed_in_part():
    load = Open(np.arange(0, 1000, 0.1), 1000.0)
    again = resampled(load, 10.0, 500, np.random.default_rng(2))
    assert again.window_s == 50.0
    assert len(again.arrivals_s) == pytest.approx(500, abs=10)


def test_pauses_drawn_anew_keep_their_number_and_kind():
    load = made.closed(4, np.arange(100.0), 60.0)
    again = resampled(load, 6.0, 10_000, np.random.default_rng(2))
    assert len(again.think_s) == 100
    assert set(again.think_s) <= set(load.think_s)
    assert again.clients == 4
