"""Who is measured comes first: everything else of this test run yields the processors to it.

Knows this run's processes. One under Linux's SCHED_IDLE runs only while nobody else wants the
processor and gives it up at once, so that the other workers go on with their tests beside a Triton
whose latency is being judged. There is no way back for an ordinary user, and none is needed.
"""

from __future__ import annotations

import contextlib
import os

import psutil


def others_yield() -> None:
    """All that descends from the command that runs this worker, but not what this worker started.

    With one worker there is nobody else but the services of the tests.
    """
    me = psutil.Process()
    beside = me.parents()[: 2 if "PYTEST_XDIST_WORKER" in os.environ else 1]
    run = beside[-1]
    mine = {me, *me.children(recursive=True)}
    for process in {run, *run.children(recursive=True)} - mine:
        # It may end in between.
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in process.threads():
                os.sched_setscheduler(thread.id, os.SCHED_IDLE, os.sched_param(0))
