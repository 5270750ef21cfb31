"""The event loop against what a real Triton did, and against what must hold for any config."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimiser.simulate import Open, Unsupported, replay

from . import made

# Requests at these milliseconds, and what Triton 2.51 answered after (milliseconds), serving a
# model that sleeps 20 ms and 1 ms a row, on a machine of its own. Client and wake-ups cost 1–2 ms.
TRACES = [
    ((5000, ()), (0, 10, 18), (28.1, 39.3, 53.4)),
    ((5000, ()), (0, 10, 18, 24, 30, 36), (28.0, 39.3, 55.4, 49.0, 43.7, 58.7)),
    ((5000, ()), (0, 3, 30, 33, 36), (29.2, 25.8, 28.8, 25.5, 44.7)),
    (
        (5000, ()),
        (0, 1, 2, 3, 4, 25, 26, 27, 28),
        (32.2, 30.8, 29.5, 29.3, 28.2, 31.7, 31.3, 30.2, 29.0),
    ),
    ((0, ()), (0, 10, 18), (22.9, 35.3, 27.9)),
    ((0, ()), (0, 10, 18, 24, 30, 36), (23.1, 35.4, 27.9, 45.4, 39.0, 33.7)),
    ((0, ()), (0, 3, 30, 33, 36), (23.0, 41.0, 38.4, 35.1, 32.8)),
    ((2000, (4,)), (0, 10, 18), (24.9, 36.4, 50.9)),
    ((2000, (4,)), (0, 10, 18, 24, 30, 36), (25.1, 36.3, 51.4, 44.6, 62.3, 57.0)),
    ((2000, (4,)), (0, 3, 30, 33, 36), (25.1, 43.4, 38.5, 57.8, 55.6)),
    (
        (2000, (4,)),
        (0, 1, 2, 3, 4, 25, 26, 27, 28),
        (27.4, 25.9, 25.8, 47.7, 46.3, 49.9, 48.3, 48.0, 68.1),
    ),
]


def answers(arrivals_ms, batcher, curve=None, seed=1):
    """Latency in milliseconds of each request, in order of their start."""
    load = Open(np.array(arrivals_ms, dtype=float) / 1000, 10.0)
    found = replay(load, batcher, curve or made.curve(), seed)
    return (found.latency_s[np.argsort(found.started_s, kind="stable")] * 1000).tolist(), found


@pytest.mark.parametrize(("setting", "arrivals_ms", "seen_ms"), TRACES)
def test_each_request_takes_what_it_took_on_a_real_triton(setting, arrivals_ms, seen_ms):
    told_ms, _ = answers(
        arrivals_ms, made.batcher(*setting), made.curve(20.7, 1.05, spacing_ms=0.07)
    )
    assert told_ms == pytest.approx(list(seen_ms), abs=2.0)


def test_without_batching_requests_queue_one_by_one():
    told_ms, found = answers((0, 0, 5), made.batcher())
    assert told_ms == pytest.approx([21.8, 42.8, 58.8])
    assert found.batch_sizes.tolist() == [1, 1, 1]
    assert found.gpu_seconds_per_request == pytest.approx(0.021)


def test_two_instances_serve_two_at_once():
    told_ms, found = answers((0, 0, 0), made.batcher(instances=2))
    assert told_ms == pytest.approx([21.8, 21.8, 42.8])
    assert found.busy_share == pytest.approx(3 * 0.021 / (2 * 0.0428))


def test_idle_instance_takes_what_is_there_when_there_is_no_delay():
    told_ms, found = answers((0, 1, 2, 3), made.batcher(0))
    assert found.batch_sizes.tolist() == [1, 3]
    assert told_ms == pytest.approx([21.8, 43.8, 42.8, 41.8])


def test_lone_request_waits_the_whole_delay():
    told_ms, _ = answers((0,), made.batcher(5000))
    assert told_ms == pytest.approx([26.8])


def test_preferred_size_goes_at_once():
    told_ms, found = answers((0, 1, 2, 3), made.batcher(50_000, (4,)))
    assert found.batch_sizes.tolist() == [4]
    assert told_ms == pytest.approx([27.8, 26.8, 25.8, 24.8])


def test_batches_stop_at_the_preferred_size_without_a_delay_and_at_the_maximum_with_one():
    burst = (0,) * 13
    assert answers(burst, made.batcher(0, (4,)))[1].batch_sizes.tolist() == [1, 4, 4, 4]
    assert answers(burst, made.batcher(0, most=8))[1].batch_sizes.tolist() == [1, 8, 4]


def test_instance_merges_prepared_batches_that_have_waited_beyond_the_delay():
    # Two batches of 4 are prepared while the first is executed, and go as one.
    sizes = answers((0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2), made.batcher(3000, (4,)))[1].batch_sizes
    assert sizes.tolist() == [4, 8]


def test_answers_of_a_batch_reach_their_client_one_after_the_other():
    told_ms, _ = answers((0, 0), made.batcher(1000, (2,)), made.curve(spacing_ms=0.4))
    assert told_ms == pytest.approx([22.8, 23.2])


def test_closed_loop_is_as_fast_as_its_slowest_part():
    found = replay(made.closed(1, 10.0), made.batcher(), made.curve(), 1)
    assert found.throughput_rps == pytest.approx(1 / 0.0318, rel=0.01)
    found = replay(made.closed(16, 0.0), made.batcher(), made.curve(), 1)
    assert found.throughput_rps == pytest.approx(1 / 0.021, rel=0.01)
    assert found.latency_ms(50) == pytest.approx(16 * 21, rel=0.01)


def test_same_seed_gives_the_same_replay_and_another_seed_another():
    measured = made.calibrated(np.random.default_rng(1))
    load = made.closed(8, np.linspace(10, 30, 50), 10.0)
    one, same, other = (replay(load, made.batcher(2000), measured, seed) for seed in (5, 5, 6))
    assert one.latency_s.tolist() == same.latency_s.tolist()
    assert one.latency_s.tolist() != other.latency_s.tolist()


def test_batches_beyond_the_calibration_are_refused():
    with pytest.raises(Unsupported, match="Batches of 64 were not measured"):
        answers((0,), made.batcher(0, most=64))
    # Without batching there are no such batches.
    assert len(answers((0,), made.batcher(most=64))[0]) == 1


def test_nothing_cannot_be_replayed():
    with pytest.raises(ValueError, match="at least one request"):
        answers((), made.batcher())


@settings(max_examples=100, deadline=None)
@given(
    gaps_ms=st.lists(st.floats(0, 60), min_size=1, max_size=60),
    delay_us=st.one_of(st.none(), st.integers(0, 30_000)),
    most=st.integers(1, 32),
    preferred=st.sets(st.integers(1, 32), max_size=3),
    instances=st.integers(1, 3),
)
def test_every_request_is_answered_once_in_time_and_in_order(
    gaps_ms, delay_us, most, preferred, instances
):
    config = made.batcher(delay_us, [size for size in preferred if size <= most], most, instances)
    told_ms, found = answers(np.cumsum(gaps_ms), config)
    assert len(told_ms) == len(gaps_ms)
    assert found.batch_sizes.sum() == len(gaps_ms)
    assert found.batch_sizes.max() <= (most if config.dynamic else 1)
    assert min(told_ms) >= 21.8 - 1e-6
    if instances == 1:
        # One instance serves in the order of arrival, and never sits idle beyond the delay.
        ends = np.cumsum(gaps_ms) + told_ms
        assert (np.diff(ends) >= -1e-6).all()
        longest_ms = sum(gaps_ms) + len(gaps_ms) * (21.8 + (delay_us or 0) / 1000)
        assert found.span_s <= longest_ms / 1000 + 1e-9


@settings(max_examples=30, deadline=None)
@given(
    callers=st.integers(1, 40),
    think_ms=st.floats(0, 100),
    delay_us=st.one_of(st.none(), st.integers(0, 20_000)),
    instances=st.integers(1, 3),
)
def test_callers_in_a_closed_loop_obey_littles_law(callers, think_ms, delay_us, instances):
    found = replay(
        made.closed(callers, think_ms, 20.0), made.batcher(delay_us, instances=instances),
        made.curve(), 1,
    )  # fmt: skip
    round_s = float(np.mean(found.latency_s)) + think_ms / 1000
    assert found.throughput_rps * round_s == pytest.approx(callers, rel=0.05)
