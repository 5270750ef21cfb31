"""The adapter on the real server: what is sent, what is refused, and what errors say."""

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from optimiser.demo import triton
from optimiser.targets.base import TargetError
from optimiser.targets.triton import TritonModel
from tests.conftest import require

from .conftest import Caller, Traffic, batching, load_directly, model_of, unload

AWAY = "http://127.0.0.1:9"


def refusal(call):
    with pytest.raises(TargetError) as caught:
        call()
    return caught.value.reason, caught.value.retriable


@pytest.mark.triton
def test_a_full_config_goes_there_and_back(fixedcost):
    before = fixedcost.read()
    wanted = batching(before)
    assert fixedcost.problems(wanted, before) == []
    applied = fixedcost.apply(wanted)
    assert fixedcost.canonical(applied) == fixedcost.canonical(wanted)
    assert fixedcost.read() == applied
    assert fixedcost.restore(before) == before
    assert fixedcost.read() == before


@pytest.mark.triton
def test_applying_what_is_live_loads_nothing(server, fixedcost):
    wanted = batching(fixedcost.read())
    fixedcost.apply(wanted)
    with Caller(server, "fixedcost") as caller:
        caller.ask()
    fixedcost.apply(wanted)
    # A load would have begun the counters anew.
    assert fixedcost.statistics().requests_ok == 1


@pytest.mark.triton
def test_restoring_undoes_what_a_plain_load_does_not(server, fixedcost):
    before = fixedcost.read()
    fixedcost.apply(batching(before))
    server.endpoints.load("fixedcost")
    assert "dynamic_batching" in fixedcost.read()
    fixedcost.restore(before)
    assert fixedcost.read() == before


@pytest.mark.triton
def test_restoring_a_model_that_somebody_unloaded_brings_it_back(server):
    target = model_of(server, "matrix")
    snapshot = target.apply(batching(target.read()))
    unload(server, "matrix")
    wait_until(lambda: not target.is_ready())
    reason, retriable = refusal(lambda: target.apply(snapshot))
    assert (reason, retriable) == (f"matrix on {target.url} is not loaded.", False)
    assert target.restore(snapshot) == snapshot
    assert target.is_ready()


@pytest.mark.triton
def test_an_override_lost_in_a_restart_is_seen_by_reading(tmp_path):
    require("triton", triton.why_not())
    with triton.start(tmp_path, with_digits=False) as first:
        target = model_of(first, "fixedcost")
        before = target.read()
        applied = target.apply(batching(before))
        first.kill()
        assert refusal(target.read)[1] is True
    with triton.start(tmp_path, with_digits=False) as second:
        again = model_of(second, "fixedcost")
        assert again.url == target.url
        assert again.read() == before
        assert again.apply(applied) == applied
        second.kill()


def test_a_bad_config_is_refused_before_it_is_sent():
    # Nobody listens there: had it been sent, the error would say so.
    target = TritonModel(AWAY, "key", "fixedcost", 1.0)
    assert refusal(lambda: target.apply({"name": "fixedcost"})) == (
        "input is missing: send the full config as Triton reports it, since a part of one "
        "replaces all of it.",
        False,
    )


@pytest.mark.triton
def test_what_a_change_may_not_touch_is_refused_before_it_is_sent(server, fixedcost):
    live = fixedcost.read()
    faster = {**live, "parameters": {**live["parameters"], "fixed_ms": {"string_value": "1"}}}
    reason, retriable = refusal(lambda: fixedcost.apply(faster))
    assert reason.startswith("parameters.fixed_ms.string_value would change")
    assert retriable is False
    assert fixedcost.read() == live


@pytest.mark.triton
def test_a_config_that_triton_cannot_load_leaves_the_old_one_serving(server, fixedcost):
    before = fixedcost.read()
    group = {**before["instance_group"][0], "kind": "KIND_GPU"}
    reason, retriable = refusal(lambda: fixedcost.restore({**before, "instance_group": [group]}))
    assert "has kind KIND_GPU but no GPUs are available" in reason
    assert retriable is False
    assert fixedcost.read() == before
    with Caller(server, "fixedcost") as caller:
        assert caller.ask()[0].tolist() == [[16.0]]


@pytest.mark.triton
def test_a_change_by_somebody_else_is_what_reading_tells(server, fixedcost):
    live = fixedcost.read()
    load_directly(server, "fixedcost", {**live, "max_batch_size": 4})
    assert fixedcost.read()["max_batch_size"] == 4


@pytest.mark.triton
def test_reloading_under_traffic_fails_no_request(server, fixedcost):
    before = fixedcost.read()
    with Traffic(server, "fixedcost", callers=8) as traffic:
        for config in (batching(before), before, batching(before, 500), before):
            fixedcost.apply(config)
            traffic.wait_for(more=10)
    assert traffic.failures == []
    assert len(traffic.answers) >= 40


@pytest.mark.triton
def test_statistics_count_an_execution_once_however_many_it_answers(server, fixedcost):
    fixedcost.apply(batching(fixedcost.read()))
    began = time.monotonic()
    with Traffic(server, "fixedcost", callers=8) as traffic:
        traffic.wait_for(more=150)
    wall_s = time.monotonic() - began
    # An answer leaves Triton before it is counted.
    deadline = time.monotonic() + 5
    while (counted := fixedcost.statistics()).requests_ok < len(traffic.answers):
        assert time.monotonic() < deadline, counted
    assert counted.requests_ok == len(traffic.answers)
    assert counted.failed == 0
    assert counted.executions == sum(counted.executions_by_batch_size.values())
    rows = sum(size * count for size, count in counted.executions_by_batch_size.items())
    assert rows == counted.requests_ok
    # 20 ms an execution and 1 ms a row, on one instance that cannot be busier than the clock.
    least_s = 0.020 * counted.executions + 0.001 * rows
    # Counted once for every request it would be some batches' worth of the wall time.
    assert counted.requests_ok > 2 * counted.executions
    assert least_s <= counted.busy_s <= wall_s


@pytest.mark.triton
def test_readiness_is_that_of_the_model(server):
    assert model_of(server, "fixedcost").is_ready()
    assert not model_of(server, "fixedcost_shadow").is_ready()
    assert not TritonModel(AWAY, "key", "fixedcost", 1.0).is_ready()


@pytest.mark.triton
def test_a_wrong_key_says_so_and_is_not_tried_again(server, fixedcost):
    before = fixedcost.read()
    stranger = model_of(server, "fixedcost", admin_key="guessed")
    assert refusal(lambda: stranger.apply(batching(before))) == (
        f"Triton at {stranger.url} refuses the admin key: enter the one that Triton was started "
        "with.",
        False,
    )
    assert fixedcost.read() == before
    assert server.endpoints.admin_key not in repr(fixedcost)


@pytest.mark.triton
def test_a_model_that_is_not_there_is_named(server):
    target = model_of(server, "nobody")
    expected = f"nobody on {target.url} is not loaded: load it, or correct the model's name."
    assert refusal(target.read) == (expected, False)
    assert refusal(target.statistics) == (expected, False)


def test_a_server_that_is_away_is_worth_another_try():
    target = TritonModel(AWAY, "key", "fixedcost", 1.0)
    assert refusal(target.read) == (
        f"Triton at {AWAY} cannot be reached (Connection refused): check that it runs and that "
        "the address is right.",
        True,
    )


def test_something_else_than_an_address_is_said_to_be_none():
    target = TritonModel("triton:8001", "key", "fixedcost", 1.0)
    expected = "'triton:8001' is no address of a Triton: write http://host:8000."
    assert refusal(target.read) == (expected, False)


@contextlib.contextmanager
def listener(answer):
    """A server that does to each connection whatever `answer` does with it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, contextlib.suppress(OSError):
                        answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield TritonModel(f"http://127.0.0.1:{server.getsockname()[1]}", "key", "fixedcost", 0.4)
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def say_nothing(connection):
    connection.recv(4096)
    connection.recv(4096)


def drip(connection):
    """A byte now and then: no single read is slow."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
    for _ in range(100):
        connection.sendall(b" ")
        time.sleep(0.05)


def say_half(connection):
    connection.recv(4096)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"name": ')


def be_another_program(connection):
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html></html")


def hang_up(connection):
    connection.recv(4096)


@pytest.mark.parametrize("slowness", [say_nothing, drip])
def test_no_call_takes_longer_than_its_timeout(slowness):
    with listener(slowness) as target:
        began = time.monotonic()
        reason, retriable = refusal(target.read)
        assert time.monotonic() - began < 3
    assert reason == (
        f"Triton at {target.url} did not finish within 0.4 s; what it did is unknown until its "
        "config is read."
    )
    assert retriable is True


@pytest.mark.parametrize("oddity", [say_half, be_another_program, hang_up])
def test_half_an_answer_or_another_program_is_worth_another_try(oddity):
    with listener(oddity) as target:
        reason, retriable = refusal(target.read)
    assert target.url in reason
    assert retriable is True


@pytest.mark.triton
def test_calls_from_many_threads_leave_no_files_open(server, fixedcost):
    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    fixedcost.read()
    before = count()
    for _ in range(10):
        thread = threading.Thread(target=fixedcost.read)
        thread.start()
        thread.join()
    assert count() == before


def wait_until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
