"""Calibration on a real Triton: right figures, the live model untouched, the shadow gone again."""

import contextlib

import httpx
import numpy as np
import pytest

from optimiser.targets import calibration
from optimiser.targets.base import TargetError

from .conftest import MODELS, lay_out

SHADOW = "fixedcost_shadow"


def measure(server, shadow=SHADOW, **other):
    settings = {"batch_sizes": (1, 2, 6), "repeats": 3, "timeout_s": 60.0, **other}
    endpoints = server.endpoints
    url, key = settings.pop("url", endpoints.http), settings.pop("key", endpoints.admin_key)
    return calibration.measure(url, key, settings.pop("model", "fixedcost"), shadow, **settings)


def is_loaded(server, model):
    return httpx.get(f"{server.endpoints.http}/v2/models/{model}/ready").status_code == 200


@pytest.mark.triton
def test_calibration_finds_what_batches_take(server, fixedcost):
    live, before = fixedcost.read(), fixedcost.statistics()
    found = measure(server)
    curve = found.curve
    # The model sleeps 20 ms and 1 ms a row; a busy machine adds to it and takes nothing away.
    shortest_ms = {one.batch_size: min(one.seconds) * 1000 for one in found.timings}
    assert {1, 2, 6} <= set(shortest_ms)
    assert 21 <= shortest_ms[1] < 40
    assert 26 <= shortest_ms[6] < 60
    assert 0 <= curve.overhead_s < 0.05
    assert curve.largest == 6
    assert found.live_config == live
    assert found.executions == sum(len(one.seconds) for one in found.timings)
    # The live model was read, and nothing else.
    after = fixedcost.statistics()
    assert (after.requests_ok, fixedcost.read()) == (before.requests_ok, live)
    assert not is_loaded(server, SHADOW)


@pytest.mark.triton
def test_shadow_is_unloaded_when_time_runs_out(server):
    with pytest.raises(TargetError, match="did not finish within 2 s") as stopped:
        measure(server, batch_sizes=(1, 32), repeats=500, timeout_s=2.0)
    assert stopped.value.retriable
    assert not is_loaded(server, SHADOW)


@pytest.mark.triton
def test_missing_shadow_directory_is_explained(server):
    with pytest.raises(TargetError, match="copy the model's directory under that name") as missing:
        measure(server, shadow="fixedcost_nowhere")
    assert not missing.value.retriable


@pytest.mark.triton
def test_wrong_key_is_explained(server):
    with pytest.raises(TargetError, match="refuses the admin key"):
        measure(server, key="guessed")


@pytest.mark.triton
def test_unknown_model_is_explained(server):
    with pytest.raises(TargetError, match="unknown model"):
        measure(server, model="nobody")


@pytest.mark.triton
def test_shadow_that_cannot_start_leaves_nothing_behind(server):
    config = (MODELS / "fixedcost.pbtxt").read_text().replace('"fixedcost"', '"broken_shadow"')
    with contextlib.suppress(FileExistsError):
        lay_out(server.directory, "broken_shadow", "fixed_cost_model.py", config)
    folder = server.directory / "models" / "broken_shadow" / "1"
    (folder / "model.py").write_text("raise RuntimeError('no such file of weights')")
    with pytest.raises(TargetError):
        measure(server, shadow="broken_shadow")
    assert not is_loaded(server, "broken_shadow")


def test_live_model_cannot_be_its_own_shadow():
    with pytest.raises(TargetError, match="a name of its own"):
        calibration.measure("http://127.0.0.1:1", "", "chat", "chat")


def test_unreachable_server_may_be_tried_again():
    with pytest.raises(TargetError, match="cannot be reached") as away:
        calibration.measure("http://127.0.0.1:1", "", "chat", "chat_shadow")
    assert away.value.retriable


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://triton", ""])
def test_what_is_no_address_is_said_so(url):
    with pytest.raises(TargetError, match="no address of a Triton"):
        calibration.measure(url, "", "chat", "chat_shadow")


LIVE = {
    "name": "chat",
    "max_batch_size": 8,
    "input": [{"name": "X", "data_type": "TYPE_INT32", "dims": [3]}],
    "instance_group": [{"name": "chat", "kind": "KIND_GPU", "count": 4, "gpus": [1, 2]}],
    "response_cache": {"enable": True},
    "parameters": {"width": {"string_value": "2"}},
}


def test_shadow_is_the_live_model_but_for_one_instance_that_waits():
    assert calibration.shadow_config(LIVE, "chat_shadow") == {
        **LIVE,
        "name": "chat_shadow",
        "instance_group": [{"name": "chat_shadow", "kind": "KIND_GPU", "count": 1, "gpus": [1]}],
        "dynamic_batching": {
            "preferred_batch_size": [8],
            "max_queue_delay_microseconds": calibration.HOLD_US,
        },
        "response_cache": {"enable": False},
    }


def test_sizes_run_from_one_to_the_maximum():
    assert calibration._sizes(LIVE, None) == (1, 2, 3, 4, 6, 8)
    assert calibration._sizes({**LIVE, "max_batch_size": 20}, None)[-2:] == (16, 20)
    assert calibration._sizes(LIVE, (4,)) == (1, 4)
    for config, sizes in ((LIVE, (16,)), ({"name": "chat"}, None)):
        with pytest.raises(TargetError):
            calibration._sizes(config, sizes)


def test_inputs_are_made_from_the_config_or_taken_as_given():
    (tensor,) = calibration._one_row(LIVE, None)
    assert (tensor.name(), tensor.shape(), tensor.datatype()) == ("X", [1, 3], "INT32")
    given = {"X": np.ones((1, 5), np.int32)}
    loose = {**LIVE, "input": [{"name": "X", "data_type": "TYPE_INT32", "dims": [-1]}]}
    assert calibration._one_row(loose, given)[0].shape() == [1, 5]
    for said in (loose["input"][0], {"name": "X", "data_type": "TYPE_STRING", "dims": [1]}):
        with pytest.raises(TargetError, match="calibrate with a sample"):
            calibration._one_row({**LIVE, "input": [said]}, None)


def burst(size, answers_ms, queue_ms, executed_ms):
    return calibration._Burst(
        size, tuple(one / 1000 for one in answers_ms),
        {of: took / 1000 for of, took in executed_ms.items()}, queue_ms / 1000,
    )  # fmt: skip


def test_overhead_and_spacing_follow_from_clocks_on_both_sides():
    alone = [burst(1, [84], 60, {1: 22})] * 3
    # Requests arrive 0.2 ms apart and wait for the end of the hold; answers lie 0.3 ms apart.
    four = burst(4, [86, 86.3, 86.6, 86.9], 4 * 59.7, {4: 24})
    assert calibration._overheads_s([*alone, four]) == pytest.approx((0.002,) * 3)
    assert calibration._spacings_s([*alone, four], most=8) == pytest.approx((0.0005,) * 3)
    # A full batch goes when its last request has come.
    full = burst(4, [26, 26.3, 26.6, 26.9], 4 * 0.3, {4: 24})
    assert calibration._spacings_s([*alone, full], most=4) == pytest.approx((0.0005,) * 3)


def test_stragglers_count_for_the_batches_they_made():
    bursts = [burst(1, [84], 60, {1: 22})] * 3 + [burst(4, [90] * 4, 240, {1: 22, 3: 24})] * 3
    assert [(one.batch_size, len(one.seconds)) for one in calibration._timings(bursts)] == [
        (1, 6),
        (3, 3),
    ]


def test_bursts_that_never_met_make_no_calibration():
    with pytest.raises(TargetError, match="did not arrive together"):
        calibration._timings([burst(1, [84], 60, {1: 22})] * 9)
