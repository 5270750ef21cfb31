"""A made-up GPU host: our own libnvidia-ml.so.1, a server with scripted answers, the real probe."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gpu_probe.wire import Batch, GpuReading, decode
from tests.conftest import require

SOURCE = Path(__file__).parent / "fake_nvml.c"
REPOSITORY = Path(__file__).parents[2]
TOKEN = "probe-token-1"
COUNTS = {"inserted": 2, "unchanged": 0}

H100 = {
    "uuid": "GPU-aaaaaaaa-0000-0000-0000-000000000001",
    "name": "NVIDIA H100 80GB HBM3",
    "utilization": 87,
    "memory_total": 85_520_809_984,
    "memory_used": 64_000_000_000,
    "memory_reserved": 600_000_000,
    "power_mw": 412_345,
    "power_limit_mw": 700_000,
    "energy_mj": 987_654_321_012,
    "sm_clock": 1755,
    "temperature": 61,
    "clock_reasons": 0x4,
    "ecc_corrected": 40,
    "ecc_volatile": 2,
    "ecc_aggregate": 9,
    "remapped": "1 2 0 0",
    "events": 1,
    "mig": 0,
    "processes": 3,
}
SECOND = {**H100, "uuid": "GPU-bbbbbbbb-0000-0000-0000-000000000002"}


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """Folders to put on LD_LIBRARY_PATH: a driver of today, and one before the newer calls."""
    require("gcc", None if shutil.which("gcc") else "no gcc to build the stand-in for NVML with")
    folders = {}
    for era, extra in (("today", []), ("old", ["-DOLD_DRIVER"])):
        folder = tmp_path_factory.mktemp(f"nvml-{era}")
        subprocess.run(
            [
                *("gcc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", *extra),
                *("-Wl,-soname,libnvidia-ml.so.1", "-o", folder / "libnvidia-ml.so.1", SOURCE),
            ],
            check=True,
        )
        folders[era] = folder
    return folders


class Host:
    """The hardware as the fake library reports it, and the probe started on it."""

    def __init__(self, libraries, folder):
        self.libraries = libraries
        self.state_path = folder / "hardware"
        self.spool_path = folder / "spool"
        self.token_path = folder / "token"
        self.token_path.write_text(TOKEN + "\n")
        self.running = []

    def has(self, *gpus, driver="570.124.06", **more):
        """Swaps the whole hardware at once: the library never sees half of it."""
        lines = [f"count {len(gpus)}", f"driver {driver}"]
        lines += [f"{key} {value}" for key, value in more.items()]
        for index, gpu in enumerate(gpus):
            lines += [f"{index}.{key} {value}" for key, value in gpu.items()]
        half_written = self.state_path.with_suffix(".new")
        half_written.write_text("\n".join(lines) + "\n")
        half_written.replace(self.state_path)

    def environment(self, era="today", **more):
        kept = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        if era:
            kept["LD_LIBRARY_PATH"] = str(self.libraries[era])
        # Probes of several tests may run at once, and the default port is one.
        ours = {"FAKE_NVML_STATE": str(self.state_path), "BREAKEVEN_PROBE_METRICS_ADDRESS": "off"}
        return {**kept, **ours, "PYTHONUNBUFFERED": "1", **more}

    def probe(self, *arguments, era="today", **environment):
        return subprocess.run(
            [sys.executable, "-m", "gpu_probe", *arguments],
            cwd=REPOSITORY,
            env=self.environment(era, **environment),
            capture_output=True,
            text=True,
            timeout=20,
        )

    def look(self, era="today"):
        """One batch as `--once --print` writes it, and what was said on the side."""
        done = self.probe("--once", "--print", era=era)
        assert done.returncode == 0, done.stderr
        return decode(done.stdout.encode()), done.stderr

    def push_arguments(self, server, *more):
        return [
            *("--url", server.url, "--token-file", str(self.token_path)),
            *("--spool", str(self.spool_path), "--host", "gpu-7", "--pool", "h100"),
            *more,
        ]

    def start(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "gpu_probe", *arguments],
            cwd=REPOSITORY,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process


@pytest.fixture
def host(libraries, tmp_path):
    host = Host(libraries, tmp_path)
    host.has(H100, SECOND)
    yield host
    for process in host.running:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


class Server:
    """A real HTTP server on loopback that answers as told, then 200 with counts."""

    def __init__(self):
        self.answers = []  # (status, headers, body, seconds to wait), used one by one
        self.seen = []  # (path, headers, raw body)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append((self.path, dict(self.headers), body))
                status, headers, answer, wait_s = (
                    outer.answers.pop(0) if outer.answers else (200, {}, json.dumps(COUNTS), 0)
                )
                outer.closing.wait(wait_s)
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer.encode())
                except BrokenPipeError:
                    pass  # the probe was killed, or gave up waiting: that is what some tests do

            do_GET = do_POST

            def log_message(self, *args):
                pass

        self.closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def will_answer(self, status, body="", wait_s=0, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, named, body, wait_s))

    @property
    def batches(self):
        return [decode(gzip.decompress(body)) for _, _, body in self.seen]

    @property
    def sequences(self):
        return [batch.sequence for batch in self.batches]

    def wait_for(self, count, within_s=10):
        deadline = time.monotonic() + within_s
        while len(self.seen) < count:
            assert time.monotonic() < deadline, f"{len(self.seen)} of {count} requests came"
            time.sleep(0.01)

    def close(self):
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def make_batch(sequence=0, **more):
    reading = GpuReading(
        uuid="GPU-1",
        index=0,
        name="NVIDIA H100 80GB HBM3",
        at=1_750_000_000.0 + sequence,
        utilization_pct=50.0,
        power_w=412.345,
    )
    values = {
        "host": "gpu-7",
        "pool": "h100",
        "probe_version": "0.1.0",
        "driver_version": "570.124.06",
        "boot_id": "b0",
        "simulated": False,
        "readings": (reading,),
    }
    return Batch(**{**values, "sequence": sequence, **more})
