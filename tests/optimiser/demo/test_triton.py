"""The demo's Triton, for real: it starts, answers, guards its doors and comes back from a kill."""

import contextlib
import json
import platform
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.http as triton_http
from prometheus_client.parser import text_string_to_metric_families

from optimiser.demo import digits, triton
from optimiser.demo.endpoints import ADMIN_HEADER, Endpoints
from tests.conftest import require

from .conftest import ask


def config(server, model):
    return httpx.get(f"{server.endpoints.http}/v2/models/{model}/config").json()


@pytest.mark.triton
def test_triton_becomes_the_process_that_was_started(server):
    assert server.endpoints.pid == server.process.pid
    command_line = Path(f"/proc/{server.process.pid}/cmdline").read_text()
    assert command_line.split("\0")[0].endswith("bin/tritonserver")


@pytest.mark.triton
def test_fixedcost_answers_each_row_with_its_own_sum(server):
    # Rows that differ: a Triton that misreads its inputs would answer equal or empty rows.
    rows = np.arange(48, dtype=np.float32).reshape(3, 16)
    assert ask(server, "fixedcost", "INPUT", rows).tolist() == [[120.0], [376.0], [632.0]]


@pytest.mark.triton
def test_matrix_computes_what_its_seeded_weights_say(server):
    rows = np.random.default_rng(5).standard_normal((2, 64), dtype=np.float32)
    dice = np.random.default_rng(20260901)
    expected = rows
    for a, b in [(64, 2048), *[(2048, 2048)] * 6, (2048, 8)]:
        weights = dice.standard_normal((a, b), dtype=np.float32) / np.float32(a**0.5)
        expected = np.tanh(expected @ weights)
    np.testing.assert_allclose(ask(server, "matrix", "INPUT", rows), expected, atol=1e-4)


@pytest.mark.triton
def test_fixedcost_costs_its_fixed_time_and_a_little_per_row(server):
    def fastest_ms(count):
        rows = np.zeros((count, 16), dtype=np.float32)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            ask(server, "fixedcost", "INPUT", rows)
            times.append(1000 * (time.perf_counter() - began))
        return min(times)

    one, thirty = fastest_ms(1), fastest_ms(30)
    assert one >= 21
    assert thirty >= 50
    # Thirty rows in one call cost nothing like thirty calls: that is what batching gains.
    assert thirty < 5 * one


@pytest.mark.triton
@pytest.mark.parametrize("model", ["matrix", "fixedcost"])
def test_models_start_with_one_instance_and_without_batching_or_cache(server, model):
    effective = config(server, model)
    assert effective["max_batch_size"] == 32
    assert [group["count"] for group in effective["instance_group"]] == [1]
    assert "dynamic_batching" not in effective
    assert effective["response_cache"] == {"enable": False}


@pytest.mark.triton
def test_batching_can_be_set_read_back_and_taken_away(server):
    endpoints = server.endpoints
    client = triton_http.InferenceServerClient(endpoints.http.removeprefix("http://"))
    key = {ADMIN_HEADER: endpoints.admin_key}
    before = client.get_model_config("matrix")
    wanted = {**before, "dynamic_batching": {"max_queue_delay_microseconds": 2000}}
    client.load_model("matrix", headers=key, config=json.dumps(wanted))
    after = client.get_model_config("matrix")
    assert after["dynamic_batching"]["max_queue_delay_microseconds"] == 2000
    client.load_model("matrix", headers=key, config=json.dumps(before))
    assert client.get_model_config("matrix") == before
    client.close()


@pytest.mark.triton
def test_models_load_only_with_the_admin_key(server):
    url = f"{server.endpoints.http}/v2/repository/models/matrix/load"
    assert httpx.post(url, json={}).status_code == 403
    assert httpx.post(url, json={}, headers={ADMIN_HEADER: "guessed"}).status_code == 403
    key = {ADMIN_HEADER: server.endpoints.admin_key}
    assert httpx.post(url, json={}, headers=key, timeout=30).status_code == 200


@pytest.mark.triton
@pytest.mark.parametrize("path", ["/v2/trace/setting", "/v2/logging"])
def test_settings_that_write_files_need_the_admin_key(server, path):
    url = server.endpoints.http + path
    assert httpx.get(url).status_code == 403
    assert httpx.get(url, headers={ADMIN_HEADER: server.endpoints.admin_key}).status_code == 200


@pytest.mark.triton
def test_admin_key_is_for_its_owner_only(server):
    assert Path(server.endpoints.admin_key_file).stat().st_mode & 0o777 == 0o600


@pytest.mark.triton
def test_triton_listens_on_loopback_alone(server):
    connections = psutil.Process(server.process.pid).net_connections(kind="tcp")
    listening = {one.laddr.port: one.laddr.ip for one in connections if one.status == "LISTEN"}
    assert set(listening) == set(server.endpoints.ports.values())
    # gRPC binds an IPv6 socket to the same loopback address.
    assert set(listening.values()) <= {"127.0.0.1", "::ffff:127.0.0.1"}


@pytest.mark.triton
def test_metrics_have_latency_quantiles_and_the_cache(server):
    ask(server, "fixedcost", "INPUT", np.zeros((1, 16)))
    families = list(text_string_to_metric_families(httpx.get(server.endpoints.metrics).text))
    quantiles = {
        sample.labels["quantile"]
        for family in families
        for sample in family.samples
        if sample.name == "nv_inference_request_summary_us"
        and sample.labels.get("model") == "fixedcost"
        and "quantile" in sample.labels
    }
    assert quantiles == {"0.5", "0.9", "0.95", "0.99", "0.999"}
    assert any(family.name.startswith("nv_cache_") for family in families)


@pytest.mark.triton
def test_both_classifiers_are_right_and_agree_on_rows_never_trained_on(server_with_digits):
    directory = server_with_digits.directory
    with np.load(directory / "digits-held-out.npz") as held_out:
        images, labels = held_out["images"], held_out["labels"]
    answers = {
        model: np.concatenate(
            [
                ask(server_with_digits, model, "PIXELS", images[i : i + 32]).argmax(axis=1)
                for i in range(0, len(images), 32)
            ]
        )
        for model in digits.MODELS
    }
    accuracy = {model: float((a == labels).mean()) for model, a in answers.items()}
    agreement = float((answers["digits_fp32"] == answers["digits_int8"]).mean())
    report = json.loads((directory / "digits.json").read_text())
    assert len(labels) == report["held_out_rows"] == 899
    assert report["accuracy"] == pytest.approx(accuracy, abs=0.005)
    assert report["agreement"] == pytest.approx(agreement, abs=0.005)
    assert min(accuracy.values()) > 0.94
    assert agreement > 0.98
    assert report["bytes"]["digits_int8"] < 0.3 * report["bytes"]["digits_fp32"]


@pytest.mark.triton
def test_the_router_answers_as_its_base_does(server_with_digits):
    with np.load(server_with_digits.directory / "digits-held-out.npz") as held_out:
        images = held_out["images"][:8]
    public, base = (ask(server_with_digits, name, "PIXELS", images)
                    for name in (digits.PUBLIC, "digits_fp32"))  # fmt: skip
    assert public.tolist() == base.tolist()


@pytest.mark.triton
def test_the_wrong_variant_is_not_served_until_asked_and_then_is_wrong(server_with_digits):
    endpoints = server_with_digits.endpoints
    assert not endpoints.is_ready(digits.WRONG)
    endpoints.load(digits.WRONG)
    with np.load(server_with_digits.directory / "digits-held-out.npz") as held_out:
        images = held_out["images"][:32]
    wrong, right = (
        ask(server_with_digits, name, "PIXELS", images).argmax(axis=1)
        for name in (digits.WRONG, "digits_int8")
    )
    assert wrong.tolist() == ((right + 1) % 10).tolist()


@pytest.mark.triton
@pytest.mark.parametrize("model", ["fixedcost", "matrix"])
def test_a_shadow_is_laid_out_alike_and_not_served(server, model):
    shadow = f"{model}{triton.SHADOW}"
    assert not server.endpoints.is_ready(shadow)
    folder, of_shadow = (server.directory / "models" / name for name in (model, shadow))
    assert (of_shadow / "1/model.py").read_bytes() == (folder / "1/model.py").read_bytes()
    own = (of_shadow / "config.pbtxt").read_text()
    assert own != (folder / "config.pbtxt").read_text()
    assert own.replace(shadow, model) == (folder / "config.pbtxt").read_text()


@pytest.mark.triton
def test_triton_comes_back_from_kill_9_on_the_same_ports_with_the_same_key(tmp_path):
    require("triton", triton.why_not())
    with triton.start(tmp_path, with_digits=False) as first:
        before, key = first.endpoints, first.endpoints.admin_key
        first.kill()
        assert not before.is_ready()
        with triton.start(tmp_path, with_digits=False) as second:
            after = second.endpoints
            assert after.ports == before.ports
            assert after.pid != before.pid
            assert after.admin_key == key
            assert ask(second, "fixedcost", "INPUT", np.ones((1, 16))).tolist() == [[16.0]]
            second.kill()


@pytest.mark.triton
def test_a_model_that_was_answering_when_triton_was_killed_is_not_left_behind(tmp_path):
    require("triton", triton.why_not())
    with triton.start(tmp_path, with_digits=False) as server:
        rows = np.zeros((32, 16), dtype=np.float32)
        askers = [
            threading.Thread(target=ask_a_dying_server, args=(server, rows)) for _ in range(8)
        ]
        for asker in askers:
            asker.start()
        time.sleep(0.1)
        server.kill()
        for asker in askers:
            asker.join()
    deadline = time.monotonic() + 15
    while left_behind(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left_behind(tmp_path) == []


def ask_a_dying_server(server, rows):
    with contextlib.suppress(Exception):
        ask(server, "fixedcost", "INPUT", rows)


def left_behind(directory):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [part for part in process.cmdline() if part.startswith(f"{directory}/")]
    return found


@pytest.mark.triton
def test_preparing_twice_leaves_every_file_alone(tmp_path):
    require("triton", triton.why_not())

    def state():
        files = [f for f in tmp_path.rglob("*") if f.is_file() and f.suffix != ".pyc"]
        return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}

    installed = sorted(triton._wheel().root.rglob("*"))
    triton.prepare(tmp_path)
    first = state()
    triton.prepare(tmp_path)
    assert state() == first
    assert sorted(triton._wheel().root.rglob("*")) == installed
    assert {f.parent.parent.name for f in first if f.name == "model.py"} == set(triton.CODE)


def test_a_port_that_was_asked_for_and_is_taken_is_named(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(triton.PortTaken, match=f"Port {port} for Triton's http is still taken"):
            triton.choose_ports(tmp_path, {"http": port, "grpc": 0, "metrics": 0}, wait_s=0.3)


def test_a_port_of_last_time_is_waited_for_and_used_again(tmp_path):
    with socket.socket() as leftover:
        leftover.bind(("127.0.0.1", 0))
        leftover.listen()
        port = leftover.getsockname()[1]
        ports = {"http": port, "grpc": 0, "metrics": 0}
        last = Endpoints.on_loopback(1, ports, tmp_path / "admin-key")
        last.write(tmp_path / "triton.json")
        threading.Timer(0.5, leftover.close).start()
        chosen = triton.choose_ports(tmp_path, dict.fromkeys(ports, 0), wait_s=10)
    assert chosen["http"] == port
    assert len(set(chosen.values())) == 3


@pytest.mark.parametrize(
    ("what", "value", "reason"),
    [
        ("machine", "aarch64", "Linux on aarch64"),
        ("libc_ver", ("glibc", "2.31"), "this is glibc 2.31"),
        ("libc_ver", ("", ""), "this is another C library."),
    ],
)
def test_another_platform_is_refused_in_one_sentence(monkeypatch, what, value, reason):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, what, lambda: value)
    told = triton.why_not()
    assert told is not None
    assert reason in told
    assert told.endswith(".")


def test_a_python_without_shared_library_is_told_what_to_install(monkeypatch, tmp_path):
    if triton.why_not():
        pytest.skip("this machine lacks something else already")
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    assert "install libpython3." in (triton.why_not() or "")


def test_a_machine_that_cannot_run_triton_ends_with_code_3_and_the_reason(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(triton, "why_not", lambda: "This is a toaster.")
    assert triton.main(["--dir", str(tmp_path)]) == 3
    assert capsys.readouterr().err == "This is a toaster.\n"


@pytest.mark.triton
def test_triton_ends_with_its_parent_when_asked_to(tmp_path):
    require("triton", triton.why_not())
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from optimiser.demo import triton\n"
            "triton.start(Path(sys.argv[1]), with_digits=False); print('up', flush=True)\n"
            "time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert parent.stdout.readline() == b"up\n"
    endpoints = Endpoints.read(tmp_path / "triton.json")
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 15
    while endpoints.is_ready() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not endpoints.is_ready()
