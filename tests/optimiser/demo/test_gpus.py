"""The simulated GPUs: busy as Triton's counters say, marked as simulated, honest about gaps."""

import argparse
import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from gpu_probe import wire
from gpu_probe.send import Outcome, Sender
from optimiser.demo import gpus
from optimiser.demo.endpoints import Endpoints

from .conftest import ask

AT = 1_760_000_000.0


def readings(*looks):
    simulation = gpus.Simulation()
    return [simulation.look(at, counters) for at, counters in looks]


def test_the_busy_share_is_compute_time_over_wall_time():
    before = {"fixedcost": 1e6, "matrix": 5e6, "digits_fp32": 0.0}
    after = {"fixedcost": 3.5e6, "matrix": 5.5e6, "digits_fp32": 0.5e6}
    first, second = readings((AT, before), (AT + 10, after))
    assert first == []
    assert [one.utilization_pct for one in second] == [25.0, 10.0]
    assert [one.at for one in second] == [AT + 10, AT + 10]


def batch(size, count, infer_ns):
    return {"batch_size": size, "compute_infer": {"count": count, "ns": infer_ns}}


def test_counters_are_summed_over_versions_and_count_each_execution_once():
    told = [
        # Eight requests in two executions: what they waited together is not what was computed.
        {
            "name": "fixedcost",
            "inference_stats": {"compute_infer": {"count": 8, "ns": 192_000_000}},
            "batch_stats": [batch(3, 1, 23_000_000), batch(5, 1, 25_368_000)],
        },
        {"name": "matrix", "batch_stats": [batch(1, 2, 5_000_000)]},
        {"name": "matrix", "batch_stats": [batch(1, 1, 700_000)]},
        {"name": "hosted", "batch_stats": []},
    ]
    assert gpus.parse_counters(told) == {"fixedcost": 48368, "matrix": 5700, "hosted": 0}


def test_hosted_work_keeps_no_gpu_busy():
    _, second = readings((AT, {"hosted": 0.0}), (AT + 10, {"hosted": 9e6}))
    assert [one.utilization_pct for one in second] == [0.0, 0.0]


def test_a_counter_that_began_again_counts_from_zero():
    _, second = readings((AT, {"fixedcost": 9e6}), (AT + 10, {"fixedcost": 1e6}))
    assert second[0].utilization_pct == 10.0


def test_more_compute_than_wall_time_is_a_full_gpu_and_no_more():
    _, second = readings((AT, {"matrix": 0.0}), (AT + 10, {"matrix": 30e6}))
    assert second[1].utilization_pct == 100.0
    assert second[1].power_w == 400.0


def test_a_triton_that_is_down_leaves_the_gpus_idle_and_empty():
    _, second, third = readings((AT, {"matrix": 5e6}), (AT + 10, None), (AT + 20, {"matrix": 1e6}))
    assert [(r.utilization_pct, r.process_count, r.power_w) for r in second] == [(0.0, 0, 62.0)] * 2
    assert third[1].utilization_pct == 10.0
    assert third[1].memory_used_bytes > second[1].memory_used_bytes


def test_energy_is_power_over_time_and_never_falls():
    _, second, third = readings(
        (AT, {"fixedcost": 0.0}), (AT + 10, {"fixedcost": 5e6}), (AT + 30, {"fixedcost": 5e6})
    )
    busy_w = 62 + (400 - 62) * 0.5
    assert second[0].energy_mj == 10 * busy_w * 1000
    assert third[0].energy_mj == 10 * busy_w * 1000 + 20 * 62 * 1000


def test_unreadable_counters_are_unknown_and_not_idle():
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.handle_request).start()
        with pytest.raises(gpus.Unknown):
            gpus.read_counters(f"http://127.0.0.1:{server.server_address[1]}")


def test_nobody_listening_is_a_triton_that_is_down():
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    assert gpus.read_counters(f"http://127.0.0.1:{port}") is None


def test_every_batch_passes_the_wires_own_checks_and_says_it_is_simulated():
    _, second = readings((AT, {"fixedcost": 0.0}), (AT + 10, {"fixedcost": 1234567.0}))
    options = argparse.Namespace(host="sample-triton", pool="demo-gpus")
    batch = gpus.batch(options, "boot", 0, second)
    decoded = wire.decode(wire.encode(batch))
    assert decoded == batch
    assert decoded.simulated is True
    assert all("Simulated" in reading.name for reading in decoded.readings)


def test_a_real_gpu_ends_the_simulation_with_code_5(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(gpus, "has_real_gpu", lambda: True)
    arguments = ["--triton", str(tmp_path), "--url", "http://127.0.0.1", "--token-file", "t"]
    assert gpus.main(arguments) == 5
    assert "python -m gpu_probe" in capsys.readouterr().out


@pytest.mark.triton
def test_work_on_the_real_triton_becomes_a_busy_gpu_at_the_receiver(server, tmp_path):
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.path, self.headers["Authorization"], wire.decode(body)))
            answer = json.dumps({"inserted": 2}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as http:
        serving = threading.Thread(target=http.serve_forever, args=(0.05,))
        serving.start()
        token = tmp_path / "token"
        token.write_text("brk_gpu_secret\n")
        sender = Sender(
            f"http://127.0.0.1:{http.server_address[1]}",
            lambda: token.read_text().strip(),
            tmp_path / "spool",
        )
        options = argparse.Namespace(
            triton=server.directory / "triton.json", interval=1.0, host="h", pool="p"
        )
        ending = threading.Event()
        pushing = threading.Thread(target=gpus.push_until, args=(ending, options, sender))
        pushing.start()
        for _ in range(20):
            ask(server, "fixedcost", "INPUT", np.zeros((1, 16)))
        ending.wait(1.5)
        ending.set()
        pushing.join()
        assert sender.drain().outcome is Outcome.EMPTY
        sender.close()
        http.shutdown()
        serving.join()
    path, authorization, first = received[0]
    assert path == "/v1/gpu-samples"
    assert authorization == "Bearer brk_gpu_secret"
    assert [batch.sequence for _, _, batch in received] == list(range(len(received)))
    busy = max(batch.readings[0].utilization_pct for _, _, batch in received)
    assert busy > 10
    assert first.simulated is True
    assert Endpoints.read(options.triton).pid == server.process.pid
