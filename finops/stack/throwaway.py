"""A PostgreSQL and a Valkey for one test run or one bench, gone without a trace afterwards.

Knows a temporary folder and what runs in it. Refuses the real homes: tests must not find, and
cannot harm, anybody's books.
"""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

from finops.stack import environment, keys
from finops.stack import postgres as pg
from finops.stack.home import REPOSITORY, Home
from finops.stack.logs import last_lines
from finops.stack.postgres import Cluster
from finops.stack.problem import CannotStart, StackError
from finops.stack.processes import Account, start
from finops.stack.valkey import STOP_WITHIN_S as VALKEY_STOPS_WITHIN_S
from finops.stack.valkey import Valkey

READY_WITHIN_S = 30.0
BENCHES = REPOSITORY / "tests" / "bench"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder in it has a name of its own
LEAST_ROOM_BYTES = 8 * 1024**3
"""The tests' files take two or three of these; the rest is for what runs."""

MOST_WORKERS = 8
"""Each has two of Valkey's 16 databases."""

FOR_TESTS = ("BREAKEVEN_REQUIRE",)
"""The only setting of the caller's that a test sees; the others would make it another test."""


def test(arguments: Sequence[str]) -> int:
    """pytest with everything it needs; its own exit code."""
    with services(durable=False) as env:
        env.update({name: os.environ[name] for name in FOR_TESTS if name in os.environ})
        # Hundreds of processes are started, and none should compile the same files again.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        pytest = ("pytest", "-p", "finops.stack.skips", "-p", "finops.stack.workers")
        return _attached((sys.executable, "-m", *pytest, *_parallel(arguments), *arguments), env)


def _parallel(arguments: Sequence[str]) -> tuple[str, ...]:
    """The whole suite on several processors; a part of it, or under a debugger, on one."""
    named = [one for one in arguments if (REPOSITORY / one.split("::")[0]).exists()]
    if named or any(one.startswith(("-n", "--pdb")) for one in arguments):
        return ()
    # One more than there are processors: now and then a test waits for a lease or a server.
    count = min((os.cpu_count() or 1) + 1, MOST_WORKERS)
    return ("-n", str(count), "--dist", "loadscope", "--no-loadscope-reorder")


def bench(name: str, arguments: Sequence[str]) -> int:
    """One module of tests/bench with services as careful about the disk as the real ones."""
    if name not in benches():
        raise StackError(f"There is no bench {name!r}; ./run bench lists them.")
    module = f"tests.bench.{name.replace('-', '_')}"
    with services(durable=True) as env:
        return _attached((sys.executable, "-m", module, *arguments), env)


def chaos(arguments: Sequence[str]) -> int:
    """The campaign of kills, which has a PostgreSQL of its own because it kills that too."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(environment.PREFIX)}
    return _attached((sys.executable, "-m", "tests.chaos.campaign", *arguments), env)


def benches() -> dict[str, str]:
    """Name → the first line of what it says about itself."""
    return {
        file.stem.replace("_", "-"): _first_line(file)
        for file in sorted(BENCHES.glob("*.py"))
        if '__name__ == "__main__"' in file.read_text()
    }


@contextlib.contextmanager
def services(*, durable: bool) -> Iterator[dict[str, str]]:
    """Both running, and the environment that leads there."""
    folder = Path(tempfile.mkdtemp(prefix="breakeven-", dir=None if durable else in_memory()))
    folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    home = Home(folder / "test")
    temporary = folder / "tmp"
    try:
        temporary.mkdir()
        temporary.chmod(folder.stat().st_mode)
        home.create()
        keys.make(home, has_database=False)
        cluster = Cluster.of(home, durable=durable, may_create_databases=True)
        valkey = Valkey.of(home)
        with _termination_as_exit(), contextlib.ExitStack() as stack:
            stack.callback(home.remove_short_socket_folders)
            stack.callback(cluster.remove)
            cluster.prepare()
            valkey.prepare()
            stack.enter_context(_postgres(home, cluster))
            stack.enter_context(_valkey(home, valkey))
            subprocess.run(cluster.introduce_command, env=pg.plain_environment(), check=True)
            # Settings of the caller's would make it a different run than the next person's.
            caller = {k: v for k, v in os.environ.items() if not k.startswith(environment.PREFIX)}
            given = environment.of_application(home, cluster, valkey, caller=caller)
            yield given if durable else {**given, "TMPDIR": str(temporary)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_memory(folder: Path = SHARED_MEMORY) -> Path | None:
    """Where files never reach a disk, if there is room and programs may run there.

    Tests make and drop thousands of tables: a quarter of their time went into the files of these.
    """
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    room = min(found.f_bavail * found.f_frsize, psutil.virtual_memory().available)
    runs = not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK | os.X_OK)
    return folder if runs and room >= LEAST_ROOM_BYTES else None


@dataclass(frozen=True)
class _Server:
    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    stop_signal: signal.Signals
    stop_within_s: float
    account: Account | None = None


def _postgres(home: Home, cluster: Cluster) -> contextlib.AbstractContextManager[None]:
    return _running(
        home,
        _Server(
            "postgres",
            cluster.command,
            cluster.is_ready,
            pg.STOP_SIGNAL,
            pg.STOP_WITHIN_S,
            cluster.account,
        ),
    )


def _valkey(home: Home, valkey: Valkey) -> contextlib.AbstractContextManager[None]:
    return _running(
        home,
        _Server("valkey", valkey.command, valkey.is_ready, signal.SIGTERM, VALKEY_STOPS_WITHIN_S),
    )


@contextlib.contextmanager
def _running(home: Home, server: _Server) -> Iterator[None]:
    file = home.logs / f"{server.name}.log"
    with file.open("wb") as log:
        process = start(
            server.command,
            environment=pg.plain_environment(),
            folder=Path("/"),
            output=log.fileno(),
            account=server.account,
            last_signal=server.stop_signal,
        )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not server.is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise CannotStart(f"{server.name} did not start.", last_lines(file, 12))
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(server.stop_signal)
        try:
            process.wait(server.stop_within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _attached(command: Sequence[str], env: dict[str, str]) -> int:
    """Run in this terminal. Ctrl-C is the child's to handle; we wait and clean up after it."""
    process = subprocess.Popen(command, env=env, cwd=REPOSITORY)
    try:
        while True:
            with contextlib.suppress(KeyboardInterrupt):
                return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def _termination_as_exit() -> Iterator[None]:
    """A SIGTERM unwinds like an exception, so that nothing is left running or lying about."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _first_line(file: Path) -> str:
    said = ast.get_docstring(ast.parse(file.read_text())) or ""
    return said.split("\n", 1)[0]
