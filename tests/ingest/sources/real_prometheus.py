"""A real Prometheus on loopback: its past written by promtool, its present scraped from us."""

import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.conftest import require

START_TIMEOUT_S = 30


class Exporter:
    """Answers /metrics with `text`, or with 500 while `text` is None."""

    def __init__(self):
        self.text = ""
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                text = exporter.text
                body = (text or "").encode()
                self.send_response(500 if text is None else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@contextmanager
def prometheus(folder, past, exporter):
    """The server's URL. `past` is OpenMetrics text; `exporter` is scraped every second."""
    for program in ("prometheus", "promtool"):
        missing = None if shutil.which(program) else f"there is no {program}; apt install it"
        require("prometheus", missing)
    data = folder / "data"
    (folder / "past.txt").write_text(past)
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "past.txt", data],
        check=True,
        capture_output=True,
    )
    config = folder / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        "scrape_configs: [{job_name: ours, static_configs:"
        f" [{{targets: ['{exporter.address}']}}]}}]\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
                f"--web.listen-address={address}", "--storage.tsdb.retention.time=30d",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait_ready(process, f"http://{address}/-/ready", folder / "log")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(20)


def _wait_ready(process, url, log):
    ends = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            raise AssertionError(f"Prometheus ended: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("Prometheus did not become ready.")


def wait_for(url, query, enough):
    """Until an instant query's value satisfies `enough`."""
    ends = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends:
        quoted = urllib.request.quote(query)
        with urllib.request.urlopen(f"{url}/api/v1/query?query={quoted}", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        if enough(float(found[0]["value"][1]) if found else 0.0):
            return
        time.sleep(0.2)
    raise AssertionError(f"{query} never got there.")
