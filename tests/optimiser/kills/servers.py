"""A PostgreSQL and a Triton of this suite's own, to be killed and started again."""

from __future__ import annotations

import os
import py_compile
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from finops.stack import environment, keys
from finops.stack.home import Home
from finops.stack.postgres import STOP_SIGNAL, Cluster, plain_environment
from finops.stack.processes import start
from finops.stack.valkey import Valkey
from optimiser.demo import triton
from optimiser.demo.endpoints import Endpoints

WAIT_S = 60.0

CODE = """
class TritonPythonModel:
    def execute(self, requests):
        raise RuntimeError("nobody calls it")
"""
CONFIG = """
name: "{name}"
backend: "python"
max_batch_size: 8
input [ {{ name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
"""


def until(said, what: str, wait_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while not said():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} within {wait_s:g} s")
        time.sleep(0.2)


class Postgres:
    """Durable, as it is in earnest; a kill ends every process of it at once."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "kills")
        self.home.create()
        keys.make(self.home, has_database=False)
        self.cluster = Cluster.of(self.home)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return environment.of_application(self.home, self.cluster, Valkey.of(self.home))

    def start(self) -> None:
        self.cluster.prepare()
        self.process = start(
            self.cluster.command,
            environment=plain_environment(),
            folder=Path("/"),
            output=subprocess.DEVNULL,
            account=self.cluster.account,
            last_signal=STOP_SIGNAL,
        )
        until(self.cluster.is_ready, "PostgreSQL answers")
        subprocess.run(self.cluster.introduce_command, env=plain_environment(), check=True)

    def kill(self) -> None:
        """Its own children end by themselves when they notice; the next start waits for that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(STOP_SIGNAL)
            self.process.wait(WAIT_S)
        self.cluster.remove()
        self.home.remove_short_socket_folders()


class Triton:
    """The real server with models that load quickly; a restart brings their files back."""

    def __init__(self, folder: Path, models: list[str]) -> None:
        self.folder, self.models = folder, models
        triton.prepare(folder)
        for name in models:
            code = folder / "models" / name / "1" / "model.py"
            code.parent.mkdir(parents=True)
            code.write_text(CODE)
            code.parent.with_name("config.pbtxt").write_text(CONFIG.format(name=name))
            # Written later, a __pycache__ would make Triton think that the model has changed.
            py_compile.compile(str(code), doraise=True)
        self.ports = triton.choose_ports(folder, {"http": 0, "grpc": 0, "metrics": 0}, 5)
        self.endpoints = Endpoints.on_loopback(os.getpid(), self.ports, folder / "admin-key")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        triton.choose_ports(self.folder, self.ports, WAIT_S)  # they come free when all have ended
        with (self.folder / "triton.log").open("ab") as log:
            self.process = subprocess.Popen(
                triton.command(self.folder, self.endpoints, self.models),
                env=triton.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until(lambda: all(map(self.endpoints.is_ready, self.models)), "Triton serves")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextmanager
def both(folder: Path, models: list[str]) -> Iterator[tuple[Postgres, Triton]]:
    postgres, server = Postgres(folder), Triton(folder / "triton", models)
    try:
        postgres.start()
        server.start()
        yield postgres, server
    finally:
        server.stop()
        postgres.stop()
