"""What every bench shares: arguments, a server of its own, the table and the last line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, help="Use data of your own.")
    parser.add_argument("--out", type=Path, help="Write the JSON object here as well.")
    return parser


def setup_django() -> None:
    """Migrate the database that `./run bench` started."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finops.settings")
    os.environ.setdefault("BREAKEVEN_LOG_LEVEL", "WARNING")  # the table is what is to be read
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)


@contextlib.contextmanager
def web_server() -> Iterator[tuple[str, subprocess.Popen]]:
    """A real gunicorn, as `./run` starts it, on a free port of the loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "finops.wsgi:application"),
        *("--config=python:finops.gunicorn_conf", f"--bind=127.0.0.1:{port}"),
        "--log-level=warning",
    ]
    environ = {**os.environ, "BREAKEVEN_LOG_LEVEL": "WARNING"}
    server = subprocess.Popen(command, cwd=ROOT, env=environ)
    try:
        _wait(f"http://127.0.0.1:{port}/livez")
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.terminate()
        server.wait(15)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def peak_rss_mb(server: subprocess.Popen) -> float:
    """The peaks of resident memory of the server's processes, added up (shared pages too)."""
    import psutil

    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    peaks = [
        int(line.split()[1]) / 1024
        for process in family
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
        if line.startswith("VmHWM")
    ]
    return sum(peaks)


def family_cpu_s(pid: int) -> float:
    """Processor seconds so far of a process, its living children and those that ended."""
    import psutil

    parent = psutil.Process(pid)
    used: float = sum(parent.cpu_times()[:4])
    for child in parent.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended, and is counted as its parent's
            used += sum(child.cpu_times()[:2])
    return used


def postgresql_cpu_s() -> float:
    """Processor seconds so far of the server behind Django's connection."""
    import psutil
    from django.db import connection

    connection.ensure_connection()
    return family_cpu_s(psutil.Process(connection.connection.info.backend_pid).ppid())


def report(
    title: str, header: Sequence[str], rows: Sequence[Sequence[Any]], result: dict[str, Any],
    out: Path | None,
) -> None:  # fmt: skip
    print(f"\n{title}")
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for n, row in enumerate(cells):
        first, rest = row[0].ljust(widths[0]), zip(row[1:], widths[1:], strict=True)
        print("  ".join([first, *(cell.rjust(width) for cell, width in rest)]))
        if n == 0:
            print("  ".join("-" * width for width in widths))
    line = json.dumps(result)
    if out:
        out.write_text(line + "\n", encoding="utf-8")
    print(line)
