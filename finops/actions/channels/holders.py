"""Who holds a lease, and whether that process is known to be gone.

Knows this machine's processes alone, and only where Linux lists them. Refuses to guess: whoever
cannot be seen from here is taken to be at work, and the lease decides.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from finops.stack.processes import Identity

HOST_LENGTH = 30
"""So that the whole name fits the 100 characters of a lease's holder."""


def me() -> str:
    """This process, by a name that no other one ever has."""
    return f"{_place()}/{os.getpid()}@{_own_birth()}"


def is_gone(holder: str) -> bool:
    """Whether it was a process of this machine, since its last start, that runs no more."""
    place, _, rest = holder.rpartition("/")
    pid, _, birth = rest.partition("@")
    boot, _, _ = _own_birth().rpartition(":")
    # Another machine may have the same name; it was not started at the same moment.
    is_here = bool(boot) and place == _place() and birth.startswith(f"{boot}:")
    return is_here and pid.isdecimal() and not Identity(int(pid), birth).is_alive()


def _own_birth() -> str:
    own = Identity.of(os.getpid())
    return own.birth if own else ""


def _place() -> str:
    """Where process ids mean the same as here: the host, and the container on it."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        space = ""
    return f"{socket.gethostname()[:HOST_LENGTH]}:{space}"
