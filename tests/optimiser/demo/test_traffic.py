"""The drawn traffic behaves like the published traces it is calibrated on."""

import heapq
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from genai_prices import Usage, calc_price

from optimiser.demo import history, load, traffic
from optimiser.levers.batching import P95_OFF

BY_NAME = {service.name: service for service in traffic.SERVICES}
NOON = 12 * 3600.0


def moments(arrivals, seconds, began=0.0):
    at, times = began, []
    while (at := arrivals.next_after(at)) < began + seconds:
        times.append(at)
    return np.array(times)


def dispersion(times, window_s, seconds):
    counts = np.bincount((times // window_s).astype(int), minlength=int(seconds / window_s))
    return counts.var() / counts.mean()


@pytest.fixture
def steady(monkeypatch):
    """The same rate at every hour, so that burstiness is seen alone."""
    monkeypatch.setattr(traffic, "hour_ratio", lambda at: 1.0)


@pytest.mark.usefixtures("steady")
def test_code_assist_bursts_as_azures_trace_does_from_one_second_to_one_minute():
    published = traffic.calibration()["arrivals"]["azure_llm_2023_code"]
    seconds = 3 * 3600
    runs = []
    for seed in range(12):
        dice = np.random.default_rng(seed)
        arrivals = traffic.arrivals(BY_NAME["code-assist"], published["mean_rps"], dice)
        times = moments(arrivals, seconds)
        runs.append([dispersion(times, w, seconds) for w in (1, 10, 60)])
    measured = np.mean(runs, axis=0)
    for value, window in zip(measured, ("1", "10", "60"), strict=True):
        assert value == pytest.approx(published["index_of_dispersion"][window], rel=0.4)


@pytest.mark.usefixtures("steady")
@pytest.mark.parametrize(
    ("service", "figure"),
    [
        ("support-chat", "cv_of_gaps_rate_weighted_mean"),
        ("digit-reader", "cv_of_gaps_median"),
    ],
)
def test_gaps_vary_as_servegens_clients_do(service, figure):
    published = traffic.calibration()["arrivals"]["servegen_language_msmall"][figure]
    arrivals = traffic.arrivals(BY_NAME[service], 2.0, np.random.default_rng(4))
    gaps = np.diff(moments(arrivals, 20_000))
    assert gaps.std() / gaps.mean() == pytest.approx(published, rel=0.05)
    assert 1 / gaps.mean() == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("service", traffic.SERVICES, ids=lambda service: service.name)
def test_the_hour_of_the_day_sets_the_rate(service):
    def requests(hour):
        dice = np.random.default_rng(9)
        arrivals = traffic.arrivals(service, 5.0, dice)
        return len(moments(arrivals, 3600, began=hour * 3600.0))

    ratios = traffic.calibration()["hour_of_day_ratio"]["servegen_language_msmall"]
    assert requests(20) / requests(5) == pytest.approx(ratios[20] / ratios[5], rel=0.25)


def test_arrivals_always_move_forward_even_at_todays_clock():
    for service in traffic.SERVICES:
        arrivals = traffic.arrivals(service, 8.0, np.random.default_rng(1))
        times = moments(arrivals, 600, began=1_760_000_000.0)
        assert all(a <= b for a, b in pairwise(times))


@pytest.mark.parametrize("service", ["support-chat", "code-assist"])
@pytest.mark.parametrize("direction", ["input", "output"])
def test_token_counts_follow_the_published_quantiles(service, direction):
    published = traffic.calibration()["tokens"][BY_NAME[service].tokens][direction]
    calls = drawn(service, 20_000)
    counts = [c for call in calls if (c := getattr(call, f"{direction}_tokens")) is not None]
    for percent in ("10", "25", "50", "75", "90", "95"):
        measured = np.percentile(counts, float(percent))
        assert measured == pytest.approx(published[percent], rel=0.1, abs=1)
    assert max(counts) <= published["100"]


@cache
def drawn(service, count, seed=3):
    callers = traffic.Callers(BY_NAME[service], np.random.default_rng(seed))
    return [callers.next_call() for _ in range(count)]


def test_cached_tokens_are_whole_blocks_of_hosted_calls_and_part_of_the_input():
    calls = drawn("support-chat", 5000)
    cached = [(c.input_tokens, c.cached_input_tokens) for c in calls if c.route.is_hosted]
    assert all(part <= whole and part % 512 == 0 for whole, part in cached)
    assert {c.cached_input_tokens for c in calls if not c.route.is_hosted} == {None}
    share = sum(part for _, part in cached) / sum(whole for whole, _ in cached)
    published = traffic.calibration()["prefix_cache"]["mooncake_conversation"]
    # Cutting to whole blocks costs a little of the published ratio.
    assert 0.8 < share / published["hit_ratio_unlimited_cache"] < 1.0


def test_an_inference_without_tokens_reports_none_rather_than_zero():
    call = drawn("digit-reader", 1)[0]
    assert (call.input_tokens, call.cached_input_tokens, call.output_tokens) == (None, None, None)


def test_an_embedding_reports_input_tokens_alone():
    embeddings = [c for c in drawn("code-assist", 200) if c.route.operation == "embeddings"]
    assert {c.output_tokens for c in embeddings} == {None}
    assert all(c.input_tokens for c in embeddings)


def test_the_busiest_user_has_the_share_of_servegens_busiest_client():
    users = [call.user_id for call in drawn("support-chat", 20_000)]
    share = users.count("user-01") / len(users)
    published = traffic.calibration()["callers"]["servegen_language_msmall"]["busiest_share"]
    assert share == pytest.approx(published, rel=0.05)


def test_a_session_belongs_to_one_user_and_ends():
    calls = drawn("support-chat", 2000)
    owners = {}
    for call in calls:
        owners.setdefault(call.session_id, set()).add(call.user_id)
    assert all(len(users) == 1 for users in owners.values())
    assert len(calls) / len(owners) == pytest.approx(traffic.REQUESTS_PER_SESSION, rel=0.25)


def test_the_same_seed_draws_the_same_calls():
    assert drawn("code-assist", 50, seed=8) == drawn("code-assist", 50, seed=8)
    assert drawn("code-assist", 50, seed=8) != drawn("code-assist", 50, seed=9)


def test_shares_add_up_to_the_whole():
    assert sum(service.share for service in traffic.SERVICES) == pytest.approx(1)
    for service in traffic.SERVICES:
        assert sum(route.share for route in service.routes) == pytest.approx(1)


def test_every_hosted_model_has_a_price_also_for_cached_tokens():
    usage = Usage(input_tokens=1000, output_tokens=10, cache_read_tokens=500)
    no_cache = Usage(input_tokens=1000, output_tokens=10)
    for service in traffic.SERVICES:
        for route in service.routes:
            if route.is_hosted:
                price = calc_price(usage, route.model, provider_id=route.provider)
                full = calc_price(no_cache, route.model, provider_id=route.provider)
                assert 0 < price.total_price < full.total_price


def test_every_figure_names_a_source_with_a_licence():
    figures = traffic.calibration()
    sources = figures["sources"]
    used = {
        name
        for part, by_source in figures.items()
        if part not in ("_about", "sources")
        for name in by_source
    }
    assert used == set(sources)
    assert {source["licence"] for source in sources.values()} == {"CC BY 4.0", "Apache-2.0"}
    assert all(source["url"] and source["citation"] for source in sources.values())


def test_hosted_calls_that_are_not_made_are_nobody_elses():
    callers = traffic.Callers(BY_NAME["support-chat"], np.random.default_rng(5), 0.1)
    made = Counter(call.route.served_by for _ in range(20_000) if (call := callers.next_call()))
    assert made["fixedcost"] == pytest.approx(0.35 * 20_000, rel=0.05)
    assert made["hosted"] == pytest.approx(0.1 * 0.65 * 20_000, rel=0.1)


@pytest.mark.parametrize("known", history.HOSTED, ids=lambda one: one.service)
def test_hosted_models_are_called_as_often_as_in_the_history(known):
    service = BY_NAME[known.service]
    share = service.share * sum(route.share for route in service.routes if route.is_hosted)
    a_day = load.RATE_PER_S * share * load.HOSTED_FACTOR * 86_400
    assert a_day == pytest.approx(known.requests_a_day, rel=0.1)


def test_triton_is_as_busy_in_the_history_as_with_the_live_load():
    for model, ms in history.SERVICE_MS.items():
        share = sum(
            service.share * route.share
            for service in traffic.SERVICES
            for route in service.routes
            if model.startswith(route.served_by)
        )
        busy = load.RATE_PER_S * share * ms / 1000
        assert history.BUSY_SHARE[model] == pytest.approx(busy, rel=0.1)


@pytest.mark.parametrize("think_s", [0.15, 0.0])
def test_others_leave_the_replay_of_the_batch_job_true_at_any_hour(think_s):
    """Its advice is made from its own requests, and others call the model too."""
    busiest = int(np.argmax([traffic.hour_ratio(3600 * hour) for hour in range(24)]))
    chat = BY_NAME["support-chat"]
    dice = np.random.default_rng(7)
    callers = traffic.Callers(chat, dice, load.HOSTED_FACTOR)
    arrivals = traffic.arrivals(chat, load.RATE_PER_S * chat.share, dice)
    at = begin = 3600.0 * busiest
    others = []
    while at < begin + 300:
        at = arrivals.next_after(at)
        call = callers.next_call()
        if call and call.route.model == traffic.BATCH_MODEL:
            others.append(at - begin)
    alone, beside = (p95_of_callers(some, think_s) for some in ([], others))
    assert 1 < beside / alone < 0.85 * P95_OFF


def p95_of_callers(others, think_s):
    """Of sixteen who wait, at a model that takes one request after the other."""
    service_s = history.SERVICE_MS[traffic.BATCH_MODEL] / 1000
    events = [(at, False) for at in others] + [(0.01 * one, True) for one in range(16)]
    heapq.heapify(events)
    free_at, took = 0.0, []
    while events[0][0] < 300:
        at, waits = heapq.heappop(events)
        free_at = max(free_at, at) + service_s
        if waits:
            took.append(free_at - at)
            heapq.heappush(events, (free_at + think_s, True))
    return np.percentile(took, 95)
