"""What the words after `./run` do to a stack: up, demo, status, down, reset.

Knows how to start a supervisor in the background and how to ask one to stop. Refuses to stop
anything it cannot prove to have started.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from finops.stack import environment, guardian
from finops.stack import state as words
from finops.stack.home import REPOSITORY, Home
from finops.stack.logs import last_lines
from finops.stack.postgres import Cluster
from finops.stack.problem import CannotStart, StackError
from finops.stack.processes import end, memory_bytes
from finops.stack.services import LOOPBACK, Stack
from finops.stack.state import StackState
from finops.stack.supervisor import Supervisor

WORD = {"live": "up", "demo": "demo"}
"""The word of `./run` that starts a home of this kind."""

DEFAULT_PORT = {"live": 8000, "demo": 8010}

START_LOCK_WAIT_S = 30.0
"""After a kill -9 the guardian needs some seconds before a new stack may start."""

FIRST_WORDS_WITHIN_S = START_LOCK_WAIT_S + 15.0
STOP_WITHIN_S = 60.0
CLEAR_WITHIN_S = 5.0
"""For what a killed stack left, should its guardian have been killed too."""

PATIENT_S = 2.0
"""A start that goes on for longer behind a usable page is worth a line."""

LOOK_EVERY_S = 0.1


# up and demo


def start(kind: str, port: int | None, *, foreground: bool) -> int:
    home = Home.of(kind)
    home.create()
    if foreground:
        return _stay(home, _port(kind, port))
    with home.only_one_start():
        stack = running(home)
        if stack is None:
            stack = _start_in_background(home, _port(kind, port))
            print(f"Starting Breakeven in {_short(home.root)} …", flush=True)
        else:
            print("Breakeven is running already.")
    return _wait_and_tell(home)


def running(home: Home) -> StackState | None:
    stack = StackState.read(home.state_file)
    return stack if stack and stack.is_running else None


def supervise(kind: str, port: int) -> int:
    """The background process itself."""
    return _supervise(Home.of(kind), port)


def _supervise(home: Home, port: int, *, attached: bool = False) -> int:
    lock = home.lock_for_life(START_LOCK_WAIT_S)
    guard = guardian.start(home, lock)
    try:
        guardian.clear(home, patience_s=CLEAR_WITHIN_S)
        stack = Stack.of(home, port)
        echo = _echo if attached else None
        supervisor = Supervisor(home, stack.services(), port, echo)
        return supervisor.run(_tell_when_usable(home) if attached else None)
    finally:
        assert guard.stdin is not None
        guard.stdin.close()
        guard.wait()


def _stay(home: Home, port: int) -> int:
    with home.only_one_start():
        if running(home):
            raise StackError(
                f"Breakeven is running already: ./run down {home.kind} stops it, "
                f"then ./run {WORD[home.kind]} --foreground can start it here."
            )
    code = _supervise(home, port, attached=True)
    stack = StackState.read(home.state_file)
    if code and stack:
        raise CannotStart(stack.problem, tuple(stack.log))
    return code


def _start_in_background(home: Home, port: int) -> StackState:
    with (home.logs / "supervisor-start.log").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "finops.stack", "supervise", home.kind, f"--port={port}"],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + FIRST_WORDS_WITHIN_S
    while time.monotonic() < deadline:
        stack = StackState.read(home.state_file)
        if stack and stack.supervisor.pid == process.pid:
            return stack
        if process.poll() is not None:
            said = last_lines(home.logs / "supervisor-start.log", 12)
            raise CannotStart(said[-1] if said else "The supervisor ended at once.")
        time.sleep(LOOK_EVERY_S)
    process.terminate()
    raise StackError(f"The supervisor did not begin; see {home.logs / 'supervisor-start.log'}.")


def _wait_and_tell(home: Home) -> int:
    told: float | None = None
    explained = False
    while True:
        stack = StackState.read(home.state_file)
        if stack is None or not stack.is_running:
            raise _why_it_ended(home, stack)
        if stack.phase in (words.USABLE, words.READY) and told is None:
            told = time.monotonic()
            print(welcome(home, stack), flush=True)
        if stack.phase == words.USABLE and told and time.monotonic() - told > PATIENT_S:
            if not explained:
                print("\nThe rest is still starting; pages fill as it comes up …", flush=True)
            explained = True
        if stack.phase == words.READY:
            for line in _left_out(stack):
                print(line)
            return 0
        time.sleep(LOOK_EVERY_S)


def _echo(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _why_it_ended(home: Home, stack: StackState | None) -> CannotStart:
    if stack and stack.problem:
        return CannotStart(stack.problem, tuple(stack.log))
    if stack and stack.phase == words.STOPPED:
        return CannotStart("Breakeven was stopped while it was starting.")
    return CannotStart(
        f"The supervisor ended without a word; its logs are in {home.logs}.",
        last_lines(home.logs / "supervisor-start.log", 12),
    )


def _tell_when_usable(home: Home) -> Callable[[StackState], None]:
    def tell(stack: StackState) -> None:
        if stack.phase == words.USABLE:
            print(welcome(home, stack), flush=True)

    return tell


def welcome(home: Home, stack: StackState) -> str:
    """The block that ends a start: where it is, who may sign in, how to stop it."""
    sample = " with sample data" if home.kind == "demo" else ""
    lines = [f"Breakeven is running{sample}.", "", f"  Open     {stack.url}"]
    label = "Sign in"
    people = _sign_ins(home)
    widest = max((len(person["role"]) for person in people), default=0)
    for person in people:
        who = f"{person['username']} / {person['password']}"
        lines.append(f"  {label:<9}{person['role']:<{widest}}  {who}")
        label = ""
    lines += [
        f"  Logs     {_short(home.logs / 'breakeven.log')}",
        f"  Stop     ./run down {home.kind}",
    ]
    for name in environment.overruled():
        lines.append(f"\n{name} is set here but not used: Breakeven brings its own.")
    return "\n".join(lines)


def _sign_ins(home: Home) -> list[dict[str, str]]:
    try:
        found: list[dict[str, str]] = json.loads(home.sign_ins.read_text())
    except FileNotFoundError:
        return []
    return found


def _left_out(stack: StackState) -> list[str]:
    return [
        f"Without {line.name}: {line.reason}" for line in stack.processes if line.state == "skipped"
    ] + [
        f"{line.name} does not start and is tried again; ./run status shows it."
        for line in stack.processes
        if line.state == "restarting"
    ]


# Ports


def _port(kind: str, asked: int | None) -> int:
    port = asked or _port_from_environment() or DEFAULT_PORT[kind]
    problem = _bind(port)
    if problem == errno.EACCES:
        raise StackError(f"Port {port} is for root alone: choose one from 1024 on with --port.")
    if problem is not None:
        raise StackError(
            f"Port {port} is in use{_holder_of(port)}: choose another, "
            f"for instance ./run {WORD[kind]} --port {_next_free(port)}."
        )
    return port


def _port_from_environment() -> int | None:
    text = os.environ.get("BREAKEVEN_PORT", "")
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"BREAKEVEN_PORT is {text!r}: use a number from 1 to 65535.")
    return int(text)


def _holder_of(port: int) -> str:
    """` by name (process id)`, or nothing where the system hides it from us."""
    try:
        for line in psutil.net_connections("tcp"):
            if line.status == psutil.CONN_LISTEN and line.laddr.port == port and line.pid:
                return f" by {psutil.Process(line.pid).name()} (process {line.pid})"
    except psutil.Error:
        return ""
    return ""


def _bind(port: int) -> int | None:
    with socket.socket() as probe:
        # As the web server binds: a connection that is only timing out is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            return error.errno
    return None


def _next_free(port: int) -> int:
    candidates = range(port + 1, 65536)
    return next((one for one in candidates if one >= 1024 and _bind(one) is None), 0)


# status


def status(kinds: tuple[str, ...]) -> int:
    """Exit code 0 when something runs, 3 when nothing does."""
    found = [(home, stack) for home in map(Home.of, kinds) if (stack := running(home))]
    for home, stack in found:
        print("\n".join(_table(home, stack)))
    if found:
        return 0
    print("Nothing is running; ./run up or ./run demo starts it.")
    for home in map(Home.of, kinds):
        last = StackState.read(home.state_file)
        if last and last.phase == words.FAILED:
            print(f"{home.kind}: the last start failed. {last.problem}")
    return 3


def _table(home: Home, stack: StackState) -> list[str]:
    lines = [
        f"{home.kind}: {stack.phase}, {stack.url}",
        f"  {'process':<14}{'pid':>8}  {'state':<11}{'since':<20}{'restarts':>9}{'memory':>10}",
    ]
    for one in stack.processes:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.since))
        alive = one.process and one.process.is_alive()
        pid = str(one.process.pid) if one.process and alive else "–"
        memory = f"{memory_bytes(one.process) / 1024**2:.0f} MiB" if one.process and alive else "–"
        lines.append(
            f"  {one.name:<14}{pid:>8}  {one.state:<11}{since:<20}{one.restarts:>9}{memory:>10}"
        )
        if one.reason:
            lines.append(f"      {one.reason}")
    lines.append(f"  logs: {_short(home.logs / 'breakeven.log')}")
    return lines


# down and reset


def down(kinds: tuple[str, ...]) -> int:
    homes = [Home.of(kind) for kind in kinds]
    for home in homes:
        if stack := running(home):
            stack.supervisor.signal(signal.SIGTERM)  # all at once, then wait for each
    stopped = [home.kind for home in homes if stop(home)]
    print(f"Stopped: {', '.join(stopped)}." if stopped else "Nothing was running.")
    return 0


def stop(home: Home) -> bool:
    """Stop the stack of one home, or what a killed one left; says whether there was any."""
    if not home.root.exists():
        return False
    stack = running(home)
    if stack is None:
        return guardian.clear(home, patience_s=CLEAR_WITHIN_S) > 0
    stack.supervisor.signal(signal.SIGTERM)
    end([stack.supervisor], patience_s=STOP_WITHIN_S)
    # Free again means that supervisor and guardian have ended, and with them everything else.
    os.close(home.lock_for_life(START_LOCK_WAIT_S))
    return True


def reset(kinds: tuple[str, ...], *, yes: bool) -> int:
    for kind in kinds:
        home = Home.of(kind)
        if not home.root.exists():
            print(f"{kind}: there is nothing to delete.")
            continue
        if not yes and not _confirmed(home):
            print(f"{kind}: kept.")
            return 1
        stop(home)
        _delete(home)
        print(f"{kind}: deleted.")
    return 0


def _confirmed(home: Home) -> bool:
    print(
        f"This deletes everything in {home.root}: database, secrets, logs. "
        "There is no way back without a backup."
    )
    try:
        return input(f"Type {home.kind} to delete it: ").strip() == home.kind
    except EOFError:
        raise StackError("Nobody is there to confirm: use ./run reset --yes in scripts.") from None


def _delete(home: Home) -> None:
    cluster = Cluster.of(home)
    home.remove_short_socket_folders()
    cluster.remove()
    shutil.rmtree(home.root)


def _short(path: Path) -> str:
    """Relative where that is shorter to read."""
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)
