"""Processes to be killed: one that has imported everything forks a new one for each request.

It opens nothing itself, so that what it forks shares no connection, thread or lock with anybody. A
request is a line of JSON; the answer, when the process has ended, is a line `id signal`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Forker:
    """Begins lives and hears how they ended: the end of who kills."""

    def __init__(self, module: str, folder: Path) -> None:
        """`module`, run with the folder as its argument, calls `serve`."""
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.count = 0
        self.ended: dict[int, int] = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self, **told: Any) -> int:
        with self.changed:
            self.count += 1
            life = self.count
            print(json.dumps({"life": life, **told}), file=self.process.stdin, flush=True)
        return life

    def wait(self, life: int, wait_s: float) -> int:
        """The signal by which it ended; 0 where it came to its own end."""
        with self.changed:
            if not self.changed.wait_for(lambda: life in self.ended, wait_s):
                raise TimeoutError(f"process {life} has not ended")
            return self.ended.pop(life)

    def _listen(self) -> None:
        for line in self.process.stdout:
            life, ended_by = map(int, line.split())
            with self.changed:
                self.ended[life] = ended_by
                self.changed.notify_all()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


def serve(live: Callable[..., None]) -> None:
    """Fork for each request until there are no more; `live` is given its `life` and the rest."""
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
        told = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            # Requests are not for it.
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                live(**told)
            finally:
                os._exit(0)
        children[pid] = told["life"]
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
