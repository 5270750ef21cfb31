"""`./run up` with the real application, from an empty folder to stopped again."""

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys

import pytest

from finops.stack.home import REPOSITORY, Home
from finops.stack.processes import marked
from finops.stack.services import LOOPBACK, answers
from finops.stack.state import READY, StackState
from tests.stack.conftest import until


@pytest.fixture(scope="module")
def stack(folder):
    """A function that calls `./run` on a home of its own, with the packages already there."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("BREAKEVEN_")}
    env["BREAKEVEN_HOME"] = str(folder / "data")

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "finops.stack", *arguments],
            env=env,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )

    yield run
    run("down")


def free_port():
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def test_up_to_a_usable_page_and_down_to_nothing(stack, folder):
    port = free_port()
    home = Home(folder / "data" / "live")

    up = stack("up", "--port", str(port))
    assert (up.returncode, up.stderr) == (0, "")
    assert f"  Open     http://127.0.0.1:{port}/\n" in up.stdout
    password = re.search(r"^  Sign in  admin  admin / (\S+)$", up.stdout, re.MULTILINE)[1]
    assert len(password) >= 12
    assert answers(f"http://{LOOPBACK}:{port}/readyz")
    assert status_of_page(port) in (200, 302)

    again = stack("up", "--port", str(port))
    assert again.returncode == 0
    assert again.stdout.startswith("Breakeven is running already.\n")

    other = stack("demo", "--port", str(port))
    assert other.returncode == 1
    assert other.stderr.startswith(f"Port {port} is in use by ")
    assert other.stderr.count("\n") == 1

    until(lambda: StackState.read(home.state_file).phase == READY)
    shown = stack("status").stdout
    assert re.findall(r"^  (\w+) +\d+  running", shown, re.MULTILINE) == [
        "postgres",
        "valkey",
        "web",
        "worker",
        "beat",
        "sweeper",
        "control",
    ]

    assert stack("manage", "check", "--database", "default").returncode == 0

    everything = marked(home.root)
    assert len(everything) >= 6
    down = stack("down", "live")
    assert (down.returncode, down.stdout) == (0, "Stopped: live.\n")
    assert [one for one in everything if one.is_alive()] == []
    assert not answers(f"http://{LOOPBACK}:{port}/readyz")


def status_of_page(port):
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port, timeout=10)) as line:
        line.request("GET", "/")
        return line.getresponse().status
