"""Processes to be killed: one that has imported everything forks a new one for each request.

It opens nothing itself, so that what it forks shares no connection, thread or lock with anybody. A
request is a line of JSON; the answer, when the process has ended, is a line `id signal`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

LEASE = timedelta(seconds=1)
"""Waiting for the real five minutes would take a campaign days."""
LIVES_S = 60.0
LOOKS_EVERY_S = 0.02


@dataclass(frozen=True)
class Order:
    """A life: what to do, and where it ends or stops."""

    role: str
    place: str = ""
    """A failpoint, `name` or `name:3`."""
    holds: bool = False
    """Stop there until told to go on, instead of dying there."""
    skew_s: float = 0.0
    """How far its clock is ahead of everybody's."""
    about: dict[str, Any] = field(default_factory=dict)


def prepare() -> None:
    """Django, with a lease that runs out soon and nobody to nudge: workers look for themselves."""
    import django

    django.setup()
    from ingest import (  # noqa: F401
        backfill,
        fetching,
        files,
        jobs,
        pull,
        rollup,
    )

    # That connections break is the point.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    jobs.LEASE = LEASE
    jobs.nudge = lambda task, *args: None


# ---- lives -------------------------------------------------------------------------------------


def work(about: dict[str, Any]) -> None:
    """A worker: takes whatever waits or was left by a dead one, until nothing is open."""
    from django.db.models import Q
    from django.db.models.functions import Now

    from ingest import pull
    from ingest.models import Job

    mine = Job.objects.filter(key=about["key"], state__in=["waiting", "running"])
    free = Q(state="waiting", scheduled_for__lte=Now()) | Q(lease_expires_at__lt=Now())
    ends = time.monotonic() + LIVES_S
    while mine.exists() and time.monotonic() < ends:
        for job_id in list(mine.filter(free).values_list("pk", flat=True)):
            pull.run_job(job_id)
        time.sleep(LOOKS_EVERY_S)


def sum_up(about: dict[str, Any]) -> None:
    from ingest import rollup

    while rollup.roll_up(200):
        pass


def beat(about: dict[str, Any]) -> None:
    from django.utils import timezone

    from ingest import pull

    for _ in range(3):
        pull.schedule(timezone.now())
        time.sleep(LOOKS_EVERY_S)


def load(about: dict[str, Any]) -> None:
    from ingest import files
    from ingest.models import Source

    source = Source.objects.get(pk=about["source"])
    files.take(source, Path(about["path"]), name=about["name"])


ROLES = {"work": work, "sum_up": sum_up, "beat": beat, "load": load}


def live(order: Order, mark: Path) -> None:
    from django.conf import settings
    from django.utils import timezone

    from ingest import failpoints

    if order.skew_s:
        real, ahead = timezone.now, timedelta(seconds=order.skew_s)
        timezone.now = lambda: real() + ahead
    if order.holds:
        failpoints.hit = Holding(order.place, mark)
    else:
        settings.FAILPOINT = order.place
    ROLES[order.role](order.about)


class Holding:
    """Says that it has come to its place, and waits there."""

    def __init__(self, place: str, mark: Path) -> None:
        self.name, _, time_there = place.partition(":")
        self.left = int(time_there or 1)
        self.mark = mark

    def __call__(self, name: str) -> None:
        if name != self.name:
            return
        self.left -= 1
        if self.left:
            return
        self.mark.with_suffix(".held").touch()
        ends = time.monotonic() + LIVES_S
        while not self.mark.with_suffix(".go").exists() and time.monotonic() < ends:
            time.sleep(LOOKS_EVERY_S)


# ---- the other end -----------------------------------------------------------------------------


class Forker:
    """Begins lives and hears how they ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.processes", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.count = 0
        self.ended: dict[int, int] = {}
        self.changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self, order: Order) -> int:
        self.count += 1
        told = {"id": self.count, **vars(order)}
        print(json.dumps(told), file=self.process.stdin, flush=True)
        return self.count

    def wait(self, life: int) -> int:
        """The signal by which it ended; 0 where it came to its own end."""
        with self.changed:
            if not self.changed.wait_for(lambda: life in self.ended, 2 * LIVES_S):
                raise TimeoutError(f"process {life} has not ended")
            return self.ended.pop(life)

    def wait_until_held(self, life: int) -> None:
        mark = self.folder / f"{life}.held"
        ends = time.monotonic() + LIVES_S
        while not mark.exists():
            if time.monotonic() > ends or life in self.ended:
                raise TimeoutError(f"process {life} has not come to its place")
            time.sleep(LOOKS_EVERY_S)

    def let_go(self, life: int) -> None:
        (self.folder / f"{life}.go").touch()

    def _listen(self) -> None:
        for line in self.process.stdout:
            life, ended_by = map(int, line.split())
            with self.changed:
                self.ended[life] = ended_by
                self.changed.notify_all()

    def stop(self) -> None:
        self.process.stdin.close()
        self.process.wait(10)


def main() -> None:
    prepare()
    folder = Path(sys.argv[1])
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
        life = told.pop("id")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            try:
                live(Order(**told), folder / str(life))
            except Exception:
                # A database that dies under it is what some of them are for.
                with (folder / "errors.log").open("a") as log:
                    traceback.print_exc(file=log)
            finally:
                os._exit(0)
        children[pid] = life
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])


if __name__ == "__main__":
    main()
