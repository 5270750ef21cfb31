"""Homes in short, passable temporary folders: root's database account must get through."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from finops.stack.home import REPOSITORY, Home
from finops.stack.processes import marked
from finops.stack.state import READY, StackState


@pytest.fixture(scope="module")
def folder():
    """Unlike pytest's own, one that an unprivileged account may pass through."""
    made = Path(tempfile.mkdtemp(prefix="bk-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "live")
    made.create()
    yield made
    made.remove_short_socket_folders()


def until(happened, within_s=20.0):
    """Wait for something and return it; the test fails when it does not come."""
    deadline = time.monotonic() + within_s
    while not (value := happened()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.03)
    return value


class Little:
    """A little stack in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stack.little", str(root)], cwd=REPOSITORY
        )
        until(lambda: self.state and self.state.phase == READY)

    @property
    def state(self) -> StackState | None:
        state = StackState.read(self.home.state_file)
        return state if state and state.supervisor.pid == self.process.pid else None

    def line(self, name):
        return next(line for line in self.state.processes if line.name == name)

    def pid(self, name):
        return self.line(name).process.pid

    def everything(self):
        """Identities of all that belongs to it, the database's own children aside."""
        return [
            *marked(self.home.root),
            *(one.process for one in self.state.processes if one.process),
        ]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def little(folder):
    """One for all tests of a module: each finds it whole and leaves it whole."""
    stack = Little(folder / "little")
    yield stack
    stack.stop()


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
