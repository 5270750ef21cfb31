"""Who is measured comes first: everything else of this test run yields the processors to it.

Knows Linux's processes. A process under SCHED_IDLE runs only while nobody else wants the processor
and gives it up at once, so that the other workers go on with their tests beside a Triton whose
latency is being judged. There is no way back for an ordinary user, and none is needed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PROC = Path("/proc")


def others_yield() -> None:
    """All that descends from the command that runs this worker, but not what this worker started.

    With one worker there is nobody else but the services of the tests.
    """
    parents = _parents()
    mine = _descendants(os.getpid(), parents)
    beside = os.getppid()
    run = parents[beside] if "PYTEST_XDIST_WORKER" in os.environ else beside
    for pid in _descendants(run, parents) - mine:
        for thread in _threads(pid):
            # Gone in between, or not ours to slow down.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))


def _parents() -> dict[int, int]:
    """Process → the one that started it."""
    found = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                # The name before it, in brackets, may hold anything.
                found[int(folder.name)] = int(
                    (folder / "stat").read_text().rpartition(")")[2].split()[1]
                )
    return found


def _descendants(pid: int, parents: dict[int, int]) -> set[int]:
    """With the process itself."""
    found, fresh = {pid}, {pid}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh} - found
        found |= fresh
    return found


def _threads(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one.name) for one in (PROC / str(pid) / "task").iterdir()]
    return []
