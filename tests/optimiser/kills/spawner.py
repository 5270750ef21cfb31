"""Controllers to be killed: a process that has imported everything and forks one for each request.

It opens nothing itself, so that what it forks shares no connection, no thread and no lock with
anybody. A request is a line `rollout failpoint`; the answer is `rollout signal` when it has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

LIVES_S = 60.0
USE_FILES = "use-files"


class Spawner:
    """The other end, in the test."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.optimiser.kills.spawner", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ended: dict[int, int] = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def control(self, rollout: int, failpoint: str) -> None:
        """A controller of its own for one rollout, which kills itself at that point."""
        print(rollout, failpoint, file=self.process.stdin, flush=True)

    def use_files(self) -> None:
        """Its controllers' targets are files from now on."""
        print(0, USE_FILES, file=self.process.stdin, flush=True)

    def wait(self, rollout: int, wait_s: float) -> int:
        """The signal by which it ended."""
        with self.changed:
            if not self.changed.wait_for(lambda: rollout in self.ended, wait_s):
                raise TimeoutError(f"the controller of {rollout} has not ended")
            return self.ended.pop(rollout)

    def _listen(self) -> None:
        for line in self.process.stdout:
            rollout, ended_by = map(int, line.split())
            with self.changed:
                self.ended[rollout] = ended_by
                self.changed.notify_all()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


def control(rollout_id: int, failpoint: str) -> None:
    """One controller's life."""
    from django.conf import settings

    from optimiser import rollout
    from optimiser.models import Rollout

    settings.FAILPOINT = failpoint
    ends = time.monotonic() + LIVES_S
    while time.monotonic() < ends:
        if not rollout.advance(rollout_id):
            if Rollout.objects.get(pk=rollout_id).finished_at is not None:
                return
            time.sleep(0.05)


def main() -> None:
    from tests.optimiser.kills import program

    program.prepare(lease_s=program.SHORT_LEASE_S)
    children: dict[int, int] = {}

    def bury(*_: object) -> None:
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            os.write(1, f"{children.pop(pid)} {ended_by}\n".encode())

    signal.signal(signal.SIGCHLD, bury)
    for line in sys.stdin:
        rollout, failpoint = line.split()
        if failpoint == USE_FILES:
            program.on_files(Path(sys.argv[1]))
            continue
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            try:
                control(int(rollout), failpoint)
            finally:
                os._exit(0)
        children[pid] = int(rollout)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
