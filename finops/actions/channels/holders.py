"""Who holds a lease, and whether that process is known to be gone.

Knows this machine's processes alone, and only where Linux lists them. Refuses to guess: whoever
cannot be seen from here is taken to be at work, and the lease decides.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

HOLDER_LENGTH = 100


def me() -> str:
    """This process, by a name that no other one ever has where that can be had."""
    return _name(os.getpid())[:HOLDER_LENGTH]


def is_gone(holder: str) -> bool:
    """Whether it was a process of this machine that runs no more."""
    place, _, rest = holder.rpartition("/")
    if not place or place != _place():
        return False
    pid, _, began = rest.partition("@")
    return bool(began) and pid.isdecimal() and _began(int(pid)) != began


def _name(pid: int) -> str:
    place, began = _place(), _began(pid)
    return f"{place}/{pid}@{began}" if place and began else f"{socket.gethostname()}:{pid}"


def _place() -> str:
    """Where process ids mean the same as here: host, its start, the container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:13]
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return ""
    return f"{socket.gethostname()[:40]}:{boot}:{space}"


def _began(pid: int) -> str:
    """In ticks since the machine's start; empty where there is no such process."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    state, *fields = said.rpartition(")")[2].split()
    # A process that ended and was not waited for does nothing any more.
    return "" if state in "ZX" else fields[18]
