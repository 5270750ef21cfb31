"""A moto server on the loopback: AWS's own API over real HTTP, for one test session."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

READY_WITHIN_S = 40.0


@contextlib.contextmanager
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def reset(url: str) -> None:
    _post(f"{url}/moto-api/reset", b"")


def queue_costs(url: str, answers: list[dict[str, Any]]) -> None:
    """What Cost Explorer is to answer, one after the other."""
    body = json.dumps({"results": answers}).encode()
    _post(f"{url}/moto-api/static/ce/cost-and-usage-results", body)


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def _wait(url: str) -> None:
    ends = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(f"{url}/moto-api/", timeout=1).close()
            return
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.1)
