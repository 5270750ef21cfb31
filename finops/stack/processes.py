"""Processes: starting one so that it dies with its parent, and knowing one again later.

Knows process ids, their identity and the mark every process of a stack carries. Refuses to signal
a process it cannot prove to be ours: an id alone proves nothing, ids are given out again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "STACK_OF"
"""Environment variable with the home a process belongs to; grandchildren inherit it."""

PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec only the call itself is safe.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class Account:
    """The unprivileged account PostgreSQL runs under when we are root, which it refuses."""

    name: str
    uid: int
    gid: int

    @classmethod
    def unprivileged(cls) -> Account | None:
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(name, entry.pw_uid, entry.pw_gid)
        return None


@dataclass(frozen=True)
class Identity:
    """One process for as long as it lives: the id, and what tells it from the id's next owner."""

    pid: int
    birth: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        birth = _birth(pid)
        return cls(pid, birth) if birth else None

    def is_alive(self) -> bool:
        return _birth(self.pid) == self.birth

    def signal(self, number: signal.Signals) -> None:
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _birth(pid: int) -> str | None:
    """Boot and start time of a process; None for one that has ended, buried or not."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if sys.platform == "linux":
            # Clock ticks since boot: unlike a wall-clock time they never shift with the clock.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return f"{_boot()}:{fields[19]}"
        return repr(process.create_time())
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    output: int,
    account: Account | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process that gets `last_signal` from the kernel should this one be killed."""
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # A session of its own: Ctrl-C in the terminal is for the supervisor alone.
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # Runs after the change of account, which would have cleared it.
        preexec_fn=_dying_with(os.getpid(), last_signal),
    )


def _dying_with(parent: int, number: signal.Signals) -> Callable[[], None] | None:
    prctl = _prctl
    if prctl is None:
        return None  # the guardian does it a little later

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os._exit(1)  # it died before we armed

    return arm


def has_ended(pid: int) -> bool:
    """Whether our child `pid` has ended, without burying it: its id stays reserved for it."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def kill_group(leader: int) -> None:
    """Kill what is left of a child's session. Call it while the child is alive or unburied."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def marked(home: Path, name: str | None = None) -> list[Identity]:
    """Every process of this user that carries the mark of `home`, and of its service `name`."""
    found = []
    for pid in psutil.pids():
        if pid == os.getpid() or not _carries(pid, mark(home, name or "")):
            continue
        identity = Identity.of(pid)
        if identity:
            found.append(identity)
    return found


def mark(home: Path, name: str) -> str:
    return f"{home}#{name}"


def _carries(pid: int, wanted: str) -> bool:
    try:
        value = psutil.Process(pid).environ().get(MARK, "")
    except (psutil.Error, OSError):
        return False  # another user's, or gone: either way none of ours
    return value == wanted or (wanted.endswith("#") and value.startswith(wanted))


def family(identity: Identity) -> list[Identity]:
    """A process and its descendants at this moment."""
    if not identity.is_alive():
        return []
    try:
        children = psutil.Process(identity.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = (Identity.of(child.pid) for child in children)
    return [identity, *(one for one in found if one)]


def end(processes: Iterable[Identity], *, patience_s: float) -> None:
    """Wait for processes that were told to stop; kill those still there when time is up."""
    processes = list(processes)
    deadline = time.monotonic() + patience_s
    while any(one.is_alive() for one in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for one in processes:
        one.signal(signal.SIGKILL)


def memory_bytes(identity: Identity) -> int:
    """Memory of a process and its descendants, shared pages counted once where Linux tells."""
    return sum(_memory_bytes(one.pid) for one in family(identity))


def _memory_bytes(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        with contextlib.suppress(psutil.AccessDenied):
            full = process.memory_full_info()
            return int(getattr(full, "pss", full.rss))
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
