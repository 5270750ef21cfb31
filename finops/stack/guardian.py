"""Outlives a killed supervisor by a few seconds and sees that nothing else does.

The kernel tells the supervisor's own children when it dies. The guardian is for their children
(web and task workers in the middle of something) and for systems without that service. Knows one
home and a pipe that closes when the supervisor is gone. Refuses to act while it is open.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from finops.stack.home import REPOSITORY, Home
from finops.stack.processes import end, family, marked
from finops.stack.state import StackState

PATIENCE_S = 8.0


def start(home: Home, lock: int) -> subprocess.Popen[bytes]:
    """The guardian holds the lock too, so that no new stack starts among the remains."""
    return subprocess.Popen(
        [sys.executable, "-m", "finops.stack.guardian", str(home.root)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[lock],
        start_new_session=True,
    )


def clear(home: Home, *, patience_s: float) -> int:
    """End whatever of this home still runs without its supervisor; returns how many there were."""
    stack = StackState.read(home.state_file)
    mains = [line.process for line in stack.processes if line.process] if stack else []
    remains = {*marked(home.root), *(one for main in mains for one in family(main))}
    for one in mains:
        one.signal(signal.SIGINT)  # what each of them takes as "stop now, in order"
    end(mains, patience_s=patience_s)
    # Whoever is left has nobody who could still tell it to stop.
    left = {*remains, *marked(home.root)}
    end(left, patience_s=0)
    return len(left)


def main() -> int:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    clear(Home(Path(sys.argv[1])), patience_s=PATIENCE_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
